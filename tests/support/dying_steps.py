"""Makes a daemon die, freeze or wait before or after a step of a cutover or rollback: `cutover.close_source.after`.

The product knows nothing of it: a daemon started with `Trap.environment` has every step's `do` wrapped before it
begins (`warm.py` asks for that); the test sets the trap for one point at a time while the daemon runs. It dies as if by
SIGKILL; frozen it is by SIGSTOP; a daemon that waits gives the test time to kill somebody else at that point.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.support.points import die

VARIABLE: Final = "CROSSFADE_TEST_TRAP"
SIDES: Final = ("before", "after")
LONGEST_S: Final = 60.0
POLL_S: Final = 0.01


class Trap:
    """A folder through which test and daemon speak."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a daemon's environment needs to fall into it."""
        return {VARIABLE: str(self._folder)}

    def set(self, point: str, how: str) -> None:
        """The next daemon that passes `point` will `die`, `freeze`, or `wait`."""
        self.free()
        self._file("here").unlink(missing_ok=True)
        self._file("go").unlink(missing_ok=True)
        # Whole at once: the daemon may look at any moment.
        self._file("new").write_text(f"{point} {how}")
        self._file("new").rename(self._file("set"))

    def free(self) -> None:
        """Nobody falls into it."""
        self._file("set").unlink(missing_ok=True)

    @property
    def sprung(self) -> bool:
        """Whether the point was reached."""
        return self._file("here").exists()

    def go(self) -> None:
        """Let the daemon that waits go on."""
        self._file("go").touch()

    def pass_by(self, point: str) -> None:
        """In the daemon: fall into it if it is set for this point."""
        try:
            wanted, _, how = self._file("set").read_text().partition(" ")
        except FileNotFoundError:
            return
        if wanted != point:
            return
        self.free()
        self._file("here").touch()
        _HOW[how](self)

    def wait(self) -> None:
        """In the daemon: until `go`."""
        deadline = time.monotonic() + LONGEST_S
        while not self._file("go").exists() and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def _file(self, name: str) -> Path:
        return self._folder / name


_HOW: Final[dict[str, Callable[[Trap], None]]] = {
    "die": lambda trap: die(),
    # To this thread, not to the process: another thread may take a signal to the process, and this one would go on.
    "freeze": lambda trap: signal.pthread_kill(threading.get_ident(), signal.SIGSTOP),
    "wait": Trap.wait,
}


def points(what: str) -> Iterator[str]:
    """Every point of `cutover` or `rollback`, in order."""
    for step in _steps(what):
        for side in SIDES:
            yield f"{what}.{step.name}.{side}"


def passed(point: str) -> bool:
    """Whether a domain that is stopped at `point` is past the point of no return."""
    what, step, side = point.split(".")
    names = [one.name for one in _steps(what)]
    beyond = names.index(step) - names.index("no_return")
    return beyond > 0 or (beyond == 0 and side == "after")


def arm_from_environment() -> None:
    """Wrap every step, if the environment names a trap."""
    folder = os.environ.get(VARIABLE, "")
    if folder:
        trap = Trap(Path(folder))
        for what in ("cutover", "rollback"):
            for step in _steps(what):
                _wrap(type(step), f"{what}.{step.name}", trap)


def _wrap(kind: Any, name: str, trap: Trap) -> None:
    original = kind.do

    @functools.wraps(original)
    def wrapped(*arguments: Any) -> Any:
        trap.pass_by(f"{name}.before")
        result = original(*arguments)
        trap.pass_by(f"{name}.after")
        return result

    kind.do = wrapped


def _steps(what: str) -> tuple[Any, ...]:
    from cutover import cutover_steps, rollback_steps

    module = {"cutover": cutover_steps, "rollback": rollback_steps}[what]
    return (*module.BEFORE, *module.AFTER)
