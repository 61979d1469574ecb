from __future__ import annotations

import threading
from typing import Any

import pytest

from config.settings import SourceSettings
from model.errors import AccessDenied, ConnectionLost
from model.position import Flavour
from sync.mysql import throttle
from sync.mysql.source_load import LoadLimits
from sync.mysql.throttle import Throttle

SOURCE = SourceSettings(engine=Flavour.MARIADB, user="u", databases=("shop",))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "PAUSE_S", 0.001)
    monkeypatch.setattr(throttle, "CHECK_S", 0.0)


def waited(made: Throttle, stop: threading.Event | None = None) -> None:
    connection: Any = None
    made.wait(connection, stop or threading.Event())


def test_it_waits_until_no_limit_is_exceeded(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter(["9 threads", "6 threads", None])
    monkeypatch.setattr(throttle, "overload", lambda connection, limits: next(found))
    waited(Throttle(LoadLimits(threads_running=5), SOURCE))
    assert next(found, "all were asked for") == "all were asked for"


def test_without_a_limit_the_source_is_not_even_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "overload", lambda connection, limits: pytest.fail("asked"))
    waited(Throttle(LoadLimits(), SOURCE))


def test_a_reason_of_somebody_else_pauses_and_is_told() -> None:
    reasons = iter(["a cutover", "a cutover", None])
    told: list[str | None] = []

    def reason() -> str | None:
        told.append(made.reason)
        return next(reasons)

    made = Throttle(LoadLimits(), SOURCE, reason)
    waited(made)
    assert told == [None, "a cutover", "a cutover"] and made.reason is None


def test_what_may_not_be_asked_pauses_and_says_what_to_grant(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()

    def refused(connection: object, limits: LoadLimits) -> str | None:
        stop.set()
        raise AccessDenied("the history list length cannot be read", hint="GRANT PROCESS")

    monkeypatch.setattr(throttle, "overload", refused)
    made = Throttle(LoadLimits(history_length=1), SOURCE)
    waited(made, stop)
    assert made.reason == "the history list length cannot be read. GRANT PROCESS"


def test_a_lost_connection_is_the_workers_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(connection: object, limits: LoadLimits) -> str | None:
        raise ConnectionLost("gone")

    monkeypatch.setattr(throttle, "overload", lost)
    with pytest.raises(ConnectionLost):
        waited(Throttle(LoadLimits(history_length=1), SOURCE))


def test_stop_ends_the_pause() -> None:
    stop = threading.Event()
    stop.set()
    waited(Throttle(LoadLimits(), SOURCE, lambda: "always"), stop)
