"""The phase of each table plan in a store, and the marks S (gate) and H (high) of its copy.

Plain reads and writes; which transitions are allowed is `sync/table_phase.py`'s knowledge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from model.position import BinlogCoordinate
from stores.postgres import PostgresConnection


class Phase(StrEnum):
    """Where a table plan is between nothing and exact streaming (architecture, "Table phases")."""

    PENDING = "pending"
    COPYING = "copying"
    COPIED = "copied"
    REPLAYING = "replaying"
    CONVERGING = "converging"
    STREAMING = "streaming"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class TableState:
    """The state of one table plan in one store."""

    plan_id: str
    phase: Phase = Phase.PENDING
    gate_seq: int | None = None
    """S: the copy holds at least everything up to this transaction."""
    high: BinlogCoordinate | None = None
    """H: nothing after this was seen by the copy."""
    applied_seq: int | None = None
    """How far replaying has come; of a held table, where it stopped."""
    rows_copied: int = 0
    resume: Phase | None = None
    """HELD: the phase to go back to."""
    sweep: bool = False
    """A cascade went through rows that could not be looked up; children without a parent are removed at the end."""
    reason: str | None = None


_SELECT = (
    b"SELECT plan_id, phase, gate_seq, high_file, high_offset, applied_seq, rows_copied, resume, sweep, reason "
    b"FROM crossfade.table_state WHERE stream = %s ORDER BY plan_id"
)


def load(connection: PostgresConnection, stream: str) -> dict[str, TableState]:
    """Plan id → state of every table plan of the stream that the store knows."""
    found: dict[str, TableState] = {}
    for plan_id, phase, gate, file, offset, applied, rows, resume, sweep, reason in connection.execute(
        _SELECT, (stream,)
    ).fetchall():
        found[plan_id] = TableState(
            plan_id,
            Phase(phase),
            gate,
            BinlogCoordinate(file, offset) if file is not None else None,
            applied,
            rows,
            Phase(resume) if resume else None,
            sweep,
            reason,
        )
    return found


def ensure(connection: PostgresConnection, stream: str, plan_ids: Iterable[str]) -> dict[str, TableState]:
    """Enter the plans that the store does not know yet as PENDING; gives the state of all."""
    known = load(connection, stream)
    for plan_id in plan_ids:
        if plan_id not in known:
            known[plan_id] = TableState(plan_id)
            save(connection, stream, known[plan_id])
    return known


def save(connection: PostgresConnection, stream: str, state: TableState) -> None:
    """Write one state. The caller holds the fence (`checkpoints.hold_fence` or `advance`) in the same transaction.

    A mark for a sweep stays (`clear_sweep` takes it back): the applier may have set it while the copy held the table.
    """
    connection.execute(
        "INSERT INTO crossfade.table_state AS t (stream, plan_id, phase, gate_seq, high_file, high_offset, "
        "applied_seq, rows_copied, resume, sweep, reason) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (stream, plan_id) DO UPDATE SET phase = excluded.phase, gate_seq = excluded.gate_seq, "
        "high_file = excluded.high_file, high_offset = excluded.high_offset, applied_seq = excluded.applied_seq, "
        "rows_copied = excluded.rows_copied, resume = excluded.resume, sweep = t.sweep OR excluded.sweep, "
        "reason = excluded.reason, "
        "since = CASE WHEN t.phase = excluded.phase THEN t.since ELSE clock_timestamp() END",
        (
            stream,
            state.plan_id,
            str(state.phase),
            state.gate_seq,
            state.high.file if state.high else None,
            state.high.offset if state.high else None,
            state.applied_seq,
            state.rows_copied,
            str(state.resume) if state.resume else None,
            state.sweep,
            state.reason,
        ),
    )


def remove(connection: PostgresConnection, stream: str, plan_ids: Iterable[str]) -> None:
    """Forget plans whose source table is no more."""
    connection.execute(
        "DELETE FROM crossfade.table_state WHERE stream = %s AND plan_id = ANY(%s)", (stream, list(plan_ids))
    )


def save_applied(connection: PostgresConnection, stream: str, plan_ids: Iterable[str], seq: int) -> None:
    """Set only `applied_seq` of several plans (progress of a replay)."""
    connection.execute(
        "UPDATE crossfade.table_state SET applied_seq = %s WHERE stream = %s AND plan_id = ANY(%s)",
        (seq, stream, list(plan_ids)),
    )


def mark_sweep(connection: PostgresConnection, stream: str, plan_ids: Iterable[str]) -> None:
    """Remember that the children of these plans' cascades must be swept before they stream."""
    connection.execute(
        "UPDATE crossfade.table_state SET sweep = true WHERE stream = %s AND plan_id = ANY(%s) AND NOT sweep",
        (stream, list(plan_ids)),
    )


def clear_sweep(connection: PostgresConnection, stream: str, plan_id: str) -> None:
    """Take back the mark, in the transaction that has swept."""
    connection.execute(
        "UPDATE crossfade.table_state SET sweep = false WHERE stream = %s AND plan_id = %s", (stream, plan_id)
    )
