"""The thread that builds beside the stream, with builds that do what a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from model.errors import Busy, ValueRefused
from sync.unique_builds import UniqueBuilds
from tests.support.changes import make_plan, make_table

A, B, C = (make_plan(make_table(name, "id int,n int", uniques=(("n",),))) for name in "abc")
WAIT_S = 30.0


class Connection:
    """Is cancelled and closed."""

    def __init__(self) -> None:
        self.info = SimpleNamespace(backend_pid=7)
        self.cancelled = threading.Event()
        self.closed = False

    def cancel_safe(self, timeout: float) -> None:
        self.cancelled.set()

    def close(self) -> None:
        self.closed = True


class Builder:
    """Builds go on until the test ends them, or they are cancelled."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.connections: list[Connection] = []
        self.running = threading.Semaphore(0)
        self.end = threading.Semaphore(0)
        self.error: Exception | None = None
        self.woken = threading.Semaphore(0)
        self.builds = UniqueBuilds("main", self.connect, self.build, self.woken.release)

    def connect(self) -> Any:
        self.connections.append(Connection())
        return self.connections[-1]

    def build(self, connection: Any, target: Any, stop: threading.Event, say: Callable[[str], None]) -> None:
        self.begun.append(target.name)
        say(f"{target.name}_n")
        self.running.release()
        while not self.end.acquire(timeout=0.01):
            if connection.cancelled.is_set():
                assert stop.is_set()
                raise Busy("cancelled")
        if self.error is not None:
            raise self.error

    def wait_running(self) -> None:
        assert self.running.acquire(timeout=WAIT_S)

    def finish(self, error: Exception | None = None) -> None:
        """Let the build that goes on end."""
        self.error = error
        self.end.release()
        assert self.woken.acquire(timeout=WAIT_S)


@pytest.fixture
def builder() -> Iterator[Builder]:
    builder = Builder()
    yield builder
    builder.builds.close()
    assert all(connection.closed for connection in builder.connections)


def test_one_table_after_the_other(builder: Builder) -> None:
    builds = builder.builds
    assert not builds.waits(A) and builds.told() == {}
    builds.hand_over(A)
    builder.wait_running()
    builds.hand_over(B)
    assert builds.busy and builds.pid == 7 and builds.waits(A) and builds.waits(B) and not builds.waits(C)
    builds.show("half")
    assert builds.told() == {
        A.id: "building unique index a_n: half",
        B.id: f"its unique indexes are built after those of {A.target.schema}.a",
    }
    builder.finish()
    assert not builds.waits(A) and not builds.waits(B)
    builds.hand_over(B)  # asked again before A was looked at
    builder.wait_running()
    assert builds.waits(B) and not builds.waits(A)
    builds.take(A)
    builds.done(A)
    assert builder.begun == ["a", "b"] and not builds.handed(A.id) and builds.handed(B.id)
    builder.finish()


def test_an_error_is_raised_once_to_its_own_table(builder: Builder) -> None:
    builds = builder.builds
    builds.hand_over(A)
    builder.finish(ValueRefused("two are equal"))
    builds.hand_over(B)
    builder.finish()
    builds.take(B)
    with pytest.raises(ValueRefused, match="two are equal"):
        builds.take(A)
    builds.take(A)


def test_what_is_called_off_has_ended_and_is_forgotten(builder: Builder) -> None:
    builds = builder.builds
    builds.hand_over(A)
    builder.wait_running()
    builds.leave([B])
    assert builds.busy and not builds.builds_for([B, C]) and builds.builds_for([C, A])
    builds.leave([A])
    assert not builds.busy and not builds.handed(A.id) and builder.connections[0].closed
    builds.take(A)


def test_a_build_outlives_a_session_but_not_its_definition(builder: Builder) -> None:
    builds = builder.builds
    builds.hand_over(A)
    builder.wait_running()
    builds.keep([A, B])
    assert builds.busy and not builds.handed(A.id)
    builds.hand_over(A)
    assert builds.waits(A) and builder.begun == ["a"]
    builds.keep([B])
    assert not builds.busy


@pytest.mark.parametrize(("error", "kept"), [(Busy("deadlock"), False), (ValueRefused("equal"), True)])
def test_a_new_session_tries_again_what_may_succeed_now(builder: Builder, error: Exception, kept: bool) -> None:
    builds = builder.builds
    builds.hand_over(A)
    builder.finish(error)
    builds.keep([A])
    if kept:
        with pytest.raises(ValueRefused):
            builds.take(A)
    else:
        builds.take(A)
