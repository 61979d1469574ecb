"""The plans of one store by the definitions that it has followed so far, and what the source says of the next ones."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from config.settings import Settings
from daemon.planning import Planned, compile_for
from model.tables import TableDef, TableId
from stores.control.schema_history import SchemaHistory
from sync.applier_ports import Relay, StorePlan
from sync.cascades import CascadeGraph, build_graph
from sync.changes import ChangeReader, SchemaChange
from sync.ddl_proof import definition_after
from sync.mysql.decode import TableDecoder
from transforms.plan import MigrationPlan, TablePlan


class DaemonSchema:
    """`StoreSchema` over the configuration, the source's catalogue at the start, and a store's schema history."""

    def __init__(self, settings: Settings, planned: Planned, store: str) -> None:
        self._settings = settings
        self._planned = planned
        self._store = store
        self._last: tuple[SchemaHistory, StorePlan] | None = None
        self._compiled_for: Mapping[TableId, TableDef] = planned.tables
        self._compiled = planned.plan

    def plan(self, history: SchemaHistory) -> StorePlan:
        """The store's plan by the latest definitions of the history. Raises ConfigError.

        The last one is remembered: whoever connects asks for it twice, and a history never changes. Plans are compiled
        only for other definitions than the last time, which is the start: most sessions begin with the same ones.
        """
        last = self._last
        if last is None or last[0] is not history:
            last = self._last = (history, self._plan(history))
        return last[1]

    def _plan(self, history: SchemaHistory) -> StorePlan:
        tables = self._tables(history)
        if tables != self._compiled_for:
            self._compiled_for, self._compiled = tables, self._compile(tables)
        plans = self._compiled.of_store(self._store)
        graph = CascadeGraph() if self._planned.cascades_logged else build_graph(tables, plans)
        return StorePlan(self._store, self._settings.name, plans, graph)

    def trial(self, history: SchemaHistory, changed: Mapping[TableId, TableDef | None]) -> tuple[TablePlan, ...]:
        """The plans that the store would have with these definitions. Raises ConfigError."""
        tables = self._tables(history)
        for table, definition in changed.items():
            tables.pop(table, None)
            if definition is not None:
                tables[table] = definition
        return self._compile(tables).of_store(self._store)

    def definition(
        self, relay: Relay, before: TableDef, change: SchemaChange, seq: int, stop: threading.Event
    ) -> TableDef | None:
        """The definition of a table after `change`, which is transaction `seq` and found it as `before`; None when it
        cannot be known. Raises Unreachable."""
        return definition_after(self._settings.source, self._planned.info, relay, before, change, seq, stop)

    def changes(self, history: SchemaHistory) -> ChangeReader:
        """What reads the changes of the store's tables, and of the parents whose cascades reach them."""
        plan = self.plan(history)
        watched = {
            table: definition
            for table in {one.source.id for one in plan.plans} | plan.graph.parents
            if (definition := history.latest(table)) is not None
        }
        return ChangeReader(watched, history, TableDecoder, mariadb=self._planned.info.mariadb, follow=True)

    def _tables(self, history: SchemaHistory) -> dict[TableId, TableDef]:
        tables = dict(self._planned.tables)
        for table in history.tables():
            tables.pop(table, None)
            definition = history.latest(table)
            if definition is not None:
                tables[table] = definition
        return tables

    def _compile(self, tables: Mapping[TableId, TableDef]) -> MigrationPlan:
        # A table that was dropped since is no mistake of the configuration.
        known = self._planned.known | self._planned.tables.keys()
        return compile_for(self._settings, tables, self._planned.info, known)
