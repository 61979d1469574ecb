"""Round trips of the last minutes: how long a marker takes to every store, and a message to the source."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 300.0
"""What is older says nothing of the next minute."""
MOST: Final = 500


@dataclass(frozen=True, slots=True)
class TripFigures:
    """Round trips, seconds. `count` 0: there were none, and every figure is 0."""

    count: int
    median_s: float
    p95_s: float
    longest_s: float
    age_s: float
    """Since the last one."""


class Trips:
    """For any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found: deque[tuple[float, float]] = deque(maxlen=MOST)

    def add(self, seconds: float) -> None:
        """One more, that has just ended."""
        with self._lock:
            self._found.append((self._clock(), seconds))

    def forget(self) -> None:
        """Begin anew: the way is another one."""
        with self._lock:
            self._found.clear()

    def figures(self) -> TripFigures:
        """What the window holds now."""
        now = self._clock()
        with self._lock:
            recent = [(at, seconds) for at, seconds in self._found if now - at <= WINDOW_S]
        if not recent:
            return TripFigures(0, 0.0, 0.0, 0.0, 0.0)
        took = sorted(seconds for _, seconds in recent)
        return TripFigures(len(took), quantile(took, 0.5), quantile(took, 0.95), took[-1], now - recent[-1][0])


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all are at or below (nearest rank). `ordered` must not be empty."""
    rank = max(1, -(-len(ordered) * share // 1))  # ceiling
    return ordered[min(len(ordered), int(rank)) - 1]
