from __future__ import annotations

import threading

import pytest

from sync.mysql import throttle
from sync.mysql.throttle import Throttle


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "PAUSE_S", 0.001)
    monkeypatch.setattr(throttle, "CHECK_S", 0.0)


def test_it_waits_until_the_source_runs_few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    running = iter([9, 6, 5])
    monkeypatch.setattr(throttle, "threads_running", lambda connection: next(running))
    Throttle(5).wait(None, threading.Event())  # type: ignore[arg-type]
    assert next(running, None) is None


def test_without_a_limit_the_source_is_not_even_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "threads_running", lambda connection: pytest.fail("asked"))
    Throttle(None).wait(None, threading.Event())  # type: ignore[arg-type]


def test_a_reason_of_somebody_else_pauses_and_is_told() -> None:
    reasons = iter(["replica lags", "replica lags", None])
    told: list[str | None] = []

    def reason() -> str | None:
        told.append(made.reason)
        return next(reasons)

    made = Throttle(None, reason)
    made.wait(None, threading.Event())  # type: ignore[arg-type]
    assert told == [None, "replica lags", "replica lags"] and made.reason is None


def test_stop_ends_the_pause() -> None:
    stop = threading.Event()
    stop.set()
    Throttle(None, lambda: "always").wait(None, stop)  # type: ignore[arg-type]
