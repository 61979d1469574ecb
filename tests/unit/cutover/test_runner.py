"""Between two journal entries: what runs, what is written, what happens when a step or the control store fails."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from cutover import runner
from cutover.errors import Cancelled
from cutover.step import Run, Step
from model.errors import Busy, CrossfadeError, Fenced
from stores.control.journal import Kind


class _Site:
    class domain:
        name = "shop"

    dropped = 0

    def drop(self) -> None:
        self.dropped += 1


class _Book:
    def __init__(self) -> None:
        self.written: list[tuple[str, Kind]] = []
        self.problems: list[str] = []
        self.fenced = False

    def note(self, epoch: int, *entries: tuple[str, Kind, Mapping[str, Any]]) -> None:
        if self.fenced:
            raise Fenced
        self.written += [(step, kind) for step, kind, _ in entries]

    def complain(self, problem: str) -> None:
        self.problems.append(problem)


def _step(name_: str, *outcomes: CrossfadeError | None) -> Step:
    left = list(outcomes)

    class Made(Step):
        name, title = name_, name_

        def do(self, site: Any, run: Run) -> Mapping[str, Any]:
            error = left.pop(0) if left else None
            if error is not None:
                raise error
            return {}

    return Made()


def _run() -> Run:
    return Run(7, 6, threading.Event())


def test_every_step_has_its_intent_before_and_its_observation_after() -> None:
    book = _Book()
    runner.advance((_step("a"), _step("b")), _Site(), _run(), book)  # type: ignore[arg-type]
    assert book.written == [
        ("a", Kind.INTENT), ("a", Kind.OBSERVED), ("b", Kind.INTENT), ("b", Kind.OBSERVED),
    ]  # fmt: skip


def test_the_first_failure_ends_it_and_is_written() -> None:
    book = _Book()
    with pytest.raises(Busy):
        runner.advance((_step("a"), _step("b", Busy()), _step("c")), _Site(), _run(), book)  # type: ignore[arg-type]
    assert book.written[-2:] == [("b", Kind.INTENT), ("b", Kind.FAILED)]


def test_a_cancelled_run_begins_no_further_step() -> None:
    book, run = _Book(), _run()

    class Last(Step):
        name, title = "a", "a"

        def do(self, site: Any, run: Run) -> Mapping[str, Any]:
            run.stop.set()
            return {}

    with pytest.raises(Cancelled):
        runner.advance((Last(), _step("b")), _Site(), run, book)  # type: ignore[arg-type]
    assert ("b", Kind.OBSERVED) not in book.written


def test_after_the_point_of_no_return_it_is_tried_until_it_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "AGAIN_S", 0.0)
    book, site = _Book(), _Site()
    steps = (_step("a", Busy("one"), CrossfadeError("two")), _step("b"))
    assert runner.insist(steps, site, _run(), book, threading.Event())  # type: ignore[arg-type]
    assert [step for step, kind in book.written if kind is Kind.OBSERVED] == ["a", "b"]
    assert book.problems == ["one", "two"] and site.dropped == 2


def test_a_displaced_daemon_stops_at_once() -> None:
    book = _Book()
    book.fenced = True
    with pytest.raises(Fenced):
        runner.insist((_step("a"),), _Site(), _run(), book, threading.Event())  # type: ignore[arg-type]


def test_the_daemons_end_leaves_the_rest_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    stop.set()
    assert runner.insist((_step("a", Busy()),), _Site(), _run(), _Book(), stop) is False  # type: ignore[arg-type]
