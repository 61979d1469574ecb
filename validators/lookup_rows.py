"""Judges some rows of a looked-up column: those that changed, and those that refer to a row that changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from stores.errors import translated
from stores.postgres import PostgresConnection
from transforms.lookup import Lookup
from transforms.lookups import COMPARABLE
from transforms.names import quoted
from transforms.pgtypes import parse_type
from transforms.plan import TablePlan
from validators.canonical.record import CanonicalRow
from validators.findings import Finding
from validators.lookup_check import differing_rows

MOST: Final = 20_000
"""So many rows are compared at once; a country may have millions of customers."""


class TooMany(Exception):
    """More rows are meant than are compared at once, or it cannot be told which; not an error."""


def judge_rows_of(
    connection: PostgresConnection, lookup: Lookup, plan: TablePlan, keys: Collection[CanonicalRow]
) -> tuple[Finding, ...]:
    """What is wrong in the rows with these keys of the table that looks up; `plan` is its own.

    Raises TooMany, and what the store raises.
    """
    columns = [plan.columns[index].target for index in plan.key]
    return _judged(connection, lookup, [column.name for column in columns], [column.type for column in columns], keys)


def judge_rows_that_mean(
    connection: PostgresConnection, lookup: Lookup, plan: TablePlan, keys: Collection[CanonicalRow]
) -> tuple[Finding, ...]:
    """The same for the rows that refer to rows with these keys of the table that is looked into; `plan` fills it."""
    names = [plan.columns[index].target.name for index in plan.key]
    if not set(lookup.key) <= set(names):
        # By a unique index: to whom a row that is gone was known by then, its key does not tell.
        raise TooMany
    places = [names.index(name) for name in lookup.key]
    named = [tuple(key[place] for place in places) for key in keys]
    return _judged(connection, lookup, lookup.by, lookup.key_types, named)


def _judged(
    connection: PostgresConnection,
    lookup: Lookup,
    names: Sequence[str],
    types: Sequence[str],
    keys: Collection[CanonicalRow],
) -> tuple[Finding, ...]:
    bases = ["" if kind.endswith('"') or parse_type(kind).array else parse_type(kind).base for kind in types]
    if not names or any(base not in COMPARABLE for base in bases):
        raise TooMany
    given = [key for key in keys if None not in key]
    values = [
        [("\\x" if base == "bytea" else "") + (key[place] or b"").decode() for key in given]
        for place, base in enumerate(bases)
    ]
    wanted = ", ".join(f"%s::text[]::{kind}[]" for kind in types)
    columns = ", ".join(f"k{place}" for place in range(len(names)))
    joined = " AND ".join(f"owned.{quoted(name)} = k{place}" for place, name in enumerate(names))
    table = f"{quoted(lookup.schema)}.{quoted(lookup.table)}"
    rows = (
        f"(SELECT owned.* FROM unnest({wanted}) AS wanted ({columns}) JOIN {table} AS owned ON {joined} LIMIT {MOST})"
    )
    with translated(f"store {lookup.store}, lookup {lookup.place}"), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = connection.execute(f"SELECT count(*) FROM {rows} AS mine".encode(), values).fetchone()
        if not found or found[0] >= MOST:
            raise TooMany
        return differing_rows(connection, lookup, rows, values)
