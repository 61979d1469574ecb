"""Stopping: one event that every loop watches. The first signal asks for a clean end, the second ends at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import structlog

from model.errors import ExitCode

log = structlog.get_logger(__name__)


class Stop(threading.Event):
    """The stop event, with the reason it was set for."""

    def __init__(self) -> None:
        super().__init__()
        self.reason = ""
        self.interrupted = False

    def request(self, reason: str) -> None:
        """Ask every loop to end; the first reason stands."""
        if not self.is_set():
            self.reason = reason
        self.set()


@contextmanager
def signals_stop(stop: Stop) -> Iterator[None]:
    """SIGTERM and SIGINT set `stop`; a second one exits at once. The old handlers come back at the end."""

    def handle(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if stop.is_set():
            log.warning("second_signal", signal=name, action="exit at once; the next start resumes by itself")
            os._exit(ExitCode.INTERRUPTED)
        stop.interrupted = number == signal.SIGINT
        stop.request(name)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
