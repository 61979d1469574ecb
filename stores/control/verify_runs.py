"""Verification runs, their findings and repairs in the control store. Plain reads and writes; what a finding means is
`validators`' knowledge.

A run is running → finished, or running → stopping → stopped → running again. One whose process died stays `running`.

A finding is one row per key of a plan, whatever number of runs have seen it: open → repaired → confirmed (a later run
found it clean), open → gone (it went by itself), or accepted with a reason, which a run does not reopen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from stores.postgres import PostgresConnection

Key = Mapping[str, str | None]
_RUN = (
    "id, mode, outcome, started_at, finished_at, verdict, state, options, "
    "extract(epoch from clock_timestamp() - started_at)::float8"
)
_FINDING = "plan_id, key, kind, columns, note, state, id, leaf, position, first_seen, last_seen, reason"


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
    leaf: str = ""
    """Which group of rows it lies in."""
    position: str = field(default="", compare=False)
    """The source's position at which it was seen last."""
    first_seen: datetime | None = field(default=None, compare=False)
    last_seen: datetime | None = field(default=None, compare=False)
    reason: str = ""
    """Why it was accepted."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One run as it is remembered."""

    id: int
    mode: str
    outcome: str
    started_at: datetime
    finished_at: datetime
    verdict: Mapping[str, Any]
    state: str = "finished"
    options: Mapping[str, Any] = field(default_factory=dict)
    """What it was asked to do."""
    age_s: float = field(default=0.0, compare=False)
    """Since its begin, by the control store's clock."""


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


def begin_run(connection: PostgresConnection, name: str, mode: str, options: Mapping[str, Any]) -> tuple[int, datetime]:
    """Enter a run that begins now; gives its number and the time by the control store's clock."""
    row = connection.execute(
        "INSERT INTO crossfade.verify_run (name, mode, outcome, verdict, started_at, state, options) "
        "VALUES (%s, %s, '', '{}', clock_timestamp(), 'running', %s) RETURNING id, started_at",
        (name, mode, Jsonb(dict(options))),
    ).fetchone()
    assert row is not None
    return int(row[0]), row[1]


def continuous_run(connection: PostgresConnection, name: str) -> int:
    """The number under which the daemon's own verification enters its findings; it never finishes."""
    row = connection.execute(
        "SELECT id FROM crossfade.verify_run WHERE name = %s AND mode = 'continuous' ORDER BY id LIMIT 1", (name,)
    ).fetchone()
    if row is not None:
        return int(row[0])
    run, _ = begin_run(connection, name, "continuous", {})
    move_run(connection, run, "continuous", among=("running",))
    return run


def end_run(connection: PostgresConnection, run: int, state: str, outcome: str, verdict: Mapping[str, Any]) -> bool:
    """Enter the verdict of a run; False when it is finished already (another worker was first)."""
    done = connection.execute(
        "UPDATE crossfade.verify_run SET state = %s, outcome = %s, verdict = %s, finished_at = clock_timestamp() "
        "WHERE id = %s AND state <> 'finished'",
        (state, outcome, Jsonb(dict(verdict)), run),
    )
    return done.rowcount == 1


def move_run(connection: PostgresConnection, run: int, state: str, *, among: Sequence[str]) -> bool:
    """Move a run to another state; False when it is in none of `among`."""
    done = connection.execute(
        "UPDATE crossfade.verify_run SET state = %s WHERE id = %s AND state = ANY(%s)", (state, run, list(among))
    )
    return done.rowcount == 1


def state_of(connection: PostgresConnection, run: int) -> str | None:
    """The state of a run; None when there is none."""
    row = connection.execute("SELECT state FROM crossfade.verify_run WHERE id = %s", (run,)).fetchone()
    return str(row[0]) if row else None


def add_findings(connection: PostgresConnection, name: str, run: int, findings: Iterable[StoredFinding]) -> None:
    """Enter findings, or note that known ones were seen again; repaired, confirmed and gone ones are open again.

    The continuous run, whose number says nothing of when, takes no finding away from the run that people ask by.
    """
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO crossfade.verify_finding AS f "
            "(name, plan_id, key_digest, key, kind, columns, note, first_run, last_run, leaf, position) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (name, plan_id, key_digest) DO UPDATE SET "
            "kind = excluded.kind, columns = excluded.columns, note = excluded.note, "
            "last_run = CASE WHEN EXISTS (SELECT FROM crossfade.verify_run AS r WHERE r.id = excluded.last_run "
            "AND r.mode = 'continuous') THEN f.last_run ELSE greatest(f.last_run, excluded.last_run) END, "
            "leaf = excluded.leaf, position = excluded.position, "
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
                    finding.leaf,
                    finding.position,
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
    """A run by its number in any state; without one the last that finished. None when there is none."""
    row = connection.execute(
        f"SELECT {_RUN} FROM crossfade.verify_run "
        "WHERE name = %s AND (id = %s OR (%s::bigint IS NULL AND state = 'finished')) "
        "ORDER BY id DESC LIMIT 1".encode(),
        (name, run, run),
    ).fetchone()
    return StoredRun(*row) if row else None


def runs_of(connection: PostgresConnection, name: str, limit: int = 20) -> tuple[StoredRun, ...]:
    """The last runs in any state, the newest first."""
    rows = connection.execute(
        f"SELECT {_RUN} FROM crossfade.verify_run WHERE name = %s AND mode <> 'continuous' "
        "ORDER BY id DESC LIMIT %s".encode(),
        (name, limit),
    ).fetchall()
    return tuple(StoredRun(*row) for row in rows)


def findings_of(
    connection: PostgresConnection, name: str, run: int | None = None, states: Sequence[str] = ("open",)
) -> tuple[StoredFinding, ...]:
    """Findings in some states, of one run or of all."""
    rows = connection.execute(
        f"SELECT {_FINDING} FROM crossfade.verify_finding "
        "WHERE name = %s AND state = ANY(%s) AND (%s::bigint IS NULL OR last_run = %s) ORDER BY plan_id, id".encode(),
        (name, list(states), run, run),
    ).fetchall()
    return tuple(StoredFinding(*row) for row in rows)


def latest(connection: PostgresConnection, name: str, limit: int) -> tuple[StoredRun, ...]:
    """The last runs that finished, newest first."""
    rows = connection.execute(
        f"SELECT {_RUN} FROM crossfade.verify_run WHERE name = %s AND state = 'finished' "
        "ORDER BY id DESC LIMIT %s".encode(),
        (name, limit),
    ).fetchall()
    return tuple(StoredRun(*row) for row in rows)


def open_counts(connection: PostgresConnection, name: str) -> dict[str, int]:
    """Plan id → findings that are open."""
    rows = connection.execute(
        "SELECT plan_id, count(*) FROM crossfade.verify_finding WHERE name = %s AND state = 'open' GROUP BY 1", (name,)
    ).fetchall()
    return dict(rows)


def finding_states(connection: PostgresConnection, name: str) -> dict[str, int]:
    """State → findings that are in it."""
    rows = connection.execute(
        "SELECT state, count(*) FROM crossfade.verify_finding WHERE name = %s GROUP BY 1 ORDER BY 1", (name,)
    ).fetchall()
    return dict(rows)


def repairs(connection: PostgresConnection, name: str) -> int:
    """Rows that were ever repaired."""
    row = connection.execute("SELECT count(*) FROM crossfade.repair_log WHERE name = %s", (name,)).fetchone()
    return int(row[0]) if row else 0


def counts(connection: PostgresConnection, name: str) -> dict[tuple[str, str], int]:
    """(mode, outcome) → number of finished runs."""
    rows = connection.execute(
        "SELECT mode, outcome, count(*) FROM crossfade.verify_run WHERE name = %s AND state = 'finished' GROUP BY 1, 2",
        (name,),
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


def finding_of(connection: PostgresConnection, name: str, finding_id: int) -> StoredFinding | None:
    """A finding by its number in any state."""
    row = connection.execute(
        f"SELECT {_FINDING} FROM crossfade.verify_finding WHERE name = %s AND id = %s".encode(), (name, finding_id)
    ).fetchone()
    return StoredFinding(*row) if row else None


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
