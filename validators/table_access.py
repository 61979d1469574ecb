"""Opens what one table plan's comparison needs: connections of its own, the plan's forms, positions, the relay."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Final

from config.settings import Invariant, Settings
from model.tables import TableDef, TableId
from stores.control import daemons, schema_history, table_states
from stores.control.schema_history import SchemaHistory, SchemaVersion
from stores.control.table_states import TableState
from stores.errors import translated
from stores.mysql import ServerInfo, connect_source
from stores.postgres import PostgresConnection, connect_store
from sync.cascades import CascadeGraph, build_graph
from sync.mysql.snapshot import connect_reader
from sync.relay.reader import RelayReader
from transforms.plan import MigrationPlan, TablePlan
from validators.alignment import Alignment, Proofs
from validators.canonical.record import RecordForm
from validators.invariant_check import InvariantCheck, StoreSide
from validators.schema_check import serving
from validators.source_side import SourceSide
from validators.table_check import TableCheck, source_computes_hashes
from validators.target_side import TargetSide
from validators.touched import TouchedRows

ALIVE_S: Final = 15.0
"""A daemon whose last heartbeat is not older is taken to be running."""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What a store remembers of the migration."""

    name: str
    history: SchemaHistory
    states: Mapping[str, TableState]
    graph: CascadeGraph


class TableAccess:
    """Opens tables of one migration. Thread-safe; what it opens belongs to the thread that asked."""

    def __init__(
        self,
        settings: Settings,
        info: ServerInfo,
        tables: Mapping[TableId, TableDef],
        plan: MigrationPlan,
        stop: threading.Event,
    ) -> None:
        self._settings = settings
        self._info = info
        self._tables = dict(tables)
        self._plan = plan
        self._stop = stop
        self._proofs = Proofs(info, stop)

    def store(self, name: str) -> StoreFacts:
        """What the store remembers. Raises Unreachable, AccessDenied, Refused."""
        stream = self._settings.name
        dsn = self._settings.stores[name].dsn
        with closing(connect_store(dsn, application="crossfade verify")) as connection, translated(f"store {name}"):
            ours = connection.execute("SELECT to_regclass('crossfade.table_state') IS NOT NULL").fetchone()
            known = bool(ours and ours[0])
            history = schema_history.load(connection, stream) if known else SchemaHistory()
            states = table_states.load(connection, stream) if known else {}
        return StoreFacts(name, history, states, build_graph(self._tables, self._plan.of_store(name)))

    @contextmanager
    def opened(
        self, plan: TablePlan, form: RecordForm, store: StoreFacts, deadline_s: float, *, push: bool
    ) -> Iterator[TableCheck]:
        """The check of one plan. `push`: let the source compute hashes where it can."""
        settings = self._settings
        with ExitStack() as stack:
            limit_s = settings.verify.statement_timeout_s
            reader = stack.enter_context(
                closing(connect_reader(settings.source, self._info, statement_timeout_s=limit_s))
            )
            control = stack.enter_context(closing(connect_reader(settings.source, self._info)))
            target = stack.enter_context(closing(self._store_connection(store.name)))
            changes = TouchedRows(
                settings.relay.directory,
                self._tables,
                self._complete(store.history),
                store.graph,
                mariadb=self._info.mariadb,
            )
            stack.enter_context(closing(changes))
            alignment = Alignment(
                self._info,
                settings.name,
                control,
                target,
                changes.relay,
                self._proofs,
                self._moving,
                self._stop,
                deadline_s,
            )
            pushed = push and form.pushable and source_computes_hashes(control)
            yield TableCheck(
                plan,
                form,
                SourceSide(reader, self._info, plan, form, pushed=pushed),
                TargetSide(target, plan, form),
                alignment,
                changes,
                settings.verify.leaf_rows,
            )

    @contextmanager
    def asked(self, invariant: Invariant, deadline_s: float) -> Iterator[InvariantCheck]:
        """The check of one invariant."""
        settings = self._settings
        limit_s = settings.verify.statement_timeout_s
        with ExitStack() as stack:
            source = stack.enter_context(closing(connect_source(settings.source, read_timeout_s=limit_s)))
            control = stack.enter_context(closing(connect_reader(settings.source, self._info)))
            relay = stack.enter_context(closing(RelayReader(settings.relay.directory)))
            sides = []
            for store, statement in invariant.statements.items():
                target = stack.enter_context(closing(self._store_connection(store)))
                alignment = Alignment(
                    self._info,
                    settings.name,
                    control,
                    target,
                    relay,
                    self._proofs,
                    self._moving,
                    self._stop,
                    deadline_s,
                )
                sides.append(StoreSide(store, statement, target, alignment))
            yield InvariantCheck(invariant, source, sides)

    def serving(self, plans: Mapping[str, TablePlan]) -> frozenset[str]:
        """Ids of the plans whose stores serve writes by now."""
        dsn = self._settings.control_dsn
        with closing(connect_store(dsn, application="crossfade verify")) as connection, translated("control store"):
            return serving(self._settings, connection, plans)

    def _store_connection(self, store: str) -> PostgresConnection:
        limit_ms = round(self._settings.verify.statement_timeout_s * 1000)
        connection = connect_store(self._settings.stores[store].dsn, application="crossfade verify")
        with translated(f"store {store}"):
            connection.execute("SELECT set_config('statement_timeout', %s, false)", (str(limit_ms),))
        return connection

    def _complete(self, history: SchemaHistory) -> SchemaHistory:
        """The history, with today's definitions for tables that it does not know."""
        known = history.tables()
        return history.extended(
            SchemaVersion(table, 0, definition) for table, definition in self._tables.items() if table not in known
        )

    def _moving(self) -> bool:
        """Whether a daemon of the migration is alive, by its row in the control store."""
        dsn = self._settings.control_dsn
        with closing(connect_store(dsn, application="crossfade verify")) as connection, translated("control store"):
            row = connection.execute("SELECT to_regclass('crossfade.daemon') IS NOT NULL").fetchone()
            found = daemons.read(connection, self._settings.name) if row and row[0] else None
        return found is not None and found.silent_s < ALIVE_S
