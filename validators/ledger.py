"""The ledger of a run: which chunks there are, which are taken, what came of them. In memory here; `stored_ledger.py`
keeps it in the control store, where other processes can take part and a killed run can be resumed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from validators.findings import TableVerdict
from validators.spans import Span


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of work: a span of one plan (or a whole invariant)."""

    plan_id: str
    span: Span
    rows: int
    """Estimated."""


@dataclass(frozen=True, slots=True)
class Task:
    """A chunk that was taken."""

    number: int
    chunk: Chunk
    attempts: int
    """How often it was taken before."""
    taken_at: datetime
    lease: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A chunk and what came of it; None: nothing yet."""

    chunk: Chunk
    verdict: TableVerdict | None


class Ledger(Protocol):
    """For all workers of a process; thread-safe."""

    @property
    def started_at(self) -> datetime:
        """When the run began, by the ledger's clock."""

    def entries(self) -> list[Entry]:
        """Every chunk in order; [] for a run that was not begun."""

    def begin(self, chunks: Sequence[Chunk]) -> None:
        """Enter the chunks, in the order in which they are to be taken."""

    def take(self) -> Task | None:
        """The next chunk that nobody has; None when there is none now."""

    def open(self) -> bool:
        """Whether chunks are not done yet, so that one may come up again. False for a run that is to stop."""

    def found(self, plan_id: str) -> int:
        """How many findings of a plan there are by now."""

    def done(self, task: Task, verdict: TableVerdict) -> None:
        """Enter what came of a chunk."""

    def give_back(self, task: Task) -> None:
        """Leave a chunk to whoever takes it next."""

    def split(self, task: Task, halves: tuple[Span, Span]) -> None:
        """Two chunks instead of one."""


class MemoryLedger:
    """A ledger that ends with its process."""

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self._lock = threading.Lock()
        self._chunks: list[Chunk] = []
        self._open: list[tuple[int, int]] = []
        self._taken: dict[int, int] = {}
        self._verdicts: dict[int, TableVerdict] = {}

    def entries(self) -> list[Entry]:
        """See `Ledger`."""
        with self._lock:
            return [Entry(chunk, self._verdicts.get(number)) for number, chunk in enumerate(self._chunks)]

    def begin(self, chunks: Sequence[Chunk]) -> None:
        """See `Ledger`."""
        with self._lock:
            self._chunks = list(chunks)
            self._open = [(number, 0) for number in range(len(self._chunks))]

    def take(self) -> Task | None:
        """See `Ledger`."""
        with self._lock:
            if not self._open:
                return None
            number, attempts = self._open.pop(0)
            self._taken[number] = attempts
            return Task(number, self._chunks[number], attempts, datetime.now(UTC))

    def open(self) -> bool:
        """See `Ledger`."""
        with self._lock:
            return len(self._verdicts) < len(self._chunks)

    def found(self, plan_id: str) -> int:
        """See `Ledger`."""
        with self._lock:
            return sum(
                len(verdict.findings)
                for number, verdict in self._verdicts.items()
                if self._chunks[number].plan_id == plan_id
            )

    def done(self, task: Task, verdict: TableVerdict) -> None:
        """See `Ledger`."""
        with self._lock:
            del self._taken[task.number]
            self._verdicts[task.number] = verdict

    def give_back(self, task: Task) -> None:
        """See `Ledger`."""
        with self._lock:
            self._open.append((task.number, self._taken.pop(task.number) + 1))

    def split(self, task: Task, halves: tuple[Span, Span]) -> None:
        """See `Ledger`."""
        with self._lock:
            del self._taken[task.number]
            rows = task.chunk.rows // 2
            self._chunks[task.number] = replace(task.chunk, span=halves[0], rows=rows)
            self._chunks.append(replace(task.chunk, span=halves[1], rows=rows))
            self._open += [(task.number, 0), (len(self._chunks) - 1, 0)]
