"""Copies the tables of all stores: workers, retries, and the judgement over what failed. Never applies changes.

A table that fails for a reason of its own is HELD and the others go on; a copy whose definition or S no longer holds
is begun anew; a lost server, a lost fence and our own bugs end the run. The frame of one table is `table_copy.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import structlog

from config.settings import Settings, SnapshotSettings
from model.errors import AccessDenied, CrossfadeError, Fenced, Refused
from stores.control import checkpoints, table_states
from stores.errors import translated
from stores.mysql import ServerInfo, connect_source, probe
from stores.postgres import PostgresConnection, connect_store
from stores.retry import retrying
from sync.copy_board import Board, Job, StoreCopy, Task
from sync.copy_session import CopySession
from sync.mysql.source_load import LoadLimits
from sync.mysql.throttle import PauseReason, Throttle
from sync.mysql.visibility import Visibility
from sync.postgres.copy import target_is_empty
from sync.progress import CopyProgress, ProgressMeter
from sync.table_copy import CopyStopped, DefinitionChanged, Relay, RelayView, SourceTableGone, TableCopy
from sync.table_phase import Phase

__all__ = ["Backfill", "StoreCopy"]

log = structlog.get_logger(__name__)

REDO_LIMIT: Final = 3
"""How often a table is begun anew because its definition changed under the copy, before it is held."""
STOP_POLL_S: Final = 0.02
_NO_SUCH_TABLE = 1146
_NO_SUCH_COLUMN = 1054


class Backfill:
    """One run over everything that is still to be copied."""

    def __init__(
        self,
        settings: Settings,
        stores: Sequence[StoreCopy],
        relay: RelayView,
        *,
        pause_reason: PauseReason | None = None,
    ) -> None:
        self._settings = settings
        self._stores = tuple(stores)
        self._halt = threading.Event()
        self._relay = Relay(relay, self._halt)
        self._throttle = Throttle(LoadLimits.of(settings.snapshot), settings.source, pause_reason)
        self._meter = ProgressMeter({plan.id: plan.source.rows_estimate for store in stores for plan in store.plans})
        self._board = Board((), self._meter, self._halt)
        self._failure: BaseException | None = None

    def run(self, stop: threading.Event) -> None:
        """Copy every table that is PENDING or COPYING, until done or stopped.

        Raises Refused (nothing was changed) when a target table that is to be filled for the first time has rows,
        Fenced when another daemon took over, Unreachable when a server stays away for longer than the retry policy.
        """
        self._halt.clear()
        self._failure = None
        for attempt in retrying(self._settings.retry, stop, "copy: look at source and stores"):
            with attempt:
                info, jobs = self._look()
        self._board = Board(jobs, self._meter, self._halt)
        if not jobs:
            return
        steps = TableCopy(
            self._settings.snapshot,
            self._board,
            self._relay,
            Visibility(info, self._halt),
            self._halt,
        )
        workers = [
            threading.Thread(target=self._work, args=(steps, info), name=f"copy-{number}", daemon=True)
            for number in range(self._settings.snapshot.workers)
        ]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            if stop.wait(STOP_POLL_S):
                self._halt.set()
                break
        for worker in workers:
            worker.join()
        self._throttle.close()
        if self._failure is not None:
            raise self._failure

    def progress(self) -> CopyProgress:
        """How far the copy is."""
        return self._board.progress()

    @property
    def pause_reason(self) -> str | None:
        """Why the copy pauses at the moment, None when it does not."""
        return self._throttle.reason

    def tune(self, settings: SnapshotSettings) -> None:
        """Take other limits for the source's load; workers and chunks stay as they began."""
        self._throttle.limits = LoadLimits.of(settings)

    def _look(self) -> tuple[ServerInfo, list[Job]]:
        control = connect_source(self._settings.source)
        try:
            info = probe(control)
        finally:
            control.close()
        jobs: list[Job] = []
        for store in self._stores:
            connection = connect_store(store.dsn, application="crossfade copy")
            try:
                with translated(f"store {store.name}"):
                    jobs.extend(self._jobs_of(store, connection))
            finally:
                connection.close()
        return info, jobs

    def _jobs_of(self, store: StoreCopy, connection: PostgresConnection) -> Iterator[Job]:
        with connection.transaction():
            checkpoints.hold_fence(connection, store.stream, store.fence)
            states = table_states.ensure(connection, store.stream, [plan.id for plan in store.plans])
        store.phases.load(states)
        for plan in store.plans:
            state = states[plan.id]
            if state.phase is Phase.PENDING and not target_is_empty(connection, plan):
                raise Refused(
                    f"the target table {plan.target} has rows, but its copy has not begun",
                    hint=f'Empty it with: TRUNCATE "{plan.target.schema}"."{plan.target.name}", or skip the source '
                    "table in the configuration; then: crossfade start",
                    table=plan.source.id,
                )
            if state.phase in (Phase.PENDING, Phase.COPYING):
                yield Job(store, plan)
            elif state.phase is not Phase.HELD:
                self._meter.set_rows(plan.id, state.rows_copied)
                self._meter.finish(plan.id)

    # -- a worker

    def _work(self, steps: TableCopy, info: ServerInfo) -> None:
        session = CopySession(self._settings.source, info)
        try:
            while (task := self._board.take()) is not None:
                try:
                    self._attempt(steps, task, session)
                finally:
                    self._board.done(task)
        except BaseException as error:  # raised again by run()
            if not self._halt.is_set():
                self._failure = error
                self._halt.set()
        finally:
            session.reset()

    def _attempt(self, steps: TableCopy, task: Task, session: CopySession) -> None:
        """Do a task under the one retry policy, and judge what its failure means."""
        job = task.job
        try:
            self._again(session, f"copy of {job.plan.source.id}", lambda: self._do(steps, task, session))
        except DefinitionChanged as error:
            self._redo(steps, job, session, error)
        except SourceTableGone as error:
            self._hold(steps, job, session, f"{error}. {error.hint}")
        except CrossfadeError as error:
            errno = error.where.get("errno")
            if errno == _NO_SUCH_COLUMN:
                self._redo(steps, job, session, DefinitionChanged(table=job.plan.source.id))
            elif errno == _NO_SUCH_TABLE:
                gone = SourceTableGone(table=job.plan.source.id)
                self._hold(steps, job, session, f"{gone}. {gone.hint}")
            elif error.transient or isinstance(error, Fenced) or _at_the_door(error):
                raise
            elif self._changed(steps, job, session):
                # A value of a new type in a plan of the old one is not the value's fault.
                self._redo(steps, job, session, DefinitionChanged(table=job.plan.source.id))
            else:
                self._hold(steps, job, session, f"{error}. {error.hint}".strip(". ") + ".")

    def _again(self, session: CopySession, what: str, work: Callable[[], object]) -> None:
        for attempt in retrying(self._settings.retry, self._halt, what):
            with attempt:
                try:
                    work()
                except BaseException:
                    # Half-read results and open transactions end with their connections.
                    session.reset()
                    raise

    def _do(self, steps: TableCopy, task: Task, session: CopySession) -> None:
        self._throttle.wait(session.control, self._halt)
        if self._halt.is_set():
            raise CopyStopped
        if task.opening:
            steps.open(task.job, session)
        elif task.span is None:
            steps.finish(task.job, session)
        elif task.job.whole:
            steps.whole(task, session)
        else:
            steps.chunk(task, session)

    def _redo(self, steps: TableCopy, job: Job, session: CopySession, error: CrossfadeError) -> None:
        """Begin a table anew, because what is there belongs to a definition or an S that no longer holds."""
        if not self._board.restart(job):
            return
        if job.redone > REDO_LIMIT or not job.opened:
            self._hold(steps, job, session, f"{error}. {error.hint}")
            return
        log.warning("copy begins anew", table=str(job.plan.source.id), reason=str(error))
        what = f"emptying {job.plan.target}"
        self._again(session, what, lambda: steps.clear(job, session.store(job.store)))
        self._board.restarted(job)

    def _changed(self, steps: TableCopy, job: Job, session: CopySession) -> bool:
        """Whether the source table is another now than the plan that failed was made for."""
        found: list[bool] = []
        what = f"looking at {job.plan.source.id}"
        self._again(session, what, lambda: found.append(job.opened and steps.changed(job, session)))
        return bool(found) and found[-1]

    def _hold(self, steps: TableCopy, job: Job, session: CopySession, reason: str) -> None:
        self._again(session, f"holding {job.plan.source.id}", lambda: steps.hold(job, session, reason))


def _at_the_door(error: CrossfadeError) -> bool:
    """Whether we were not let in at all, which is not the matter of one table."""
    return isinstance(error, AccessDenied) and "table" not in error.where
