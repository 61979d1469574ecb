"""SHOW GRANTS as the servers print it."""

from __future__ import annotations

import pytest

from sync.assess.privileges import Privileges

MYSQL_8 = [
    "GRANT SELECT, RELOAD, REPLICATION SLAVE ON *.* TO `u`@`%`",
    "GRANT BINLOG_ADMIN,SYSTEM_USER ON *.* TO `u`@`%` WITH GRANT OPTION",
    "GRANT LOCK TABLES ON `sh\\_op%`.* TO `u`@`%`",
    "GRANT INSERT, SELECT (`a`, `b`) ON `other`.`t``x` TO `u`@`%`",
    "GRANT PROXY ON ``@`` TO `u`@`%` WITH GRANT OPTION",
    "GRANT `role`@`%` TO `u`@`%`",
    "REVOKE SELECT ON `secret`.* FROM `u`@`%`",
]


@pytest.mark.parametrize(
    ("privilege", "database", "table", "expected"),
    [
        ("REPLICATION SLAVE", None, None, True),
        ("REPLICATION CLIENT", None, None, False),
        ("BINLOG_ADMIN", None, None, True),
        ("SELECT", "any", "t", True),
        ("SELECT", "secret", "t", False),
        ("LOCK TABLES", "sh_op", None, True),
        ("LOCK TABLES", "sh_op_2", "t", True),
        ("LOCK TABLES", "shXop", None, False),
        ("LOCK TABLES", None, None, False),
        ("INSERT", "other", "t`x", True),
        ("INSERT", "other", "t", False),
        ("INSERT", "other", None, False),
    ],
)
def test_mysql(privilege: str, database: str | None, table: str | None, expected: bool) -> None:
    assert Privileges.parse(MYSQL_8).has(privilege, database, table) is expected


def test_a_privilege_on_columns_is_not_the_privilege() -> None:
    only = Privileges.parse(["GRANT SELECT (`a`, `b`), INSERT ON `d`.`t` TO `u`@`%`"])
    assert not only.has("SELECT", "d", "t")
    assert only.has("INSERT", "d", "t")


def test_wildcard_of_one_character() -> None:
    found = Privileges.parse(["GRANT SELECT ON `sh_p`.* TO `u`@`%`"])
    assert found.has("SELECT", "shop", "t")
    assert not found.has("SELECT", "shoop", "t")


def test_mariadb_words_and_everything() -> None:
    words = Privileges.parse(
        ["GRANT BINLOG MONITOR, REPLICATION REPLICA ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*A'"]
    )
    assert words.has("REPLICATION CLIENT")
    assert words.has("REPLICATION SLAVE")
    assert Privileges.parse(["GRANT ALL PRIVILEGES ON *.* TO 'root'@'localhost' WITH GRANT OPTION"]).has(
        "SELECT", "d", "t"
    )
    assert not Privileges.parse(["GRANT USAGE ON *.* TO 'u'@'%'"]).has("SELECT", "d", "t")
