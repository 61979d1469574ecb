"""Values that a store may not be able to hold: each lands as it should, or waits in quarantine with its key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from model.errors import ExitCode
from tests.support.migration import Migration
from tests.support.servers import SourceDatabase, StoreDatabase

LOOSE = "SET SESSION sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'"
PARKED = object()


@dataclass(frozen=True)
class Bad:
    """A declaration, maybe with the type asked for, a literal, and what the store must print; PARKED: quarantine."""

    declared: str
    literal: str
    lands: object
    becomes: str = ""


_ZERO = "'0000-00-00'"
LIST = (
    Bad("VARCHAR(20)", "CONCAT('a', CHAR(0), 'b')", PARKED),
    Bad("TEXT", "CHAR(0 USING utf8mb4)", PARKED),
    Bad("VARCHAR(20) CHARACTER SET cp1251", "0x98", PARKED),
    Bad("VARCHAR(20) CHARACTER SET latin1", "0x81", "\x81"),
    Bad("VARCHAR(20) CHARACTER SET latin1", "0xC3A9", "Ã©"),
    Bad("VARCHAR(20)", "'\uffff'", "\uffff"),
    Bad("VARCHAR(20)", "'\\\\N'", "\\N"),
    Bad("VARCHAR(20)", "'NULL'", "NULL"),
    Bad("VARCHAR(20)", "'12x'", PARKED, "integer"),
    Bad("VARCHAR(20)", "'12'", "12", "integer"),
    Bad("VARCHAR(36)", "'not a uuid'", PARKED, "uuid"),
    Bad("VARCHAR(20)", "'toolongforthis'", PARKED, "varchar(5)"),
    Bad("VARCHAR(20)", "'maybe'", PARKED, "boolean"),
    Bad("VARCHAR(20)", "'{'", PARKED, "jsonb"),
    Bad("DATE", _ZERO, "-infinity"),
    Bad("DATE", "'2024-02-31'", PARKED),
    Bad("DATE", "'2024-00-10'", PARKED),
    Bad("DATE", "'0000-05-01'", PARKED),
    Bad("DATE", "'2024-02-31'", "2024-02-31", "text"),
    Bad("DATETIME", "'0000-00-00 00:00:00'", "-infinity"),
    Bad("DATETIME", "'0000-00-00 12:34:56'", PARKED),
    Bad("DATETIME", "'2024-03-31 02:30:00'", PARKED, "timestamptz(0) at time zone 'Europe/Berlin'"),
    Bad("DATETIME", "'2024-05-01 10:00:00'", PARKED, "date"),
    Bad("TIME", "'838:59:59'", "838:59:59"),
    Bad("TIME", "'24:00:00'", PARKED, "time"),
    Bad("TIME", "'-00:00:01'", PARKED, "time"),
    Bad("TINYINT(1)", "2", PARKED, "boolean"),
    Bad("TINYINT(1)", "-128", PARKED, "boolean"),
    Bad("BIGINT UNSIGNED", "9223372036854775808", PARKED, "bigint"),
    Bad("BIGINT UNSIGNED", "9223372036854775807", "9223372036854775807", "bigint"),
    Bad("INT", "40000", PARKED, "smallint"),
    Bad("DECIMAL(10,2)", "1.50", PARKED, "integer"),
    Bad("DECIMAL(10,2)", "12345678.90", PARKED, "numeric(5,2)"),
    Bad("FLOAT", "1e30", PARKED, "numeric(10,2)"),
    Bad("ENUM('a','b')", "0", ""),
    Bad("VARBINARY(20)", "0xFF", PARKED, "text"),
    Bad("VARBINARY(20)", "0xAB", PARKED, "uuid"),
    Bad("BIT(64)", "~0", PARKED, "bigint"),
)


@pytest.fixture
def migration(tmp_path: Path) -> Iterator[Migration]:
    migration = Migration(tmp_path)
    yield migration
    migration.close()


def types() -> str:
    """The types that are asked for, by column."""
    lines = [f'  - {{match: "*.c{number}", to: "{bad.becomes}"}}' for number, bad in enumerate(LIST) if bad.becomes]
    return "types:\n" + "\n".join(lines) + "\n"


def test_each_bad_value_lands_or_waits_with_its_key(
    mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration
) -> None:
    assert len(LIST) >= 30
    columns = ", ".join(f"c{number} {bad.declared} NULL" for number, bad in enumerate(LIST))
    create = f"CREATE TABLE @ (id INT PRIMARY KEY, {columns}) ENGINE=InnoDB DEFAULT CHARSET utf8mb4"
    rows = [f"INSERT INTO @ (id, c{number}) VALUES ({number}, {bad.literal})" for number, bad in enumerate(LIST)]
    rows += ["INSERT INTO @ (id) VALUES (1000)", "INSERT INTO @ (id) VALUES (1001)"]
    connection = mariadb_db.connect(init_command=LOOSE)

    def run(*statements: str) -> None:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    run(create.replace("@", "bad"), create.replace("@", "later"), *[row.replace("@", "bad") for row in rows])
    migration.ok("init", "--source", mariadb_db.dsn, "--store", f"main={store15.dsn}")
    config = migration.config.read_text()
    assert "\ntypes:" not in config
    migration.config.write_text(config + "\n" + types())
    migration.ok("schema", "apply")
    migration.start()
    migration.wait_caught_up()
    run(*[row.replace("@", "later") for row in rows])
    # What waits does so in order: a change of a refused row waits, one of another does not, a mended row is retried.
    run("UPDATE later SET c1 = 'mended' WHERE id = 1", "UPDATE later SET c1 = 'seen' WHERE id = 1000")
    migration.wait_caught_up()
    parked = {str(number) for number, bad in enumerate(LIST) if bad.lands is PARKED}
    document = migration.run("-o", "json", "errors", "list", "--limit", "500")
    assert document.code == ExitCode.DIFFERENCES
    for table in ("bad", "later"):
        waiting = [row for row in document.document()["rows"] if f".{table}>" in row["plan"]]
        assert {row["key"][0] for row in waiting} == parked
        assert all(row["error"] for row in waiting)
        for number, bad in enumerate(LIST):
            found = store15.rows(f"SELECT concat(c{number}) FROM {table} WHERE id = %s", [number])
            assert found == ([] if bad.lands is PARKED else [(bad.lands,)]), (table, bad)
        # Rows in = rows in the store + rows in quarantine; nothing is filtered here.
        (there,) = store15.rows(f"SELECT count(*) FROM {table}")[0]
        assert there + len(parked) == len(rows)
    waits = [row for row in document.document()["rows"] if ".later>" in row["plan"] and row["key"] == ["1"]]
    assert [row["op"] for row in waits] == ["insert", "update"] and waits[1]["error"].startswith("waits behind")
    assert store15.rows("SELECT c1 FROM later WHERE id = 1000") == [("seen",)]
    retried = migration.run("errors", "retry", "--table", "later")
    assert retried.code == ExitCode.INCOMPLETE and "key 1: 2 applied" in retried.out
    assert store15.rows("SELECT c1 FROM later WHERE id = 1") == [("mended",)]
    connection.close()
