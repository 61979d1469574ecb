"""Carries changes from the relay into one store: whole source transactions, grouped, exactly once, phase by phase.

One thread runs `run`; other threads only pause, ask and read the state. Memory is never trusted over the store: after
every (re)connect the checkpoint, the phases and the schema history are read from it. An error that trying again cannot
mend ends in HALTED with its message; nothing is skipped.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing
from types import MappingProxyType
from typing import Final, TypeVar

import structlog

from config.settings import ApplySettings, RetrySettings
from model.errors import CrossfadeError, Fenced, Refused, TimedOut
from stores.control import checkpoints, schema_history, table_states
from stores.control.checkpoints import Checkpoint
from stores.control.quarantine import Parked
from stores.control.schema_history import SchemaHistory
from stores.errors import translated
from stores.postgres import PostgresConnection
from stores.retry import retrying
from sync.applier_phases import PhaseSteps, PlanChanged
from sync.applier_ports import Relay, SchemaSteps, StorePlan, StoreSchema
from sync.applier_state import ApplierState, Mode
from sync.change_group import ChangeGroup
from sync.changes import ChangeSource, RowsBatch, SchemaChange, Transaction, located, table_in
from sync.ddl_follow import DdlFollowing
from sync.decoded_ahead import decoded_ahead
from sync.group_pace import GroupPace
from sync.parked_retry import Retried
from sync.parking import Parking
from sync.postgres.apply import StoreWriter
from sync.sentinel import LeakNotes, Sentinel
from sync.table_phase import MAIN, Phase, TablePhases
from sync.unique_builds import UniqueBuilds
from transforms.plan import TablePlan

_T = TypeVar("_T")

log = structlog.get_logger(__name__)

IDLE_COMMIT_S: Final = 1.0
"""How often the checkpoint moves over transactions that hold nothing for this store."""
PROBE_S: Final = 3.0
"""How often an idle store is asked whether it is still there, and still ours."""
POLL_S: Final = 0.25
"""How long a wait for the relay may last before phases, pause and stop are looked at again."""


class StoreApplier:
    """Applies one stream to one store."""

    def __init__(
        self,
        plan: StorePlan,
        relay: Relay,
        connect: Callable[[], PostgresConnection],
        *,
        fence: int,
        phases: TablePhases,
        steps: SchemaSteps,
        read_changes: Callable[[SchemaHistory], ChangeSource],
        settings: ApplySettings,
        retry: RetrySettings,
        sentinel: Sentinel | None = None,
        schema: StoreSchema | None = None,
    ) -> None:
        """`sentinel` knows which tables must stand still; None: none. `schema`: how changes of definitions are
        followed; without it they hold their tables.
        """
        self._sentinel = sentinel or Sentinel()
        self._sources = {one.source.id: one.source for one in plan.plans}
        self.phases = phases
        self._plan = plan
        self._relay = relay
        self._connect = connect
        self._builds = UniqueBuilds(plan.store, connect, steps.build_uniques, relay.interrupt)
        self._fence = fence
        self._ddl = steps
        self._read_changes = read_changes
        self._settings = settings
        self._retry = retry
        self._schema = schema
        self._history = SchemaHistory()
        self._parking = Parking(plan.stream, plan.plans)
        self._resumed = threading.Event()
        self._resumed.set()
        self._flush_asked = threading.Event()
        self._requests: queue.SimpleQueue[Callable[[PhaseSteps], None]] = queue.SimpleQueue()
        self._state = ApplierState(plan.store)
        self._counts: Counter[str] = Counter()
        self._commits = 0
        self._pace = GroupPace()
        self._behind = False
        """A group was written while more transactions waited, and the relay's end was not reached since."""
        self._lag_from: float | None = None
        self._committed_s: float | None = None

    # -- for other threads

    @property
    def state(self) -> ApplierState:
        """The applier now."""
        tail = self._relay.tail
        state = self._state
        behind = max(0, tail.seq - state.seq) if tail else 0
        since = self._lag_from if self._lag_from is not None else self._committed_s
        lag = 0.0 if not behind else None if since is None else max(0.0, time.time() - since)
        return dataclasses.replace(state, behind=behind, lag_s=lag, phases=MappingProxyType(self.phases.counts()))

    @property
    def building(self) -> dict[str, str]:
        """Plan id → what an exact table waits for before it streams."""
        return self._builds.told()

    @property
    def plans(self) -> tuple[TablePlan, ...]:
        """The plans by the definitions that hold now."""
        return self._plan.plans

    def pause(self) -> None:
        """Stop applying at the next boundary between source transactions, until `resume`."""
        self._resumed.clear()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._resumed.set()

    def flush(self) -> None:
        """Move the checkpoint to the last transaction that was read now, even if it held nothing for this store."""
        self._flush_asked.set()
        self._relay.interrupt()

    def tune(self, settings: ApplySettings) -> None:
        """Take other limits, from the next group on."""
        self._settings = settings

    def hold(self, plan_id: str, reason: str) -> None:
        """Stop applying one table; the others go on and the relay keeps its changes."""
        self._requests.put(lambda steps: steps.hold(plan_id, reason))

    def release(self, plan_id: str) -> None:
        """Let a held table catch up and go on."""
        self._requests.put(lambda steps: steps.release(plan_id))

    def retry_parked(self, chosen: Callable[[Parked], bool], timeout_s: float = 25.0) -> list[Retried]:
        """Apply parked changes again, with all that share a key with a chosen one. Raises TimedOut."""
        return self._asked(lambda steps: steps.quarantine.retry(chosen), timeout_s)

    def discard_parked(self, identifier: int, timeout_s: float = 25.0) -> Parked | None:
        """Give up one parked change; None when there is none of this number. Raises TimedOut."""
        return self._asked(lambda steps: steps.quarantine.discard(identifier), timeout_s)

    def decide(self, table: str, accept: bool, actor: str, timeout_s: float = 25.0) -> list[str]:
        """Approve or reject the statement that a table is held for; the plans that go on. Raises Refused, TimedOut."""
        return self._asked(lambda steps: steps.decide(table, accept, actor), timeout_s)

    def _asked(self, act: Callable[[PhaseSteps], _T], timeout_s: float) -> _T:
        """Have the applier's thread do something and wait for what it gives."""
        answer: Future[_T] = Future()

        def request(steps: PhaseSteps) -> None:
            if answer.cancelled():
                return
            found = act(steps)
            if answer.set_running_or_notify_cancel():
                answer.set_result(found)

        self._requests.put(request)
        try:
            return answer.result(timeout_s)
        except TimeoutError:
            answer.cancel()
            raise TimedOut(
                f"the applier of store {self._plan.store} did not answer within {timeout_s:.0f} s",
                hint="It must be running and not paused. See: crossfade status",
            ) from None

    # -- the thread

    def run(self, stop: threading.Event) -> None:
        """Apply until `stop` is set or an error needs somebody (then the state is HALTED and this returns)."""
        try:
            while not stop.is_set():
                for attempt in retrying(self._retry, stop, f"apply to store {self._plan.store}"):
                    with attempt:
                        self._session(stop)
            self._set(mode=Mode.STOPPED)
        except CrossfadeError as error:
            if stop.is_set() and error.transient:
                self._set(mode=Mode.STOPPED)
                return
            self._set(mode=Mode.HALTED, error=str(error), hint=error.hint)
            log.error("applier halted", store=self._plan.store, error=str(error), hint=error.hint)
        except BaseException as error:
            self._set(mode=Mode.HALTED, error=f"{type(error).__name__}: {error}", hint=CrossfadeError.default_hint)
            raise
        finally:
            self._builds.close()

    def _session(self, stop: threading.Event) -> None:
        """One connection's life. Returns when `stop` is set, and when it was lost after commits (call it again)."""
        before = self._commits
        writer: StoreWriter | None = None
        try:
            writer = self._open()
            self._loop(writer, stop)
        except PlanChanged:
            log.info("plans changed", store=self._plan.store)
        except CrossfadeError as error:
            if not error.transient:
                raise
            self._set(mode=Mode.RETRYING, error=str(error), hint=error.hint, retries=self._state.retries + 1)
            if self._commits == before:
                raise
            # There was progress since the last failure: start counting the attempts anew.
            log.warning("store lost, connecting again", store=self._plan.store, error=str(error))
        finally:
            if writer is not None:
                writer.close()

    def _open(self) -> StoreWriter:
        connection = self._connect()
        try:
            with translated(f"store {self._plan.store}"):
                checkpoint = checkpoints.read(connection, self._plan.stream)
                if checkpoint is None:
                    raise Refused(
                        "the store has no checkpoint of this stream",
                        hint="Run: crossfade start",
                        store=self._plan.store,
                    )
                if checkpoint.fence != self._fence:
                    raise Fenced(store=self._plan.store, ours=self._fence, theirs=checkpoint.fence)
                self._history = schema_history.load(connection, self._plan.stream)
                if self._schema is not None:
                    self._plan = self._schema.plan(self._history)
                    self._sources = {one.source.id: one.source for one in self._plan.plans}
                with connection.transaction():
                    checkpoints.hold_fence(connection, self._plan.stream, self._fence)
                    table_states.ensure(connection, self._plan.stream, [plan.id for plan in self._plan.plans])
                self.phases.refresh(lambda: table_states.load(connection, self._plan.stream))
                self._parking = Parking(self._plan.stream, self._plan.plans)
                self._parking.load(connection)
            self._builds.keep(self._plan.plans)
            self._changes = self._read_changes(self._history)
            writer = StoreWriter(connection, self._plan.store, checkpoint, self._plan.graph)
            writer.prepare_session()
        except BaseException:
            connection.close()
            raise
        self._show(checkpoint)
        return writer

    def _loop(self, writer: StoreWriter, stop: threading.Event) -> None:
        steps = PhaseSteps(
            writer,
            self._plan,
            self._relay,
            self.phases,
            self._ddl,
            new_group=self._group,
            take=self._take,
            noted=self._noted,
            warn=lambda error: self._set(error=str(error), hint=error.hint),
            parking=self._parking,
            builds=self._builds,
            following=(
                DdlFollowing(self._plan, self._schema, self._history, self._relay) if self._schema is not None else None
            ),
        )
        while not stop.is_set():
            if not self._resumed.is_set():
                self._set(mode=Mode.PAUSED)
                self._resumed.wait(POLL_S)
                continue
            self._set(mode=Mode.RUNNING)
            while not self._requests.empty():
                self._answer(self._requests.get(), steps)
            steps.step(stop)
            if not stop.is_set():
                self._main_pass(writer, steps, stop)

    def _answer(self, request: Callable[[PhaseSteps], None], steps: PhaseSteps) -> None:
        try:
            request(steps)
            self._set(parked=MappingProxyType(dict(self._parking.counts)))
        except CrossfadeError as error:
            if error.transient:
                self._requests.put(request)
            raise

    # -- the main stream

    def _main_pass(self, writer: StoreWriter, steps: PhaseSteps, stop: threading.Event) -> None:
        """Apply what the relay has until something else needs attention, or it has been idle for a moment."""
        version = self.phases.version
        group = self._group(writer, [plan for plan in self._plan.plans if self.phases.get(plan.id).phase in MAIN])
        last: Transaction | None = None
        count = 0
        began = time.monotonic()
        read_seq = writer.checkpoint.seq
        seen = time.monotonic()
        while True:
            steps.uniques.look()
            with closing(self._transactions(read_seq, group)) as transactions:
                for transaction, batches in transactions:
                    if last is None:
                        began = time.monotonic()
                        self._lag_from = transaction.commit_time
                    try:
                        self._take(group, transaction, batches)
                    except SchemaChange as change:
                        if last is not None:
                            self._commit(writer, group, last, count)
                        steps.alter(change, transaction, group.active, stop)
                        return
                    last, read_seq, count = transaction, transaction.seq, count + 1
                    old = time.monotonic() - began >= self._pace.age_s
                    if group.full or (group.dirty and old):
                        self._behind = True
                        self._commit(writer, group, last, count)
                        last, count = None, 0
                        steps.uniques.look()
                        if steps.due or not self._requests.empty():
                            break
                    if stop.is_set() or not self._resumed.is_set() or self.phases.version != version:
                        break
                else:
                    self._behind = False
            due = time.monotonic() - began >= IDLE_COMMIT_S or self._flush_asked.is_set()
            attention = (
                stop.is_set()
                or not self._resumed.is_set()
                or self.phases.version != version
                or not self._requests.empty()
            )
            if last is not None and (group.dirty or due or attention or steps.settles(last)):
                self._commit(writer, group, last, count)
                last, count = None, 0
            if last is None:
                self._flush_asked.clear()
                self._lag_from = None
                if time.monotonic() - seen >= PROBE_S and not writer.in_transaction:
                    self._probe(writer)
                    seen = time.monotonic()
            if attention or steps.due:
                return
            self._relay.wait(read_seq, POLL_S)

    def _transactions(
        self, after_seq: int, group: ChangeGroup
    ) -> Generator[tuple[Transaction, Iterable[RowsBatch] | None], None, None]:
        """What the relay has after a transaction; while we are behind, with the changes, which are decoded as the
        store writes. (Not else: handing over to a thread would cost latency.)"""
        while True:
            if self._behind:
                with closing(decoded_ahead(self._relay.transactions(after_seq), self._changes, group)) as ahead:
                    for one in ahead:
                        after_seq = one.transaction.seq
                        yield one.transaction, one.batches
            for transaction in self._relay.transactions(after_seq):
                after_seq = transaction.seq
                yield transaction, None
                if self._behind:
                    break
            else:
                return

    def _group(self, writer: StoreWriter, active: Sequence[TablePlan]) -> ChangeGroup:
        return ChangeGroup(
            writer,
            self._plan.graph,
            active,
            self._exact,
            max_rows=self._settings.max_rows,
            max_bytes=self._settings.max_bytes,
            parking=self._parking,
        )

    def _exact(self, plan_id: str) -> bool:
        """Whether a table is known to hold what the source held: it streams, or lacks its unique indexes alone."""
        phase = self.phases.get(plan_id).phase
        return phase is Phase.STREAMING or (phase is Phase.CONVERGING and self._builds.handed(plan_id))

    def _take(self, group: ChangeGroup, transaction: Transaction, batches: Iterable[RowsBatch] | None = None) -> None:
        """Add a transaction's changes to the group; `batches`: what was read of it already."""
        try:
            notes: LeakNotes | None = None
            for batch in self._changes.batches(transaction, group.wanted) if batches is None else batches:
                domain = self._sentinel.domain_of(batch.table, transaction)
                if domain is None or batch.passed:
                    group.add(batch, transaction.seq)
                else:
                    notes = notes or LeakNotes(transaction, self._sources)
                    notes.add(domain, batch)
            if notes is not None:
                group.leaked(notes.leaks())
        except SchemaChange as change:
            located(change, transaction)
            if self._concerns(group, change):
                raise
        except CrossfadeError as error:
            located(error, transaction)
            raise

    def _concerns(self, group: ChangeGroup, change: SchemaChange) -> bool:
        """Whether DDL matters to this pass: a held table's waits with it, a replaying one's comes in its replay, and
        a copy sees by itself that the table has become another, and begins anew."""
        for table in change.tables:
            plans = [plan for plan in self._plan.plans if plan.source.id == table]
            if not plans or any(plan.id in group.active for plan in plans):
                return True
        return table_in(change.tables, group.wanted)

    def _commit(self, writer: StoreWriter, group: ChangeGroup, last: Transaction, count: int) -> None:
        """Write what is pending and move the checkpoint to `last`."""
        began = time.monotonic()
        try:
            group.flush()
            checkpoint = writer.commit(last.seq, last.position, last.commit_time, rows=group.rows, transactions=count)
        except CrossfadeError as error:
            # It may have come with any transaction of the group.
            error.where.setdefault("up_to_seq", last.seq)
            error.where.setdefault("up_to_position", last.coordinate)
            raise
        self._pace.wrote(time.monotonic() - began)
        self._noted(group)
        self._show(checkpoint)

    def _probe(self, writer: StoreWriter) -> None:
        """Raises ConnectionLost when an idle store is gone, Fenced when another daemon has taken it over."""
        with translated(f"store {self._plan.store}"):
            checkpoint = checkpoints.read(writer.connection, self._plan.stream)
        if checkpoint is None or checkpoint.fence != self._fence:
            raise Fenced(store=self._plan.store, ours=self._fence, theirs=checkpoint.fence if checkpoint else None)

    def _noted(self, group: ChangeGroup) -> None:
        """After a commit: counters, and the marks that it wrote."""
        self._commits += 1
        self._counts.update(group.counts)
        self._set(parked=MappingProxyType(dict(self._parking.counts)))
        for plan_id in group.parked:
            parked = self._parking.counts.get(plan_id, 0)
            if parked >= self._settings.max_parked_rows:
                self.hold(
                    plan_id,
                    f"{parked} changes are in quarantine, the limit is {self._settings.max_parked_rows}; "
                    "mend them, then: crossfade errors retry --all; crossfade errors release TABLE",
                )
        for plan_id in group.swept:
            state = self.phases.get(plan_id)
            if state.phase in (Phase.REPLAYING, Phase.CONVERGING, Phase.STREAMING):
                # Earlier phases are the copy's to publish; the mark is read from the store when the replay begins.
                self.phases.set(dataclasses.replace(state, sweep=True))
        group.committed()

    # -- the state

    def _show(self, checkpoint: Checkpoint) -> None:
        self._committed_s = checkpoint.commit_time
        self._set(
            seq=checkpoint.seq,
            position=checkpoint.position,
            applied_rows=checkpoint.applied_rows,
            applied_transactions=checkpoint.applied_transactions,
            tables=MappingProxyType(dict(self._counts)),
            parked=MappingProxyType(dict(self._parking.counts)),
        )

    def _set(self, **changes: object) -> None:
        self._state = dataclasses.replace(self._state, **changes)  # type: ignore[arg-type]
