"""Holds chunk reads back while the source is busy. The stream is never throttled, only the copy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from config.settings import SourceSettings
from model.errors import CrossfadeError
from stores.mysql import MysqlConnection
from sync.mysql.replica_lag import ReplicaLag
from sync.mysql.source_load import LoadLimits, overload

log = structlog.get_logger(__name__)

CHECK_S: Final = 1.0
"""A reading of the source's load is good for so long."""
PAUSE_S: Final = 0.5

PauseReason = Callable[[], str | None]
"""Says why the copy should pause now (a pending cutover), None for no reason. Thread-safe, quick."""


class Throttle:
    """One for all workers of a copy. Thread-safe."""

    def __init__(self, limits: LoadLimits, source: SourceSettings, pause_reason: PauseReason | None = None) -> None:
        self.limits = limits
        """May be changed at any time."""
        self._replicas = ReplicaLag(source)
        self._pause_reason = pause_reason
        self._lock = threading.Lock()
        self._checked_at = float("-inf")
        self._found: str | None = None
        self.reason: str | None = None
        """Why the copy pauses now, for the status."""

    def wait(self, connection: MysqlConnection[Any], stop: threading.Event) -> None:
        """Return when there is no reason to pause any more, or `stop` is set. Raises ConnectionLost."""
        while (reason := self._why(connection)) is not None:
            if reason != self.reason:
                log.info("copy pauses", reason=reason)
            self.reason = reason
            if stop.wait(PAUSE_S):
                return
        if self.reason is not None:
            log.info("copy goes on")
            self.reason = None

    def close(self) -> None:
        """Let go of the connections to replicas; they are opened again when they are needed."""
        with self._lock:
            self._replicas.close()

    def _why(self, connection: MysqlConnection[Any]) -> str | None:
        if self._pause_reason is not None and (reason := self._pause_reason()) is not None:
            return reason
        if self.limits == LoadLimits():
            return None
        with self._lock:
            now = time.monotonic()
            if now - self._checked_at >= CHECK_S:
                self._found = self._look(connection, self.limits)
                self._checked_at = now
            return self._found

    def _look(self, connection: MysqlConnection[Any], limits: LoadLimits) -> str | None:
        try:
            found = overload(connection, limits)
        except CrossfadeError as error:
            if error.transient:
                raise
            return f"{error}. {error.hint}"
        if found is None and limits.replica_lag_s is not None:
            found = self._replicas.behind(limits.replica_lag_s)
        return found
