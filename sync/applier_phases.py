"""Moves tables through the phases that are the applier's: replaying, converging, sweeping, streaming, held.

Works on the applier's thread and connection, between groups: no transaction of the main stream is open. A state is
written in the store first and published in `TablePhases` after its commit.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog

from model.errors import ApplyError, CrossfadeError, Refused
from model.position import BinlogCoordinate
from model.tables import TableId
from stores.control import held_ddl, schema_history, table_states
from stores.control.checkpoints import Checkpoint
from stores.control.ddl_log import PASSED, DdlEntry
from stores.control.held_ddl import Decision, HeldDdl
from stores.errors import translated
from sync.applier_ports import Relay, SchemaSteps, StorePlan
from sync.change_group import ChangeGroup
from sync.changes import SchemaChange, Transaction
from sync.ddl_effects import Verdict
from sync.ddl_follow import Answer, DdlFollowing
from sync.parked_steps import ParkedSteps
from sync.parking import Parking
from sync.postgres.apply import StoreWriter
from sync.postgres.cascading import sweep
from sync.table_phase import MAIN, Phase, TablePhases, TableState, moved, released
from sync.unique_builds import UniqueBuilds
from sync.unique_steps import UniqueSteps
from transforms.plan import TablePlan

_HOLDABLE: Final = frozenset({Phase.COPYING, Phase.COPIED, Phase.REPLAYING, *MAIN})
_AFTER_DDL: Final = (
    "To take it up again copy it anew: crossfade stop; crossfade schema recopy {0} --confirm {0}; crossfade start"
)
_UNDECIDED: Final = "See: crossfade schema pending; then: crossfade schema approve {0}, or: crossfade schema reject {0}"

log = structlog.get_logger(__name__)


class PlanChanged(Exception):
    """The store's plans are others now: the session begins anew with them."""


class PhaseSteps:
    """The phases of one store's tables during one session of its applier."""

    def __init__(
        self,
        writer: StoreWriter,
        plan: StorePlan,
        relay: Relay,
        phases: TablePhases,
        ddl: SchemaSteps,
        *,
        new_group: Callable[[StoreWriter, Sequence[TablePlan]], ChangeGroup],
        take: Callable[[ChangeGroup, Transaction], None],
        noted: Callable[[ChangeGroup], None],
        warn: Callable[[CrossfadeError], None],
        parking: Parking,
        builds: UniqueBuilds,
        following: DdlFollowing | None = None,
    ) -> None:
        """Without `following` every change of a table's definition holds it."""
        self._parking = parking
        self._following = following
        self._writer = writer
        self._plan = plan
        self._relay = relay
        self._phases = phases
        self._ddl = ddl
        self._new_group = new_group
        self._take = take
        self._noted = noted
        self._warn = warn
        self._finished = False
        self.quarantine = ParkedSteps(writer, plan, parking)
        self.uniques = UniqueSteps(writer, ddl, builds)

    @property
    def due(self) -> bool:
        """Whether `step` has something to do."""
        return bool(self._to_replay() or self._converged()) or self._all_stream_unfinished()

    def step(self, stop: threading.Event) -> None:
        """Do every transition that is possible now."""
        waiting = self._to_replay()
        if waiting:
            self._replay(waiting, stop)
            if stop.is_set():
                return
        while converged := self._converged():
            for plan in converged:
                self.promote(plan)
        if self._all_stream_unfinished():
            self._finished = True
            self._finish()

    def _finish(self) -> None:
        """What a store has when all its tables stream. The stream does not need it: a refusal is told, not raised."""
        try:
            with self._writer.aside() as connection:
                self._ddl.create_foreign_keys(connection, self._plan.plans)
        except ApplyError as error:
            # Rows without a parent can be the source's own.
            log.error("foreign keys cannot be created", store=self._plan.store, error=str(error))
            self._warn(error)
        with self._told("a lookup cannot be kept"), self._writer.aside() as connection:
            self._ddl.keep_lookups(connection, self._plan.plans)
        with self._told("a read model cannot be created"), self._writer.aside() as connection:
            self._ddl.create_read_models(connection, self._plan.store)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except CrossfadeError as error:
            if error.transient:
                raise
            log.error(what, store=self._plan.store, error=str(error))
            self._warn(error)

    def save(self, state: TableState) -> None:
        """Write one state in a transaction of its own, then publish it."""
        self._writer.hold_fence()
        self._writer.save_state(state)
        self._writer.commit_only()
        self._phases.set(state)

    def hold(self, plan_id: str, reason: str, record: DdlEntry | None = None) -> None:
        """Take a table out of the stream; it remembers where it stopped. Tables that the copy has are left to it.

        `record`: the statement that it is held for, written in the same transaction.
        """
        state = self._phases.get(plan_id)
        if state.phase not in _HOLDABLE:
            log.warning("table cannot be held now", table=plan_id, phase=str(state.phase))
            return
        self.uniques.leave(plan for plan in self._plan.plans if plan.id == plan_id)
        applied = self._writer.checkpoint.seq if state.phase in MAIN else state.applied_seq
        if record is not None:
            self._writer.hold_fence()
            self._writer.log_ddl(record)
        self.save(moved(state, Phase.HELD, reason=reason, applied_seq=applied))

    def alter(
        self,
        change: SchemaChange,
        transaction: Transaction,
        active: frozenset[str],
        stop: threading.Event,
        replayed: Sequence[TablePlan] | None = None,
    ) -> None:
        """Do in the store what a statement of the source asks for, or hold the tables that it concerns.

        What came before it is committed. `replayed`: the plans of a replay, whose progress moves over the statement;
        else the checkpoint does. Raises PlanChanged when the session has to begin anew with other plans.
        """
        if self._following is None:
            self._hold_for(change, transaction.seq, active, None)
            return
        if replayed is None and self._behind(change, transaction.seq):
            return  # their replay comes first, so that all see the same definitions
        decision = self._decision(change, transaction.seq)
        answer = self._following.answer(
            change,
            transaction.seq,
            stop,
            lambda plan_id: self._phases.get(plan_id).phase is Phase.STREAMING,
            keep=decision is Decision.REJECTED,
        )
        for plan in self._plan.plans:
            begun = self._phases.get(plan.id).phase is Phase.COPYING
            if begun and plan.source.id not in change.tables and not self._parents(plan).isdisjoint(change.tables):
                answer.refuse(f"{plan.id}, which follows its cascades, is being copied")
        if answer.verdict is Verdict.FOLLOW or (answer.verdict is Verdict.ASK and decision is Decision.APPROVED):
            try:
                self._carry_out(change, transaction, answer, replayed)
            except ApplyError as error:
                answer.refuse(f"the store refused: {error}")
            else:
                raise PlanChanged
        if change.harmless:
            self._pass_over(change, transaction, answer, replayed)
            return
        self._hold_for(change, transaction.seq, active, answer)

    def _behind(self, change: SchemaChange, seq: int) -> bool:
        """Whether a table that the statement concerns, or that follows one by cascades, has yet to come this far."""
        for plan in self._plan.plans:
            state = self._phases.get(plan.id)
            follows = not self._parents(plan).isdisjoint(change.tables)
            late = state.phase in (Phase.COPIED, Phase.REPLAYING) and _replay_start(state) < seq
            if late and (follows or plan.source.id in change.tables):
                return True
        return False

    def _parents(self, plan: TablePlan) -> frozenset[TableId]:
        return self._plan.graph.parents_of([plan])

    def _decision(self, change: SchemaChange, seq: int) -> Decision | None:
        ids = [plan.id for plan in self._plan.plans if plan.source.id in change.tables]
        with translated(f"store {self._plan.store}"):
            known = held_ddl.load(self._writer.connection, self._plan.stream, ids)
        return next((held.decision for held in known if held.seq == seq), None)

    def _carry_out(
        self, change: SchemaChange, transaction: Transaction, answer: Answer, replayed: Sequence[TablePlan] | None
    ) -> None:
        """Statements, definitions and progress in one transaction. Raises ApplyError, with nothing done then."""
        altered = [plan for plan in self._plan.plans if plan.source.id in change.tables or plan.id in answer.effects]
        self.uniques.leave(altered)
        with self._writer.savepoint(), translated(f"store {self._plan.store}"):
            self.uniques.clear(altered)
            self._writer.run_ddl(answer.statements)
            schema_history.append(self._writer.connection, self._plan.stream, answer.versions)
            table_states.remove(self._writer.connection, self._plan.stream, answer.gone)
        done = "followed" if answer.verdict is Verdict.FOLLOW else "approved and done"
        record = DdlEntry(transaction.seq, change.statement, done, ";\n".join(answer.statements))
        self._writer.log_ddl(record)
        self._move_over(transaction, [plan for plan in replayed or () if plan.id not in answer.gone], replayed)
        log.info("ddl followed", store=self._plan.store, tables=list(map(str, change.tables)), seq=transaction.seq)

    def _pass_over(
        self, change: SchemaChange, transaction: Transaction, answer: Answer, replayed: Sequence[TablePlan] | None
    ) -> None:
        self._writer.log_ddl(DdlEntry(transaction.seq, change.statement, f"{PASSED}: {answer.why}"))
        self._move_over(transaction, replayed or (), replayed)

    def _move_over(
        self, transaction: Transaction, plans: Sequence[TablePlan], replayed: Sequence[TablePlan] | None
    ) -> None:
        if replayed is None:
            self._writer.commit(transaction.seq, transaction.position, transaction.commit_time, transactions=1)
            return
        self._writer.hold_fence()
        self._writer.save_applied([plan.id for plan in plans], transaction.seq)
        self._writer.commit_only()
        for plan in plans:
            self._phases.set(dataclasses.replace(self._phases.get(plan.id), applied_seq=transaction.seq))

    def _hold_for(self, change: SchemaChange, seq: int, active: frozenset[str], answer: Answer | None) -> None:
        """Hold the tables that DDL changed, and those that follow them by cascades. Raises `change` if it cannot."""
        held = []
        for plan in self._plan.plans:
            ours = plan.source.id in change.tables
            copied = ours and self._phases.get(plan.id).phase is Phase.COPYING
            if copied or (plan.id in active and (ours or not self._parents(plan).isdisjoint(change.tables))):
                held.append(plan)
        if not held or any(self._phases.get(plan.id).phase not in _HOLDABLE for plan in held):
            raise change
        self.uniques.leave(held)
        verdict = f"held: {', '.join(plan.id for plan in held)}"
        record = DdlEntry(seq, change.statement, verdict)
        for plan in held:
            effect = answer.effects.get(plan.id) if answer is not None else None
            asked = answer is not None and answer.verdict is Verdict.ASK
            why = answer.why if answer is not None else ""
            statement = ";\n".join(effect.statements) if effect is not None and asked else ""
            self._writer.begin()
            with translated(f"store {self._plan.store}"):
                held_ddl.hold(
                    self._writer.connection,
                    self._plan.stream,
                    HeldDdl(plan.id, seq, change.statement, statement, why),
                )
            step = (_UNDECIDED if asked else _AFTER_DDL).format(change.tables[0].name)
            self.hold(plan.id, f"{change}{f' ({why})' if why else ''}; the other tables go on. {step}", record)

    def decide(self, table: str, accept: bool, actor: str) -> list[str]:
        """Approve or reject what a table is held for, and let everything go on that is held for it; gives the plans.

        Raises UsageError when the table is held for no statement, Refused when no decision can help.
        """
        names = {plan.id: (plan.id, str(plan.source.id), plan.source.id.name) for plan in self._plan.plans}
        waiting = {plan_id for plan_id in names if self._phases.get(plan_id).phase is Phase.HELD}
        with translated(f"store {self._plan.store}"):
            known = held_ddl.load(self._writer.connection, self._plan.stream, waiting)
        open_ones = [one for one in known if one.decision is None and one.seq > (self._stopped(one.plan_id) or 0)]
        chosen = [one for one in open_ones if table in names[one.plan_id]]
        if not chosen:
            return []
        together = [one for one in open_ones if one.seq == chosen[0].seq]
        if not any(one.store_statement for one in together):
            raise Refused(
                f"nobody can decide this: {chosen[0].why or 'no statement leads the store there'}",
                hint=_AFTER_DDL.format(table),
                table=table,
            )
        self._writer.hold_fence()
        with translated(f"store {self._plan.store}"):
            for one in together:
                decision = Decision.APPROVED if accept else Decision.REJECTED
                held_ddl.decide(self._writer.connection, self._plan.stream, one, decision, actor)
        self._writer.commit_only()
        for one in together:
            self.release(one.plan_id)
        return [one.plan_id for one in together]

    def _stopped(self, plan_id: str) -> int | None:
        return self._phases.get(plan_id).applied_seq

    def release(self, plan_id: str) -> None:
        """Let a held table replay what it missed."""
        state = self._phases.get(plan_id)
        if state.phase is Phase.HELD:
            self.save(released(state))

    def settles(self, last: Transaction) -> bool:
        """Whether a converging table becomes exact with this transaction: then the checkpoint should not idle."""
        return any(
            state.phase is Phase.CONVERGING
            and state.high is not None
            and self._covers(last.seq, last.coordinate, state.high)
            for state in self._phases.all().values()
        )

    # -- replaying

    def _to_replay(self) -> list[TablePlan]:
        """Copied tables whose gate the main stream has reached, and those whose replay a lost session left."""
        found = []
        for plan in self._plan.plans:
            state = self._phases.get(plan.id)
            waiting = state.phase in (Phase.COPIED, Phase.REPLAYING)
            if waiting and _replay_start(state) <= self._writer.checkpoint.seq:
                found.append(plan)
        return found

    def _replay(self, plans: Sequence[TablePlan], stop: threading.Event) -> None:
        """Bring copied tables from their gates to the checkpoint; their progress commits with their rows.

        Raises PlanChanged when the copy had to make a plan anew that this session does not know yet.
        """
        self._require_known(plans)
        # What the copy could not load waits too.
        with translated(f"store {self._plan.store}"):
            self._parking.load(self._writer.connection, [plan.id for plan in plans])
        for plan in plans:
            state = self._phases.get(plan.id)
            if state.phase is Phase.COPIED:
                stored = self._writer.load_state(plan.id)
                self.save(moved(stored or state, Phase.REPLAYING, applied_seq=state.gate_seq))
        starts = {plan.id: _replay_start(self._phases.get(plan.id)) for plan in plans}
        first, end = min(starts.values()), self._writer.checkpoint.seq
        log.info("replaying", store=self._plan.store, tables=len(plans), from_seq=first, to_seq=end)
        pending = sorted(plans, key=lambda plan: starts[plan.id])
        begun: list[TablePlan] = []
        group = self._new_group(self._writer, ())
        for transaction in self._relay.transactions(first):
            if transaction.seq > end or stop.is_set():
                break
            if pending and starts[pending[0].id] < transaction.seq:
                while pending and starts[pending[0].id] < transaction.seq:
                    begun.append(pending.pop(0))
                group.flush()
                group.set_active(begun)
            try:
                self._take(group, transaction)
            except SchemaChange as change:
                self._commit_progress(group, begun, transaction.seq - 1)
                self.alter(change, transaction, group.active, stop, begun)
                return
            if group.full:
                self._commit_progress(group, begun, transaction.seq)
        if not stop.is_set():
            self._end_replay(group, plans, end)

    def _require_known(self, plans: Sequence[TablePlan]) -> None:
        if self._following is None:
            return
        wanted = {plan.source.id for plan in plans} | self._plan.graph.parents_of(plans)
        tables = {one.source.id: one.source.fingerprint() for one in self._plan.plans if one.source.id in wanted}
        with translated(f"store {self._plan.store}"):
            latest = schema_history.fingerprints(self._writer.connection, self._plan.stream, tables)
        if any(latest.get(table, mine) != mine for table, mine in tables.items()):
            raise PlanChanged

    def _commit_progress(self, group: ChangeGroup, plans: Sequence[TablePlan], seq: int) -> None:
        group.flush()
        self._writer.hold_fence()
        self._writer.save_applied([plan.id for plan in plans], seq)
        self._writer.commit_only()
        for plan in plans:
            self._phases.set(dataclasses.replace(self._phases.get(plan.id), applied_seq=seq))
        self._noted(group)

    def _end_replay(self, group: ChangeGroup, plans: Sequence[TablePlan], seq: int) -> None:
        group.flush()
        self._writer.hold_fence()
        states = []
        for plan in plans:
            state = self._phases.get(plan.id)
            missed = state.sweep or plan.id in group.swept
            states.append(moved(state, Phase.CONVERGING, applied_seq=seq, sweep=missed))
            self._writer.save_state(states[-1])
        self._writer.commit_only()
        self._noted(group)
        for state in states:
            self._phases.set(state)

    # -- converging and streaming

    def _covers(self, seq: int, coordinate: BinlogCoordinate, high: BinlogCoordinate) -> bool:
        """Whether a stream at this transaction has everything up to `high`; what follows it in the relay counts too."""
        if coordinate >= high:
            return True
        tail = self._relay.tail
        return tail is not None and seq >= tail.seq and tail.position.coordinate >= high

    def _exact(self, plan_id: str, checkpoint: Checkpoint) -> bool:
        state = self._phases.get(plan_id)
        if state.phase is Phase.STREAMING:
            return True
        if state.phase is not Phase.CONVERGING:
            return False
        return state.high is None or self._covers(checkpoint.seq, checkpoint.position.coordinate, state.high)

    def _converged(self) -> list[TablePlan]:
        """Converging tables that are exact now, whose sweep, if any, can be done, and that wait for no build."""
        return [
            plan
            for plan in self._plan.plans
            if self._phases.get(plan.id).phase is Phase.CONVERGING
            and self._exact(plan.id, self._writer.checkpoint)
            and self._sweepable(plan)
            and not self.uniques.waits(plan)
        ]

    def promote(self, plan: TablePlan) -> None:
        """An exact table: sweep what cascades missed, create its uniques, let it stream when it has them."""
        self._sweep(plan)
        try:
            if self._sharers_exact(plan) and not self.uniques.ready(plan):
                return
        except ApplyError as error:
            log.error("table held", table=plan.id, error=str(error))
            self.hold(plan.id, f"its unique indexes cannot be created: {error}")
            return
        self.save(moved(self._phases.get(plan.id), Phase.STREAMING))
        log.info("table streams", store=self._plan.store, table=plan.id)
        for other in self._plan.plans:
            # A streaming child may have waited for this parent.
            if self._phases.get(other.id).phase is Phase.STREAMING and self._sweepable(other):
                self._sweep(other)

    def _sharers_exact(self, plan: TablePlan) -> bool:
        """Whether every plan of the same target table is exact; the last of them makes its uniques."""
        return not plan.told_by or all(
            self._exact(other.id, self._writer.checkpoint)
            for other in self._plan.plans
            if other.target == plan.target and other.id != plan.id
        )

    def _all_stream_unfinished(self) -> bool:
        plans = self._plan.plans
        return not self._finished and all(self._phases.get(plan.id).phase is Phase.STREAMING for plan in plans)

    # -- sweeping

    def _sweepable(self, plan: TablePlan) -> bool:
        if not self._phases.get(plan.id).sweep:
            return True
        graph = self._plan.graph
        middles = {middle.id for edge in graph.chained(plan) for middle, _ in graph.middles(edge)}
        if any(self._parking.counts.get(middle) for middle in middles):
            # A parent in quarantine is missed by no child: its children are no orphans.
            return False
        return all(self._exact(middle, self._writer.checkpoint) for middle in middles)

    def _sweep(self, plan: TablePlan) -> None:
        state = self._phases.get(plan.id)
        if not state.sweep:
            return
        graph, removed = self._plan.graph, 0
        self._writer.hold_fence()
        with translated(f"store {self._plan.store}"):
            for edge in graph.chained(plan):
                for middle, columns in graph.middles(edge):
                    removed += sweep(self._writer.connection, edge, middle, columns)
        swept = dataclasses.replace(state, sweep=False)
        self._writer.clear_sweep(plan.id)
        self._writer.commit_only()
        self._phases.set(swept)
        log.info("children that cascades missed are gone", store=self._plan.store, table=plan.id, rows=removed)


def _replay_start(state: TableState) -> int:
    """The transaction after which a replay begins: where it stopped, else the gate S."""
    if state.applied_seq is not None:
        return state.applied_seq
    return state.gate_seq if state.gate_seq is not None else 0
