"""What has to be true before anything runs: positions, plans from the schema history, our tables, the fence.

Everything that can be refused is refused here, before the source or a store is changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass

import structlog

from config.settings import Settings
from daemon.planning import Planned, read_plan, read_position
from daemon.store_schema import DaemonSchema
from model.errors import ConfigError, ExitCode, Refused, SchemaDrift
from model.position import Position
from model.tables import TableDef, TableId
from stores.control import checkpoints, schema_history, streams, table_states
from stores.control.checkpoints import Checkpoint
from stores.control.migrations import prepare_store
from stores.control.schema_history import SchemaHistory, SchemaVersion
from stores.control.table_states import TableState
from stores.errors import translated
from stores.mysql import ServerInfo
from stores.postgres import PostgresConnection, connect_store
from sync.assess import assess
from sync.postgres import lookups, read_models
from sync.postgres.drift import require_fit
from sync.postgres.schema_reset import reset_tables
from sync.postgres.store_catalog import read_store
from transforms.plan import MigrationPlan, TablePlan

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StoreStart:
    """One store at the start of the daemon."""

    name: str
    checkpoint: Checkpoint
    plans: tuple[TablePlan, ...]
    schema: DaemonSchema
    states: Mapping[str, TableState]


@dataclass(frozen=True, slots=True)
class Start:
    """Everything that the parts are built from."""

    info: ServerInfo
    plan: MigrationPlan
    tables: Mapping[TableId, TableDef]
    stores: tuple[StoreStart, ...]
    first: bool
    """Whether the stream begins now."""

    @property
    def lowest(self) -> Checkpoint:
        """The store that is furthest behind: where a lost relay is rebuilt from."""
        return min((store.checkpoint for store in self.stores), key=lambda checkpoint: checkpoint.seq)


def replica_id(settings: Settings) -> int:
    """Our server id as a replica: as configured, else derived from the migration's name (2^31 and above)."""
    if settings.source.server_id is not None:
        return settings.source.server_id
    digest = hashlib.sha256(f"crossfade:{settings.name}".encode()).digest()
    return (1 << 31) | int.from_bytes(digest[:4], "big") >> 1


def prepare(settings: Settings, *, assess_first: bool) -> Start:
    """Check source and stores, read or begin the stream's state, take the fence of every store.

    Raises Refused, SchemaDrift, ConfigError, Unreachable or AccessDenied; nothing is changed then.
    """
    with ExitStack() as stack:
        connections = {
            name: stack.enter_context(closing(connect_store(store.dsn, application="crossfade start")))
            for name, store in settings.stores.items()
        }
        known = {name: _read(connection, settings.name) for name, connection in connections.items()}
        began = {name: state for name, state in known.items() if state is not None}
        histories = {name: history for name, (_, history) in began.items()}
        read_plan(
            settings, histories.values()
        )  # what is wrong with the configuration comes before what is wrong with the servers
        if assess_first and not began:
            _refuse_blocked(settings)
        # The catalogue is read after the position: a change of definition in between comes with the stream.
        position = read_position(settings)
        planned = read_plan(settings, histories.values())
        schemas = {name: DaemonSchema(settings, planned, name) for name in connections}
        if began:
            planned = _from_history(planned, schemas, histories)
        _require_tables(planned.plan, connections)
        lowest = min((state[0] for state in began.values()), key=lambda checkpoint: checkpoint.seq, default=None)
        stores = tuple(
            _begin(settings, name, connection, planned, schemas[name], position, lowest)
            for name, connection in connections.items()
        )
    return Start(planned.info, planned.plan, planned.tables, stores, first=not began)


def erase(settings: Settings, confirmation: str | None) -> None:
    """Forget the stream and empty the target tables, for a copy from nothing. Needs the migration's name typed.

    Raises ConfirmationNeeded.
    """
    if confirmation != settings.name:
        raise ConfirmationNeeded(
            "--fresh empties the target tables and copies everything anew",
            hint=f"If you mean it: crossfade start --fresh --confirm {settings.name}",
        )
    planned = read_plan(settings)
    for name, store in settings.stores.items():
        with (
            closing(connect_store(store.dsn, application="crossfade start")) as connection,
            translated(f"store {name}"),
            connection.transaction(),
        ):
            if _read(connection, settings.name) is not None:
                streams.forget(connection, settings.name)
            read_models.drop(connection, planned.plan.models_of(name))
            lookups.drop_others(connection, planned.plan.targets_of(name))
            reset_tables(connection, planned.plan.targets_of(name))
    log.warning("stream.erased", migration=settings.name)


class ConfirmationNeeded(Refused):
    """The migration's name has to be typed."""

    exit_code = ExitCode.CONFIRM


def _refuse_blocked(settings: Settings) -> None:
    blocking = [finding for finding in assess(settings).findings if str(finding.level) == "BLOCK"]
    if blocking:
        first = blocking[0]
        more = f" (and {len(blocking) - 1} more)" if len(blocking) > 1 else ""
        raise Refused(
            f"{first.check}: {first.subject}: {first.message}{more}",
            hint=(f"{first.fix}; then see everything with: crossfade assess" if first.fix else "crossfade assess"),
        )


def _read(connection: PostgresConnection, stream: str) -> tuple[Checkpoint, SchemaHistory] | None:
    with translated("store"):
        row = connection.execute("SELECT to_regclass('crossfade.checkpoint') IS NOT NULL").fetchone()
        if not row or not row[0]:
            return None
        prepare_store(connection)
        checkpoint = checkpoints.read(connection, stream)
        return (checkpoint, schema_history.load(connection, stream)) if checkpoint else None


def _from_history(
    planned: Planned, schemas: Mapping[str, DaemonSchema], histories: Mapping[str, SchemaHistory]
) -> Planned:
    """The plan of each store by the latest definitions that it has followed."""
    plans = [one for name, schema in schemas.items() for one in schema.plan(histories.get(name, SchemaHistory())).plans]
    return dataclasses.replace(planned, plan=dataclasses.replace(planned.plan, plans=tuple(plans)))


def _require_tables(plan: MigrationPlan, connections: Mapping[str, PostgresConnection]) -> None:
    for name, connection in connections.items():
        tables = plan.targets_of(name)
        with translated(f"store {name}"):
            catalog = read_store(connection, {table.schema for table in tables})
        require_fit(catalog, tables, name)
        missing = [table for table in tables if (table.schema, table.name) not in catalog.tables]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise SchemaDrift(f"the store has no table {missing[0]}{more}", hint="Create them: crossfade schema apply")


def _begin(
    settings: Settings,
    name: str,
    connection: PostgresConnection,
    planned: Planned,
    schema: DaemonSchema,
    position: Position,
    lowest: Checkpoint | None,
) -> StoreStart:
    stream = settings.name
    plans = planned.plan.of_store(name)
    with translated(f"store {name}"):
        prepare_store(connection)
        with connection.transaction():
            checkpoint = checkpoints.read(connection, stream)
            if checkpoint is None:
                # A store that joins later begins where the slowest of the others is.
                start, seq = (lowest.position, lowest.seq) if lowest else (position, 0)
                checkpoint = checkpoints.create(connection, stream, start, seq, fence=int(time.time()))
            history = schema_history.load(connection, stream)
            new = [
                SchemaVersion(table.id, checkpoint.seq + 1, table)
                for table in planned.tables.values()
                if table.kind in ("table", "versioned") and history.at(table.id, checkpoint.seq + 1) is None
            ]
            schema_history.append(connection, stream, new)
            states = table_states.ensure(connection, stream, [plan.id for plan in plans])
        fence = checkpoints.take_over(connection, stream)
        again = checkpoints.read(connection, stream)
        if again is None or again.fence != fence:
            raise ConfigError(f"store {name} lost its checkpoint while starting", hint="Start again: crossfade start")
        return StoreStart(name, again, plans, schema, states)
