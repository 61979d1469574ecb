"""How fast the stores write their log, from positions seen now and a while ago."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

WINDOW_S: Final = 60.0


class WalRates:
    """For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def note(self, store: str, lsn: int) -> None:
        """The end of a store's log now."""
        now = time.monotonic()
        with self._lock:
            seen = self._seen.setdefault(store, deque())
            seen.append((now, lsn))
            while len(seen) > 2 and now - seen[0][0] > WINDOW_S:
                seen.popleft()

    def per_s(self, store: str) -> float | None:
        """Bytes a second over the last minute; None before there are two looks."""
        with self._lock:
            seen = self._seen.get(store)
            if seen is None or len(seen) < 2 or seen[-1][0] <= seen[0][0]:
                return None
            return max(0, seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])
