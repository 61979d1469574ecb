"""The chunk ledger: which key ranges of a table's copy are in the store. Written in the transaction of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from stores.postgres import PostgresConnection

Bound = tuple[str | None, ...]
"""Text forms of a key's columns; binary columns as `\\x…`."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One loaded key range: above `low`, up to and with `high`; None is open."""

    plan_id: str
    chunk_no: int
    low: Bound | None
    high: Bound | None
    rows: int
    seq: int
    """S that the read was proven to contain."""


def record(connection: PostgresConnection, stream: str, chunk: Chunk) -> None:
    """Enter a chunk; a second entry of the same number is a violation, so that no chunk can be loaded twice."""
    connection.execute(
        "INSERT INTO crossfade.snapshot_chunk (stream, plan_id, chunk_no, low, high, rows, seq) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (
            stream,
            chunk.plan_id,
            chunk.chunk_no,
            Jsonb(list(chunk.low)) if chunk.low is not None else None,
            Jsonb(list(chunk.high)) if chunk.high is not None else None,
            chunk.rows,
            chunk.seq,
        ),
    )


_COLUMNS = (
    "SELECT plan_id, chunk_no, low, high, rows, seq FROM crossfade.snapshot_chunk WHERE stream = %s AND plan_id = %s"
)


def load(connection: PostgresConnection, stream: str, plan_id: str) -> tuple[Chunk, ...]:
    """Chunks of a plan in order."""
    rows = connection.execute(_COLUMNS + " ORDER BY chunk_no", (stream, plan_id)).fetchall()
    return tuple(map(_chunk, rows))


def find(connection: PostgresConnection, stream: str, plan_id: str, chunk_no: int) -> Chunk | None:
    """A chunk by its number; None when it is not there."""
    row = connection.execute(_COLUMNS + " AND chunk_no = %s", (stream, plan_id, chunk_no)).fetchone()
    return _chunk(row) if row else None


def _chunk(row: tuple[Any, ...]) -> Chunk:
    plan, number, low, high, count, seq = row
    return Chunk(
        plan, number, tuple(low) if low is not None else None, tuple(high) if high is not None else None, count, seq
    )


def clear(connection: PostgresConnection, stream: str, plan_id: str) -> None:
    """Forget a plan's chunks, before its table is copied anew."""
    connection.execute("DELETE FROM crossfade.snapshot_chunk WHERE stream = %s AND plan_id = %s", (stream, plan_id))
