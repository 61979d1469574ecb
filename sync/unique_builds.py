"""The thread of a store that builds unique indexes beside the stream, one table at a time.

The applier hands a table over, looks whether it is done, and calls a build off; all of that never waits, except
for a build that is called off, which waits for nothing then. It survives the applier's sessions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from model.errors import CrossfadeError
from stores.errors import translated
from stores.postgres import PostgresConnection
from stores.retry import is_transient
from transforms.plan import TablePlan
from transforms.target import TargetTable

Build = Callable[[PostgresConnection, TargetTable, threading.Event, Callable[[str], None]], None]
"""As `sync.postgres.unique_build.build_uniques`."""

_CANCEL_AGAIN_S: Final = 0.2
"""A cancel that comes between two statements stops nothing."""


@dataclass(slots=True)
class _Job:
    target: TargetTable
    stop: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    connection: PostgresConnection | None = None
    pid: int | None = None
    index: str = ""
    progress: str = ""
    error: BaseException | None = None

    def said(self) -> str:
        """What it does now."""
        doing = f"building unique index {self.index}" if self.index else "waiting for its turn to build unique indexes"
        return f"{doing}: {self.progress}" if self.progress else doing


class UniqueBuilds:
    """What is built beside one store's stream now, and how the builds before ended."""

    def __init__(
        self, store: str, connect: Callable[[], PostgresConnection], build: Build, wake: Callable[[], None]
    ) -> None:
        """`wake` is called, from any thread, when a build has ended."""
        self._store = store
        self._connect = connect
        self._build = build
        self._wake = wake
        self._job: _Job | None = None
        self._ended: dict[TargetTable, BaseException | None] = {}
        self._handed: Mapping[str, TargetTable] = MappingProxyType({})

    # -- for other threads

    def told(self) -> dict[str, str]:
        """Plan id → what the plan's table waits for."""
        job, handed = self._job, self._handed
        if job is None:
            return dict.fromkeys(handed, "its unique indexes are built next")
        behind = f"its unique indexes are built after those of {job.target.schema}.{job.target.name}"
        return {plan_id: job.said() if job.target == target else behind for plan_id, target in handed.items()}

    # -- for the applier

    @property
    def busy(self) -> bool:
        """Whether a build goes on."""
        return self._job is not None and not self._job.done.is_set()

    @property
    def pid(self) -> int | None:
        """The backend of the build that goes on."""
        return self._job.pid if self._job is not None and self.busy else None

    def builds_for(self, plans: Iterable[TablePlan]) -> bool:
        """Whether the build that goes on is that of one of these plans."""
        job = self._job
        return job is not None and any(_same_table(job.target, plan.target) for plan in plans)

    def waits(self, plan: TablePlan) -> bool:
        """Whether a plan was handed over and cannot go on: its target is being built, or another one before it."""
        if plan.id not in self._handed or not self.busy:
            return False
        return plan.target not in self._ended

    def handed(self, plan_id: str) -> bool:
        """Whether a plan was handed over: it was exact and swept then."""
        return plan_id in self._handed

    def hand_over(self, plan: TablePlan) -> None:
        """Build what the plan's target lacks, now or when the build that goes on has ended and this is asked again."""
        self._collect()
        self._handed = MappingProxyType({**self._handed, plan.id: plan.target})
        if self._job is None:
            job = self._job = _Job(plan.target)
            name = f"uniques-{self._store}"
            threading.Thread(target=self._run, args=(job,), name=name, daemon=True).start()

    def take(self, plan: TablePlan) -> None:
        """Raises what the last build of the plan's target raised, once."""
        self._collect()
        error = self._ended.pop(plan.target, None)
        if error is not None:
            raise error

    def done(self, plan: TablePlan) -> None:
        """The plan has its unique indexes, or needs none any more."""
        self._handed = MappingProxyType({one: target for one, target in self._handed.items() if one != plan.id})

    def show(self, progress: str) -> None:
        """How far the build that goes on is."""
        if self._job is not None:
            self._job.progress = progress

    def leave(self, plans: Iterable[TablePlan]) -> None:
        """Call off what is built for these plans, wait for its end, and forget them."""
        for plan in plans:
            if self._job is not None and _same_table(self._job.target, plan.target):
                self._call_off(self._job)
            for target in [one for one in self._ended if _same_table(one, plan.target)]:
                del self._ended[target]
            self.done(plan)

    def keep(self, plans: Iterable[TablePlan]) -> None:
        """A session begins with these plans: what is built for a table that is another now is called off, and who was
        handed over is forgotten."""
        targets = {plan.target for plan in plans}
        if self._job is not None and self._job.target not in targets:
            self._call_off(self._job)
        self._collect()
        self._ended = {
            target: error
            for target, error in self._ended.items()
            if target in targets and (error is None or not is_transient(error))
        }
        self._handed = MappingProxyType({})

    def close(self) -> None:
        """Call off everything."""
        if self._job is not None:
            self._call_off(self._job)

    # -- the thread

    def _run(self, job: _Job) -> None:
        try:
            with closing(self._connect()) as connection:
                job.connection, job.pid = connection, connection.info.backend_pid
                self._build(connection, job.target, job.stop, lambda name: _begin(job, name))
        except BaseException as error:
            job.error = error  # raised again where the table is promoted
        finally:
            job.done.set()
            self._wake()

    def _collect(self) -> None:
        """Note how the build ended."""
        if self._job is not None and self._job.done.is_set():
            self._ended[self._job.target] = self._job.error
            self._job = None

    def _call_off(self, job: _Job) -> None:
        job.stop.set()
        while not job.done.is_set():
            if job.connection is not None:
                with suppress(CrossfadeError), translated(f"store {self._store}"):
                    job.connection.cancel_safe(timeout=5.0)
            job.done.wait(_CANCEL_AGAIN_S)
        self._job = None


def _begin(job: _Job, index: str) -> None:
    job.index, job.progress = index, ""


def _same_table(one: TargetTable, other: TargetTable) -> bool:
    return (one.schema, one.name) == (other.schema, other.name)
