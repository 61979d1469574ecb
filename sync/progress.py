"""How far the copy is and how long it may still take: numbers in, numbers out. No clock of its own, no rendering.

The rate is an exponentially weighted mean over time (half-life), so that a pause fades out. The end is a range, as
the number of rows is the catalogue's estimate; the share never says 100 % before everything is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

HALF_LIFE_S: Final = 30.0
CAP: Final = 0.99
SPREAD_DONE: Final = 0.1
"""Uncertainty of the remaining time near the end, as a share of it."""
SPREAD_FRESH: Final = 0.5
"""The same in the beginning."""


@dataclass(frozen=True, slots=True)
class TableProgress:
    """One table plan's copy."""

    plan_id: str
    rows_done: int
    bytes_done: int
    rows_estimate: int
    """From the catalogue; never below what is done."""
    done: bool

    @property
    def share(self) -> float:
        """0…1; below 1 until done."""
        if self.done:
            return 1.0
        return min(CAP, self.rows_done / self.rows_estimate) if self.rows_estimate else 0.0


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """The copy of a migration as it stands."""

    tables: tuple[TableProgress, ...]
    rows_done: int
    bytes_done: int
    rows_per_s: float
    bytes_per_s: float
    share: float
    eta_s: tuple[float, float] | None
    """Shortest and longest time to the end in seconds; None when there is no telling."""
    basis: str = "estimate"
    """Where the totals come from: the catalogue's estimate, or `exact` when everything is done."""

    @property
    def done(self) -> bool:
        """Whether every table is copied."""
        return all(table.done for table in self.tables)


@dataclass(slots=True)
class RateMeter:
    """Exponentially weighted rate of a growing count; times in seconds of any monotonic clock."""

    half_life_s: float = HALF_LIFE_S
    _rate: float = 0.0
    _weight: float = 0.0
    _last: tuple[float, float] | None = field(default=None)

    def add(self, now_s: float, total: float) -> None:
        """Note that the count stood at `total` at `now_s`. A time that does not grow is ignored."""
        if self._last is None:
            self._last = (now_s, total)
            return
        elapsed = now_s - self._last[0]
        if elapsed <= 0:
            return
        keep = 0.5 ** (elapsed / self.half_life_s)
        self._rate = self._rate * keep + (total - self._last[1]) / elapsed * (1 - keep)
        self._weight = self._weight * keep + (1 - keep)
        self._last = (now_s, total)

    def shift(self, count: float) -> None:
        """So much of the total appeared (or went) without being work."""
        if self._last is not None:
            self._last = (self._last[0], self._last[1] + count)

    @property
    def per_s(self) -> float:
        """Count per second; 0 before the second note."""
        return self._rate / self._weight if self._weight else 0.0


class ProgressMeter:
    """Collects what workers report; not thread-safe, its owner locks."""

    def __init__(self, estimates: Mapping[str, int], half_life_s: float = HALF_LIFE_S) -> None:
        self._estimates = dict(estimates)
        self._rows = dict.fromkeys(estimates, 0)
        self._bytes = dict.fromkeys(estimates, 0)
        self._done: set[str] = set()
        self._row_rate = RateMeter(half_life_s)
        self._byte_rate = RateMeter(half_life_s)

    def set_rows(self, plan_id: str, rows: int) -> None:
        """Rows that are there already (a resumed or restarted copy); they do not count as speed."""
        self._row_rate.shift(rows - self._rows.get(plan_id, 0))
        self._rows[plan_id] = rows
        self._estimates.setdefault(plan_id, rows)
        self._bytes.setdefault(plan_id, 0)

    def add(self, plan_id: str, rows: int, size: int, now_s: float) -> None:
        """Rows and bytes were loaded."""
        self._rows[plan_id] = self._rows.get(plan_id, 0) + rows
        self._bytes[plan_id] = self._bytes.get(plan_id, 0) + size
        self.tick(now_s)

    def finish(self, plan_id: str) -> None:
        """The table is copied."""
        self._done.add(plan_id)

    def restart(self, plan_id: str) -> None:
        """The table is copied anew."""
        self._done.discard(plan_id)
        self.set_rows(plan_id, 0)

    def tick(self, now_s: float) -> None:
        """Let time pass, so that a standstill shows in the rate."""
        self._row_rate.add(now_s, sum(self._rows.values()))
        self._byte_rate.add(now_s, sum(self._bytes.values()))

    def snapshot(self) -> CopyProgress:
        """The value for the status."""
        tables = tuple(
            TableProgress(
                plan_id,
                rows,
                self._bytes.get(plan_id, 0),
                rows if plan_id in self._done else max(rows, self._estimates.get(plan_id, 0)),
                plan_id in self._done,
            )
            for plan_id, rows in sorted(self._rows.items())
        )
        return summed(tables, self._row_rate.per_s, self._byte_rate.per_s)


def summed(tables: Iterable[TableProgress], rows_per_s: float, bytes_per_s: float) -> CopyProgress:
    """Progress of all tables together."""
    tables = tuple(tables)
    rows = sum(table.rows_done for table in tables)
    size = sum(table.bytes_done for table in tables)
    total = sum(table.rows_estimate for table in tables)
    if all(table.done for table in tables):
        return CopyProgress(tables, rows, size, rows_per_s, bytes_per_s, 1.0, (0.0, 0.0), "exact")
    share = min(CAP, rows / total) if total else 0.0
    return CopyProgress(tables, rows, size, rows_per_s, bytes_per_s, share, _eta(total - rows, rows_per_s, share))


def _eta(rows_left: int, rows_per_s: float, share: float) -> tuple[float, float] | None:
    if rows_per_s <= 0:
        return None
    middle = max(rows_left, 1) / rows_per_s
    spread = SPREAD_FRESH + (SPREAD_DONE - SPREAD_FRESH) * share
    return (middle * (1 - spread), middle * (1 + spread))
