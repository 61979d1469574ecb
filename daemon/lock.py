"""The guard against a second daemon: a session-level advisory lock in the control store.

The lock dies with its connection, so a crashed daemon never leaves it behind; a frozen one keeps it until the server
notices, and the fence token of every checkpoint keeps the two apart meanwhile.
(PostgreSQL manual, "Explicit Locking", advisory locks.)
"""

from __future__ import annotations

import hashlib

from model.errors import LockHeld
from stores.errors import translated
from stores.postgres import PostgresConnection


def lock_key(name: str) -> int:
    """The advisory lock's 64-bit key for a migration's name."""
    digest = hashlib.sha256(f"crossfade:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def take_daemon_lock(connection: PostgresConnection, name: str) -> None:
    """Take the lock on `connection`, which must stay open as long as the daemon runs. Raises LockHeld."""
    with translated("control store"):
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (lock_key(name),)).fetchone()
        if row and row[0]:
            return
        holder = connection.execute(
            """
            SELECT a.pid, a.application_name, a.client_addr, a.backend_start
              FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE l.locktype = 'advisory' AND l.granted
               AND l.classid = %s AND l.objid = %s
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """,
            ((lock_key(name) >> 32) & 0xFFFFFFFF, lock_key(name) & 0xFFFFFFFF),
        ).fetchone()
    raise LockHeld(
        f"a daemon for {name} already runs",
        backend=holder[0] if holder else None,
        since=holder[3].isoformat(timespec="seconds") if holder else None,
        client=holder[2] if holder else None,
    )


def daemon_lock_held(connection: PostgresConnection, name: str) -> bool:
    """Whether some daemon holds the lock now."""
    key = lock_key(name)
    with translated("control store"):
        row = connection.execute(
            """
            SELECT EXISTS (
              SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
            """,
            ((key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF),
        ).fetchone()
    return bool(row and row[0])
