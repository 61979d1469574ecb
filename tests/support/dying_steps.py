"""Makes a daemon die, or freeze, before or after a step of a cutover or rollback: `cutover.close_source.after`.

The product knows nothing of it: the daemon is started with `environment(point)`, which wraps the step's `do`. It dies
as if by SIGKILL; frozen it is by SIGSTOP.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.support.migration import ROOT
from tests.support.points import die

VARIABLE: Final = "CROSSFADE_TEST_DIES_AT"
FREEZES: Final = "CROSSFADE_TEST_FREEZES"
SIDES: Final = ("before", "after")


def environment(point: str, *, freezes: bool = False) -> dict[str, str]:
    """What the daemon's environment needs to die (or freeze) at `point`; "" to live."""
    if not point:
        return {VARIABLE: "", "PYTHONPATH": str(ROOT)}
    how = "1" if freezes else ""
    return {VARIABLE: point, FREEZES: how, "PYTHONPATH": f"{Path(__file__).parent / 'dying'}:{ROOT}"}


def _end() -> None:
    if os.environ.get(FREEZES):
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        die()


def points(what: str) -> Iterator[str]:
    """Every point of `cutover` or `rollback`."""
    for step in _steps(what):
        for side in SIDES:
            yield f"{what}.{step.name}.{side}"


def arm_from_environment() -> None:
    """Wrap the step that the environment names."""
    point = os.environ.get(VARIABLE, "")
    if not point:
        return
    what, name, side = point.split(".")
    step = next(step for step in _steps(what) if step.name == name)
    original = type(step).do

    @functools.wraps(original)
    def wrapped(*arguments: Any) -> Any:
        if side == "before":
            _end()
        result = original(*arguments)
        if side == "after":
            _end()
        return result

    type(step).do = wrapped


def _steps(what: str) -> tuple[Any, ...]:
    from cutover import cutover_steps, rollback_steps

    module = {"cutover": cutover_steps, "rollback": rollback_steps}[what]
    return (*module.BEFORE, *module.AFTER)
