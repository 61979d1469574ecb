"""Where one reader is sent: stable, in proportion, and only ever moved one way when the share grows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stores.control.routes import Route
from web.route_pages import read_from, route_document


def _route(percent: int, domain: str = "orders") -> Route:
    return Route(domain, "prepared", "source", 3, "stores", percent, 9)


def test_nobody_and_everybody() -> None:
    keys = [f"user-{number}" for number in range(200)]
    assert {read_from(_route(0), key) for key in keys} == {"source"}
    assert {read_from(_route(100), key) for key in keys} == {"stores"}


def test_the_share_is_about_what_was_asked_for() -> None:
    moved = sum(read_from(_route(10), f"user-{number}") == "stores" for number in range(20_000))
    assert 1_700 < moved < 2_300


@given(st.text(max_size=40), st.integers(0, 100), st.integers(0, 100))
def test_a_reader_who_was_moved_stays_when_more_are(key: str, one: int, other: int) -> None:
    less, more = sorted((one, other))
    if read_from(_route(less), key) == "stores":
        assert read_from(_route(more), key) == "stores"


def test_only_a_write_stop_holds() -> None:
    held = {
        phase: route_document(Route("d", phase, "source", 1, "source", 0, 1), 10.0)["held"]
        for phase in ("following", "prepared", "cutting_over", "aborting", "switching", "live", "rolling_back")
    }
    assert [phase for phase, value in held.items() if value] == ["cutting_over", "rolling_back"]
