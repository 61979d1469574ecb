"""Runs steps between two entries of the journal each, and decides what a failure means. Knows no step by itself.

Before the point of no return a failure is undone; the source's gate row decides whether it was before. After it every
step is tried until it succeeds: there is nothing to go back to.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any, Final

import structlog

from cutover.errors import Cancelled
from cutover.logbook import Logbook
from cutover.site import Site
from cutover.step import Run, Step
from model.errors import CrossfadeError, Fenced
from stores.control.journal import Kind

log = structlog.get_logger(__name__)

AGAIN_S: Final = 1.0
"""How long to wait before a step after the point of no return is tried again."""


def advance(steps: Sequence[Step], site: Site, run: Run, logbook: Logbook) -> None:
    """Do each step once. Raises the first failure, with its entry written if the control store takes it."""
    logbook.note(run.epoch, (steps[0].name, Kind.INTENT, {}))
    for step, following in zip_longest(steps, steps[1:]):  # the last has no next
        if run.stop.is_set():
            raise Cancelled(domain=site.domain.name, before=step.name)
        _do(step, site, run, logbook, following)


def _insist_on(step: Step, site: Site, run: Run, logbook: Logbook) -> None:
    logbook.note(run.epoch, (step.name, Kind.INTENT, {}))
    _do(step, site, run, logbook, None)


def _do(step: Step, site: Site, run: Run, logbook: Logbook, following: Step | None) -> None:
    """Do a step whose intent is written; the intent of the next is written with what was observed, in one commit."""
    began = time.monotonic()
    try:
        seen = dict(step.do(site, run))
    except CrossfadeError as error:
        log.warning("step_failed", domain=site.domain.name, step=step.name, error=str(error))
        logbook.note(run.epoch, (step.name, Kind.FAILED, {"error": str(error)}))
        raise
    seen["took_s"] = round(time.monotonic() - began, 4)
    next_intent: list[tuple[str, Kind, dict[str, Any]]] = (
        [(following.name, Kind.INTENT, {})] if following is not None else []
    )
    logbook.note(run.epoch, (step.name, Kind.OBSERVED, seen), *next_intent)
    log.info("step_done", domain=site.domain.name, step=step.name, epoch=run.epoch, **seen)


def insist(steps: Sequence[Step], site: Site, run: Run, logbook: Logbook, stop: threading.Event) -> bool:
    """Do each step until it succeeds; False when `stop` was set before all were done. Raises Fenced."""
    return all(until_done(partial(_insist_on, step, site, run, logbook), site, logbook, stop) for step in steps)


def until_done(act: Callable[[], Any], site: Site, logbook: Logbook, stop: threading.Event) -> bool:
    """Call `act` until it raises nothing; False when `stop` was set first. Raises Fenced."""
    while True:
        try:
            act()
            return True
        except Fenced:
            raise
        except CrossfadeError as error:
            log.warning("tried_again", domain=site.domain.name, error=str(error), hint=error.hint)
            site.drop()
            _complain(logbook, str(error))
            if stop.wait(AGAIN_S):
                return False


def _complain(logbook: Logbook, problem: str) -> None:
    try:
        logbook.complain(problem)
    except Fenced:
        raise
    except CrossfadeError as error:
        log.warning("control_store_lost", error=str(error))
        logbook.close()
