"""Rates from counters that only grow, smoothed over a few seconds."""

from __future__ import annotations

import time
from collections import deque

WINDOW_S = 5.0


class Rate:
    """Average increase per second over the last few seconds of calls."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def per_s(self, total: int) -> float:
        """Note the counter's value now and give its rate."""
        now = time.monotonic()
        self._samples.append((now, total))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()
        first_at, first = self._samples[0]
        return round((total - first) / (now - first_at), 1) if now > first_at else 0.0
