"""Named points of the product at which a test's process dies, or something happens to it, as if by accident.

A point is a place before or after a function; arming it wraps that function in this process only. The product knows
nothing of points.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from typing import Any, Final

EXIT_STATUS: Final = 77
"""Status of a process that died at a point."""

POINTS: Final[dict[str, tuple[str, str, str]]] = {
    "apply.begin": ("sync.postgres.apply", "StoreWriter.begin", "after"),
    "apply.rows_written": ("sync.postgres.apply", "StoreWriter.apply", "after"),
    "apply.before_checkpoint": ("sync.postgres.apply", "StoreWriter.commit", "before"),
    "apply.before_commit": ("sync.postgres.apply", "StoreWriter.commit_only", "before"),
    "apply.after_commit": ("sync.postgres.apply", "StoreWriter.commit_only", "after"),
    "applier.before_promote": ("sync.applier_phases", "PhaseSteps.promote", "before"),
    "replay.progress_written": ("sync.postgres.apply", "StoreWriter.save_applied", "after"),
}
"""Name → (module, function, side of it)."""


def die() -> None:
    """End the process at once: nothing is flushed, no connection is closed in order."""
    os._exit(EXIT_STATUS)


def arm(name: str, *, times: int = 1, action: Callable[[], None] = die) -> Callable[[], None]:
    """Let `action` happen when the point is passed for the `times`-th time; gives a function that disarms it."""
    module_name, path, side = POINTS[name]
    owner: Any = importlib.import_module(module_name)
    *parents, last = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, last)
    passed = 0

    @functools.wraps(original)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        nonlocal passed
        if side == "before":
            passed += 1
            if passed == times:
                action()
        result = original(*arguments, **options)
        if side == "after":
            passed += 1
            if passed == times:
                action()
        return result

    setattr(owner, last, wrapped)
    return lambda: setattr(owner, last, original)
