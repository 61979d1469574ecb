"""What the daemon's loop puts up for readers in other threads: its last status, and when it last turned."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Final

STUCK_S: Final = 10.0
"""A loop that has not turned for so long hangs; a control store that took no beat for so long is away."""


class Board:
    """Written by the supervisor, read by requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._status: Mapping[str, Any] = {}
        self._turned_at: float | None = None
        self._beat_at: float | None = None
        self.listening = ""
        """The address that was bound, HOST:PORT."""

    def turned(self, status: Mapping[str, Any]) -> None:
        """The loop has turned; `status` is the report's JSON form."""
        with self._lock:
            self._status, self._turned_at = status, time.monotonic()

    def beat(self) -> None:
        """The control store has taken a heartbeat of ours."""
        with self._lock:
            self._beat_at = time.monotonic()

    @property
    def status(self) -> Mapping[str, Any]:
        """The last status; empty before the first."""
        with self._lock:
            return self._status

    @property
    def turned_ago_s(self) -> float | None:
        """Seconds since the loop turned; None before the first time."""
        with self._lock:
            return None if self._turned_at is None else time.monotonic() - self._turned_at

    @property
    def beat_ago_s(self) -> float | None:
        """Seconds since the control store took a beat; None before the first."""
        with self._lock:
            return None if self._beat_at is None else time.monotonic() - self._beat_at
