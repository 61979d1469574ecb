"""The daemon row of the control store: who runs a migration, and is it alive. Time is the control store's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from model.errors import Fenced
from stores.postgres import PostgresConnection


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon as its row says. `status` is the document that the daemon publishes for `crossfade status`."""

    name: str
    host: str
    pid: int
    fence: int
    started_s: float
    """Epoch seconds."""
    silent_s: float
    """Seconds since its last heartbeat."""
    status: Mapping[str, Any]


def read(connection: PostgresConnection, name: str) -> Daemon | None:
    """The daemon of a migration, None when none was ever started."""
    row = connection.execute(
        "SELECT name, host, pid, fence, extract(epoch from started_at)::float8, "
        "extract(epoch from clock_timestamp() - heartbeat_at)::float8, status FROM crossfade.daemon WHERE name = %s",
        (name,),
    ).fetchone()
    return Daemon(*row) if row else None


def register(connection: PostgresConnection, name: str, host: str, pid: int) -> int:
    """Enter this process as the daemon of a migration and give its fence, one above the last."""
    row = connection.execute(
        "INSERT INTO crossfade.daemon AS d (name, host, pid, fence) VALUES (%s, %s, %s, 1) "
        "ON CONFLICT (name) DO UPDATE SET host = excluded.host, pid = excluded.pid, fence = d.fence + 1, "
        "started_at = clock_timestamp(), heartbeat_at = clock_timestamp(), status = '{}'::jsonb RETURNING fence",
        (name, host, pid),
    ).fetchone()
    assert row is not None
    return int(row[0])


def beat(connection: PostgresConnection, name: str, fence: int, status: Mapping[str, Any]) -> None:
    """Publish a heartbeat and the status. Raises Fenced when another daemon has registered since."""
    done = connection.execute(
        "UPDATE crossfade.daemon SET heartbeat_at = clock_timestamp(), status = %s WHERE name = %s AND fence = %s",
        (Jsonb(dict(status)), name, fence),
    )
    if done.rowcount != 1:
        raise Fenced(daemon=name, fence=fence)
