"""Judges a looked-up column: looked up anew and compared row by row, in one snapshot of the store.

No position is needed: the column is changed in the transactions of the two tables, so it must agree in every snapshot.
That the two tables are the source's is their own comparison.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from model.errors import CrossfadeError
from stores.errors import translated
from stores.postgres import PostgresConnection
from sync.postgres import lookups
from transforms.lookup import Lookup
from transforms.names import quoted
from validators.computed_verdict import MOST_FINDINGS, computed_verdict
from validators.findings import ColumnDifference, Finding, FindingKind, Mode, Outcome, TableVerdict


def judge_lookup(connection: PostgresConnection, lookup: Lookup, mode: Mode) -> TableVerdict:
    """The verdict. `connection` is in autocommit mode. Raises what the store raises."""
    begun = time.monotonic()
    next_step = f"crossfade readmodel rebuild {lookup.name}"
    if not lookups.kept(connection, lookup):
        why = "the column is not kept as it is declared; it is filled when all tables of the store stream"
        return computed_verdict(lookup, mode, begun, Outcome.INCONCLUSIVE, why, next_step)
    try:
        rows, findings = _compared(connection, lookup)
    except CrossfadeError as problem:
        if problem.transient:
            raise
        return computed_verdict(lookup, mode, begun, Outcome.INCONCLUSIVE, problem.message, next_step)
    if not findings:
        return computed_verdict(lookup, mode, begun, Outcome.PASS, "", rows=rows)
    return computed_verdict(lookup, mode, begun, Outcome.FAIL, "", next_step, rows=rows, findings=findings)


def _compared(connection: PostgresConnection, lookup: Lookup) -> tuple[tuple[int, int], tuple[Finding, ...]]:
    """Number of rows twice (none is missing), and those whose value is another one, from one snapshot."""
    with translated(f"store {lookup.store}, lookup {lookup.place}"), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        table = f"{quoted(lookup.schema)}.{quoted(lookup.table)}"
        row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        findings = differing_rows(connection, lookup)
    assert row is not None
    return (int(row[0]), int(row[0])), findings


def differing_rows(
    connection: PostgresConnection, lookup: Lookup, rows: str | None = None, values: Sequence[Any] = ()
) -> tuple[Finding, ...]:
    """The rows whose value is another one, the first thousand, in the open transaction.

    `rows`: a query in brackets that gives some rows of the table, with its parameters, in place of all.
    """
    names = _naming(connection, lookup)
    found = connection.execute(_differing(lookup, names, rows).encode(), values or None).fetchall()
    return tuple(_finding(lookup, names, *item) for item in found)


def _naming(connection: PostgresConnection, lookup: Lookup) -> tuple[str, ...]:
    """Columns that name a row for people: its primary key, or those that it is looked up by."""
    rows = connection.execute(
        "SELECT a.attname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid"
        " JOIN pg_namespace AS n ON n.oid = c.relnamespace CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (at, place)"
        " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.at"
        " WHERE i.indisprimary AND n.nspname = %s AND c.relname = %s ORDER BY k.place",
        (lookup.schema, lookup.table),
    ).fetchall()
    return tuple(str(name) for (name,) in rows) or lookup.by


def _differing(lookup: Lookup, names: tuple[str, ...], rows: str | None) -> str:
    """Row's name as texts, the value that should be, the value that is."""
    shown = ", ".join(f"mine.{quoted(name)}::text" for name in names)
    found = f"mine.{quoted(lookup.column)}::text"
    return (
        f"SELECT ARRAY[{shown}], should.value::text, {found} FROM {lookups.should_be(lookup, rows)}"
        f" WHERE should.value::text IS DISTINCT FROM {found} ORDER BY 1 LIMIT {MOST_FINDINGS}"
    )


def _finding(lookup: Lookup, names: tuple[str, ...], key: Any, should: str | None, found: str | None) -> Finding:
    hidden = "(masked)" if lookup.masked else None
    difference = ColumnDifference(lookup.column, hidden or should, hidden or found)
    return Finding(FindingKind.DIFFERS, tuple(zip(names, key, strict=True)), (difference,))
