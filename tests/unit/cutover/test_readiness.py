"""Rollback readiness: one line, and every reason that turns it AMBER or RED."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from cutover.readiness import Facts, Light, Limits, WayBack, judge
from cutover.trips import TripFigures

LIMITS = Limits(max_lag_s=2.0, max_write_stop_s=30.0, headroom_s=86_400.0)
GOOD = Facts(
    "orders",
    (WayBack("a", "streaming", 0.1, safe_wal_bytes=1 << 40, wal_bytes_per_s=1000.0), WayBack("b", "streaming", 0.0)),
    TripFigures(20, 0.1, 0.4, 0.5, 1.0),
    steps_s=1.0,
    stranded_rows=0,
)


def _with(**changes: Any) -> Facts:
    return dataclasses.replace(GOOD, **changes)


def _way(**changes: Any) -> Facts:
    return _with(ways=(dataclasses.replace(GOOD.ways[0], **changes), GOOD.ways[1]))


def test_green_is_one_line() -> None:
    ready = judge(GOOD, LIMITS, 5.0)
    assert (ready.light, ready.alarms) == (Light.GREEN, ())
    assert ready.line == "rollback now: 1.4 s, 0 rows stranded, GREEN"
    assert ready.document()["predicted_s"] == 1.4


def test_the_oldest_change_that_is_on_its_way_counts_when_it_is_older_than_a_round_trip() -> None:
    assert judge(_way(lag_s=1.7), LIMITS, 0.0).predicted_s == pytest.approx(2.7)


@pytest.mark.parametrize(
    ("facts", "code", "light"),
    [
        (_way(mode="halted", error="a row is not there"), "REVERSE_HALTED", Light.RED),
        (_way(mode="retrying"), "REVERSE_RETRYING", Light.AMBER),
        (_way(mode="starting"), "REVERSE_DOWN", Light.AMBER),
        (_way(mode=""), "REVERSE_DOWN", Light.RED),
        (_way(lag_s=2.1), "REVERSE_LAG", Light.RED),
        (_way(slot=""), "SLOT_LOST", Light.RED),
        (_with(unguarded=("main: public.items",)), "VALUES_UNGUARDED", Light.AMBER),
        (_way(slot="lost"), "SLOT_LOST", Light.RED),
        (_way(slot="unreserved"), "SLOT_LOST", Light.RED),
        (_way(safe_wal_bytes=1000 * 7200), "WAL_HEADROOM", Light.AMBER),
        (_way(safe_wal_bytes=1000 * 600), "WAL_HEADROOM", Light.RED),
        (_way(safe_wal_bytes=-5), "WAL_HEADROOM", Light.RED),
        (_with(stranded_rows=3), "ROWS_STRANDED", Light.RED),
        (_with(source_closed=False), "SOURCE_OPEN", Light.RED),
        (_with(missing_triggers=("shop.order INSERT",)), "GATE_TRIGGERS_LOST", Light.RED),
        (_with(ungated=("main: public.items",)), "STORE_GATE_LOST", Light.RED),
        (_with(leaks=1), "SOURCE_LEAK", Light.RED),
        (_with(problem="store a is away"), "NOT_MEASURED", Light.RED),
        (_with(trips=TripFigures(0, 0, 0, 0, 0)), "NOT_MEASURED_YET", Light.AMBER),
        (_with(steps_s=None), "NOT_MEASURED_YET", Light.AMBER),
        (_with(trips=TripFigures(5, 0.1, 0.1, 0.1, 31.0)), "NOT_MEASURED", Light.RED),
        (_with(trips=TripFigures(5, 0.1, 1.1, 1.1, 1.0)), "REVERSE_SLOW", Light.AMBER),
        (_with(trips=TripFigures(5, 0.1, 2.1, 2.1, 1.0)), "REVERSE_SLOW", Light.RED),
        (_with(steps_s=31.0), "WRITE_STOP_LONG", Light.RED),
    ],
)
def test_every_reason_has_a_light_and_something_to_do(facts: Facts, code: str, light: Light) -> None:
    ready = judge(facts, LIMITS, 0.0)
    assert [alarm.code for alarm in ready.alarms] == [code]
    assert ready.light is light and ready.alarms[0].next and ready.alarms[0].message
    assert str(light) in ready.line


def test_nothing_is_predicted_over_a_way_that_is_broken() -> None:
    ready = judge(_way(mode="halted"), LIMITS, 0.0)
    assert ready.predicted_s is None
    assert judge(_with(stranded_rows=None, steps_s=None), LIMITS, 0.0).line == (
        "rollback now: not known, an unknown number of rows stranded, AMBER"
    )
