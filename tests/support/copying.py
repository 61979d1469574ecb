"""A copy of a test's source into a test's store: plans with all-text targets, the store's own tables, a real relay.

Targets have the neutral text form in `text` columns, so that a test compares what was read and not how it was typed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from psycopg import sql
from pydantic import SecretStr

from config.settings import RetrySettings, Settings, SnapshotSettings, StoreSettings
from model.tables import TableDef
from stores.control import checkpoints, migrations, quarantine, table_states
from stores.control import chunks as ledger
from stores.control.chunks import Chunk
from stores.control.table_states import TableState
from stores.mysql import connect_source, probe
from stores.postgres import PostgresConnection, connect_store
from sync.backfill import Backfill, StoreCopy
from sync.copy_board import Replan
from sync.mysql.catalog import read_catalog
from sync.table_copy import RelayView
from sync.table_phase import TablePhases
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import Follower, following, position_now, settings_of
from transforms.plan import ColumnKind, ColumnPlan, TablePlan
from transforms.target import TargetColumn, TargetTable

STREAM = "test"


def text_plan(table: TableDef, store: str = "main", types: Mapping[str, str] | None = None) -> TablePlan:
    """A plan that copies every column as text (or as `types` says) to a table of the same name."""
    types = types or {}
    columns = tuple(TargetColumn(column.name, types.get(column.name, "text")) for column in table.columns)
    key = table.key
    return TablePlan(
        table,
        TargetTable(store, "public", table.id.name, columns, key),
        tuple(ColumnPlan(column, ColumnKind.COPY, number) for number, column in enumerate(columns)),
        tuple(table.index_of(name) for name in key),
    )


def create_target(connection: PostgresConnection, plan: TablePlan) -> None:
    """CREATE TABLE for a text plan."""
    parts: list[sql.Composable] = [
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type)) for column in plan.target.columns
    ]
    if plan.target.key:
        names = sql.SQL(", ").join(sql.Identifier(name) for name in plan.target.key)
        parts.append(sql.SQL("PRIMARY KEY ({})").format(names))
    name = sql.Identifier(plan.target.schema, plan.target.name)
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(", ").join(parts)))


@dataclass
class Copying:
    """A copy from a source database to one store, with everything around it real but the applier."""

    source_db: SourceDatabase
    store_db: StoreDatabase
    follower: Follower
    settings: Settings
    plans: tuple[TablePlan, ...] = ()
    fence: int = 0
    phases: TablePhases = field(default_factory=TablePhases)
    build_indexes: Callable[[PostgresConnection, TablePlan], None] = lambda connection, plan: None

    def catalog(self) -> dict[str, TableDef]:
        """Tables of the source database now, by name."""
        connection = connect_source(self.settings.source)
        try:
            found = read_catalog(connection, probe(connection), (self.source_db.database,))
        finally:
            connection.close()
        return {table.name: definition for table, definition in found.items()}

    def plan(self, *names: str, types: Mapping[str, str] | None = None) -> tuple[TablePlan, ...]:
        """Plan tables and create their targets, as `schema apply` would."""
        catalog = self.catalog()
        made = tuple(text_plan(catalog[name], types=types) for name in names)
        with self.store() as connection:
            for plan in made:
                create_target(connection, plan)
        self.plans += made
        return made

    def estimate(self, name: str, *, rows: int, size: int) -> None:
        """Pretend that the catalogue's estimate of a table is this."""
        self.plans = tuple(
            replace(plan, source=replace(plan.source, rows_estimate=rows, bytes_estimate=size))
            if plan.source.id.name == name
            else plan
            for plan in self.plans
        )

    def store(self) -> PostgresConnection:
        """A new connection to the store."""
        return connect_store(SecretStr(self.store_db.dsn))

    @property
    def parked(self) -> tuple[quarantine.Parked, ...]:
        """The store's quarantine."""
        with self.store() as connection:
            return quarantine.parked(connection, STREAM)

    def backfill(self, relay: RelayView | None = None, replan: Replan | None = None, **options: Any) -> Backfill:
        """A backfill over all plans, with another relay than the follower's if asked for."""
        copy = StoreCopy(
            "main",
            SecretStr(self.store_db.dsn),
            STREAM,
            self.fence,
            self.plans,
            self.phases,
            lambda connection, plan: self.build_indexes(connection, plan),
            replan,
        )
        return Backfill(self.settings, [copy], relay or self.follower.relay, **options)

    def run(self, stop: threading.Event | None = None, **options: Any) -> None:
        """Run a backfill to its end."""
        self.backfill(**options).run(stop or threading.Event())

    def state(self, name: str) -> TableState:
        """State of the plan of a source table, from the store."""
        with self.store() as connection:
            states = table_states.load(connection, STREAM)
        return next(states[plan.id] for plan in self.plans if plan.source.id.name == name)

    def chunks(self, name: str) -> tuple[Chunk, ...]:
        """Ledger of the plan of a source table."""
        with self.store() as connection:
            return ledger.load(connection, STREAM, next(plan.id for plan in self.plans if plan.source.id.name == name))

    def rows(self, name: str, columns: str = "*", order: str = "1") -> list[tuple[Any, ...]]:
        """Rows of a target table."""
        return self.store_db.rows(f'SELECT {columns} FROM "{name}" ORDER BY {order}')


@contextmanager
def copying(
    source_db: SourceDatabase,
    store_db: StoreDatabase,
    directory: Path,
    *,
    workers: int = 2,
    chunk_bytes: int = 1 << 20,
    **source: Any,
) -> Iterator[Copying]:
    """A reader follows the source from now on, the store has our tables and a checkpoint."""
    at = settings_of(source_db.server, databases=(source_db.database,), **source)
    settings = Settings(
        name=STREAM,
        source=at,
        stores={"main": StoreSettings(dsn=SecretStr(store_db.dsn))},
        snapshot=SnapshotSettings(workers=workers, chunk_bytes=chunk_bytes),
        retry=RetrySettings(attempts=60, first_wait_s=0.05, max_wait_s=0.3, max_elapsed_s=60),
    )
    start = position_now(at)
    with following(at, directory, start) as follower:
        with connect_store(SecretStr(store_db.dsn)) as connection:
            migrations.prepare_store(connection)
            checkpoints.create(connection, STREAM, start)
            fence = checkpoints.take_over(connection, STREAM)
        yield Copying(source_db, store_db, follower, settings, fence=fence)
