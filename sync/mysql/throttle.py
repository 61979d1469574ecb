"""Holds chunk reads back while the source is busy. The stream is never throttled, only the copy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from pymysql.cursors import Cursor

from stores.errors import translated
from stores.mysql import MysqlConnection

log = structlog.get_logger(__name__)

CHECK_S: Final = 1.0
"""A reading of the source's load is good for so long."""
PAUSE_S: Final = 0.5

PauseReason = Callable[[], str | None]
"""Says why the copy should pause now (a lagging replica, a pending cutover), None for no reason. Thread-safe, quick."""


def threads_running(connection: MysqlConnection[Any]) -> int:
    """Threads_running of the source."""
    with translated("source"), connection.cursor(Cursor) as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Threads_running'")
        row = cursor.fetchone()
    return int(row[1]) if row else 0


class Throttle:
    """One for all workers of a copy. Thread-safe."""

    def __init__(self, max_threads_running: int | None, pause_reason: PauseReason | None = None) -> None:
        self.limit = max_threads_running
        """So many threads may run on the source; None: any number. May be changed at any time."""
        self._pause_reason = pause_reason
        self._lock = threading.Lock()
        self._checked_at = float("-inf")
        self._running = 0
        self.reason: str | None = None
        """Why the copy pauses now, for the status."""

    def wait(self, connection: MysqlConnection[Any], stop: threading.Event) -> None:
        """Return when there is no reason to pause any more, or `stop` is set."""
        while (reason := self._why(connection)) is not None:
            if reason != self.reason:
                log.info("copy pauses", reason=reason)
            self.reason = reason
            if stop.wait(PAUSE_S):
                return
        if self.reason is not None:
            log.info("copy goes on")
            self.reason = None

    def _why(self, connection: MysqlConnection[Any]) -> str | None:
        if self._pause_reason is not None and (reason := self._pause_reason()) is not None:
            return reason
        limit = self.limit
        if limit is None:
            return None
        with self._lock:
            now = time.monotonic()
            if now - self._checked_at >= CHECK_S:
                self._running = threads_running(connection)
                self._checked_at = now
            running = self._running
        return f"the source runs {running} threads, the limit is {limit}" if running > limit else None
