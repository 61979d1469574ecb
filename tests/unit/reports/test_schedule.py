"""When a report is due: at its moments, once after any number of missed ones, in the zone's own time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from reports.schedule import due, upcoming

BERLIN = "Europe/Berlin"


def _at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def test_at_its_moment_and_not_twice() -> None:
    since = _at("2026-03-01T00:00:00")
    assert due("0 7 * * *", "UTC", None, since, _at("2026-03-01T06:59:59")) is None
    slot = due("0 7 * * *", "UTC", None, since, _at("2026-03-01T07:00:00.4"))
    assert slot == _at("2026-03-01T07:00:00")
    assert due("0 7 * * *", "UTC", slot, since, _at("2026-03-01T23:00:00")) is None


def test_missed_moments_are_caught_up_once() -> None:
    done = _at("2026-03-01T07:00:00")
    slot = due("0 7 * * *", "UTC", done, done, _at("2026-03-11T09:30:00"))
    assert slot == _at("2026-03-11T07:00:00")
    assert due("0 7 * * *", "UTC", slot, done, _at("2026-03-11T09:31:00")) is None


def test_a_moment_before_anything_began_is_not_missed() -> None:
    assert due("0 7 * * *", "UTC", None, _at("2026-03-01T12:00:00"), _at("2026-03-01T12:00:05")) is None


def test_the_zone_counts() -> None:
    since = _at("2026-07-01T00:00:00")
    assert due("0 7 * * *", BERLIN, None, since, _at("2026-07-01T05:00:01")) == _at("2026-07-01T07:00:00", BERLIN)
    assert upcoming("0 7 * * *", BERLIN, since) == _at("2026-07-01T05:00:00")


def test_a_moment_that_the_clocks_skip_is_not_lost() -> None:
    since = _at("2026-03-28T12:00:00")
    assert due("30 2 * * *", BERLIN, None, since, _at("2026-03-29T12:00:00")) == _at("2026-03-29T01:00:00")


def test_a_moment_that_comes_twice_is_taken_once() -> None:
    now, done, slots = _at("2026-10-24T22:00:00"), _at("2026-10-24T12:00:00"), []
    while now < _at("2026-10-25T12:00:00"):
        slot = due("30 2 * * *", BERLIN, done, done, now)
        if slot is not None:
            slots.append(slot)
            done = slot
        now += timedelta(minutes=5)
    assert len(slots) == 1


@given(
    st.sampled_from(["*/5 * * * *", "0 7 * * *", "30 2 * * 1", "15 3 1 * *", "0 */6 * * 1-5"]),
    st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe"]),
    st.lists(st.integers(1, 200_000), min_size=1, max_size=40),
)
def test_any_walk_of_looks_takes_each_moment_at_most_once_and_never_early(
    schedule: str, zone: str, steps: list[int]
) -> None:
    begin = _at("2026-03-20T00:00:00")
    now, done, slots = begin, None, []
    for step in steps:
        now += timedelta(seconds=step)
        slot = due(schedule, zone, done, begin, now)
        if slot is not None:
            assert begin < slot <= now
            slots.append(slot)
            done = slot
    assert slots == sorted(set(slots))
