"""What a write stop would take now: its steps are timed against the running servers, as far as they change nothing.

A part has a low and a high figure in seconds; the sum of each is the range that `rehearse` tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from cutover.final_check import FinalCheck
from cutover.site import Site
from cutover.trips import TripFigures
from sync.mysql.open_transactions import oldest_writer_s
from sync.mysql.source_ids import next_auto_increments
from sync.postgres.sequences import next_ids

MARGIN_S: Final = 0.25
"""Added to the high figure: journal entries and whatever nobody measures."""


@dataclass(frozen=True, slots=True)
class Part:
    """One step of a write stop, predicted; seconds."""

    step: str
    low_s: float
    high_s: float


def span(parts: Iterable[Part]) -> tuple[float, float]:
    """The whole write stop, from low to high."""
    parts = tuple(parts)
    return sum(part.low_s for part in parts), sum(part.high_s for part in parts) + MARGIN_S


def trip_part(step: str, trips: TripFigures) -> Part:
    """A step that waits for one round trip."""
    return Part(step, trips.median_s, max(trips.p95_s, trips.median_s))


def cutover_parts(site: Site, check: FinalCheck) -> tuple[Part, ...]:
    """A cutover's write stop, but for the two round trips. Raises CrossfadeError."""
    return (
        # Closing waits for writers in flight: the oldest there is now stands for those to come.
        Part("close_source", 0.0, oldest_writer_s(site.source())),
        _timed("prove_closed", lambda: site.gate().missing(site.domain.table_ids)),
        _timed("final_check", check.count),
        _timed("sequences", lambda: (next_auto_increments(site.source(), site.domain.tables), *_next_ids(site))),
    )


def rollback_parts(site: Site, check: FinalCheck) -> tuple[Part, ...]:
    """A rollback's write stop, but for the round trip. Raises CrossfadeError."""

    def canaries() -> None:
        for store in site.domain.stores:
            gate = site.store_gate(store)
            for table in site.domain.targets(store):
                gate.refused(table)

    return (
        _timed("prove_closed", canaries),
        _timed("final_check", check.count),
        _timed("counters", lambda: _next_ids(site)),
    )


def _next_ids(site: Site) -> list[int]:
    return [
        value
        for store in site.domain.stores
        for value in next_ids(site.store(store), site.domain.targets(store)).values()
    ]


def _timed(step: str, act: Callable[[], Any]) -> Part:
    began = time.monotonic()
    act()
    took = time.monotonic() - began
    return Part(step, took, 2 * took)
