"""Every type family and every character set, by way of the copy and of the stream: the store prints what it must."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.migration import Migration
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.torture import CHARSETS, FAMILIES, Case

LOOSE = "SET SESSION sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'"
LATER = "_later"


@pytest.fixture
def migration(tmp_path: Path) -> Iterator[Migration]:
    migration = Migration(tmp_path)
    yield migration
    migration.close()


def families(source: SourceDatabase) -> dict[str, tuple[Case, ...]]:
    """What this server has: the type families, and a table with a pair of columns of each character set."""
    server = source.server.flavour.name
    known = {row[0] for row in source.rows("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS")}
    known |= {"utf8"} if "utf8mb3" in known else set()
    charsets = tuple(
        Case(f"{name}_{kind}", f"{kind}(20) CHARACTER SET {name}", "character varying(20)", values)
        for name, pairs in CHARSETS.items()
        if name in known
        for kind in ("VARCHAR", "CHAR")
        for values in [tuple((f"0x{octets}", text) for octets, text in pairs)]
    )
    found = {family: tuple(case for case in cases if server in case.servers) for family, cases in FAMILIES.items()}
    return {family: cases for family, cases in {**found, "charsets": charsets}.items() if cases}


def rows_of(cases: Sequence[Case]) -> list[tuple[list[str], tuple[str | None, ...]]]:
    """Per row: the literals, and the texts that must be in the store."""
    found = []
    for number in range(max(len(case.values) for case in cases)):
        values = [case.values[number] if number < len(case.values) else ("NULL", None) for case in cases]
        found.append(([literal for literal, _ in values], tuple(text for _, text in values)))
    return found


def create(family: str, cases: Sequence[Case]) -> str:
    columns = ", ".join(f"`{case.name}` {case.declared}" for case in cases)
    return f"CREATE TABLE `{family}` (id INT PRIMARY KEY, {columns}) ENGINE=InnoDB DEFAULT CHARSET utf8mb4"


def changes(family: str, cases: Sequence[Case]) -> Iterator[str]:
    """Each row by one of three ways: inserted; updated from NULL; inserted, deleted and inserted again."""
    for number, (literals, _) in enumerate(rows_of(cases)):
        insert = f"INSERT INTO `{family}` VALUES ({number}, {', '.join(literals)})"
        if number % 3 == 1:
            yield f"INSERT INTO `{family}` (id) VALUES ({number})"
            sets = ", ".join(f"`{case.name}` = {literal}" for case, literal in zip(cases, literals, strict=True))
            yield f"UPDATE `{family}` SET {sets} WHERE id = {number}"
        elif number % 3 == 2:
            yield from (insert, f"DELETE FROM `{family}` WHERE id = {number}", insert)
        else:
            yield insert


def wrong(store: StoreDatabase, table: str, cases: Sequence[Case]) -> Iterator[str]:
    """Every value, and every type, that is not what was written down."""
    types = dict(
        store.rows(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass"
            " AND attnum > 0",
            [table],
        )
    )
    # concat() prints as psql does; a cast to text would add a netmask to addresses.
    columns = ", ".join(f'CASE WHEN "{case.name}" IS NOT NULL THEN concat("{case.name}") END' for case in cases)
    with store.connect(options="-c TimeZone=UTC") as connection:
        rows = {row[0]: row[1:] for row in connection.execute(f'SELECT id, {columns} FROM "{table}"'.encode())}
    for case in cases:
        if types[case.name] != case.becomes:
            yield f"{table}.{case.name}: {types[case.name]}, not {case.becomes}"
    expected = rows_of(cases)
    if len(rows) != len(expected):
        yield f"{table}: {len(rows)} rows, not {len(expected)}"
    for number, (literals, texts) in enumerate(expected):
        for case, literal, text, found in zip(cases, literals, texts, rows.get(number, ()), strict=False):
            if found != text:
                yield f"{table}.{case.name} of {literal[:60]}: {str(found)[:200]!r}, not {str(text)[:200]!r}"


@pytest.mark.slow
def test_every_family_arrives_as_written_down(
    source_db: SourceDatabase, store_db: StoreDatabase, migration: Migration
) -> None:
    known = families(source_db)
    connection = source_db.connect(init_command=LOOSE)
    with connection.cursor() as cursor:
        for family, cases in known.items():
            cursor.execute(create(family, cases))
            cursor.execute(create(family + LATER, cases))
            for statement in changes(family, cases):
                cursor.execute(statement)
    migration.ok("init", "--source", source_db.dsn, "--store", f"main={store_db.dsn}")
    migration.ok("schema", "apply")
    migration.start()
    migration.wait_caught_up()
    with connection.cursor() as cursor:
        for family, cases in known.items():
            for statement in changes(family + LATER, cases):
                cursor.execute(statement)
    connection.close()
    migration.wait_caught_up()
    found = [
        one
        for family, cases in known.items()
        for table in (family, family + LATER)
        for one in wrong(store_db, table, cases)
    ]
    assert not found, "\n".join(found)
    assert migration.ok("errors", "list").out.startswith("nothing")
    migration.ok("verify", "--mode", "checksum")
