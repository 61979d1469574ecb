"""The DDL that belongs to table phases: what is built after the copy, and what only an exact table can have."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence

import structlog

from stores.postgres import PostgresConnection
from sync.postgres import lookups, read_models, unique_build
from sync.postgres.schema_apply import apply_schema
from transforms.ddl import Phase as DdlPhase
from transforms.ddl import statements_of
from transforms.plan import MigrationPlan, TablePlan
from transforms.target import TargetTable

log = structlog.get_logger(__name__)


class PhaseSchema:
    """Applies the plan's DDL when a table reaches the phase for it; every step is idempotent."""

    def __init__(self, plan: MigrationPlan) -> None:
        self._plan = plan

    def build_indexes(self, connection: PostgresConnection, plan: TablePlan) -> None:
        """Non-unique secondary indexes, while nobody writes the table."""
        _apply_some(connection, _without_keys(plan.target), DdlPhase.AFTER_COPY)

    def create_uniques(self, connection: PostgresConnection, plan: TablePlan) -> None:
        """Unique indexes, once the table can no longer pass through states that the source never had."""
        _apply_some(connection, _without_keys(plan.target), DdlPhase.AFTER_CONSISTENT)

    def slow_uniques(self, connection: PostgresConnection, plan: TablePlan) -> bool:
        """Whether `create_uniques` would keep everybody waiting."""
        return unique_build.is_slow(connection, plan.target)

    def build_uniques(
        self,
        connection: PostgresConnection,
        target: TargetTable,
        stop: threading.Event,
        say: Callable[[str], None],
    ) -> None:
        """The same unique indexes beside the stream, on a connection of their own."""
        unique_build.build_uniques(connection, target, stop, say)

    def create_foreign_keys(self, connection: PostgresConnection, plans: Sequence[TablePlan]) -> None:
        """Foreign keys between the tables of one store, when all of them stream."""
        apply_schema(connection, [plan.target for plan in plans], DdlPhase.AFTER_CONSISTENT)

    def keep_lookups(self, connection: PostgresConnection, plans: Sequence[TablePlan]) -> None:
        """Looked-up columns, when all of the store's tables stream. `plans`: those of the store as they are now."""
        targets = tuple(dict.fromkeys(plan.target for plan in plans))
        found = [lookup for target in targets for lookup in target.lookups]
        lookups.drop_others(connection, targets, found)
        for lookup in found:
            if lookups.install(connection, lookup):
                log.info("lookup filled", store=lookup.store, column=lookup.place)

    def create_read_models(self, connection: PostgresConnection, store: str) -> None:
        """Read models, when all of the store's tables stream."""
        for model in self._plan.models_of(store):
            if read_models.install(connection, model):
                log.info("read model created", store=store, read_model=model.place)


def _apply_some(connection: PostgresConnection, table: TargetTable, phase: DdlPhase) -> None:
    """Apply a table's phase, unless there is nothing in it: for each table the whole catalogue would be read."""
    if statements_of([table], phase):
        apply_schema(connection, [table], phase)


def _without_keys(table: TargetTable) -> TargetTable:
    return dataclasses.replace(table, foreign_keys=())
