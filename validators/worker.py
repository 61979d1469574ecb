"""One worker of a verification run: takes chunks from the ledger, judges them, enters what came of them.

Whatever goes wrong with a chunk is that chunk's verdict: INCONCLUSIVE with the reason, never left out. What may pass by
itself (a lost connection, a deadlock) is tried again first; a chunk whose statement ran too long is halved.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Final

import structlog

from config.settings import Invariant
from model.errors import CrossfadeError, StatementTimeout
from stores.control.table_states import Phase
from transforms.plan import TablePlan
from validators.canonical.record import RecordForm
from validators.computed_check import blank_computed, is_made, judge_computed
from validators.computed_verdict import Computed
from validators.cutting import leading_column
from validators.findings import Mode, Outcome, TableVerdict
from validators.invariant_check import blank_invariant
from validators.ledger import Ledger, Task
from validators.schema_check import check_schema
from validators.spans import Span
from validators.table_access import StoreFacts, TableAccess
from validators.table_check import TableCheck, blank, few_differ

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 3
PAUSE_S: Final = 1.0
MADE_S: Final = 10.0
"""So long may the applier take to make a read model or a lookup after the last table of its store streams."""
POLL_S: Final = 0.2
LATE_S: Final = 1.0
"""How long a store that was late once is waited for per chunk, until it comes in time again."""
SMALLEST: Final = 1_000
"""Chunks of fewer rows are not halved."""

WHOLE_MODES: Final = frozenset({Mode.COUNTS, Mode.SAMPLE, Mode.SCHEMA})
"""Modes that look at a table in one piece."""

Note = Callable[[Task, TableVerdict], None]


class Worker(threading.Thread):
    """One thread with connections of its own, kept from chunk to chunk of the same plan."""

    def __init__(
        self,
        access: TableAccess,
        stores: Mapping[str, StoreFacts],
        plans: Mapping[str, TablePlan],
        invariants: Mapping[str, Invariant],
        computed: Mapping[str, Computed],
        ledger: Ledger,
        mode: Mode,
        deadline_s: float,
        stop: threading.Event,
        halt: threading.Event,
        note: Note,
    ) -> None:
        """`stop`: somebody asked for the end; `halt`: another worker failed. `note` is told of every verdict."""
        super().__init__(name="verify", daemon=True)
        self.error: BaseException | None = None
        self._access = access
        self._stores = stores
        self._plans = plans
        self._invariants = invariants
        self._known = computed
        self._ledger = ledger
        self._mode = mode
        self._deadline_s = deadline_s
        self._asked = stop
        self._halt = halt
        self._note = note
        self._lines = access.lines()
        self._stack = ExitStack()
        self._check: TableCheck | None = None
        self._late: set[str] = set()
        self._calm: set[str] = set()
        """Plans of whose last chunk little differed."""

    def run(self) -> None:
        """Work until nothing is left; what ended it otherwise is in `error`."""
        try:
            while not self._ended:
                task = self._ledger.take()
                if task is not None:
                    self._do(task)
                elif not self._ledger.open():
                    break
                else:
                    self._halt.wait(POLL_S)
        except BaseException as error:
            self.error = error
            self._halt.set()
        finally:
            self._close()

    @property
    def _ended(self) -> bool:
        return self._asked.is_set() or self._halt.is_set()

    def _do(self, task: Task) -> None:
        verdict = self._verdict(task)
        if verdict is None:
            return
        if self._ended and verdict.outcome is Outcome.INCONCLUSIVE:
            self._ledger.give_back(task)
            return
        verdict = dataclasses.replace(verdict, compared_at=task.taken_at)
        self._ledger.done(task, verdict)
        self._note(task, verdict)

    def _verdict(self, task: Task) -> TableVerdict | None:
        if task.chunk.plan_id in self._invariants:
            return self._asked_for(task)
        if task.chunk.plan_id in self._known:
            return self._computed(task)
        return self._compared(task)

    def _compared(self, task: Task) -> TableVerdict | None:
        """The verdict over a chunk of a table; None when it was left in the ledger for another try."""
        plan = self._plans[task.chunk.plan_id]
        form = RecordForm.of(plan)
        try:
            return self._judge(plan, form, task)
        except CrossfadeError as error:
            self._close()
            if isinstance(error, StatementTimeout) and (halves := self._halves(plan, form, task)) is not None:
                log.info("chunk_halved", plan=plan.id, span=str(task.chunk.span), reason=str(error))
                self._ledger.split(task, halves)
                return None
            if self._again(task, error):
                return None
            return blank(plan, self._mode, form, why=str(error), next_step=error.hint)

    def _asked_for(self, task: Task) -> TableVerdict | None:
        """The verdict over an invariant; None when it was left in the ledger for another try."""
        invariant = self._invariants[task.chunk.plan_id]
        begun = time.monotonic()
        try:
            with self._access.asked(invariant, self._deadline_s) as check:
                return dataclasses.replace(check.run(), duration_s=time.monotonic() - begun)
        except CrossfadeError as error:
            if self._again(task, error):
                return None
            return blank_invariant(invariant, str(error), error.hint)

    def _computed(self, task: Task) -> TableVerdict | None:
        """The verdict over a read model or a looked-up column; None when it was left in the ledger for another try."""
        one = self._known[task.chunk.plan_id]
        try:
            connection = self._lines.store(one.store)
            patience = time.monotonic() + min(self._deadline_s, MADE_S)
            while not is_made(connection, one) and time.monotonic() < patience and not self._ended:
                self._halt.wait(PAUSE_S)
            return judge_computed(connection, one, self._mode)
        except CrossfadeError as error:
            self._close()
            if self._again(task, error):
                return None
            return blank_computed(one, self._mode, str(error), error.hint)

    def _again(self, task: Task, error: CrossfadeError) -> bool:
        """Whether the chunk was left in the ledger for another try."""
        if not self._ended and not (error.transient and task.attempts + 1 < ATTEMPTS):
            return False
        self._ledger.give_back(task)
        self._halt.wait(PAUSE_S)
        return True

    def _halves(self, plan: TablePlan, form: RecordForm, task: Task) -> tuple[Span, Span] | None:
        position, span = leading_column(plan), task.chunk.span
        if position is None or task.chunk.rows < SMALLEST or self._mode in WHOLE_MODES:
            return None
        try:
            source = self._opened(plan, form).source
            for found in source.ranges((position,), span.conditions(plan)[0]):
                named = Span(plan.columns[position].target.name, span.low, span.high)
                return named.halves(found.low, found.high)
        except CrossfadeError:
            self._close()
        return None

    def _judge(self, plan: TablePlan, form: RecordForm, task: Task) -> TableVerdict:
        store = self._stores[plan.target.store]
        state = store.states.get(plan.id)
        if state is not None and state.phase is not Phase.STREAMING:
            reason = f": {state.reason}" if state.reason else ""
            return blank(
                plan,
                self._mode,
                form,
                why=f"the table is {state.phase}, not streaming yet{reason}",
                next_step="crossfade status --tables",
            )
        check = self._opened(plan, form)
        if self._mode is Mode.SCHEMA:
            begun = time.monotonic()
            serves = plan.id in self._access.serving({plan.id: plan})
            verdict = check_schema(plan, form, check.target.connection, serves=serves)
            return dataclasses.replace(verdict, duration_s=time.monotonic() - begun)
        late = store.name in self._late
        check.alignment.restart(min(self._deadline_s, LATE_S) if late else self._deadline_s)
        mode = self._mode
        if mode in (Mode.AUTO, Mode.CHECKSUM):
            mode = Mode.CHECKSUM if check.source.pushed else Mode.ROWS
        chunk = task.chunk
        rows = None if chunk.span.whole else chunk.rows
        calm = plan.id in self._calm
        verdict = check.run(mode, chunk.span, rows, self._ledger.found(plan.id), calm=calm)
        (self._calm.add if few_differ(verdict) else self._calm.discard)(plan.id)
        if check.alignment.late:
            self._late.add(store.name)
        elif verdict.rows_compared_again:
            self._late.discard(store.name)
        return verdict

    def _opened(self, plan: TablePlan, form: RecordForm) -> TableCheck:
        if self._check is None or self._check.plan is not plan:
            self._leave()
            push = self._mode is not Mode.ROWS
            opened = self._access.opened(
                plan, form, self._stores[plan.target.store], self._deadline_s, push=push, lines=self._lines
            )
            self._check = self._stack.enter_context(opened)
        return self._check

    def _leave(self) -> None:
        """Done with a plan; the connections stay."""
        self._check = None
        self._stack.close()

    def _close(self) -> None:
        self._leave()
        self._lines.close()
