"""An applier, or only its writer, on a real store, fed by a source in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg import sql
from pydantic import SecretStr

from config.settings import ApplySettings, RetrySettings
from model.position import BinlogCoordinate, Flavour, Position
from model.rows import Row
from stores.control import checkpoints, migrations, table_states
from stores.control.checkpoints import Checkpoint
from stores.postgres import PostgresConnection, connect_store
from sync.applier import StoreApplier
from sync.applier_ports import StorePlan
from sync.applier_state import ApplierState, Mode
from sync.cascades import CascadeGraph, build_graph
from sync.change_group import ChangeGroup
from sync.postgres.apply import StoreWriter
from sync.table_phase import Phase, TablePhases, TableState
from tests.support.changes import FakeChanges, FakeRelay, SourceModel, create_sql, make_plan
from tests.support.servers import StoreDatabase
from transforms.plan import TablePlan
from transforms.target import TargetTable

STREAM = "test"
START = Position(Flavour.MYSQL, BinlogCoordinate("binlog.000001", 0))


class Steps:
    """Creates uniques and counts foreign keys."""

    def __init__(self) -> None:
        self.foreign_keys = 0

    def create_uniques(self, connection: PostgresConnection, plan: TablePlan) -> None:
        for index in plan.target.indexes:
            connection.execute(
                sql.SQL("CREATE UNIQUE INDEX IF NOT EXISTS {} ON {} ({})").format(
                    sql.Identifier(index.name),
                    sql.Identifier(plan.target.schema, plan.target.name),
                    sql.SQL(", ").join(map(sql.Identifier, index.columns)),
                )
            )

    def slow_uniques(self, connection: PostgresConnection, plan: TablePlan) -> bool:
        return False

    def build_uniques(
        self, connection: PostgresConnection, target: TargetTable, stop: threading.Event, say: Callable[[str], None]
    ) -> None:
        raise AssertionError("nothing is slow")

    def create_foreign_keys(self, connection: PostgresConnection, plans: Sequence[TablePlan]) -> None:
        self.foreign_keys += 1

    def keep_lookups(self, connection: PostgresConnection, plans: Sequence[TablePlan]) -> None:
        """None are declared."""

    def create_read_models(self, connection: PostgresConnection, store: str) -> None:
        """None here."""


@dataclass
class Applying:
    """A store with its tables, and the source model that it follows."""

    store_db: StoreDatabase
    source: SourceModel
    plans: tuple[TablePlan, ...]
    graph: CascadeGraph
    relay: FakeRelay = field(default_factory=FakeRelay)
    phases: TablePhases = field(default_factory=TablePhases)
    steps: Steps = field(default_factory=Steps)
    fence: int = 0

    @staticmethod
    def prepare(
        store_db: StoreDatabase,
        source: SourceModel,
        plans: Sequence[TablePlan] | None = None,
        *,
        phase: Phase = Phase.STREAMING,
    ) -> Applying:
        """Create targets, our tables and the checkpoint; every plan begins in `phase`."""
        made = tuple(plans) if plans is not None else tuple(make_plan(table) for table in source.tables.values())
        graph = build_graph({table.id: table for table in source.tables.values()}, made)
        self = Applying(store_db, source, made, graph)
        with self.connect() as connection:
            for plan in made:
                connection.execute(create_sql(plan).encode())
                if phase is Phase.STREAMING:
                    self.steps.create_uniques(connection, plan)
            migrations.prepare_store(connection)
            checkpoints.create(connection, STREAM, START)
            self.fence = checkpoints.take_over(connection, STREAM)
            for plan in made:
                table_states.save(connection, STREAM, TableState(plan.id, phase, gate_seq=0))
        return self

    def connect(self) -> PostgresConnection:
        """A new connection."""
        return connect_store(SecretStr(self.store_db.dsn))

    def checkpoint(self) -> Checkpoint:
        """The checkpoint as it is in the store."""
        with self.connect() as connection:
            found = checkpoints.read(connection, STREAM)
        assert found is not None
        return found

    def table(self, plan: TablePlan) -> list[Row]:
        """The target's rows as text forms, sorted."""
        with self.connect() as connection:
            columns = sql.SQL(", ").join(
                sql.SQL("{}::text").format(sql.Identifier(column.target.name)) for column in plan.columns
            )
            name = sql.Identifier(plan.target.schema, plan.target.name)
            rows = connection.execute(sql.SQL("SELECT {} FROM {}").format(columns, name)).fetchall()
        return sorted((tuple(None if f is None else f.encode() for f in row) for row in rows), key=repr)

    def differences(self) -> dict[str, tuple[list[Row], list[Row]]]:
        """Plans whose target differs from the source: (missing or different, surplus)."""
        found = {}
        for plan in self.plans:
            ours, theirs = self.table(plan), sorted(self.source.rows[plan.source.id.name], key=repr)
            if ours != theirs:
                found[plan.id] = (
                    [row for row in theirs if row not in ours],
                    [row for row in ours if row not in theirs],
                )
        return found

    @contextmanager
    def writer(self) -> Iterator[StoreWriter]:
        """A writer on a connection of its own."""
        connection = self.connect()
        found = checkpoints.read(connection, STREAM)
        assert found is not None
        writer = StoreWriter(connection, "main", found, self.graph)
        try:
            writer.prepare_session()
            yield writer
        finally:
            writer.close()

    def group(self, writer: StoreWriter, *, max_rows: int = 20_000, max_bytes: int = 1 << 24) -> ChangeGroup:
        """A group over all plans."""
        return ChangeGroup(writer, self.graph, self.plans, lambda plan_id: True, max_rows=max_rows, max_bytes=max_bytes)

    def apply_committed(self, writer: StoreWriter, group: ChangeGroup) -> None:
        """Apply what the source has committed since the last time, in one transaction."""
        for batch in self.source.commit():
            group.add(batch)
        group.flush()
        seq = writer.checkpoint.seq + 1
        position = Position(Flavour.MYSQL, BinlogCoordinate("binlog.000001", seq * 100))
        writer.commit(seq, position, None, rows=group.rows, transactions=1)
        group.committed()

    def applier(
        self,
        *,
        connect: Callable[[], PostgresConnection] | None = None,
        max_rows: int = 20_000,
        attempts: int = 20,
    ) -> StoreApplier:
        """An applier over the fake relay."""
        return StoreApplier(
            StorePlan("main", STREAM, self.plans, self.graph),
            self.relay,
            connect or self.connect,
            fence=self.fence,
            phases=self.phases,
            steps=self.steps,
            read_changes=lambda history: FakeChanges(),
            settings=ApplySettings(max_rows=max_rows),
            retry=RetrySettings(attempts=attempts, first_wait_s=0.01, max_wait_s=0.1),
        )


@contextmanager
def running(applier: StoreApplier) -> Iterator[StoreApplier]:
    """The applier in a thread that is stopped at the end."""
    stop = threading.Event()
    thread = threading.Thread(target=applier.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield applier
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def wait_for(
    applier: StoreApplier, test: Callable[[ApplierState], bool], *, timeout_s: float = 60, halted: bool = False
) -> ApplierState:
    """Wait until the state passes the test; fails at once when the applier halts instead."""
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.02)):
        state = applier.state
        if test(state):
            return state
        if state.mode is Mode.HALTED and not halted:
            raise AssertionError(f"the applier halted: {state.error}")
        pause.wait(0.02)
    raise AssertionError(f"not reached: {applier.state}")
