"""A store that was cut over, a source behind it, and the reverse stream between them, all real.

Both sides start with the same rows: the source is filled, its rows are projected and copied into the store.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql
from pydantic import SecretStr

from config.settings import RetrySettings, Settings, StoreSettings
from model.rows import Row
from model.tables import TableDef
from stores.control import checkpoints, migrations
from stores.mysql import ServerInfo, connect_source, probe
from stores.postgres import PostgresConnection, connect_store
from sync.mysql import reverse_tables
from sync.mysql.catalog import read_catalog
from sync.mysql.snapshot import ChunkReader, connect_reader
from sync.postgres import slots
from sync.postgres.copy import encode
from sync.postgres.schema_apply import apply_schema
from sync.reverse import ReverseStream
from sync.reverse_state import ReverseMode
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import position_now, settings_of, wait_until
from transforms.compile import compile_plan
from transforms.ddl import Phase
from transforms.plan import TablePlan
from transforms.reverse import ReversePlan, reverse_plans

DOMAIN = "shop"


@dataclass
class Reversing:
    """Everything around one reverse stream."""

    source_db: SourceDatabase
    store_db: StoreDatabase
    settings: Settings
    info: ServerInfo
    plans: tuple[TablePlan, ...]
    backs: tuple[ReversePlan, ...]
    r0: int = 0
    streams: list[tuple[ReverseStream, threading.Event, threading.Thread]] = field(default_factory=list)

    @property
    def database(self) -> str:
        """Our own database on the source, one per test."""
        return f"{self.source_db.database}_cf"

    def store(self) -> PostgresConnection:
        """A session in the store as an application has it."""
        return connect_store(SecretStr(self.store_db.dsn), application="app")

    def start(self, **options: Any) -> ReverseStream:
        """Run a stream in a thread."""
        chosen: dict[str, Any] = {"epoch": 1, "start_lsn": self.r0, "database": self.database, **options}
        settings = chosen.pop("settings", self.settings)
        stream = ReverseStream(settings, DOMAIN, "main", self.backs, **chosen)
        stop = threading.Event()
        thread = threading.Thread(target=stream.run, args=(stop,), daemon=True)
        thread.start()
        self.streams.append((stream, stop, thread))
        return stream

    def stop(self, stream: ReverseStream) -> None:
        """End a stream in order."""
        for known, stop, thread in self.streams:
            if known is stream:
                stop.set()
                thread.join(20)
                assert not thread.is_alive()

    def close(self) -> None:
        """End all streams."""
        for stream, _, _ in self.streams:
            self.stop(stream)

    def drain(self, stream: ReverseStream, seconds: float = 60.0) -> None:
        """Wait until the source has everything that the store has."""
        with self.store() as connection:
            lsn = slots.emit_message(connection, "boundary", "test")
        stream.wait_for(lsn, seconds)

    def wait_halted(self, stream: ReverseStream) -> str:
        """Wait until the stream needs somebody; its error."""
        wait_until(lambda: stream.state.mode is ReverseMode.HALTED)
        return stream.state.error or ""

    def source_rows(self, plan: TablePlan) -> list[Row]:
        """The source's rows in neutral form."""
        with closing(connect_reader(self.settings.source, self.info)) as connection:
            return list(ChunkReader(connection, self.info, plan.source, None).everything())

    def difference(self, plan: TablePlan) -> tuple[list[str], list[str]]:
        """(rows that only the store has, rows that only the source has), as the store prints them.

        The source's rows go the forward way, independent of the inverse.
        """
        names = sql.SQL(", ").join(sql.Identifier(column.target.name) for column in plan.columns)
        target = sql.Identifier(plan.target.schema, plan.target.name)
        with self.store() as connection, connection.transaction():
            connection.execute(
                sql.SQL("CREATE TEMPORARY TABLE theirs ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
                    names, target
                )
            )
            copy_in(connection, sql.Identifier("theirs"), names, plan, self.source_rows(plan))
            query = sql.SQL("SELECT t::text FROM (SELECT {} FROM {}) AS t EXCEPT ALL SELECT t::text FROM theirs AS t")
            ours = connection.execute(query.format(names, target)).fetchall()
            query = sql.SQL("SELECT t::text FROM theirs AS t EXCEPT ALL SELECT t::text FROM (SELECT {} FROM {}) AS t")
            theirs = connection.execute(query.format(names, target)).fetchall()
        return sorted(row for (row,) in ours), sorted(row for (row,) in theirs)

    def assert_equal(self) -> None:
        """Both sides hold the same rows in every table."""
        for plan in self.plans:
            assert self.difference(plan) == ([], []), plan.id

    def progress(self) -> reverse_tables.Progress:
        """The source's progress row."""
        with closing(connect_source(self.settings.source)) as connection:
            found = reverse_tables.read(connection, DOMAIN, "main", self.database)
        assert found is not None
        return found

    def slot(self) -> slots.SlotStatus:
        """The slot as the store sees it."""
        with self.store() as connection:
            found = slots.slot_status(connection, slots.stream_name(self.settings.name, DOMAIN, "main"))
        assert found is not None
        return found


def copy_in(
    connection: PostgresConnection, target: sql.Identifier, names: sql.Composed, plan: TablePlan, rows: Sequence[Row]
) -> None:
    """COPY projected source rows."""
    query = sql.SQL("COPY {} ({}) FROM STDIN").format(target, names)
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for row in rows:
            if plan.accepts(row):
                copy.write(encode(plan.project(row)))


@contextmanager
def reversing(
    source_db: SourceDatabase, store_db: StoreDatabase, *statements: str, **rules: Any
) -> Iterator[Reversing]:
    """Tables made and filled by `statements` in the source, their plans under `rules`, the same rows in the store."""
    source_db.execute(*statements)
    at = settings_of(source_db.server, databases=(source_db.database,))
    settings = Settings.model_validate(
        {
            "name": "test",
            "source": at,
            "stores": {"main": StoreSettings(dsn=SecretStr(store_db.dsn))},
            "retry": RetrySettings(attempts=100, first_wait_s=0.05, max_wait_s=0.3, max_elapsed_s=60),
            **rules,
        }
    )
    with closing(connect_source(at)) as connection:
        info = probe(connection)
        tables: dict[Any, TableDef] = read_catalog(connection, info, (source_db.database,))
    plans = compile_plan(settings, tables, info.flavour).plans
    self = Reversing(source_db, store_db, settings, info, plans, reverse_plans(plans))
    try:
        with self.store() as connection:
            migrations.prepare_store(connection)
            checkpoints.create(connection, settings.name, position_now(at))
            targets = [plan.target for plan in plans]
            apply_schema(connection, targets, Phase.BEFORE_COPY)
            for plan in plans:
                names = sql.SQL(", ").join(sql.Identifier(column.target.name) for column in plan.columns)
                target = sql.Identifier(plan.target.schema, plan.target.name)
                copy_in(connection, target, names, plan, self.source_rows(plan))
            for phase in (Phase.AFTER_COPY, Phase.AFTER_CONSISTENT):
                apply_schema(connection, targets, phase)
            name = slots.stream_name(settings.name, DOMAIN, "main")
            slots.prepare(connection, name, targets, "main")
            self.r0 = slots.emit_message(connection, "boundary", json.dumps({"epoch": 1}))
        with closing(connect_source(at)) as connection:
            reverse_tables.create(connection, self.database)
        yield self
    finally:
        self.close()
        source_db.execute(f"DROP DATABASE IF EXISTS `{self.database}`")
