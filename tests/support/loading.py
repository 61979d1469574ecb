"""Source tables loaded into a store by hand, with a checkpoint, as a copy that has caught up leaves them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from psycopg import sql
from pydantic import SecretStr

from config.settings import RelaySettings, Settings, StoreSettings, VerifySettings
from daemon.planning import Planned, read_plan
from model.rows import Row
from stores.control import checkpoints
from stores.control.migrations import prepare_store
from stores.postgres import connect_store
from sync.mysql.snapshot import ChunkReader, connect_reader
from sync.postgres.copy import encode
from sync.postgres.schema_apply import apply_schema
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import position_now, settings_of
from transforms.ddl import Phase
from transforms.plan import TablePlan
from validators.findings import Mode, TableVerdict, Verdict
from validators.run import Scope, Verification

STORE = "main"


@dataclass
class Loaded:
    """A source database and the store that it was loaded into."""

    source_db: SourceDatabase
    store_db: StoreDatabase
    settings: Settings
    planned: Planned

    def verify(
        self, *tables: str, mode: Mode = Mode.AUTO, deadline_s: float = 5.0, settings: Settings | None = None
    ) -> Verdict:
        """Run a verification."""
        scope = Scope(self.planned.info, self.planned.tables, self.planned.plan, tables)
        return Verification(settings or self.settings, scope, mode, Event(), deadline_s=deadline_s).run()

    def judged(self, table: str, mode: Mode = Mode.AUTO, **options: Any) -> TableVerdict:
        """The verdict over one table."""
        (verdict,) = self.verify(table, mode=mode, **options).tables
        return verdict

    def plan(self, table: str) -> TablePlan:
        """The plan of a source table."""
        return next(plan for plan in self.planned.plan.plans if plan.source.id.name == table)

    def rows(self, table: str) -> Iterator[Row]:
        """Projected rows of a source table."""
        plan = self.plan(table)
        with closing(connect_reader(self.settings.source, self.planned.info)) as connection:
            for row in ChunkReader(connection, self.planned.info, plan.source, None).everything():
                if plan.accepts(row):
                    yield plan.project(row)

    def load(self, table: str) -> None:
        """Copy a source table's rows into the store."""
        plan = self.plan(table)
        name = sql.Identifier(plan.target.schema, plan.target.name)
        columns = sql.SQL(", ").join(sql.Identifier(column.target.name) for column in plan.columns)
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(name, columns)
        with (
            closing(connect_store(SecretStr(self.store_db.dsn))) as connection,
            connection.cursor().copy(statement) as copy,
        ):
            for row in self.rows(table):
                copy.write(encode(row))

    def mark(self, seq: int = 7) -> None:
        """Write the checkpoint: the store holds everything up to now, which is transaction `seq`."""
        position = position_now(self.settings.source)
        with closing(connect_store(SecretStr(self.store_db.dsn))) as connection:
            prepare_store(connection)
            connection.execute("DELETE FROM crossfade.checkpoint")
            checkpoints.create(connection, self.settings.name, position, seq)


def settings_for(source_db: SourceDatabase, store_db: StoreDatabase, folder: Path, **rules: Any) -> Settings:
    """Settings with one store, and `rules` for tables and the like."""
    source = settings_of(source_db.server, databases=(source_db.database,))
    return Settings(
        name="test",
        source=source,
        stores={STORE: StoreSettings(dsn=SecretStr(store_db.dsn))},
        relay=RelaySettings(directory=folder / "relay"),
        verify=VerifySettings(leaf_rows=10),
        **{"defaults": {"store": STORE}, **rules},
    )


@contextmanager
def loaded(
    source_db: SourceDatabase, store_db: StoreDatabase, folder: Path, rules: Mapping[str, Any] | None = None
) -> Iterator[Loaded]:
    """Every table of the source database in the store, and the checkpoint at the source's end."""
    settings = settings_for(source_db, store_db, folder, **(rules or {}))
    planned = read_plan(settings)
    found = Loaded(source_db, store_db, settings, planned)
    with closing(connect_store(SecretStr(store_db.dsn))) as connection:
        apply_schema(connection, [plan.target for plan in planned.plan.plans], Phase.BEFORE_COPY)
    for plan in planned.plan.plans:
        found.load(plan.source.id.name)
    found.mark()
    yield found
