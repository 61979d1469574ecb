"""Verification runs, their findings and repairs in the control store. Plain reads and writes; what a finding means is
`validators`' knowledge.

A finding is one row per key of a plan, whatever number of runs have seen it: open → repaired → confirmed (a later run
found it clean), open → gone (it went by itself), or accepted with a reason, which a run does not reopen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from stores.postgres import PostgresConnection

Key = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class StoredFinding:
    """One difference as it is remembered."""

    plan_id: str
    key: Key
    kind: str
    columns: Sequence[Mapping[str, Any]]
    note: str = ""
    state: str = "open"
    id: int = 0


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One run as it is remembered."""

    id: int
    mode: str
    outcome: str
    started_at: datetime
    finished_at: datetime
    verdict: Mapping[str, Any]


def digest(key: Key) -> str:
    """SHA-256 of a key."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def add_run(
    connection: PostgresConnection, name: str, mode: str, outcome: str, started: datetime, verdict: Mapping[str, Any]
) -> int:
    """Enter a run and give its number."""
    row = connection.execute(
        "INSERT INTO crossfade.verify_run (name, mode, outcome, verdict, started_at) VALUES (%s, %s, %s, %s, %s) "
        "RETURNING id",
        (name, mode, outcome, Jsonb(dict(verdict)), started),
    ).fetchone()
    assert row is not None
    return int(row[0])


def add_findings(connection: PostgresConnection, name: str, run: int, findings: Iterable[StoredFinding]) -> None:
    """Enter findings, or note that known ones were seen again; repaired, confirmed and gone ones are open again."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO crossfade.verify_finding AS f "
            "(name, plan_id, key_digest, key, kind, columns, note, first_run, last_run) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (name, plan_id, key_digest) DO UPDATE SET "
            "kind = excluded.kind, columns = excluded.columns, note = excluded.note, last_run = excluded.last_run, "
            "last_seen = clock_timestamp(), state = CASE WHEN f.state = 'accepted' THEN f.state ELSE 'open' END",
            [
                (
                    name,
                    finding.plan_id,
                    digest(finding.key),
                    Jsonb(dict(finding.key)),
                    finding.kind,
                    Jsonb([dict(column) for column in finding.columns]),
                    finding.note,
                    run,
                    run,
                )
                for finding in findings
            ],
        )


def close_findings(connection: PostgresConnection, name: str, run: int, plan_ids: Sequence[str]) -> None:
    """Findings of plans that run `run` covered whole and did not see again: repaired → confirmed, open → gone."""
    connection.execute(
        "UPDATE crossfade.verify_finding SET state = CASE state WHEN 'repaired' THEN 'confirmed' ELSE 'gone' END "
        "WHERE name = %s AND plan_id = ANY(%s) AND last_run < %s AND state IN ('open', 'repaired')",
        (name, list(plan_ids), run),
    )


def run_of(connection: PostgresConnection, name: str, run: int | None = None) -> StoredRun | None:
    """A run by its number, the last one without; None when there is none."""
    row = connection.execute(
        "SELECT id, mode, outcome, started_at, finished_at, verdict FROM crossfade.verify_run "
        "WHERE name = %s AND (%s::bigint IS NULL OR id = %s) ORDER BY id DESC LIMIT 1",
        (name, run, run),
    ).fetchone()
    return StoredRun(*row) if row else None


def findings_of(connection: PostgresConnection, name: str, run: int | None = None) -> tuple[StoredFinding, ...]:
    """Findings that are open, of one run or of all."""
    rows = connection.execute(
        "SELECT plan_id, key, kind, columns, note, state, id FROM crossfade.verify_finding "
        "WHERE name = %s AND state = 'open' AND (%s::bigint IS NULL OR last_run = %s) ORDER BY plan_id, id",
        (name, run, run),
    ).fetchall()
    return tuple(StoredFinding(*row) for row in rows)


def counts(connection: PostgresConnection, name: str) -> dict[tuple[str, str], int]:
    """(mode, outcome) → number of runs."""
    rows = connection.execute(
        "SELECT mode, outcome, count(*) FROM crossfade.verify_run WHERE name = %s GROUP BY 1, 2", (name,)
    ).fetchall()
    return {(mode, outcome): count for mode, outcome, count in rows}


def last_passed(connection: PostgresConnection, name: str, runs: int = 200) -> dict[str, float]:
    """Plan → epoch seconds when it last passed, looking at the last so many runs."""
    rows = connection.execute(
        "SELECT t.one ->> 'plan_id', max(extract(epoch from r.started_at))::float8 FROM ("
        "SELECT started_at, verdict FROM crossfade.verify_run WHERE name = %s ORDER BY id DESC LIMIT %s) r, "
        "jsonb_array_elements(r.verdict -> 'tables') AS t (one) WHERE t.one ->> 'outcome' = 'pass' GROUP BY 1",
        (name, runs),
    ).fetchall()
    return {plan_id: at for plan_id, at in rows if plan_id is not None}


def set_state(connection: PostgresConnection, finding_id: int, state: str, reason: str = "") -> None:
    """Move a finding to another state."""
    connection.execute(
        "UPDATE crossfade.verify_finding SET state = %s, reason = %s WHERE id = %s", (state, reason, finding_id)
    )


def log_repair(
    connection: PostgresConnection,
    name: str,
    finding: StoredFinding,
    action: str,
    before: Mapping[str, str | None] | None,
    after: Mapping[str, str | None] | None,
    seq: int,
    actor: str,
) -> None:
    """Note what a repair did to a row, with the row before and after it."""
    connection.execute(
        "INSERT INTO crossfade.repair_log (name, plan_id, key, action, before, after, seq, actor) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            name,
            finding.plan_id,
            Jsonb(dict(finding.key)),
            action,
            Jsonb(dict(before)) if before is not None else None,
            Jsonb(dict(after)) if after is not None else None,
            seq,
            actor,
        ),
    )
