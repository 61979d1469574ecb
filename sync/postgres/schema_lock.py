"""Advisory locks of a store's schema: whoever makes a table's objects is alone with that table.

They are locks of the session (PostgreSQL manual, "Advisory Locks") and are asked for again and again, never waited for:
a statement that waits holds a snapshot, and CREATE INDEX CONCURRENTLY of the one who has the lock waits for snapshots.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from model.errors import Busy
from stores.errors import translated
from stores.postgres import PostgresConnection
from transforms.target import TargetTable

EVERY_TABLE: Final = (0,)
"""The lock of those who make tables."""
ASK_EVERY_S: Final = 0.05
_CLASS: Final = int.from_bytes(zlib.crc32(b"crossfade schema").to_bytes(4), signed=True)
_TRY: Final = "SELECT lock FROM unnest(%s::int[]) AS lock WHERE pg_try_advisory_lock(%s, lock)"
_UNLOCK: Final = "SELECT pg_advisory_unlock(%s, lock) FROM unnest(%s::int[]) AS lock"
_PATIENCE: Final = "SELECT setting::float / 1000 FROM pg_settings WHERE name = 'lock_timeout'"


def locks_of(tables: Iterable[TargetTable]) -> tuple[int, ...]:
    """The locks of tables that are there."""
    names = {f"{table.schema}.{table.name}" for table in tables}
    return tuple(sorted({int.from_bytes(zlib.crc32(name.encode()).to_bytes(4), signed=True) for name in names}))


@contextmanager
def alone(
    connection: PostgresConnection, store: str, locks: Sequence[int], stop: threading.Event | None = None
) -> Iterator[None]:
    """Hold the locks, all or none. Raises Busy after the session's lock_timeout, and when `stop` is set first."""
    held: list[int] = []
    try:
        with translated(f"store {store}"):
            held = _taken(connection, store, list(locks), stop or threading.Event())
        yield
    finally:
        if held and not connection.closed and not connection.broken:
            with translated(f"store {store}"):
                connection.execute(_UNLOCK, (_CLASS, held))


def _taken(connection: PostgresConnection, store: str, locks: list[int], stop: threading.Event) -> list[int]:
    patience_s: float | None = None
    began = time.monotonic()
    while True:
        got = [row[0] for row in connection.execute(_TRY, (locks, _CLASS)).fetchall()]
        if len(got) == len(locks):
            return got
        if got:
            # Whoever waits holds none: two that want the same ones never wait for each other.
            connection.execute(_UNLOCK, (_CLASS, got))
        if patience_s is None:
            (patience_s,) = connection.execute(_PATIENCE).fetchone() or (0.0,)
        if stop.wait(ASK_EVERY_S) or (patience_s and time.monotonic() - began >= patience_s):
            raise Busy(
                f"store {store}: somebody else makes or changes objects of these tables",
                hint="Another daemon, or: crossfade schema apply. Its session holds an advisory lock (pg_locks).",
            )
