"""What the traffic saw: acknowledged, declined, retried and refused transactions, and the windows of refused writes.

An acknowledged transaction is one whose commit the database confirmed to us: whatever happens later, it must be found.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from demo.retailcore.domains import Domain


@dataclass(frozen=True, slots=True)
class RefusedWindow:
    """From the first refused write of a domain to the first that was let in again."""

    domain: Domain
    first_refused: float
    """Epoch seconds."""
    seconds: float | None
    """Length; None while the window is open."""
    refusals: int


@dataclass(frozen=True, slots=True)
class Report:
    """A consistent copy of the tally."""

    acknowledged: dict[str, int]
    """By kind of operation."""
    declined: dict[str, int]
    abandoned: dict[str, int]
    """Given up because the traffic was stopped; whether one of them went through may be unknown."""
    retries: dict[str, int]
    """By cause: Conflict, Unavailable, Refused."""
    windows: tuple[RefusedWindow, ...]
    tokens: dict[str, tuple[str, ...]]
    """Tokens of acknowledged transactions by kind: each must be findable wherever the domain lives now."""
    longest_s: dict[str, float]
    """By domain: the longest time from first attempt to acknowledgement."""

    @property
    def total(self) -> int:
        """All acknowledged transactions."""
        return sum(self.acknowledged.values())


@dataclass(slots=True)
class _Window:
    first_refused: float
    started: float
    refusals: int = 1
    seconds: float | None = None


@dataclass(slots=True)
class Tally:
    """Counts from many threads. Times given to it are of time.monotonic()."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _acknowledged: Counter[str] = field(default_factory=Counter)
    _declined: Counter[str] = field(default_factory=Counter)
    _abandoned: Counter[str] = field(default_factory=Counter)
    _retries: Counter[str] = field(default_factory=Counter)
    _longest: dict[str, float] = field(default_factory=dict)
    _tokens: dict[str, list[str]] = field(default_factory=dict)
    _windows: dict[Domain, list[_Window]] = field(default_factory=lambda: {domain: [] for domain in Domain})

    def acknowledge(
        self, kind: str, domain: Domain, first_attempt: float, last_attempt: float, token: str | None
    ) -> None:
        """A commit was confirmed; its last attempt began at `last_attempt`.

        It ends a refused window only when that attempt began inside it: one that began before may be heard of late.
        """
        now = time.monotonic()
        with self._lock:
            self._acknowledged[kind] += 1
            self._longest[domain] = max(self._longest.get(domain, 0.0), now - first_attempt)
            if token is not None:
                self._tokens.setdefault(kind, []).append(token)
            windows = self._windows[domain]
            if windows and windows[-1].seconds is None and last_attempt > windows[-1].started:
                windows[-1].seconds = now - windows[-1].started

    def refuse(self, domain: Domain, attempt: float) -> None:
        """A fence turned a write away whose attempt began at `attempt`."""
        now = time.monotonic()
        with self._lock:
            self._retries["Refused"] += 1
            windows = self._windows[domain]
            if windows and windows[-1].seconds is None:
                windows[-1].refusals += 1
            elif windows and attempt < windows[-1].started + (windows[-1].seconds or 0.0):
                windows[-1].refusals += 1  # heard of late, after the first write that was let in again
            else:
                windows.append(_Window(first_refused=time.time(), started=now))

    def retry(self, cause: str) -> None:
        """An attempt failed in a way that is tried again."""
        with self._lock:
            self._retries[cause] += 1

    def decline(self, kind: str) -> None:
        """The shop's rules said no."""
        with self._lock:
            self._declined[kind] += 1

    def abandon(self, kind: str) -> None:
        """Told to stop before it went through."""
        with self._lock:
            self._abandoned[kind] += 1

    def report(self) -> Report:
        """A copy of everything, as of now."""
        with self._lock:
            return Report(
                acknowledged=dict(self._acknowledged),
                declined=dict(self._declined),
                abandoned=dict(self._abandoned),
                retries=dict(self._retries),
                windows=tuple(
                    RefusedWindow(domain, window.first_refused, window.seconds, window.refusals)
                    for domain, windows in self._windows.items()
                    for window in windows
                ),
                tokens={kind: tuple(tokens) for kind, tokens in self._tokens.items()},
                longest_s=dict(self._longest),
            )
