"""The quarantine: rows that a store cannot hold, with key, payload and reason. Nothing is dropped unrecorded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from psycopg.types.json import Jsonb

from stores.postgres import PostgresConnection


class QuarantineState(StrEnum):
    """What became of a parked row."""

    PARKED = "parked"
    RETRIED = "retried"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Parked:
    """One parked row. `key` holds the text forms of the key fields; `payload` the source row as JSON."""

    id: int
    plan_id: str
    key: Sequence[str | None]
    seq: int
    op: str
    payload: bytes
    error: str
    state: QuarantineState
    since_s: float


def park(
    connection: PostgresConnection,
    stream: str,
    plan_id: str,
    *,
    key: Sequence[str | None],
    seq: int,
    op: str,
    payload: bytes,
    error: str,
) -> int:
    """Put a row aside, in the transaction of whatever it was part of; gives its number."""
    row = connection.execute(
        "INSERT INTO crossfade.quarantine (stream, plan_id, key, seq, op, payload, error) "
        "VALUES (%s, %s, %s, %s, %s, decode(%s, 'hex'), %s) RETURNING id",
        # In hex: the apply path sends bytes as text parameters.
        (stream, plan_id, Jsonb(list(key)), seq, op, payload.hex(), error),
    ).fetchone()
    assert row is not None
    return int(row[0])


_COLUMNS = b"id, plan_id, key, seq, op, payload, error, state, extract(epoch from since)::float8"


def _parked(row: tuple[Any, ...]) -> Parked:
    return Parked(row[0], row[1], row[2], row[3], row[4], row[5], row[6], QuarantineState(row[7]), row[8])


def parked(connection: PostgresConnection, stream: str, limit: int = 1000) -> tuple[Parked, ...]:
    """Rows that still wait, oldest first."""
    rows: list[tuple[Any, ...]] = connection.execute(
        b"SELECT " + _COLUMNS + b" FROM crossfade.quarantine "
        b"WHERE stream = %s AND state = 'parked' ORDER BY id LIMIT %s",
        (stream, limit),
    ).fetchall()
    return tuple(map(_parked, rows))


def waiting(connection: PostgresConnection, stream: str, plan_ids: Collection[str]) -> tuple[Parked, ...]:
    """Every row of some plans that still waits, oldest first."""
    rows: list[tuple[Any, ...]] = connection.execute(
        b"SELECT " + _COLUMNS + b" FROM crossfade.quarantine "
        b"WHERE stream = %s AND state = 'parked' AND plan_id = ANY(%s) ORDER BY id",
        (stream, sorted(plan_ids)),
    ).fetchall()
    return tuple(map(_parked, rows))


def find(connection: PostgresConnection, stream: str, identifier: int) -> Parked | None:
    """One row by its number, whatever became of it."""
    row = connection.execute(
        b"SELECT " + _COLUMNS + b" FROM crossfade.quarantine WHERE stream = %s AND id = %s", (stream, identifier)
    ).fetchone()
    return _parked(row) if row else None


def settle(connection: PostgresConnection, stream: str, ids: Collection[int], state: QuarantineState) -> int:
    """Write what became of parked rows; gives how many were still parked. The rows stay as a record."""
    return connection.execute(
        "UPDATE crossfade.quarantine SET state = %s WHERE stream = %s AND state = 'parked' AND id = ANY(%s)",
        (str(state), stream, sorted(ids)),
    ).rowcount


def count_parked(connection: PostgresConnection, stream: str) -> dict[str, int]:
    """Plan id → number of rows that still wait."""
    rows = connection.execute(
        "SELECT plan_id, count(*) FROM crossfade.quarantine WHERE stream = %s AND state = 'parked' GROUP BY plan_id",
        (stream,),
    ).fetchall()
    return {str(plan_id): int(count) for plan_id, count in rows}
