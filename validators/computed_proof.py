"""The daemon's proofs of what stores compute by themselves: read models and looked-up columns.

Each is one chunk, computed anew by its store as in a run of `verify`. A change of one of its tables makes that due
sooner; the rows of a looked-up column that are known to be meant by it are compared at once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from typing import Final

from config.settings import Settings
from model.errors import CrossfadeError
from stores.control import events, verify_proof_notes, verify_runs
from stores.control.verify_proof import ChunkProof, ProofState
from stores.postgres import PostgresConnection
from transforms.lookup import Lookup
from transforms.plan import MigrationPlan, TablePlan
from validators.canonical.record import VERSION, CanonicalRow
from validators.computed_check import judge_computed
from validators.computed_verdict import Computed, computed_id, computed_verdict
from validators.findings import Finding, Mode, Outcome, TableVerdict
from validators.journal import enter_findings
from validators.lines import Lines
from validators.lookup_rows import TooMany, judge_rows_of, judge_rows_that_mean
from validators.spans import Span

COMPARED: Final = 500
"""Changed keys of one table that are followed at once."""


class ComputedProofs:
    """Of one migration. For one thread; `control` is its owner's."""

    def __init__(self, settings: Settings, control: PostgresConnection, plan: MigrationPlan) -> None:
        self._name = settings.name
        self._control = control
        self._plans = plan.plans
        everyone: tuple[Computed, ...] = (*plan.lookups, *plan.read_models)
        self._known = {computed_id(one): one for one in everyone}
        self.transforms = {plan_id: one.fingerprint for plan_id, one in self._known.items()}
        """Plan id of each → what its proofs hold for."""

    def cut(self, known: Set[str]) -> bool:
        """Begin with those that have no chunk yet; whether there was one."""
        lacking = [plan_id for plan_id in self._known if plan_id not in known]
        for plan_id in lacking:
            verify_proof_notes.replace_chunks(self._control, self._name, plan_id, [(Span().document(), 0)])
        return bool(lacking)

    def prove(self, lines: Lines, chunk: ChunkProof) -> None:
        """Judge one and note what came of it. Raises what the control store raises."""
        one = self._known[chunk.plan_id]
        begun = time.monotonic()
        state, verdict, why = ProofState.UNDECIDED, None, ""
        try:
            verdict = judge_computed(lines.store(one.store), one, Mode.ROWS)
            why = verdict.why
        except CrossfadeError as error:
            why = str(error)
        if verdict is not None and verdict.outcome is Outcome.PASS:
            state = ProofState.PROVEN
            self._close_findings(chunk.plan_id)
        elif verdict is not None and verdict.outcome is Outcome.FAIL:
            state, why = ProofState.DIFFERS, why or f"{verdict.differences:,} rows differ"
            self._enter(verdict)
            if chunk.state is not ProofState.DIFFERS:
                events.record(self._control, self._name, "rows_differ", f"{why}: {one}", plan=chunk.plan_id)
        verify_proof_notes.note_chunk(
            self._control, self._name, chunk.plan_id, chunk.chunk_no, state,
            began_ago_s=time.monotonic() - begun, rows=verdict.source_rows if verdict else None, why=why,
            transform=one.fingerprint, canonical=VERSION,
        )  # fmt: skip

    def follow(self, lines: Lines, store: str, keys: Mapping[str, Set[CanonicalRow]], until: float) -> None:
        """Rows with these keys (plan id → keys) have changed in a store.

        Raises what the servers raise. After `until`, by `time.monotonic()`, nothing is compared any more.
        """
        changed = [plan for plan in self._plans if plan.target.store == store and keys.get(plan.id)]
        for plan_id, one in self._known.items():
            reads = {one.table, one.other} if isinstance(one, Lookup) else set(one.reads)
            near = [plan for plan in changed if plan.target.schema == one.schema and plan.target.name in reads]
            if one.store != store or not near:
                continue
            if not isinstance(one, Lookup) or time.monotonic() > until or not self._compared(lines, one, near, keys):
                verify_proof_notes.note_changes(self._control, self._name, plan_id, [0])

    def _compared(
        self, lines: Lines, lookup: Lookup, plans: Sequence[TablePlan], keys: Mapping[str, Set[CanonicalRow]]
    ) -> bool:
        """Whether all rows that the changed ones mean were compared, and are right."""
        begun = time.monotonic()
        connection = lines.store(lookup.store)
        try:
            for plan in plans:
                if len(keys[plan.id]) > COMPARED:
                    return False
                found: list[Finding] = []
                if plan.target.name == lookup.table:
                    found += judge_rows_of(connection, lookup, plan, keys[plan.id])
                if plan.target.name == lookup.other:
                    found += judge_rows_that_mean(connection, lookup, plan, keys[plan.id])
                if found:
                    findings = tuple(found)
                    self._enter(computed_verdict(lookup, Mode.ROWS, begun, Outcome.FAIL, "", findings=findings))
                    return False
        except TooMany:
            return False
        return True

    def _enter(self, verdict: TableVerdict) -> None:
        enter_findings(self._control, self._name, verify_runs.continuous_run(self._control, self._name), verdict)

    def _close_findings(self, plan_id: str) -> None:
        """Every row is right: what was repaired is confirmed, what went by itself is gone."""
        for one in verify_runs.findings_of(self._control, self._name, states=("open", "repaired")):
            if one.plan_id == plan_id:
                state = "confirmed" if one.state == "repaired" else "gone"
                verify_runs.set_state(self._control, one.id, state)
