from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.progress import CAP, ProgressMeter, RateMeter


def test_never_done_before_it_is() -> None:
    meter = ProgressMeter({"a": 100})
    meter.add("a", 1000, 1, 0.0)
    progress = meter.snapshot()
    assert progress.share <= CAP and not progress.done and progress.basis == "estimate"
    assert progress.tables[0].share <= CAP
    meter.finish("a")
    progress = meter.snapshot()
    assert progress.share == 1.0 and progress.done and progress.eta_s == (0.0, 0.0) and progress.basis == "exact"


def test_an_estimate_below_what_is_done_is_raised() -> None:
    meter = ProgressMeter({"a": 10, "b": 90})
    meter.add("a", 50, 1, 0.0)
    assert [table.rows_estimate for table in meter.snapshot().tables] == [50, 90]


def test_the_time_left_is_a_range_around_rows_left_by_rate() -> None:
    meter = ProgressMeter({"a": 1000})
    meter.tick(0.0)
    meter.add("a", 100, 1, 10.0)
    progress = meter.snapshot()
    assert progress.rows_per_s == pytest.approx(10.0)
    assert progress.eta_s is not None
    low, high = progress.eta_s
    assert low < 90.0 < high


def test_without_a_rate_there_is_no_telling() -> None:
    assert ProgressMeter({"a": 1000}).snapshot().eta_s is None


def test_rows_of_an_earlier_run_are_no_speed() -> None:
    meter = ProgressMeter({"a": 1000})
    meter.tick(0.0)
    meter.set_rows("a", 500)
    meter.add("a", 10, 1, 1.0)
    assert meter.snapshot().rows_per_s == pytest.approx(10.0)


def test_a_table_that_begins_leaves_the_rate_of_the_others() -> None:
    meter = ProgressMeter({"a": 1000, "b": 1000})
    meter.tick(0.0)
    meter.add("a", 100, 1, 10.0)
    meter.set_rows("b", 400)
    assert meter.snapshot().rows_per_s == pytest.approx(10.0)
    meter.add("b", 100, 1, 20.0)
    assert meter.snapshot().rows_per_s == pytest.approx(10.0)
    assert meter.snapshot().rows_done == 600


def test_a_restarted_table_begins_at_nothing() -> None:
    meter = ProgressMeter({"a": 100})
    meter.add("a", 50, 1, 0.0)
    meter.restart("a")
    assert meter.snapshot().rows_done == 0


@given(st.floats(0.1, 1e6), st.lists(st.floats(0.01, 100), min_size=1, max_size=50))
def test_a_steady_rate_is_found_whatever_the_steps(rate: float, steps: list[float]) -> None:
    meter = RateMeter()
    now = 0.0
    meter.add(now, 0.0)
    for step in steps:
        now += step
        meter.add(now, rate * now)
    assert meter.per_s == pytest.approx(rate, rel=1e-6)


def test_a_standstill_fades_the_rate() -> None:
    meter = RateMeter(half_life_s=10.0)
    meter.add(0.0, 0.0)
    meter.add(10.0, 1000.0)
    meter.add(110.0, 1000.0)
    assert meter.per_s < 1.0
