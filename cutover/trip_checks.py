"""Gates that measure the ways there and back, and what a write stop made of them would take."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Final

from cutover.final_check import FinalCheck
from cutover.gate_result import GateResult
from cutover.prediction import Part, cutover_parts, span, trip_part
from cutover.rounds import forward_trip, reverse_trip
from cutover.site import Site
from cutover.trips import WINDOW_S, TripFigures, Trips

TRIP_S: Final = 10.0
LEAST_TRIPS: Final = 3
BUDGET_SHARE: Final = 0.5
"""A write stop that is predicted to need more of its budget than this is refused."""


def marker_round_trip(site: Site, stop: threading.Event) -> GateResult:
    """A marker row written on the source is behind every store's checkpoint soon after."""
    figures = _measured(site.forward_trips, lambda: forward_trip(site, _patience_s(site), stop))
    return _trip("marker_round_trip", figures, site, "See which store lags: crossfade status")


def reverse_round_trip(site: Site, stop: threading.Event) -> GateResult:
    """The way back was rehearsed: a message of every store came to the source's progress row soon after."""
    figures = _measured(site.reverse_trips, lambda: reverse_trip(site, _patience_s(site)))
    return _trip("reverse_round_trip", figures, site, f"crossfade rollback status {site.domain.name}")


def _patience_s(site: Site) -> float:
    return max(TRIP_S, 2 * site.settings.cutover.max_lag_s)


def _measured(trips: Trips, go: Callable[[], float]) -> TripFigures:
    """One trip now; more while there are few."""
    go()
    while trips.figures().count < LEAST_TRIPS:
        go()
    return trips.figures()


def _trip(name: str, figures: TripFigures, site: Site, todo: str) -> GateResult:
    limit_s = site.settings.cutover.max_lag_s
    return GateResult(
        name, figures.p95_s <= limit_s,
        f"p95 {figures.p95_s:.3f} s, longest {figures.longest_s:.3f} s of {figures.count} in {WINDOW_S / 60:.0f} min",
        f"p95 ≤ {limit_s:g} s", todo,
    )  # fmt: skip


def predicted(site: Site) -> tuple[Part, ...]:
    """The parts of a cutover's write stop now. Raises CrossfadeError."""
    with closing(FinalCheck(site.settings, site.domain, site.info, site.tables)) as check:
        parts = cutover_parts(site, check)
    return (
        *parts, trip_part("drain", site.forward_trips.figures()), trip_part("boundary", site.reverse_trips.figures()),
    )  # fmt: skip


def predicted_stop(site: Site, stop: threading.Event) -> GateResult:
    """A write stop would fit well into its budget."""
    parts = predicted(site)
    low, high = span(parts)
    limit_s = site.settings.cutover.max_write_stop_s * BUDGET_SHARE
    slowest = max(parts, key=lambda part: part.high_s)
    return GateResult(
        "predicted_stop", high <= limit_s, f"{low:.2f} to {high:.2f} s, most of it for {slowest.step}",
        f"≤ {limit_s:g} s ({BUDGET_SHARE:.0%} of cutover.max_write_stop_s)",
        "Wait for a quieter moment, or raise cutover.max_write_stop_s.",
    )  # fmt: skip
