"""Verdicts and findings between our values and the control store's rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from stores.control import verify_proof_notes, verify_runs
from stores.control.verify_runs import StoredFinding
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store
from validators.findings import FindingKind, Mode, Outcome, TableVerdict, Verdict
from validators.spans import Span

BY_VALUE = frozenset({Mode.CHECKSUM, Mode.ROWS})
"""Modes that compare every row of a table."""


def conclude(dsn: SecretStr, run: int, verdict: Verdict, document: Mapping[str, Any], *, finished: bool = True) -> None:
    """Enter what a run says: its verdict, its findings, and which tables are proven by it.

    `document` is the verdict's JSON form without findings. A run that another worker has finished stays as it is.
    """
    state = "finished" if finished else "stopped"
    with (
        closing(connect_store(dsn, application="crossfade verify")) as connection,
        translated("control store"),
        connection.transaction(),
    ):
        if not verify_runs.end_run(connection, run, state, str(verdict.outcome), document):
            return
        for table in verdict.tables:
            enter_findings(connection, verdict.migration, run, table)
        whole = [table for table in verdict.tables if covers_all(table)]
        verify_runs.close_findings(connection, verdict.migration, run, [table.plan_id for table in whole])
        for table in verdict.tables:
            if table.outcome is Outcome.FAIL and table.mode in (*BY_VALUE, Mode.SAMPLE, Mode.COUNTS):
                why = f"run {run} of verify found {table.differences:,} rows that differ"
                began_ago_s = _seconds_since(connection, table.compared_at or verdict.started_at)
                verify_proof_notes.doubt_table(
                    connection, verdict.migration, table.plan_id, why, began_ago_s=began_ago_s
                )
            elif table.outcome is Outcome.PASS and table.mode in BY_VALUE and covers_all(table):
                _prove(connection, verdict, table)


def enter_findings(connection: PostgresConnection, name: str, run: int, table: TableVerdict) -> None:
    """Enter the differing rows of a table (or of a part of it), or note that they were seen again."""
    verify_runs.add_findings(connection, name, run, _stored(table))


def covers_all(table: TableVerdict) -> bool:
    """Whether every row of the table was compared by value or hash, so that what was not found is not there."""
    decided = table.outcome is not Outcome.INCONCLUSIVE and not table.unresolved
    empty = table.source_rows == table.target_rows == 0  # nothing to cut into leaves
    whole = table.leaves > 0 or empty or table.mode in (Mode.SCHEMA, Mode.INVARIANTS)
    return decided and whole and "stopped" not in table.why


def _prove(connection: PostgresConnection, verdict: Verdict, table: TableVerdict) -> None:
    verify_proof_notes.note_table(
        connection,
        verdict.migration,
        table.plan_id,
        Span().document(),
        began_ago_s=_seconds_since(connection, table.compared_at or verdict.started_at),
        rows=table.source_rows or 0,
        seq=table.window.target_seq if table.window else 0,
        position=table.window.high if table.window else "",
        transform=table.transform_hash,
        canonical=verdict.canonical_version,
    )


def _seconds_since(connection: PostgresConnection, moment: datetime) -> float:
    row = connection.execute("SELECT extract(epoch from clock_timestamp() - %s)::float8", (moment,)).fetchone()
    assert row is not None
    return float(row[0])


def _stored(table: TableVerdict) -> Iterator[StoredFinding]:
    for finding in table.findings:
        if finding.kind is not FindingKind.COUNT:
            yield StoredFinding(
                table.plan_id,
                dict(finding.key),
                str(finding.kind),
                [dataclasses.asdict(column) for column in finding.columns],
                finding.note,
                leaf=finding.leaf,
                position=finding.position,
            )
