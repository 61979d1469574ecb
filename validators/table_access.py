"""Opens what one table plan's comparison needs: connections of its own, the plan's forms, positions, the relay."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from config.settings import Invariant, Settings
from model.tables import TableDef, TableId
from stores.control import daemons, schema_history, table_states
from stores.control.schema_history import SchemaHistory, SchemaVersion
from stores.control.table_states import TableState
from stores.errors import translated
from stores.mysql import ServerInfo, connect_source
from stores.postgres import connect_store
from sync.cascades import CascadeGraph, build_graph
from sync.relay.reader import RelayReader
from transforms.plan import MigrationPlan, TablePlan
from validators.alignment import Alignment, Proofs
from validators.canonical.record import RecordForm
from validators.invariant_check import InvariantCheck, StoreSide
from validators.lines import Lines
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

    def lines(self) -> Lines:
        """Connections for one thread, to be given to `opened`."""
        return Lines(self._settings, self._info)

    @contextmanager
    def opened(
        self,
        plan: TablePlan,
        form: RecordForm,
        store: StoreFacts,
        deadline_s: float,
        *,
        push: bool,
        lines: Lines | None = None,
    ) -> Iterator[TableCheck]:
        """The check of one plan. `push`: let the source compute hashes where it can; `lines` are kept open."""
        own = self.lines() if lines is None else lines
        try:
            changes = own.changes(store.name, store, lambda: self._changes(store))
            alignment = Alignment(
                self._info,
                self._settings.name,
                own.control,
                own.store(store.name),
                changes.relay,
                self._proofs,
                self._moving,
                self._stop,
                deadline_s,
            )
            pushed = push and form.pushable and source_computes_hashes(own.control)
            yield TableCheck(
                plan,
                form,
                SourceSide(own.reader, self._info, plan, form, pushed=pushed),
                TargetSide(own.store(store.name), plan, form),
                alignment,
                changes,
                self._settings.verify.leaf_rows,
                self._settings.verify.max_findings,
            )
        except BaseException:
            own.close()
            raise
        finally:
            if lines is None:
                own.close()

    def _changes(self, store: StoreFacts) -> TouchedRows:
        return TouchedRows(
            self._settings.relay.directory,
            self._tables,
            self._complete(store.history),
            store.graph,
            mariadb=self._info.mariadb,
        )

    @contextmanager
    def asked(self, invariant: Invariant, deadline_s: float) -> Iterator[InvariantCheck]:
        """The check of one invariant."""
        settings = self._settings
        limit_s = settings.verify.statement_timeout_s
        with (
            closing(self.lines()) as lines,
            closing(RelayReader(settings.relay.directory)) as relay,
            closing(connect_source(settings.source, read_timeout_s=limit_s)) as source,
        ):
            sides = []
            for store, statement in invariant.statements.items():
                alignment = Alignment(
                    self._info,
                    settings.name,
                    lines.control,
                    lines.store(store),
                    relay,
                    self._proofs,
                    self._moving,
                    self._stop,
                    deadline_s,
                )
                sides.append(StoreSide(store, statement, lines.store(store), alignment))
            yield InvariantCheck(invariant, source, sides)

    def serving(self, plans: Mapping[str, TablePlan]) -> frozenset[str]:
        """Ids of the plans whose stores serve writes by now."""
        dsn = self._settings.control_dsn
        with closing(connect_store(dsn, application="crossfade verify")) as connection, translated("control store"):
            return serving(self._settings, connection, plans)

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
