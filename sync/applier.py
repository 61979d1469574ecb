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
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import Final, Protocol

import structlog

from config.settings import ApplySettings, RetrySettings
from model.errors import ApplyError, CrossfadeError, Fenced, Refused
from model.position import BinlogCoordinate, Position
from model.tables import TableId
from stores.control import checkpoints, schema_history, table_states
from stores.control.checkpoints import Checkpoint
from stores.control.schema_history import SchemaHistory
from stores.errors import translated
from stores.postgres import PostgresConnection
from stores.retry import retrying
from sync.applier_state import ApplierState, Mode
from sync.cascades import CascadeGraph
from sync.change_group import ChangeGroup
from sync.changes import ChangeSource, Transaction, located
from sync.postgres.apply import StoreWriter
from sync.postgres.cascading import sweep
from sync.table_phase import MAIN, Phase, TablePhases, TableState, moved, released
from transforms.plan import TablePlan

log = structlog.get_logger(__name__)

GROUP_AGE_S: Final = 0.25
"""A group that is this old is committed though more transactions are waiting, so that latency stays bounded."""
IDLE_COMMIT_S: Final = 1.0
"""How often the checkpoint moves over transactions that hold nothing for this store."""
POLL_S: Final = 0.25
"""How long a wait for the relay may last before phases, pause and stop are looked at again."""


class Tail(Protocol):
    """What is needed of a `RelayTail`."""

    @property
    def seq(self) -> int:
        """The last complete transaction."""

    @property
    def position(self) -> Position:
        """Nothing is missing up to here."""


class Relay(Protocol):
    """What is needed of a `sync.relay.reader.RelayReader`."""

    @property
    def tail(self) -> Tail | None:
        """How far the relay reaches now."""

    def transactions(self, after_seq: int) -> Iterator[Transaction]:
        """Durable transactions after `after_seq`, ending at the tail."""

    def wait(self, after_seq: int, timeout_s: float) -> bool:
        """Wait for a transaction after `after_seq`."""


class SchemaSteps(Protocol):
    """DDL that belongs to phases; idempotent, outside of a transaction."""

    def create_uniques(self, connection: PostgresConnection, plan: TablePlan) -> None:
        """Create the unique indexes and constraints of a table that has become exact."""

    def create_foreign_keys(self, connection: PostgresConnection, plans: Sequence[TablePlan]) -> None:
        """Create the foreign keys between the store's tables, all of which stream."""


@dataclasses.dataclass(frozen=True, slots=True)
class StorePlan:
    """What an applier has to know of its store."""

    store: str
    stream: str
    plans: tuple[TablePlan, ...]
    graph: CascadeGraph

    @property
    def by_id(self) -> dict[str, TablePlan]:
        """Plans by id."""
        return {plan.id: plan for plan in self.plans}


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
    ) -> None:
        self.phases = phases
        self._plan = plan
        self._plans = plan.by_id
        self._relay = relay
        self._connect = connect
        self._fence = fence
        self._steps = steps
        self._read_changes = read_changes
        self._settings = settings
        self._retry = retry
        self._resumed = threading.Event()
        self._resumed.set()
        self._flush_asked = threading.Event()
        self._requests: queue.SimpleQueue[Callable[[StoreWriter], None]] = queue.SimpleQueue()
        self._state = ApplierState(plan.store)
        self._counts: Counter[str] = Counter()
        self._commits = 0
        self._finished = False
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

    def pause(self) -> None:
        """Stop applying at the next boundary between source transactions, until `resume`."""
        self._resumed.clear()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._resumed.set()

    def flush(self) -> None:
        """Move the checkpoint to the last transaction that was read now, even if it held nothing for this store."""
        self._flush_asked.set()

    def hold(self, plan_id: str, reason: str) -> None:
        """Stop applying one table; the others go on and the relay keeps its changes."""
        self._requests.put(lambda writer: self._hold(writer, plan_id, reason))

    def release(self, plan_id: str) -> None:
        """Let a held table catch up and go on."""
        self._requests.put(lambda writer: self._save(writer, released(self.phases.get(plan_id))))

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

    def _session(self, stop: threading.Event) -> None:
        """One connection's life. Returns when `stop` is set, and when it was lost after commits (call it again)."""
        before = self._commits
        writer: StoreWriter | None = None
        try:
            writer = self._open()
            self._loop(writer, stop)
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
                with connection.transaction():
                    checkpoints.hold_fence(connection, self._plan.stream, self._fence)
                    states = table_states.ensure(connection, self._plan.stream, self._plans)
                history = schema_history.load(connection, self._plan.stream)
            self.phases.load(states)
            self._changes = self._read_changes(history)
            writer = StoreWriter(connection, self._plan.store, checkpoint, self._plan.graph)
            writer.prepare_session()
        except BaseException:
            connection.close()
            raise
        self._finished = False
        self._show(checkpoint)
        return writer

    def _loop(self, writer: StoreWriter, stop: threading.Event) -> None:
        while not stop.is_set():
            if not self._resumed.is_set():
                self._set(mode=Mode.PAUSED)
                self._resumed.wait(POLL_S)
                continue
            self._set(mode=Mode.RUNNING)
            while not self._requests.empty():
                self._requests.get()(writer)
            self._step_phases(writer, stop)
            if not stop.is_set():
                self._main_pass(writer, stop)

    # -- the main stream

    def _main_pass(self, writer: StoreWriter, stop: threading.Event) -> None:
        """Apply what the relay has until something else needs attention, or it has been idle for a moment."""
        version = self.phases.version
        group = self._group(writer, [plan for plan in self._plan.plans if self.phases.get(plan.id).phase in MAIN])
        last: Transaction | None = None
        count = 0
        began = time.monotonic()
        read_seq = writer.checkpoint.seq
        while True:
            for transaction in self._relay.transactions(read_seq):
                if last is None:
                    began = time.monotonic()
                    self._lag_from = transaction.commit_time
                self._take(group, transaction, group.wanted)
                last, read_seq, count = transaction, transaction.seq, count + 1
                old = time.monotonic() - began >= GROUP_AGE_S
                if group.full or (group.dirty and old):
                    self._commit(writer, group, last, count)
                    last, count = None, 0
                    if self._ready_to_step(writer):
                        break
                if stop.is_set() or not self._resumed.is_set() or self.phases.version != version:
                    break
            due = time.monotonic() - began >= IDLE_COMMIT_S or self._flush_asked.is_set()
            attention = (
                stop.is_set()
                or not self._resumed.is_set()
                or self.phases.version != version
                or not self._requests.empty()
            )
            if last is not None and (group.dirty or due or attention or self._waiting_for_high(last)):
                self._commit(writer, group, last, count)
                last, count = None, 0
            if last is None:
                self._flush_asked.clear()
                self._lag_from = None
            if attention or self._ready_to_step(writer):
                return
            self._relay.wait(read_seq, POLL_S)

    def _group(self, writer: StoreWriter, active: Sequence[TablePlan]) -> ChangeGroup:
        return ChangeGroup(
            writer,
            self._plan.graph,
            active,
            lambda plan_id: self.phases.get(plan_id).phase is Phase.STREAMING,
            max_rows=self._settings.max_rows,
            max_bytes=self._settings.max_bytes,
        )

    def _take(self, group: ChangeGroup, transaction: Transaction, wanted: frozenset[TableId]) -> None:
        try:
            for batch in self._changes.batches(transaction, wanted):
                group.add(batch)
        except CrossfadeError as error:
            located(error, transaction)
            raise

    def _commit(self, writer: StoreWriter, group: ChangeGroup, last: Transaction, count: int) -> None:
        """Write what is pending and move the checkpoint to `last`."""
        try:
            group.flush()
            checkpoint = writer.commit(last.seq, last.position, last.commit_time, rows=group.rows, transactions=count)
        except CrossfadeError as error:
            located(error, last)
            raise
        self._noted(group)
        self._show(checkpoint)

    def _noted(self, group: ChangeGroup) -> None:
        """After a commit: counters, and the marks that it wrote."""
        self._commits += 1
        self._counts.update(group.counts)
        for plan_id in group.swept:
            self.phases.set(dataclasses.replace(self.phases.get(plan_id), sweep=True))
        group.committed()

    # -- phases

    def _ready_to_step(self, writer: StoreWriter) -> bool:
        return bool(self._to_replay(writer) or self._converged(writer.checkpoint)) or self._all_stream_unfinished()

    def _step_phases(self, writer: StoreWriter, stop: threading.Event) -> None:
        waiting = self._to_replay(writer)
        if waiting:
            self._replay(writer, waiting, stop)
            if stop.is_set():
                return
        for plan in self._converged(writer.checkpoint):
            self._promote(writer, plan)
        if self._all_stream_unfinished():
            with writer.aside() as connection:
                self._steps.create_foreign_keys(connection, self._plan.plans)
            self._finished = True

    def _all_stream_unfinished(self) -> bool:
        return not self._finished and all(
            self.phases.get(plan.id).phase is Phase.STREAMING for plan in self._plan.plans
        )

    def _to_replay(self, writer: StoreWriter) -> list[TablePlan]:
        """Copied tables whose gate the main stream has reached, and those in whose replay a session ended."""
        found = []
        for plan in self._plan.plans:
            state = self.phases.get(plan.id)
            if state.phase in (Phase.COPIED, Phase.REPLAYING) and _replay_start(state) <= writer.checkpoint.seq:
                found.append(plan)
        return found

    def _replay(self, writer: StoreWriter, plans: Sequence[TablePlan], stop: threading.Event) -> None:
        """Bring copied tables from their gates to the checkpoint; their progress commits with their rows."""
        for plan in plans:
            state = self.phases.get(plan.id)
            if state.phase is Phase.COPIED:
                self._save(writer, moved(state, Phase.REPLAYING, applied_seq=state.gate_seq))
        starts = {plan.id: _replay_start(self.phases.get(plan.id)) for plan in plans}
        end = writer.checkpoint.seq
        pending = sorted(plans, key=lambda plan: starts[plan.id])
        begun: list[TablePlan] = []
        group = self._group(writer, ())
        log.info("replaying", store=self._plan.store, tables=len(plans), from_seq=min(starts.values()), to_seq=end)
        for transaction in self._relay.transactions(min(starts.values())):
            if transaction.seq > end:
                break
            if pending and starts[pending[0].id] < transaction.seq:
                while pending and starts[pending[0].id] < transaction.seq:
                    begun.append(pending.pop(0))
                group.flush()
                group.set_active(begun)
            self._take(group, transaction, group.wanted)
            if group.full:
                self._commit_replay(writer, group, begun, transaction.seq)
            if stop.is_set():
                break
        else:
            self._end_replay(writer, group, plans, end)
            return
        if stop.is_set():
            return
        self._end_replay(writer, group, plans, end)

    def _commit_replay(self, writer: StoreWriter, group: ChangeGroup, plans: Sequence[TablePlan], seq: int) -> None:
        group.flush()
        writer.hold_fence()
        writer.save_applied([plan.id for plan in plans], seq)
        writer.commit_only()
        for plan in plans:
            self.phases.set(dataclasses.replace(self.phases.get(plan.id), applied_seq=seq))
        self._noted(group)

    def _end_replay(self, writer: StoreWriter, group: ChangeGroup, plans: Sequence[TablePlan], seq: int) -> None:
        group.flush()
        writer.hold_fence()
        swept = set(group.swept)
        states = []
        for plan in plans:
            state = self.phases.get(plan.id)
            states.append(moved(state, Phase.CONVERGING, applied_seq=seq, sweep=state.sweep or plan.id in swept))
            writer.save_state(states[-1])
        writer.commit_only()
        self._noted(group)
        for state in states:
            self.phases.set(state)

    def _waiting_for_high(self, last: Transaction) -> bool:
        """Whether a converging table becomes exact with this transaction: then do not idle with the checkpoint."""
        for plan in self._plan.plans:
            state = self.phases.get(plan.id)
            if (
                state.phase is Phase.CONVERGING
                and state.high is not None
                and self._covers(last.seq, last.coordinate, state.high)
            ):
                return True
        return False

    def _covers(self, seq: int, coordinate: BinlogCoordinate, high: BinlogCoordinate) -> bool:
        """Whether a stream at this transaction has everything up to `high`; what follows it in the relay counts too."""
        if coordinate >= high:
            return True
        tail = self._relay.tail
        return tail is not None and seq >= tail.seq and tail.position.coordinate >= high

    def _exact(self, plan_id: str, checkpoint: Checkpoint) -> bool:
        state = self.phases.get(plan_id)
        if state.phase is Phase.STREAMING:
            return True
        if state.phase is not Phase.CONVERGING:
            return False
        return state.high is None or self._covers(checkpoint.seq, checkpoint.position.coordinate, state.high)

    def _converged(self, checkpoint: Checkpoint) -> list[TablePlan]:
        """Converging tables that are exact now and whose sweep, if they need one, can be done."""
        return [
            plan
            for plan in self._plan.plans
            if self.phases.get(plan.id).phase is Phase.CONVERGING
            and self._exact(plan.id, checkpoint)
            and self._sweepable(plan, checkpoint)
        ]

    def _sweepable(self, plan: TablePlan, checkpoint: Checkpoint) -> bool:
        if not self.phases.get(plan.id).sweep:
            return True
        middles = [middle.id for edge in self._plan.graph.chained(plan) for middle, _ in self._plan.graph.middles(edge)]
        return all(self._exact(middle, checkpoint) for middle in middles)

    def _promote(self, writer: StoreWriter, plan: TablePlan) -> None:
        """An exact table: sweep what cascades missed, create its uniques, let it stream."""
        self._sweep(writer, plan)
        try:
            with writer.aside() as connection:
                self._steps.create_uniques(connection, plan)
        except ApplyError as error:
            log.error("table held", table=plan.id, error=str(error))
            self._hold(writer, plan.id, f"its unique indexes cannot be created: {error}")
            return
        self._save(writer, moved(self.phases.get(plan.id), Phase.STREAMING, sweep=False))
        log.info("table streams", store=self._plan.store, table=plan.id)
        for other in self._plan.plans:
            state = self.phases.get(other.id)
            if state.sweep and state.phase is Phase.STREAMING and self._sweepable(other, writer.checkpoint):
                self._sweep(writer, other)

    def _sweep(self, writer: StoreWriter, plan: TablePlan) -> None:
        state = self.phases.get(plan.id)
        if not state.sweep:
            return
        writer.hold_fence()
        removed = 0
        with translated(f"store {self._plan.store}"):
            for edge in self._plan.graph.chained(plan):
                for middle, columns in self._plan.graph.middles(edge):
                    removed += sweep(writer.connection, edge, middle, columns)
        swept = dataclasses.replace(state, sweep=False)
        writer.save_state(swept)
        writer.commit_only()
        self.phases.set(swept)
        log.info("children of cascades swept", store=self._plan.store, table=plan.id, rows=removed)

    def _hold(self, writer: StoreWriter, plan_id: str, reason: str) -> None:
        state = self.phases.get(plan_id)
        changes: dict[str, object] = {"reason": reason}
        if state.phase in MAIN:
            changes["applied_seq"] = writer.checkpoint.seq
        self._save(writer, moved(state, Phase.HELD, **changes))

    def _save(self, writer: StoreWriter, state: TableState) -> None:
        """Write one state in a transaction of its own, then publish it."""
        writer.hold_fence()
        writer.save_state(state)
        writer.commit_only()
        self.phases.set(state)

    # -- the state

    def _show(self, checkpoint: Checkpoint) -> None:
        self._committed_s = checkpoint.commit_time
        self._set(
            seq=checkpoint.seq,
            position=checkpoint.position,
            applied_rows=checkpoint.applied_rows,
            applied_transactions=checkpoint.applied_transactions,
            tables=MappingProxyType(dict(self._counts)),
        )

    def _set(self, **changes: object) -> None:
        self._state = dataclasses.replace(self._state, **changes)  # type: ignore[arg-type]


def _replay_start(state: TableState) -> int:
    """The transaction after which a replay begins: where it stopped, else the gate S."""
    if state.applied_seq is not None:
        return state.applied_seq
    return state.gate_seq if state.gate_seq is not None else 0
