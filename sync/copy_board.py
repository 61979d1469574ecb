"""The board of a copy: which tables are still to be copied, and what the next free worker does. No I/O.

A task is one chunk, or the opening or closing of a table. Workers take the first task of the biggest unfinished
table, so that a big table with several ranges has all workers, and no worker sits alone with it at the end.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import SecretStr

from model.tables import TableDef
from stores.control.chunks import Chunk
from stores.postgres import PostgresConnection
from sync.mysql.chunks import ChunkKey, Span
from sync.postgres.copy import Loaded
from sync.progress import CopyProgress, ProgressMeter
from sync.relay.values import RelayTail
from sync.table_phase import TablePhases
from transforms.plan import TablePlan


class Replan(Protocol):
    """Follows a change of a definition that a copy meets."""

    def __call__(self, connection: PostgresConnection, plan: TablePlan, definition: TableDef, seq: int) -> TablePlan:
        """Make a new plan by `definition`, which holds after transaction `seq`, and its target table anew and empty.

        In the caller's transaction, which has the fence. Raises CrossfadeError when it cannot.
        """


@dataclass(frozen=True, slots=True)
class StoreCopy:
    """One store of a copy: where to write, as whom, and what."""

    name: str
    dsn: SecretStr
    stream: str
    fence: int
    plans: tuple[TablePlan, ...]
    phases: TablePhases
    build_indexes: Callable[[PostgresConnection, TablePlan], None]
    """Builds what is built after the rows are there (non-unique indexes); outside a transaction, idempotent."""
    replan: Replan | None = None
    """Without it a table whose definition changes before it is copied is held."""


@dataclass(slots=True, eq=False)
class Job:
    """The copy of one plan. Written under the board's lock, or by the only task that runs (opening, closing)."""

    store: StoreCopy
    plan: TablePlan
    key: ChunkKey | None = None
    low: RelayTail | None = None
    """S, or a later tail when the copy was resumed: proving that proves S."""
    spans: deque[Span] = field(default_factory=deque)
    next_no: int = 1
    row_bytes: float = 256.0
    opened: bool = False
    finished: bool = False
    restarting: bool = False
    looked_s: float = 0.0
    """When its definition was last looked at, by the monotonic clock."""
    active: int = 0
    redone: int = 0

    @property
    def whole(self) -> bool:
        """Whether the table is read in one piece, exactly at a position."""
        return not self.plan.key or self.key is None


@dataclass(frozen=True, slots=True)
class Task:
    """What one worker does in one piece: open a table, copy from the beginning of a span, or (with neither) finish."""

    job: Job
    span: Span | None = None
    opening: bool = False
    number: int = 0
    """Number of the chunk in the ledger."""


class Board:
    """Shared by the workers of one run. `halt` ends all waiting."""

    def __init__(self, jobs: Sequence[Job], meter: ProgressMeter, halt: threading.Event) -> None:
        self._jobs = sorted(jobs, key=lambda job: -job.plan.source.bytes_estimate)
        self._meter = meter
        self._halt = halt
        self._changed = threading.Condition()
        self._idle = 0

    @property
    def idle(self) -> int:
        """How many workers wait for a task that is not there."""
        with self._changed:
            return self._idle

    def take(self) -> Task | None:
        """The next task; waits while others may still make some. None: nothing is left, or halted."""
        with self._changed:
            while not self._halt.is_set():
                unfinished = [job for job in self._jobs if not job.finished]
                if not unfinished:
                    return None
                for job in unfinished:
                    task = _task_of(job)
                    if task is not None:
                        job.active += 1
                        return task
                self._idle += 1
                self._changed.wait(0.5)
                self._idle -= 1
        return None

    def done(self, task: Task) -> None:
        """A worker has finished with a task, one way or another."""
        with self._changed:
            task.job.active -= 1
            self._changed.notify_all()

    def opened(self, job: Job, low: RelayTail, spans: Iterable[Span], known: Sequence[Chunk]) -> None:
        """The gate is closed; `known` is what the ledger has already."""
        with self._changed:
            job.low = low
            job.next_no = max((chunk.chunk_no for chunk in known), default=0) + 1
            job.spans = deque(spans)
            job.opened = True
            self._meter.set_rows(job.plan.id, sum(chunk.rows for chunk in known))
            self._changed.notify_all()

    def copied(self, job: Job, loaded: Loaded, rest: Sequence[Span] = ()) -> None:
        """A chunk is committed; `rest` is what is left of its span, in key order."""
        with self._changed:
            job.spans.extendleft(reversed(rest))
            if loaded.rows:
                job.row_bytes = max(16.0, loaded.bytes / loaded.rows)
            self._meter.add(job.plan.id, loaded.rows, loaded.bytes, time.monotonic())
            self._changed.notify_all()

    def finished(self, job: Job, *, copied: bool) -> None:
        """The table is copied, or held."""
        with self._changed:
            job.finished = True
            job.spans.clear()
            if copied:
                self._meter.finish(job.plan.id)
            self._changed.notify_all()

    def restart(self, job: Job) -> bool:
        """Wait until the caller's is the job's only task, and keep it so. False: another one does this, or halted."""
        with self._changed:
            if job.restarting or job.finished:
                return False
            job.restarting = True
            while job.active > 1 and not self._halt.is_set():
                self._changed.wait(0.5)
            job.redone += 1
            return not self._halt.is_set()

    def restarted(self, job: Job) -> None:
        """Its target is empty again; the job is to be opened anew."""
        with self._changed:
            job.opened, job.low, job.next_no, job.restarting = False, None, 1, False
            job.spans.clear()
            self._meter.restart(job.plan.id)
            self._changed.notify_all()

    def progress(self) -> CopyProgress:
        """How far the copy is now."""
        with self._changed:
            self._meter.tick(time.monotonic())
            return self._meter.snapshot()


def _task_of(job: Job) -> Task | None:
    if job.restarting:
        return None
    if not job.opened:
        return Task(job, opening=True) if job.active == 0 else None
    if job.spans:
        job.next_no += 1
        return Task(job, job.spans.popleft(), number=job.next_no - 1)
    return Task(job) if job.active == 0 else None
