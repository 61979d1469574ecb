"""Schemas by chance, copied and streamed with changes by chance: verify finds nothing, nor do plain drivers."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.support.migration import Migration
from tests.support.random_documents import Documents
from tests.support.random_schemas import ABILITIES, Column, Table, tables
from tests.support.servers import MATRIX_SOURCES, SourceDatabase, StoreDatabase

LEGS = tuple(MATRIX_SOURCES)
TABLES = 4
"""Of each schema."""
ROWS = 30
CHANGES = 40
UTC = "SET time_zone = '+00:00'"


@pytest.fixture
def migration(tmp_path: Path) -> Iterator[Migration]:
    migration = Migration(tmp_path)
    yield migration
    migration.close()


def both(column: Column) -> tuple[str, str]:
    """The column in SQL of the source and of the store, so that equal values print alike."""
    mine, theirs = f"`{column.name}`", '"' + column.name + '"'
    match column.kind:
        case "float" | "double":
            return f"{mine} * 1e0", f"{theirs}::float8"
        case "bytes":
            return f"LOWER(HEX({mine}))", f"encode({theirs}, 'hex')"
        case "date":
            return f"CAST({mine} AS CHAR)", f"to_char({theirs}, 'YYYY-MM-DD')"
        case "datetime" | "timestamp":
            utc = theirs if column.kind == "datetime" else f"{theirs} AT TIME ZONE 'UTC'"
            return f"DATE_FORMAT({mine}, '%Y-%m-%d %H:%i:%s.%f')", f"to_char({utc}, 'YYYY-MM-DD HH24:MI:SS.US')"
        case "time":
            return f"CAST({mine} AS CHAR)", f"{theirs}::text"
        case "bit":
            return f"LPAD(BIN({mine} + 0), {column.size}, '0')", f"{theirs}::text"
        case "set":
            return mine, f"array_to_string({theirs}, ',')"
        case "json":
            return f"CAST({mine} AS CHAR)", f"{theirs}::text"
        case _:
            return mine, theirs


def document(text: str) -> str:
    """What a text of JSON says: members by name, numbers by value, so that two servers' ways to print it are one."""
    return repr(
        json.loads(text, parse_float=Fraction, parse_int=Fraction, object_pairs_hook=lambda pairs: dict(sorted(pairs)))
    )


def printed(row: Sequence[Any], columns: Sequence[Column]) -> tuple[str, ...]:
    """The row's values as they are compared: MariaDB's JSON by every character, MySQL's by what it says."""
    return tuple(
        document(value) if column.documents is Documents.BINARY and column.kind == "json" and value else str(value)
        for value, column in zip(row, columns, strict=True)
    )


def different(source: SourceDatabase, store: StoreDatabase, table: Table) -> str:
    """What plain drivers see differ; times of day, whose printed forms have little in common, are left to verify."""
    compared = [column for column in table.columns if column.kind != "time"]
    mine, theirs = zip(*map(both, compared), strict=True)
    connection = source.connect(init_command=UTC)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(mine)} FROM `{table.name}`")
        left = sorted(printed(row, compared) for row in cursor.fetchall())
    connection.close()
    stored = store.rows(f'SELECT {", ".join(theirs)} FROM "{table.name}"')
    right = sorted(printed(row, compared) for row in stored)
    if left == right:
        return ""
    wrong = [pair for pair in zip(left, right, strict=False) if pair[0] != pair[1]][:2]
    return f"{table.create}\n{len(left)} and {len(right)} rows; {str(wrong)[:1500]}"


def schemas(first: int, count: int, source: str) -> list[tuple[random.Random, Table]]:
    """Tables of several schemas, each with the chance that its rows come from."""
    found = []
    for seed in range(first, first + count):
        rng = random.Random(seed)
        for table in tables(rng, TABLES, ABILITIES[source]):
            found.append((rng, Table(f"s{seed}_{table.name}", table.columns, table.key, table.options)))
    return found


def compare(source: SourceDatabase, store: StoreDatabase, migration: Migration, first: int, count: int) -> None:
    known = schemas(first, count, source.server.flavour.name)
    connection = source.connect(init_command=UTC)

    def run(statement: str) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        except (pymysql.err.IntegrityError, pymysql.err.DataError):
            pass  # a key that is taken, or what a generated column cannot hold

    for rng, table in known:
        run(table.create)
        for number in range(ROWS):
            run(table.insert(rng, number))
    migration.ok("init", "--source", source.dsn, "--store", f"main={store.dsn}")
    migration.ok("schema", "apply")
    migration.start()
    migration.wait_caught_up(240)
    for rng, table in known:
        for number in range(CHANGES):
            run(table.insert(rng, ROWS + number) if rng.random() < 0.3 else table.change(rng, ROWS + number))
    connection.close()
    migration.wait_caught_up(240)
    wrong = [found for _, table in known if (found := different(source, store, table))]
    assert not wrong, "\n".join(wrong[:5])
    assert migration.ok("errors", "list").out.startswith("nothing")
    verdict = migration.run("-o", "json", "verify", "--mode", "rows")
    keyless = {f"{table.name}" for _, table in known if not table.key}
    bad = [one for one in verdict.document()["tables"] if one["outcome"] != "pass" and one["source"] not in keyless]
    assert not bad and verdict.code in (0, 6 if keyless else 0), bad


def first_of(source: SourceDatabase) -> int:
    """Each source has schemas of its own: the number is divided between the legs, and none is tried twice."""
    return LEGS.index(source.server.flavour.name) * 100_000


@pytest.mark.timeout(300)
def test_a_schema(source_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    compare(source_db, store15, migration, first_of(source_db), 1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_some_schemas(source_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    compare(source_db, store15, migration, first_of(source_db) + 1, 7)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("source", ["mariadb-10.11", "mysql-9.7"], indirect=True)
@pytest.mark.parametrize("batch", range(5))
def test_two_hundred_schemas(
    source_db: SourceDatabase, store15: StoreDatabase, migration: Migration, batch: int
) -> None:
    """A hundred on each of the two."""
    compare(source_db, store15, migration, first_of(source_db) + 1000 + 20 * batch, 20)
