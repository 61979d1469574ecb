"""Foreign writes to the source's tables of a domain that the stores serve: kept whole, told, never applied.

A row is written in the transaction that moves the store's checkpoint over the source's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from stores.postgres import PostgresConnection


@dataclass(frozen=True, slots=True)
class Leak:
    """What one transaction of the source did to one table. `at_s`: epoch seconds of the store's clock."""

    domain: str
    table: str
    seq: int
    position: str
    thread_id: int | None
    statement: str
    row_count: int
    rows: Sequence[Mapping[str, Any]]
    id: int = 0
    who: str = ""
    state: str = "open"
    at_s: float = 0.0


def append(connection: PostgresConnection, stream: str, leak: Leak) -> None:
    """Enter a leak; one that is there already stays (a replay meets it again)."""
    connection.execute(
        "INSERT INTO crossfade.source_leak (stream, domain, source_table, seq, position, thread_id, statement, "
        "row_count, rows) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            stream, leak.domain, leak.table, leak.seq, leak.position, leak.thread_id, _storable(leak.statement),
            leak.row_count, Jsonb(leak.rows),
        ),
    )  # fmt: skip


def load(connection: PostgresConnection, stream: str, domain: str, *, state: str | None = None) -> tuple[Leak, ...]:
    """The leaks of a domain, oldest first; those in one state only, or all."""
    rows = connection.execute(
        "SELECT domain, source_table, seq, position, thread_id, statement, row_count, rows, id, who, state, "
        "extract(epoch from at)::float8 FROM crossfade.source_leak "
        "WHERE stream = %s AND domain = %s AND (%s::text IS NULL OR state = %s) ORDER BY id",
        (stream, domain, state, state),
    ).fetchall()
    return tuple(Leak(*row) for row in rows)


def count_open(connection: PostgresConnection, stream: str, domain: str) -> int:
    """Leaks that nobody has looked at."""
    row = connection.execute(
        "SELECT count(*) FROM crossfade.source_leak WHERE stream = %s AND domain = %s AND state = 'open'",
        (stream, domain),
    ).fetchone()
    return int(row[0]) if row else 0


def nameless(connection: PostgresConnection, stream: str, domain: str) -> dict[int, int]:
    """Id → thread of open leaks whose author is not known yet."""
    rows = connection.execute(
        "SELECT id, thread_id FROM crossfade.source_leak WHERE stream = %s AND domain = %s AND state = 'open' "
        "AND who = '' AND thread_id IS NOT NULL",
        (stream, domain),
    ).fetchall()
    return {int(identifier): int(thread) for identifier, thread in rows}


def name(connection: PostgresConnection, identifier: int, who: str) -> None:
    """Enter who wrote it."""
    connection.execute("UPDATE crossfade.source_leak SET who = %s WHERE id = %s", (who, identifier))


def see(connection: PostgresConnection, stream: str, domain: str) -> int:
    """Somebody has looked at all of a domain: they are open no more. Gives how many there were."""
    done = connection.execute(
        "UPDATE crossfade.source_leak SET state = 'seen' WHERE stream = %s AND domain = %s AND state = 'open'",
        (stream, domain),
    )
    return done.rowcount


def _storable(statement: str) -> str:
    return statement.replace("\0", "").encode("utf-8", "replace").decode()
