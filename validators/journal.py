"""Verdicts and findings between our values and the control store's rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from stores.control import verify_runs
from stores.control.migrations import prepare_control
from stores.control.verify_runs import StoredFinding
from stores.errors import translated
from stores.postgres import connect_store
from validators.findings import FindingKind, Outcome, TableVerdict, Verdict


def remember(dsn: SecretStr, verdict: Verdict, document: Mapping[str, Any]) -> int:
    """Enter a run with its findings in the control store; gives its number. `document` is its JSON form."""
    with connect_store(dsn, application="crossfade verify") as connection, translated("control store"):
        prepare_control(connection)
        with connection.transaction():
            run = verify_runs.add_run(
                connection, verdict.migration, str(verdict.mode), str(verdict.outcome), verdict.started_at, document
            )
            verify_runs.add_findings(
                connection, verdict.migration, run, (found for table in verdict.tables for found in _stored(table))
            )
            verify_runs.close_findings(
                connection, verdict.migration, run, [table.plan_id for table in verdict.tables if covers_all(table)]
            )
    return run


def covers_all(table: TableVerdict) -> bool:
    """Whether every row of the table was compared by value or hash, so that what was not found is not there."""
    decided = table.outcome is not Outcome.INCONCLUSIVE and not table.unresolved
    return decided and table.leaves > 0 and not table.why.startswith("stopped")


def _stored(table: TableVerdict) -> Iterator[StoredFinding]:
    for finding in table.findings:
        if finding.kind is not FindingKind.COUNT:
            columns = [dataclasses.asdict(column) for column in finding.columns]
            yield StoredFinding(table.plan_id, dict(finding.key), str(finding.kind), columns, finding.note)
