"""A verification run: the chosen table plans are cut into chunks, workers judge them, the verdicts are put together.

Which chunks there are and what came of them is the ledger's (`ledger.py`): a run that was killed goes on from it, and
several processes can share one.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from config.settings import Invariant, Settings
from model.errors import CrossfadeError, UsageError
from model.tables import TableDef, TableId
from stores.mysql import ServerInfo
from sync.mysql.snapshot import connect_reader
from sync.progress import CopyProgress, ProgressMeter
from transforms.plan import MigrationPlan, TablePlan
from validators.canonical.record import VERSION, RecordForm
from validators.computed_check import blank_computed, names_of_computed
from validators.computed_verdict import Computed, computed_id
from validators.cutting import spans_of
from validators.findings import Mode, TableVerdict, Verdict
from validators.invariant_check import PREFIX, blank_invariant
from validators.ledger import Chunk, Ledger, MemoryLedger, Task
from validators.merging import merged
from validators.source_side import SourceSide
from validators.spans import Span
from validators.table_access import TableAccess
from validators.table_check import blank
from validators.transform_hash import transform_hash
from validators.worker import WHOLE_MODES, Worker

Progress = Callable[[CopyProgress], None]
TICK_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Scope:
    """What is to be verified and against which definitions."""

    info: ServerInfo
    tables: Mapping[TableId, TableDef]
    plan: MigrationPlan
    only_tables: tuple[str, ...] = ()
    only_store: str | None = None

    def chosen(self) -> tuple[TablePlan, ...]:
        """The plans in scope. Raises UsageError for a name that nothing has."""
        stores = {plan.target.store for plan in self.plan.plans}
        if self.only_store is not None and self.only_store not in stores:
            raise UsageError(
                f"there is no store {self.only_store!r}", hint=f"Known stores: {', '.join(sorted(stores))}."
            )
        plans = [plan for plan in self.plan.plans if self.only_store in (None, plan.target.store)]
        wanted = {name.lower() for name in self.only_tables}
        known = {name for plan in plans for name in names_of(plan)}
        known |= {name for one in self._all_computed for name in names_of_computed(one)}
        for name in self.only_tables:
            if name.lower() not in known:
                shown = sorted({plan.source.id.name for plan in plans})
                raise UsageError(
                    f"there is no table {name!r} in the plan",
                    hint=f"Known tables: {', '.join(shown[:40])}{' …' if len(shown) > 40 else ''}.",
                )
        return tuple(plan for plan in plans if not wanted or wanted & names_of(plan))

    @property
    def _all_computed(self) -> tuple[Computed, ...]:
        return (*self.plan.lookups, *self.plan.read_models)

    def computed(self) -> tuple[Computed, ...]:
        """The looked-up columns and read models in scope."""
        wanted = {name.lower() for name in self.only_tables}
        return tuple(
            one
            for one in self._all_computed
            if self.only_store in (None, one.store) and (not wanted or wanted & names_of_computed(one))
        )


def names_of(plan: TablePlan) -> set[str]:
    """Names by which a plan can be chosen, in lower case: source table, target table, with and without their schema."""
    target = plan.target
    return {
        name.lower()
        for name in (plan.source.id.name, str(plan.source.id), target.name, f"{target.schema}.{target.name}", plan.id)
    }


class Verification:
    """One run, or this process's part in one."""

    def __init__(
        self,
        settings: Settings,
        scope: Scope,
        mode: Mode,
        stop: threading.Event,
        *,
        deadline_s: float | None = None,
        ledger: Ledger | None = None,
        progress: Progress | None = None,
        tool_version: str = "",
    ) -> None:
        """`deadline_s` is how long differing rows are followed per chunk; unset: `verify.settle_s`.

        Without a ledger the run leaves nothing behind. `progress` is called a few times a second.
        """
        self._settings = settings
        self._scope = scope
        self._mode = mode
        self._stop = stop
        self._deadline_s = settings.verify.settle_s if deadline_s is None else deadline_s
        self._ledger = ledger or MemoryLedger()
        self._progress = progress
        self._tool_version = tool_version
        self._access = TableAccess(settings, scope.info, scope.tables, scope.plan, stop)
        self._plans = {} if mode is Mode.INVARIANTS else {plan.id: plan for plan in scope.chosen()}
        self._invariants = self._asked()
        computed = () if mode in (Mode.INVARIANTS, Mode.SCHEMA) else scope.computed()
        self._computed = {computed_id(one): one for one in computed}
        self._lock = threading.Lock()
        self._meter = ProgressMeter({})
        self._left: dict[str, int] = {}

    def run(self) -> Verdict:
        """Judge every chunk that is left, wait for those that others have, and give the verdict over all of them.

        When `stop` is set it is the verdict over what was done. Raises UsageError, Unreachable, AccessDenied.
        """
        begun = time.monotonic()
        stores = {name: self._access.store(name) for name in sorted({p.target.store for p in self._plans.values()})}
        if not self._ledger.entries():
            self._ledger.begin(self._chunks())
        self._measure()
        halt = threading.Event()
        workers = [
            Worker(
                self._access,
                stores,
                self._plans,
                self._invariants,
                self._computed,
                self._ledger,
                self._mode,
                self._deadline_s,
                self._stop,
                halt,
                self._note,
            )
            for _ in range(max(1, min(self._settings.verify.workers, sum(self._left.values()))))
        ]
        try:
            for worker in workers:
                worker.start()
            while any(worker.is_alive() for worker in workers):
                next(worker for worker in workers if worker.is_alive()).join(TICK_S)
                self._tell()
        except BaseException:
            self._stop.set()
            raise
        finally:
            halt.set()
            for worker in workers:
                worker.join()
        for worker in workers:
            if worker.error is not None:
                raise worker.error
        return self.verdict(time.monotonic() - begun)

    def fingerprints(self) -> dict[str, str]:
        """What is compared: plan → transform hash, invariant → its statements. A run is resumed only for the same."""
        told = {plan_id: transform_hash(plan) for plan_id, plan in self._plans.items()}
        told |= {plan_id: one.model_dump_json() for plan_id, one in self._invariants.items()}
        return told | {plan_id: one.fingerprint for plan_id, one in self._computed.items()}

    def finished(self) -> bool:
        """Whether every chunk was judged."""
        return all(entry.verdict is not None for entry in self._ledger.entries())

    def _asked(self) -> dict[str, Invariant]:
        """The invariants that belong to the run: those of its store, none when it is about some tables only."""
        if self._mode not in (Mode.AUTO, Mode.INVARIANTS):
            return {}
        if self._scope.only_tables and self._mode is Mode.AUTO:
            return {}
        wanted = self._scope.only_store
        found = {
            PREFIX + one.name: one
            for one in self._settings.verify.invariants
            if wanted is None or set(one.statements) == {wanted}
        }
        if not found and self._mode is Mode.INVARIANTS:
            raise UsageError(
                "the configuration has no invariants" + (f" of store {wanted} alone" if wanted else ""),
                hint="Add them: verify.invariants: [{name: orders_per_day, source: SQL, store: NAME, sql: SQL}]",
            )
        return found

    def _chunks(self) -> Sequence[Chunk]:
        """Every plan's spans, the largest plans first: all workers can begin at once."""
        largest_first = sorted(self._plans.values(), key=lambda plan: -plan.source.rows_estimate)
        chunks: list[Chunk] = []
        with closing(connect_reader(self._settings.source, self._scope.info)) as connection:
            for plan in largest_first:
                spans = [(Span(), plan.source.rows_estimate)]
                if self._mode not in WHOLE_MODES and plan.source.rows_estimate > self._settings.verify.chunk_rows:
                    source = SourceSide(connection, self._scope.info, plan, RecordForm.of(plan), pushed=False)
                    try:
                        spans = spans_of(source, self._settings.verify.chunk_rows)
                    except CrossfadeError as error:
                        if error.transient:
                            raise
                        # The table is gone or closed to us: its verdict will say so.
                chunks += [Chunk(plan.id, span, rows) for span, rows in spans]
        return [*chunks, *(Chunk(plan_id, Span(), 0) for plan_id in [*self._invariants, *self._computed])]

    def _measure(self) -> None:
        """Estimates and what is done already, for the progress."""
        entries = self._ledger.entries()
        estimates = dict.fromkeys([*self._plans, *self._invariants, *self._computed], 0)
        for entry in entries:
            estimates[entry.chunk.plan_id] = estimates.get(entry.chunk.plan_id, 0) + entry.chunk.rows
        self._left = dict.fromkeys(estimates, 0)
        self._meter = ProgressMeter(estimates)
        for entry in entries:
            self._left[entry.chunk.plan_id] += entry.verdict is None
            if entry.verdict is not None:
                self._meter.set_rows(entry.chunk.plan_id, entry.verdict.source_rows or entry.chunk.rows)
        for plan_id, left in self._left.items():
            if not left:
                self._meter.finish(plan_id)

    def _note(self, task: Task, verdict: TableVerdict) -> None:
        with self._lock:
            plan_id = task.chunk.plan_id
            self._left[plan_id] -= 1
            rows = task.chunk.rows if verdict.source_rows is None else verdict.source_rows
            self._meter.add(plan_id, rows, 0, time.monotonic())
            if self._left[plan_id] <= 0:
                self._meter.finish(plan_id)

    def _tell(self) -> None:
        if self._progress is not None:
            with self._lock:
                self._meter.tick(time.monotonic())
                now = self._meter.snapshot()
            self._progress(now)

    def verdict(self, duration_s: float = 0.0) -> Verdict:
        """The verdict over what was judged by now; what was not is inconclusive."""
        found: dict[str, list[TableVerdict]] = {}
        for entry in self._ledger.entries():
            plan = self._plans.get(entry.chunk.plan_id)
            verdict = entry.verdict
            if verdict is None and plan is not None:
                verdict = blank(plan, self._mode, RecordForm.of(plan), why="stopped before it was compared whole")
                # Not counted: what is known of the other chunks stays visible.
                verdict = dataclasses.replace(verdict, source_rows=0, target_rows=0)
            elif verdict is None and entry.chunk.plan_id in self._computed:
                one = self._computed[entry.chunk.plan_id]
                verdict = blank_computed(one, self._mode, "stopped before it was compared")
            elif verdict is None:
                verdict = blank_invariant(self._invariants[entry.chunk.plan_id], "stopped before it was asked for")
            if verdict is not None:
                found.setdefault(entry.chunk.plan_id, []).append(verdict)
        return Verdict(
            self._settings.name,
            self._mode,
            self._ledger.started_at,
            duration_s,
            tuple(
                merged(found[plan_id])
                for plan_id in [*self._plans, *self._invariants, *self._computed]
                if plan_id in found
            ),
            tuple((str(table), reason) for table, reason in sorted(self._scope.plan.skipped.items())),
            VERSION,
            self._tool_version,
        )
