"""The parts of a running migration, built from what `startup` found, and what they say of themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime

from config.settings import ApplySettings, Settings, SnapshotSettings
from daemon.copy_plans import CopyPlans
from daemon.lifecycle import Stop
from daemon.rates import Rate
from daemon.relay_folder import open_relay
from daemon.schema_steps import PhaseSchema
from daemon.startup import Start, StoreStart, replica_id
from daemon.status import (
    CopyStatus,
    Health,
    Reason,
    SourceStatus,
    State,
    StatusReport,
    StoreStatus,
    TableStatus,
    judge,
)
from daemon.worker import Worker
from model.errors import ApplyError, CrossfadeError, UsageError
from model.position import BinlogCoordinate, Position
from model.tables import TableId
from stores.control.quarantine import Parked
from stores.control.table_states import Phase, TableState
from stores.mysql import ServerInfo, binlog_end, connect_source, probe
from stores.postgres import connect_store
from sync.applier import StoreApplier
from sync.applier_ports import StorePlan
from sync.applier_state import Mode
from sync.backfill import Backfill
from sync.cascades import CascadeGraph
from sync.copy_board import StoreCopy
from sync.mysql.reader import BinlogReader
from sync.parked_retry import Retried
from sync.relay.reader import RelayReader
from sync.sentinel import Sentinel
from sync.table_phase import TablePhases, needed_from
from transforms.plan import TablePlan
from transforms.target import TargetTable
from validators.computed_verdict import Computed

PURGE_EVERY_S = 5.0
_NOT_YET = TableState("")


class Parts:
    """Reader, copy and appliers of one run. `close` frees what they hold after they ended."""

    def __init__(self, settings: Settings, start: Start, stop: Stop) -> None:
        self._settings = settings
        self._start = start
        self._stop = stop
        self._since = datetime.now(UTC)
        self._state = State.STARTING
        self._pauses: dict[str, str] = {}
        self._next_purge = 0.0
        self._kept_after: int | None = None
        self._sentinel = Sentinel()
        self._rates: dict[str, Rate] = {}
        lowest = start.lowest
        self._relay = open_relay(settings.relay, settings.name, lowest.seq, stop, first=start.first)
        self._readers: list[RelayReader] = []
        self._reader = BinlogReader(
            settings.source,
            settings.retry,
            self._relay,
            lowest.position,
            server_id=replica_id(settings),
            first_seq=lowest.seq + 1,
        )
        steps = PhaseSchema(start.plan)
        self._appliers: dict[str, StoreApplier] = {}
        copies: list[StoreCopy] = []
        for store in start.stores:
            phases = TablePhases(store.states)
            self._appliers[store.name] = self._applier(store, phases, steps)
            copies.append(self._copy(store, phases, steps))
        self._backfill = Backfill(settings, copies, self._relay_reader())
        self._read_worker = Worker("reader", lambda: self._reader.run(stop))
        self._copy_worker = Worker("copy", lambda: self._copy_when_reading(stop))
        self._apply_workers = {
            name: Worker(f"apply-{name}", lambda applier=applier: applier.run(stop))  # type: ignore[misc]
            for name, applier in self._appliers.items()
        }

    @property
    def start_info(self) -> ServerInfo:
        """The source as it was at the start."""
        return self._start.info

    def _relay_reader(self) -> RelayReader:
        reader = RelayReader(self._settings.relay.directory)
        self._readers.append(reader)
        return reader

    def _applier(self, store: StoreStart, phases: TablePhases, steps: PhaseSchema) -> StoreApplier:
        settings = self._settings
        return StoreApplier(
            StorePlan(store.name, settings.name, store.plans, CascadeGraph()),
            self._relay_reader(),
            lambda: connect_store(
                settings.stores[store.name].dsn, application=f"crossfade apply {settings.name}", autocommit=True
            ),
            fence=store.checkpoint.fence,
            phases=phases,
            steps=steps,
            read_changes=store.schema.changes,
            settings=settings.apply,
            retry=settings.retry,
            sentinel=self._sentinel,
            schema=store.schema,
        )

    def _copy(self, store: StoreStart, phases: TablePhases, steps: PhaseSchema) -> StoreCopy:
        return StoreCopy(
            store.name,
            self._settings.stores[store.name].dsn,
            self._settings.name,
            store.checkpoint.fence,
            store.plans,
            phases,
            steps.build_indexes,
            CopyPlans(self._settings.name, store.schema),
        )

    def _copy_when_reading(self, stop: threading.Event) -> None:
        """S is the relay's tail, so the relay must have been begun."""
        while self._relay.tail is None and not stop.wait(0.05):
            if not self._read_worker.alive:
                return
        if not stop.is_set():
            self._backfill.run(stop)

    # -- life

    def start(self) -> None:
        """Begin all threads."""
        self._read_worker.start()
        self._copy_worker.start()
        for worker in self._apply_workers.values():
            worker.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of all threads; `stop` is set."""
        deadline = time.monotonic() + timeout_s
        for worker in (self._copy_worker, *self._apply_workers.values(), self._read_worker):
            worker.join(max(0.1, deadline - time.monotonic()))

    def close(self) -> None:
        """Close the relay."""
        for reader in self._readers:
            reader.close()
        self._relay.close()

    def housekeeping(self) -> None:
        """Purge the relay behind the slowest store and the oldest gate."""
        now = time.monotonic()
        if now < self._next_purge:
            return
        self._next_purge = now + PURGE_EVERY_S
        self._relay.purge(self._needed_from() + 1)

    def _needed_from(self) -> int:
        lows = []
        for store in self._start.stores:
            applier = self._appliers[store.name]
            seq = max(applier.state.seq, store.checkpoint.seq)
            lows.append(needed_from(seq, applier.phases.all().values()))
        kept = self._kept_after
        return min(lows) if kept is None else min(kept, *lows)

    # -- what a cutover asks (cutover.followers.Followers)

    def position_of(self, store: str) -> Position | None:
        """Position of a store's checkpoint as last committed."""
        return self._appliers[store].state.position

    def seq_of(self, store: str) -> int:
        """Sequence number of a store's checkpoint."""
        started = next(one.checkpoint.seq for one in self._start.stores if one.name == store)
        return max(self._appliers[store].state.seq, started)

    def fence_of(self, store: str) -> int:
        """Our fence in a store."""
        return next(one.checkpoint.fence for one in self._start.stores if one.name == store)

    def streams(self, plan_id: str) -> bool:
        """Whether a table plan is exact."""
        return any(
            applier.phases.all().get(plan_id, _NOT_YET).phase is Phase.STREAMING for applier in self._appliers.values()
        )

    # -- what readers are promised (cutover.readers.Freshness)

    def lag_of(self, store: str) -> float | None:
        """Seconds that a store is behind."""
        return self._appliers[store].state.lag_s

    def parked_of(self, plan_id: str) -> int:
        """Changes of a table plan in quarantine."""
        return sum(applier.state.parked.get(plan_id, 0) for applier in self._appliers.values())

    def keep_after(self, seq: int | None) -> None:
        """Keep what the relay holds after `seq`, until called with None."""
        self._kept_after = seq

    def watch(self, domain: str, tables: Iterable[TableId], until: BinlogCoordinate | None = None) -> None:
        """Write down instead of applying what the source commits to these tables up to `until` (None: from now on)."""
        self._sentinel.watch(domain, tables, until)

    def failure(self) -> CrossfadeError | None:
        """What makes going on useless: the reader or the copy failed, or every applier has halted."""
        for worker in (self._read_worker, self._copy_worker):
            if worker.error is not None:
                return worker.error
        halted = [applier.state for applier in self._appliers.values() if applier.state.mode is Mode.HALTED]
        if len(halted) == len(self._appliers):
            first = halted[0]
            worker_error = self._apply_workers[first.store].error
            return worker_error or _halted(first.store, first.error, first.hint)
        return None

    # -- orders

    def pause(self, stores: Sequence[str], reason: str) -> None:
        """Pause the appliers of these stores."""
        for name in stores:
            self._pauses[name] = reason
            self._appliers[name].pause()

    def resume(self, stores: Sequence[str]) -> None:
        """Let the appliers of these stores go on."""
        for name in stores:
            self._pauses.pop(name, None)
            self._appliers[name].resume()

    def tune_apply(self, settings: ApplySettings) -> None:
        """Let every applier take other limits."""
        for applier in self._appliers.values():
            applier.tune(settings)

    def tune_copy(self, settings: SnapshotSettings) -> None:
        """Let the copy take another limit."""
        self._backfill.tune(settings)

    def release(self, table: str) -> list[str]:
        """Let a held table go on in every store; gives the plans. Raises UsageError when none is held."""
        released = []
        for store in self._start.stores:
            for plan in self._appliers[store.name].plans:
                held = self._appliers[store.name].phases.get(plan.id).phase is Phase.HELD
                if held and table in (plan.source.id.name, str(plan.source.id), plan.id):
                    self._appliers[store.name].release(plan.id)
                    released.append(plan.id)
        if not released:
            raise UsageError(f"no held table is called {table}", hint="See: crossfade status --tables")
        return released

    def plans_changed(self) -> bool:
        """Whether a store follows other plans by now than at the start."""
        return any(_shape(self._appliers[store.name].plans) != _shape(store.plans) for store in self._start.stores)

    def computed_of(self, store: str) -> tuple[Computed, ...]:
        """Looked-up columns of a store by the plans that it follows now, and its read models. From any thread."""
        targets = dict.fromkeys(plan.target for plan in self._appliers[store].plans)
        found = [lookup for target in targets for lookup in target.lookups]
        return (*found, *self._start.plan.models_of(store))

    def decide(self, table: str, accept: bool, actor: str) -> list[str]:
        """Approve or reject what a table is held for, in every store; the plans that go on.

        Raises UsageError when the table is held for no statement, Refused, TimedOut.
        """
        decided = [plan for applier in self._appliers.values() for plan in applier.decide(table, accept, actor)]
        if not decided:
            raise UsageError(f"{table} is held for no statement", hint="See: crossfade schema pending")
        return decided

    def retry_parked(self, stores: Sequence[str], identifier: int | None, table: str | None) -> list[Retried]:
        """Apply changes in quarantine again: one, those of a table, or all. Raises TimedOut."""

        def chosen(row: Parked) -> bool:
            source = row.plan_id.partition(">")[0]
            named = table is None or table in (row.plan_id, source, source.rpartition(".")[2])
            return named and identifier in (None, row.id)

        return [one for name in stores for one in self._appliers[name].retry_parked(chosen)]

    def discard_parked(self, store: str, identifier: int) -> None:
        """Give up one change in quarantine. Raises UsageError when it is not there, TimedOut."""
        if store not in self._appliers or self._appliers[store].discard_parked(identifier) is None:
            raise UsageError(f"store {store} has no parked change {identifier}", hint="See: crossfade errors list")

    # -- questions

    def occupied(self, most_lag_s: float) -> str | None:
        """Why the servers are to be left to copy and appliers, None when they need not. From any thread."""
        for store in self._start.stores:
            applier = self._appliers[store.name]
            if any(applier.phases.get(plan.id).phase in (Phase.PENDING, Phase.COPYING) for plan in store.plans):
                return "the copy goes first"
            state = applier.state
            if store.name in self._pauses or state.mode is not Mode.RUNNING:
                return f"store {store.name} is {'paused' if store.name in self._pauses else state.mode}"
            if state.lag_s is None or state.lag_s > most_lag_s:
                return f"store {store.name} lags"
        return None

    def everything_streams(self) -> bool:
        """Whether every table that is not held streams."""
        return all(
            state.phase in (Phase.STREAMING, Phase.HELD)
            for applier in self._appliers.values()
            for state in (applier.phases.get(plan.id) for plan in applier.plans)
        )

    def source_end(self) -> Position:
        """The end of the source's binlog now."""
        with closing(connect_source(self._settings.source)) as connection:
            return binlog_end(connection, probe(connection))

    def reached(self, target: Position) -> bool:
        """Whether every store that has not halted is at or past `target`."""
        running = [applier.state for applier in self._appliers.values() if applier.state.mode is not Mode.HALTED]
        tail = self._reader.state.tail
        # Behind a rotation without a transaction no checkpoint moves: whoever has all of the relay is where it ends.
        all_read = tail.seq if tail is not None and tail.position.reached(target) else None
        return all(
            state.position is not None
            and (state.position.reached(target) or (all_read is not None and state.seq >= all_read))
            for state in running
        )

    def flush(self) -> None:
        """Ask every applier to move its checkpoint to what it has read."""
        for applier in self._appliers.values():
            applier.flush()

    # -- status

    def status(self, alarms: Sequence[Reason] = ()) -> StatusReport:
        """How everything is now; `alarms` are what the domains complain of."""
        reasons = (*self._reasons(), *alarms)
        stores = tuple(self._store_status(applier) for applier in self._appliers.values())
        tables = tuple(
            TableStatus(
                plan.id,
                store.name,
                state.phase,
                state.rows_copied,
                state.reason or (building.get(plan.id) if state.phase is Phase.CONVERGING else None),
                parked.get(plan.id, 0),
            )
            for store in self._start.stores
            for parked in (self._appliers[store.name].state.parked,)
            for building in (self._appliers[store.name].building,)
            for plan in self._appliers[store.name].plans
            for state in (self._appliers[store.name].phases.get(plan.id),)
        )
        state, health = judge(tables, stores, reasons)
        if state is not self._state:
            self._state, self._since = state, datetime.now(UTC)
        return StatusReport(
            migration=self._settings.name,
            state=state,
            health=health,
            since=self._since,
            reasons=reasons,
            next_steps=_next_steps(state, health, reasons),
            source=self._source_status(),
            stores=stores,
            tables=tables,
            copy=self._copy_status(),
        )

    def _reasons(self) -> tuple[Reason, ...]:
        found: list[Reason] = []
        reader = self._reader.state
        if self._read_worker.error is not None:
            found.append(Reason.of("READER_FAILED", "source", self._read_worker.error))
        elif reader.error and not reader.connected:
            found.append(Reason("SOURCE_LOST", "source", reader.error, "It is retried by itself."))
        if reader.over_budget:
            found.append(Reason("RELAY_FULL", "relay", "the disk budget is used up", "Raise relay.budget_bytes."))
        if self._copy_worker.error is not None:
            found.append(Reason.of("COPY_FAILED", "copy", self._copy_worker.error))
        if self._backfill.pause_reason:
            found.append(Reason("COPY_THROTTLED", "copy", self._backfill.pause_reason))
        for name, applier in self._appliers.items():
            state = applier.state
            if state.mode is Mode.HALTED:
                found.append(Reason("STORE_HALTED", f"store {name}", state.error or "halted", state.hint or ""))
            elif state.mode is Mode.RETRYING:
                found.append(Reason("STORE_RETRYING", f"store {name}", state.error or "", state.hint or ""))
            for plan_id, parked in state.parked.items():
                found.append(
                    Reason("TABLE_QUARANTINED", plan_id, f"{parked} changes are in quarantine", "crossfade errors list")
                )
            if name in self._pauses:
                found.append(
                    Reason("PAUSED", f"store {name}", f"paused: {self._pauses[name]}", f"crossfade resume {name}")
                )
            for plan_id, table in applier.phases.all().items():
                if table.phase is Phase.HELD:
                    found.append(Reason("TABLE_HELD", plan_id, table.reason or "held", "crossfade status --tables"))
        return tuple(found)

    def _source_status(self) -> SourceStatus:
        state = self._reader.state
        tail = state.tail
        age = time.time() - state.last_packet_at if state.last_packet_at else None
        return SourceStatus(
            connected=state.connected,
            position=str(tail.position.coordinate) if tail else "",
            seq=tail.seq if tail else 0,
            last_event_age_s=round(age, 3) if age is not None else None,
            transactions_per_s=self._rate("reader", state.transactions),
            relay_bytes=self._relay.size_bytes,
            relay_budget_bytes=self._settings.relay.budget_bytes,
        )

    def _store_status(self, applier: StoreApplier) -> StoreStatus:
        state = applier.state
        mode = "paused" if state.store in self._pauses and state.mode is Mode.RUNNING else str(state.mode)
        return StoreStatus(
            name=state.store,
            state=mode,
            seq=state.seq,
            position=str(state.position.coordinate) if state.position else "",
            lag_s=round(state.lag_s, 3) if state.lag_s is not None else None,
            waiting_transactions=state.behind,
            rows_applied=state.applied_rows,
            rows_per_s=self._rate(state.store, state.applied_rows),
        )

    def _copy_status(self) -> CopyStatus:
        progress = self._backfill.progress()
        expected = sum(max(table.rows_estimate, table.rows_done) for table in progress.tables)
        return CopyStatus(
            rows_done=progress.rows_done,
            rows_expected=expected,
            basis=progress.basis,
            percent=round(100 * progress.share, 1),
            rows_per_s=round(progress.rows_per_s, 1),
            eta_low_s=progress.eta_s[0] if progress.eta_s else None,
            eta_high_s=progress.eta_s[1] if progress.eta_s else None,
        )

    def _rate(self, name: str, total: int) -> float:
        return self._rates.setdefault(name, Rate()).per_s(total)


def _shape(plans: Sequence[TablePlan]) -> list[tuple[str, TargetTable]]:
    return [(plan.source.fingerprint(), plan.target) for plan in plans]


def _halted(store: str, error: str | None, hint: str | None) -> CrossfadeError:
    return ApplyError(f"store {store} halted: {error}", hint=hint or "See: crossfade status")


def _next_steps(state: State, health: Health, reasons: Sequence[Reason]) -> tuple[str, ...]:
    if health is not Health.HEALTHY:
        return tuple(dict.fromkeys(reason.next for reason in reasons if reason.next)) or ("crossfade status --tables",)
    if state is State.SYNCING:
        return ("crossfade verify --mode checksum",)
    return ("crossfade status --watch 2",)
