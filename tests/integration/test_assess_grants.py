"""Privileges: what is missing is found, the offered GRANT mends it, and the whole script makes users that suffice."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest
from psycopg import sql

from servers.flavour import MYSQL_5_6
from sync.assess import assess, grants_script
from tests.support.assessing import levels, mend, settings_for, statements, worst
from tests.support.servers import SourceDatabase, StoreDatabase

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
GRANTS = ("grants_replication", "grants_select", "grants_lock")
STORE_GRANTS = ("store_grants", "store_replication_role", "store_reverse")


@pytest.fixture
def account(source_db: SourceDatabase) -> Iterator[dict[str, str]]:
    """A source account without any privilege but on one table."""
    name = f"u_{secrets.token_hex(4)}"
    source_db.execute(
        "CREATE TABLE seen (a int PRIMARY KEY)",
        "CREATE TABLE keyless (a int) ENGINE=MyISAM",
        f"CREATE USER '{name}'@'%' IDENTIFIED BY 'pw-of-user'",
        f"GRANT SELECT ON `{source_db.database}`.seen TO '{name}'@'%'",
        f"GRANT INSERT ON `{source_db.database}`.keyless TO '{name}'@'%'",
    )
    yield {"user": name, "password": "pw-of-user"}
    source_db.execute(f"DROP USER '{name}'@'%'")


def test_each_missing_privilege_and_its_grant(source_db: SourceDatabase, account: dict[str, str]) -> None:
    settings = settings_for(source_db.server, source_db.database, NOWHERE, source=account)
    result = assess(settings)
    assert levels(result, *GRANTS) == dict.fromkeys(GRANTS, "BLOCK")
    assert "1 tables" in worst(result, "grants_select").message
    assert len([f for f in result.of("grants_replication") if f.level == "BLOCK"]) == 2
    mend(source_db.server, *(f for check in GRANTS for f in result.of(check)))
    assert levels(assess(settings), *GRANTS) == dict.fromkeys(GRANTS, "OK")


def test_privileges_through_a_role_count(source_db: SourceDatabase, account: dict[str, str]) -> None:
    if source_db.server.flavour is MYSQL_5_6:
        pytest.skip("MySQL has roles since 8.0")
    role = f"r_{secrets.token_hex(4)}"
    user = f"'{account['user']}'@'%'"
    mariadb = "mariadb" in str(source_db.server.flavour)
    source_db.execute(
        f"CREATE ROLE {role}",
        f"GRANT SELECT, LOCK TABLES ON `{source_db.database}`.* TO {role}",
        f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {role}",
        f"GRANT {role} TO {user}",
        f"SET DEFAULT ROLE {role} FOR {user}" if mariadb else f"SET DEFAULT ROLE {role} TO {user}",
    )
    try:
        settings = settings_for(source_db.server, source_db.database, NOWHERE, source=account)
        assert levels(assess(settings), *GRANTS) == dict.fromkeys(GRANTS, "OK")
    finally:
        source_db.execute(f"DROP ROLE {role}")


def with_user(dsn: str, role: str, password: str) -> str:
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{role}:{password}@{parts.hostname}:{parts.port}"))


@pytest.fixture
def role(store_db: StoreDatabase) -> Iterator[str]:
    """The name of a store role that does not exist yet; gone again in the end."""
    name = f"role_{secrets.token_hex(4)}"
    yield name
    with store_db.connect() as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).fetchone():
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_store_role_without_privileges(source_db: SourceDatabase, store_db: StoreDatabase, role: str) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    store_db.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'pw-of-role'",
        "CREATE SCHEMA sales",
        "REVOKE CREATE ON SCHEMA public FROM public",
    )
    settings = settings_for(source_db.server, source_db.database, with_user(store_db.dsn, role, "pw-of-role"))
    settings = settings.model_copy(
        update={"stores": {"main": settings.stores["main"].model_copy(update={"schema_": "sales"})}}
    )
    result = assess(settings)
    assert levels(result, *STORE_GRANTS) == {
        "store_grants": "BLOCK",
        "store_replication_role": "BLOCK",
        "store_reverse": "WARN",
    }
    for check in STORE_GRANTS:
        for finding in result.of(check):
            store_db.execute(*statements(finding.fix))
    assert levels(assess(settings), *STORE_GRANTS) == dict.fromkeys(STORE_GRANTS, "OK")


def test_the_script_makes_users_that_suffice(source_db: SourceDatabase, store_db: StoreDatabase, role: str) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE keyless (a int)")
    user = f"u_{secrets.token_hex(4)}"
    settings = settings_for(
        source_db.server,
        source_db.database,
        with_user(store_db.dsn, role, "pw-of-role"),
        source={"user": user, "password": "pw-of-user"},
    )
    script = grants_script(settings)
    assert "pw-of" not in script
    source_part, store_part = script.split("\n\n")
    try:
        source_db.execute(*commands(source_part, "pw-of-user"))
        store_db.execute(*commands(store_part, "pw-of-role"))
        result = assess(settings)
        assert [f for f in result.findings if f.level == "BLOCK"] == []
        assert levels(result, *GRANTS, "store_grants", "store_replication_role") == dict.fromkeys(
            [*GRANTS, "store_grants", "store_replication_role"], "OK"
        )
    finally:
        source_db.execute(f"DROP USER '{user}'@'%'")


def commands(script: str, password: str) -> list[str]:
    return [
        line.removesuffix(";").replace("<choose a password>", password)
        for line in script.splitlines()
        if line and not line.startswith("--")
    ]
