"""Continuous verification: every row is proven at least once in a period, recently changed ones within seconds.

One thread of the daemon goes round: rows that the last transactions changed and rows of open findings are compared by
value at a known position; the chunk whose proof is most overdue is compared as a run of `verify` does. Between two
pieces of work it rests, and it works only while nobody else needs the servers. What it finds stands in the control
store.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from config.settings import Settings
from model.errors import CrossfadeError
from stores.control import events, verify_proof, verify_proof_notes, verify_runs
from stores.control.migrations import prepare_control
from stores.control.table_states import Phase
from stores.control.verify_proof import ChunkProof, ProofState
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store
from sync.mysql.snapshot import connect_reader
from sync.mysql.source_load import LoadLimits
from sync.mysql.throttle import Throttle
from transforms.plan import TablePlan
from transforms.rules import table_matches
from validators.canonical.record import VERSION, RecordForm
from validators.computed_proof import ComputedProofs
from validators.cutting import spans_of
from validators.findings import Mode, Outcome, TableVerdict
from validators.journal import enter_findings
from validators.lines import Lines
from validators.proof_schedule import late_share, most_urgent, rest_s
from validators.recent import RecentRows
from validators.run import Scope
from validators.source_side import SourceSide
from validators.spans import Span
from validators.table_access import StoreFacts, TableAccess
from validators.transform_hash import transform_hash

log = structlog.get_logger(__name__)

FIRST_LOOK_S: Final = 5.0
"""A daemon that begins is left alone for so long."""
LOOK_S: Final = 2.0
"""How often to look for work while there is none."""
REPLAN_S: Final = 300.0
AFTER_ERROR_S: Final = 10.0
COVERAGE_S: Final = 300.0
"""How often the coverage over time is noted."""
WORK_S: Final = 2.0
"""Chunks are proven one after the other for about so long; then it rests."""
OUTGROWN: Final = 3
"""A plan whose largest chunk holds so many times more rows than a chunk should is cut anew."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What the daemon tells its verification. Called from its thread."""

    planned: Callable[[], Scope]
    """The plan by the definitions that hold now. Raises what the servers raise."""
    busy: Callable[[], str | None]
    """Why not to work now: a copy, a store that lags or is paused."""
    elsewhere: Callable[[], tuple[str, ...]]
    """Source tables (globs) that are not to be compared now: their domain is on its way, or its stores serve."""


class Rolling:
    """The continuous verification of one migration. `run` in a thread of its own; the rest from any."""

    def __init__(self, settings: Settings, ports: Ports) -> None:
        self._settings = settings
        self._ports = ports
        limits = LoadLimits.of(settings.snapshot)
        threads = settings.verify.max_threads_running or limits.threads_running
        self._throttle = Throttle(replace(limits, threads_running=threads), settings.source)
        self._control: PostgresConnection | None = None
        self._planned: Scope | None = None
        self._planned_at = float("-inf")
        self._noted_at = float("-inf")
        self._recent: RecentRows | None = None
        self._computed: ComputedProofs | None = None
        self._lines: Lines | None = None
        self._reason: str | None = "it has not begun"
        self._documents: list[dict[str, Any]] = []

    def document(self) -> dict[str, Any]:
        """What the status shows; JSON values."""
        return {
            "period_s": self._settings.verify.period_s,
            "reason": self._reason or self._throttle.reason,
            "tables": self._documents,
        }

    def run(self, stop: threading.Event) -> None:
        """Verify until stopped. An error of a server is told, and tried again later; nothing ends this but `stop`."""
        period_s = self._settings.verify.period_s
        if period_s is None:
            self._reason = "verify.period_s is not set"
            return
        stop.wait(FIRST_LOOK_S)
        try:
            while not stop.is_set():
                try:
                    rest = self.once(period_s, stop)
                except CrossfadeError as error:
                    log.warning("continuous_verification", error=str(error), hint=error.hint)
                    self._reason, rest = str(error), AFTER_ERROR_S
                    self.close()
                stop.wait(max(0.1, rest))
        finally:
            self.close()

    def close(self) -> None:
        """Close all connections; what comes next begins with new ones and a new plan."""
        self._planned_at = float("-inf")
        self._computed = None
        self._throttle.close()
        if self._recent is not None:
            self._recent.close()
            self._recent = None
        if self._lines is not None:
            self._lines.close()
            self._lines = None
        if self._control is not None:
            self._control.close()
            self._control = None

    def once(self, period_s: float, stop: threading.Event) -> float:
        """One round; gives the seconds to rest after it. Raises what the servers raise."""
        self._reason = self._ports.busy()
        if self._reason is not None:
            return LOOK_S
        control, planned = self._connected(), self._plan()
        access = TableAccess(self._settings, planned.info, planned.tables, planned.plan, stop)
        facts = {name: access.store(name) for name in sorted({plan.target.store for plan in planned.plan.plans})}
        elsewhere = self._ports.elsewhere()
        plans = {
            plan.id: plan
            for plan in planned.plan.plans
            if _streams(facts, plan) and not any(table_matches(glob, plan.source.id) for glob in elsewhere)
        }
        with translated("control store"):
            if self._computed is None:
                self._computed = ComputedProofs(self._settings, control, planned.plan)
            computed = self._computed
            chunks = self._cut(control, planned, plans, computed)
            if self._recent is None:
                self._recent = RecentRows(
                    self._settings, control, planned.info, planned.tables, planned.plan.plans, computed
                )
            lines = self._lines = self._lines or access.lines()
            begun = time.monotonic()
            self._recent.look(access, lines, facts, plans)
            transforms = {plan_id: transform_hash(plan) for plan_id, plan in plans.items()} | computed.transforms
            while True:
                chunk, soonest = most_urgent(chunks, period_s, transforms)
                if chunk is None or stop.is_set() or time.monotonic() - begun > WORK_S:
                    break
                if chunk.plan_id in computed.transforms:
                    computed.prove(lines, chunk)
                else:
                    self._prove(access, lines, control, plans[chunk.plan_id], facts, chunk, stop)
                chunks = verify_proof.chunks_of(control, self._settings.name)
            self._tell(control, chunks)
        if chunk is None:
            return min(LOOK_S, soonest)
        return rest_s(time.monotonic() - begun, late_share(chunks, period_s))

    def _connected(self) -> PostgresConnection:
        if self._control is None or self._control.closed:
            self._control = connect_store(self._settings.control_dsn, application="crossfade verify")
            prepare_control(self._control)
        return self._control

    def _plan(self) -> Scope:
        if self._planned is None or time.monotonic() - self._planned_at > REPLAN_S:
            self._planned = self._ports.planned()
            self._planned_at = time.monotonic()
            self._computed = None
            if self._recent is not None:
                self._recent.close()
                self._recent = None
        return self._planned

    def _cut(
        self,
        control: PostgresConnection,
        planned: Scope,
        plans: Mapping[str, TablePlan],
        computed: ComputedProofs,
    ) -> tuple[ChunkProof, ...]:
        """Cut plans that have no chunks yet, or whose chunks have grown out of size; gives all chunks."""
        name, wanted = self._settings.name, self._settings.verify.chunk_rows
        known: dict[str, list[ChunkProof]] = {}
        chunks = verify_proof.chunks_of(control, name)
        for chunk in chunks:
            known.setdefault(chunk.plan_id, []).append(chunk)
        lacking = [plan for plan in plans.values() if plan.id not in known or _outgrown(known[plan.id], wanted)]
        kept = {plan.id for plan in planned.plan.plans} | computed.transforms.keys()
        gone = known.keys() - kept
        if gone:
            verify_proof_notes.forget(control, name, sorted(kept))
        begun = computed.cut(known.keys())
        if not lacking and not gone and not begun:
            return chunks
        with closing(connect_reader(self._settings.source, planned.info)) as connection:
            for plan in lacking:
                source = SourceSide(connection, planned.info, plan, RecordForm.of(plan), pushed=False)
                spans = [(span.document(), rows) for span, rows in spans_of(source, wanted)]
                if plan.id not in known or len(spans) > len(known[plan.id]):
                    verify_proof_notes.replace_chunks(control, name, plan.id, spans)
        return verify_proof.chunks_of(control, name)

    def _prove(
        self,
        access: TableAccess,
        lines: Lines,
        control: PostgresConnection,
        plan: TablePlan,
        facts: Mapping[str, StoreFacts],
        chunk: ChunkProof,
        stop: threading.Event,
    ) -> None:
        """Compare a chunk and note what came of it."""
        self._throttle.wait(lines.control, stop)
        if stop.is_set():
            return
        begun = time.monotonic()
        form, span = RecordForm.of(plan), Span.of(chunk.span)
        state, verdict, why = ProofState.UNDECIDED, None, ""
        try:
            store = facts[plan.target.store]
            with access.opened(plan, form, store, self._settings.verify.settle_s, push=True, lines=lines) as check:
                mode = Mode.CHECKSUM if check.source.pushed else Mode.ROWS
                calm = chunk.state is ProofState.PROVEN
                verdict = check.run(mode, span, None if span.whole else chunk.rows, calm=calm)
                why = verdict.why
        except CrossfadeError as error:
            # The table is gone, closed to us, or too slow: that is this chunk's matter; the plan may be another by now.
            self._planned_at = float("-inf")
            why = str(error)
        if stop.is_set():
            return
        if verdict is not None and verdict.outcome is Outcome.PASS:
            state, why = ProofState.PROVEN, ""
        elif verdict is not None and verdict.outcome is Outcome.FAIL:
            state, why = ProofState.DIFFERS, f"{verdict.differences:,} rows differ"
            self._found(control, plan, verdict, chunk)
        verify_proof_notes.note_chunk(
            control, self._settings.name, plan.id, chunk.chunk_no, state,
            began_ago_s=time.monotonic() - begun, rows=verdict.source_rows if verdict else None, why=why,
            seq=verdict.window.target_seq if verdict and verdict.window else 0,
            position=verdict.window.high if verdict and verdict.window else "",
            transform=transform_hash(plan), canonical=VERSION,
        )  # fmt: skip

    def _found(self, control: PostgresConnection, plan: TablePlan, verdict: TableVerdict, chunk: ChunkProof) -> None:
        name = self._settings.name
        enter_findings(control, name, verify_runs.continuous_run(control, name), verdict)
        if chunk.state is not ProofState.DIFFERS:
            events.record(
                control, name, "rows_differ", f"{verdict.differences:,} rows of {plan.id} differ", plan=plan.id
            )

    def _tell(self, control: PostgresConnection, chunks: Sequence[ChunkProof]) -> None:
        """Publish the coverage, and note it now and then."""
        proofs = verify_proof.by_plan(chunks)
        self._documents = [proofs[plan_id].document() for plan_id in sorted(proofs)]
        if time.monotonic() - self._noted_at > COVERAGE_S:
            self._noted_at = time.monotonic()
            with suppress(CrossfadeError):
                verify_proof_notes.note_coverage(control, self._settings.name, proofs)


def _streams(facts: Mapping[str, StoreFacts], plan: TablePlan) -> bool:
    state = facts[plan.target.store].states.get(plan.id)
    return state is not None and state.phase is Phase.STREAMING


def _outgrown(chunks: list[ChunkProof], wanted: int) -> bool:
    return max(chunk.rows for chunk in chunks) > OUTGROWN * wanted
