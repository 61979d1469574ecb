"""Refused windows: from the first refusal to the first write let in, whatever is heard of late."""

from __future__ import annotations

import time

from demo.retailcore.domains import Domain
from demo.retailcore.tally import Tally


def test_a_window_opens_with_a_refusal_and_closes_with_a_later_attempt() -> None:
    tally = Tally()
    before = time.monotonic()
    tally.refuse(Domain.ORDERS, before)
    tally.refuse(Domain.ORDERS, time.monotonic())
    tally.acknowledge("checkout", Domain.ORDERS, before, before, "T1")
    (window,) = tally.report().windows
    assert window.seconds is None, "a write that began before the refusal was only heard of late"
    tally.acknowledge("checkout", Domain.ORDERS, before, time.monotonic(), "T2")
    (window,) = tally.report().windows
    assert window.seconds is not None and window.seconds >= 0
    assert (window.domain, window.refusals) == (Domain.ORDERS, 2)


def test_other_domains_do_not_close_a_window() -> None:
    tally = Tally()
    tally.refuse(Domain.ORDERS, time.monotonic())
    tally.acknowledge("log_in", Domain.IDENTITY, time.monotonic(), time.monotonic(), None)
    assert tally.report().windows[0].seconds is None


def test_a_late_refusal_belongs_to_the_window_that_is_over() -> None:
    tally = Tally()
    early = time.monotonic()
    tally.refuse(Domain.ORDERS, early)
    tally.acknowledge("log", Domain.ORDERS, early, time.monotonic(), None)
    tally.refuse(Domain.ORDERS, early)
    assert len(tally.report().windows) == 1
    tally.refuse(Domain.ORDERS, time.monotonic())
    assert len(tally.report().windows) == 2


def test_counts_and_tokens() -> None:
    tally = Tally()
    now = time.monotonic()
    tally.acknowledge("checkout", Domain.ORDERS, now, now, "T1")
    tally.acknowledge("log", Domain.ORDERS, now, now, None)
    tally.decline("ship")
    tally.abandon("ship")
    tally.retry("Conflict")
    report = tally.report()
    assert (report.total, report.acknowledged) == (2, {"checkout": 1, "log": 1})
    assert report.tokens == {"checkout": ("T1",)}
    assert (report.declined, report.abandoned, report.retries) == ({"ship": 1}, {"ship": 1}, {"Conflict": 1})
    assert set(report.longest_s) == {Domain.ORDERS}
