"""A verification run: every chosen table plan judged by a few workers, each with connections of its own.

A table that cannot be judged is INCONCLUSIVE with the reason and never left out; a lost server ends the run.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from config.settings import Settings
from model.errors import CrossfadeError, Refused, UsageError
from model.tables import TableDef, TableId
from stores.control.table_states import Phase
from stores.mysql import ServerInfo
from transforms.plan import MigrationPlan, TablePlan
from validators.canonical.record import VERSION, RecordForm
from validators.findings import Mode, Outcome, TableVerdict, Verdict
from validators.table_access import StoreFacts, TableAccess
from validators.table_check import blank

Progress = Callable[[TableVerdict], None]


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
        for name in self.only_tables:
            if name.lower() not in known:
                shown = sorted({plan.source.id.name for plan in plans})
                raise UsageError(
                    f"there is no table {name!r} in the plan",
                    hint=f"Known tables: {', '.join(shown[:40])}{' …' if len(shown) > 40 else ''}.",
                )
        return tuple(plan for plan in plans if not wanted or wanted & names_of(plan))


def names_of(plan: TablePlan) -> set[str]:
    """Names by which a plan can be chosen, in lower case: source table, target table, with and without their schema."""
    target = plan.target
    return {
        name.lower()
        for name in (plan.source.id.name, str(plan.source.id), target.name, f"{target.schema}.{target.name}", plan.id)
    }


class Verification:
    """One run."""

    def __init__(
        self,
        settings: Settings,
        scope: Scope,
        mode: Mode,
        stop: threading.Event,
        *,
        deadline_s: float | None = None,
        progress: Progress | None = None,
        tool_version: str = "",
    ) -> None:
        """`deadline_s` is how long differing rows are followed per table; unset: `verify.settle_s`."""
        self._settings = settings
        self._scope = scope
        self._mode = mode
        self._stop = stop
        self._deadline_s = settings.verify.settle_s if deadline_s is None else deadline_s
        self._progress = progress
        self._tool_version = tool_version
        self._access = TableAccess(settings, scope.info, scope.tables, scope.plan, stop)

    def run(self) -> Verdict:
        """Judge every chosen table. Raises UsageError, Unreachable, AccessDenied."""
        plans = self._scope.chosen()
        begun, started = time.monotonic(), datetime.now(UTC)
        stores = {name: self._access.store(name) for name in sorted({plan.target.store for plan in plans})}
        workers = min(self._settings.verify.workers, len(plans)) or 1
        largest_first = sorted(plans, key=lambda plan: -plan.source.rows_estimate)
        with ThreadPoolExecutor(workers, "verify") as executor:
            judged = list(executor.map(lambda plan: self._judged(plan, stores[plan.target.store]), largest_first))
        by_plan = {verdict.plan_id: verdict for verdict in judged}
        return Verdict(
            self._settings.name,
            self._mode,
            started,
            time.monotonic() - begun,
            tuple(by_plan[plan.id] for plan in plans),
            tuple((str(table), reason) for table, reason in sorted(self._scope.plan.skipped.items())),
            VERSION,
            self._tool_version,
        )

    def _judged(self, plan: TablePlan, store: StoreFacts) -> TableVerdict:
        form = RecordForm.of(plan)
        try:
            verdict = self._judge(plan, store, form)
        except (Refused, CrossfadeError) as error:
            verdict = dataclasses.replace(
                blank(plan, self._mode, form), outcome=Outcome.INCONCLUSIVE, why=str(error), next_step=error.hint
            )
        if self._progress is not None:
            self._progress(verdict)
        return verdict

    def _judge(self, plan: TablePlan, store: StoreFacts, form: RecordForm) -> TableVerdict:
        state = store.states.get(plan.id)
        if state is not None and state.phase is not Phase.STREAMING:
            reason = f": {state.reason}" if state.reason else ""
            return dataclasses.replace(
                blank(plan, self._mode, form),
                why=f"the table is {state.phase}, not streaming yet{reason}",
                next_step="crossfade status --tables",
            )
        with self._access.opened(plan, form, store, self._deadline_s, push=self._mode is not Mode.ROWS) as check:
            mode = self._mode
            if mode in (Mode.AUTO, Mode.CHECKSUM):
                mode = Mode.CHECKSUM if check.source.pushed else Mode.ROWS
            return check.run(mode)
