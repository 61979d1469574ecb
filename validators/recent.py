"""Rows that are compared out of turn: those that the last transactions changed, and those that are known to differ.

They are compared by value at a known position, as the candidates of a run are.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Final

from config.settings import Settings
from model.tables import TableDef, TableId
from stores.control import checkpoints, verify_proof, verify_proof_notes, verify_runs
from stores.control.verify_runs import StoredFinding
from stores.errors import translated
from stores.mysql import ServerInfo
from stores.postgres import PostgresConnection, connect_store
from transforms.plan import TablePlan
from validators.canonical.record import CanonicalRow, RecordForm
from validators.changed_keys import ChangedKeys
from validators.computed_proof import ComputedProofs
from validators.findings import Finding, Mode, TableVerdict
from validators.journal import enter_findings
from validators.lines import Lines
from validators.row_check import RowCheck, RowResult
from validators.spans import Span
from validators.table_access import StoreFacts, TableAccess
from validators.table_check import blank

CHANGED_S: Final = 10.0
"""How often the changes are looked at."""
FINDINGS_S: Final = 30.0
MOST_TRANSACTIONS: Final = 5_000
"""Of one look; those before them are not looked at, the chunk's own turn will come."""
MOST_KEYS: Final = 20_000
"""Changed keys of one plan that are told apart at a look."""
LOOK_S: Final = 3.0
"""How long a look may take; the chunks of what it has not come to are due sooner."""
SHARE: Final = 0.2
"""Of the time, at most, for changed rows: every table has to wait for its store once."""
COMPARED: Final = 500
"""Of these, rows that are compared at once; the chunks of the others are due sooner."""


class RecentRows:
    """Of one migration. For one thread; `control` is its owner's."""

    def __init__(
        self,
        settings: Settings,
        control: PostgresConnection,
        info: ServerInfo,
        tables: Mapping[TableId, TableDef],
        plans: Iterable[TablePlan],
        computed: ComputedProofs,
    ) -> None:
        self._computed = computed
        self._settings = settings
        self._control = control
        self._forms = {plan.id: RecordForm.of(plan) for plan in plans}
        self._changes: dict[str, ChangedKeys] = {}
        self._reached: dict[str, int] = {}
        self._next_changes = self._next_findings = float("-inf")
        for store in sorted({plan.target.store for plan in plans}):
            dsn = settings.stores[store].dsn
            with closing(connect_store(dsn, application="crossfade verify")) as connection:
                chosen = [plan for plan in plans if plan.target.store == store]
                self._changes[store] = ChangedKeys(
                    settings, connection, chosen, self._forms, tables, mariadb=info.mariadb
                )

    def close(self) -> None:
        """Close the relay."""
        for changes in self._changes.values():
            changes.close()

    def look(
        self, access: TableAccess, lines: Lines, facts: Mapping[str, StoreFacts], plans: Mapping[str, TablePlan]
    ) -> None:
        """Compare what is to be compared now, of these plans. Raises what the servers raise."""
        now = time.monotonic()
        if now >= self._next_changes:
            self._look_at_changes(access, lines, facts, plans, now + LOOK_S)
            took_s = time.monotonic() - now
            self._next_changes = now + max(CHANGED_S, took_s / SHARE)
        if now >= self._next_findings:
            self._next_findings = now + FINDINGS_S
            self._look_at_findings(access, lines, facts, plans)

    def _look_at_changes(
        self,
        access: TableAccess,
        lines: Lines,
        facts: Mapping[str, StoreFacts],
        plans: Mapping[str, TablePlan],
        until: float,
    ) -> None:
        for store, changes in self._changes.items():
            upto = self._checkpoint(store)
            after = self._reached.get(store, upto)
            self._reached[store] = upto
            found = changes.between(max(after, upto - MOST_TRANSACTIONS, changes.first - 1), upto, MOST_KEYS)
            if isinstance(found, str):
                continue
            for plan_id, keys in found.items():
                if not keys or plan_id not in plans:
                    continue
                late = list(keys)
                if time.monotonic() < until:
                    result = self._compared(access, lines, facts, plans[plan_id], late[:COMPARED])
                    self._enter(plans[plan_id], result)
                    wrong = [_key(one) for one in result.findings]
                    late = [*late[COMPARED:], *result.unresolved, *wrong]
                if late:
                    self._sooner(plans[plan_id], None if len(keys) >= MOST_KEYS else late)
            self._computed.follow(lines, store, found, until)

    def _checkpoint(self, store: str) -> int:
        dsn = self._settings.stores[store].dsn
        with closing(connect_store(dsn, application="crossfade verify")) as connection, translated(f"store {store}"):
            found = checkpoints.read(connection, self._settings.name)
        return found.seq if found is not None else 0

    def _sooner(self, plan: TablePlan, keys: Sequence[CanonicalRow] | None) -> None:
        """The chunks of these keys, all of the plan without, are due sooner."""
        name = self._settings.name
        chunks = verify_proof.chunks_of(self._control, name, plan.id)
        form = self._forms[plan.id]
        names = [form.names[index] for index in form.key]
        chosen = []
        for chunk in chunks:
            span = Span.of(chunk.span)
            if keys is None or span.column not in names:
                chosen.append(chunk.chunk_no)
                continue
            place = names.index(span.column)
            if any(span.holds(int(key[place] or b"0")) for key in keys):
                chosen.append(chunk.chunk_no)
        verify_proof_notes.note_changes(self._control, name, plan.id, chosen)

    def _look_at_findings(
        self, access: TableAccess, lines: Lines, facts: Mapping[str, StoreFacts], plans: Mapping[str, TablePlan]
    ) -> None:
        """Rows that are known to differ, or were mended: what is equal by now is confirmed, or gone."""
        known = verify_runs.findings_of(self._control, self._settings.name, states=("open", "repaired"))
        for plan_id in dict.fromkeys(one.plan_id for one in known):
            plan = plans.get(plan_id)
            if plan is None or not plan.key:
                continue
            names = [self._forms[plan_id].names[index] for index in plan.key]
            by_key: dict[CanonicalRow, StoredFinding] = {
                tuple(None if one.key[name] is None else str(one.key[name]).encode() for name in names): one
                for one in known[: 10 * COMPARED]
                if one.plan_id == plan_id and set(one.key) == set(names)
            }
            keys = list(by_key)[:COMPARED]
            if not keys:
                continue
            result = self._compared(access, lines, facts, plan, keys)
            self._enter(plan, result)
            wrong = {_key(one) for one in result.findings}
            for key in set(keys) - wrong - set(result.unresolved):
                state = "confirmed" if by_key[key].state == "repaired" else "gone"
                verify_runs.set_state(self._control, by_key[key].id, state)

    def _compared(
        self,
        access: TableAccess,
        lines: Lines,
        facts: Mapping[str, StoreFacts],
        plan: TablePlan,
        keys: Sequence[CanonicalRow],
    ) -> RowResult:
        form = self._forms[plan.id]
        store = facts[plan.target.store]
        with access.opened(plan, form, store, self._settings.verify.settle_s, push=False, lines=lines) as check:
            rows = RowCheck(check.source, check.target, form, check.alignment, check.changes, len(keys) + 1)
            return rows.run(keys)

    def _enter(self, plan: TablePlan, result: RowResult) -> None:
        if not result.findings:
            return
        name = self._settings.name
        verdict: TableVerdict = dataclasses.replace(
            blank(plan, Mode.ROWS, self._forms[plan.id]), findings=tuple(result.findings)
        )
        enter_findings(self._control, name, verify_runs.continuous_run(self._control, name), verdict)


def _key(found: Finding) -> CanonicalRow:
    return tuple(None if value is None else value.encode() for _, value in found.key)
