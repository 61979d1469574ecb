"""Round trips: figures over the last minutes only."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from cutover.trips import MOST, WINDOW_S, TripFigures, Trips, quantile


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_old_is_forgotten() -> None:
    clock = _Clock()
    trips = Trips(clock)
    assert trips.figures() == TripFigures(0, 0.0, 0.0, 0.0, 0.0)
    trips.add(9.0)
    clock.now += WINDOW_S
    trips.add(0.5)
    assert trips.figures() == TripFigures(2, 0.5, 9.0, 9.0, 0.0)
    clock.now += 1
    assert trips.figures() == TripFigures(1, 0.5, 0.5, 0.5, 1.0)
    trips.forget()
    assert trips.figures().count == 0


def test_there_is_a_bound_on_what_is_kept() -> None:
    trips = Trips(_Clock())
    for number in range(MOST + 10):
        trips.add(float(number))
    assert trips.figures().count == MOST and trips.figures().longest_s == MOST + 9


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_a_quantile_has_its_share_at_or_below(values: list[float], share: float) -> None:
    found = quantile(sorted(values), share)
    assert found in values
    below = sum(value <= found for value in values)
    assert below >= math.floor(len(values) * share)
    assert sum(value < found for value in values) <= len(values) * share
