"""Judges a read model: computed anew from the base tables and compared row by row, in one snapshot of the store.

No position is needed: the model is part of the transactions of its base tables, so it must agree in every snapshot.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from model.errors import CrossfadeError
from stores.errors import translated
from stores.postgres import PostgresConnection
from sync.postgres import read_models
from transforms.names import quoted
from transforms.read_model import ReadModel
from validators.computed_verdict import MOST_FINDINGS, computed_verdict
from validators.findings import ColumnDifference, Finding, FindingKind, Mode, Outcome, TableVerdict


def judge(connection: PostgresConnection, model: ReadModel, mode: Mode) -> TableVerdict:
    """The verdict. `connection` is in autocommit mode. Raises what the store raises."""
    begun = time.monotonic()
    there, stale, error = read_models.state(connection, model)
    next_step = f"crossfade readmodel rebuild {model.name}"
    if not there:
        why = "the read model is not in the store as it is declared; it is made when all tables of the store stream"
        return computed_verdict(model, mode, begun, Outcome.INCONCLUSIVE, why, next_step)
    why = f"stale since {stale}: {error}" if stale else ""
    try:
        rows, findings = _compared(connection, model)
    except CrossfadeError as problem:
        if problem.transient:
            raise
        outcome = Outcome.FAIL if stale else Outcome.INCONCLUSIVE
        return computed_verdict(model, mode, begun, outcome, why or f"its SQL fails: {problem.message}", next_step)
    if not findings and not stale:
        return computed_verdict(model, mode, begun, Outcome.PASS, "", rows=rows)
    return computed_verdict(model, mode, begun, Outcome.FAIL, why, next_step, rows=rows, findings=findings)


def _compared(connection: PostgresConnection, model: ReadModel) -> tuple[tuple[int, int], tuple[Finding, ...]]:
    """Numbers of rows that should be and are there, and the differences, from one snapshot."""
    with translated(f"store {model.store}, read model {model.place}"), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute("SELECT set_config('search_path', %s, true)", (f"{quoted(model.schema)}, pg_catalog",))
        row = connection.execute(_counts(model).encode()).fetchone()
        found = connection.execute(_differing(model).encode()).fetchall()
    assert row is not None
    return (int(row[0]), int(row[1])), tuple(_finding(model, *item) for item in found)


def _counts(model: ReadModel) -> str:
    return (
        f"SELECT (SELECT count(*) FROM ({model.sql}) AS made),"
        f" (SELECT count(*) FROM {quoted(model.schema)}.{quoted(model.name)})"
    )


def _differing(model: ReadModel) -> str:
    """Key as texts, the row that should be, the row that is; NULL where there is none."""
    keys = ", ".join(f"{{0}}.{quoted(name)} AS k{number}" for number, name in enumerate(model.key))
    names = ", ".join(f"k{number}" for number in range(len(model.key)))
    shown = ", ".join(f"k{number}::text" for number in range(len(model.key)))
    should = f"SELECT {keys.format('made')}, made::text AS whole FROM ({model.sql}) AS made"
    table = f"{quoted(model.schema)}.{quoted(model.name)}"
    found = f"SELECT {keys.format('kept')}, kept::text AS whole FROM {table} AS kept"
    return (
        f"SELECT ARRAY[{shown}], should.whole, found.whole FROM ({should}) AS should FULL JOIN ({found}) AS found"
        f" USING ({names}) WHERE should.whole IS DISTINCT FROM found.whole ORDER BY 1 LIMIT {MOST_FINDINGS}"
    )


def _finding(model: ReadModel, key: Sequence[str | None], should: str | None, found: str | None) -> Finding:
    named = tuple(zip(model.key, key, strict=True))
    if should is None:
        return Finding(FindingKind.EXTRA, named)
    if found is None:
        return Finding(FindingKind.MISSING, named)
    return Finding(FindingKind.DIFFERS, named, (ColumnDifference("(row)", should, found),))
