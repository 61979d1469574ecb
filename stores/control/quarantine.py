"""The quarantine: rows that a store cannot hold, with key, payload and reason. Nothing is dropped unrecorded."""

from __future__ import annotations

from collections.abc import Sequence
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
        "VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id",
        (stream, plan_id, Jsonb(list(key)), seq, op, payload, error),
    ).fetchone()
    assert row is not None
    return int(row[0])


def parked(connection: PostgresConnection, stream: str, limit: int = 1000) -> tuple[Parked, ...]:
    """Rows that still wait, oldest first."""
    rows: list[tuple[Any, ...]] = connection.execute(
        "SELECT id, plan_id, key, seq, op, payload, error, state, extract(epoch from since)::float8 "
        "FROM crossfade.quarantine WHERE stream = %s AND state = 'parked' ORDER BY id LIMIT %s",
        (stream, limit),
    ).fetchall()
    return tuple(
        Parked(row[0], row[1], row[2], row[3], row[4], row[5], row[6], QuarantineState(row[7]), row[8]) for row in rows
    )


def count_parked(connection: PostgresConnection, stream: str) -> dict[str, int]:
    """Plan id → number of rows that still wait."""
    rows = connection.execute(
        "SELECT plan_id, count(*) FROM crossfade.quarantine WHERE stream = %s AND state = 'parked' GROUP BY plan_id",
        (stream,),
    ).fetchall()
    return {str(plan_id): int(count) for plan_id, count in rows}
