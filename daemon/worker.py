"""One part running in a thread of its own; how it ended is kept for the supervisor to judge."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from model.errors import CrossfadeError

log = structlog.get_logger(__name__)


class Worker:
    """Runs `work` in a daemon thread. `error` is what ended it, None while it runs or when it ended by itself."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.error: CrossfadeError | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False when it did not end in time."""
        self._thread.join(timeout_s)
        return not self.alive

    def _run(self) -> None:
        try:
            self._work()
        except CrossfadeError as error:
            self.error = error
            log.error("part_failed", part=self.name, error=str(error), hint=error.hint)
        except Exception as error:
            self.error = CrossfadeError(f"this is a bug in crossfade: {type(error).__name__}: {error}")
            log.exception("part_failed", part=self.name)
