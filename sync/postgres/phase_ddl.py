"""The DDL that the applier runs when tables change phase: uniques when one is exact, foreign keys when all stream."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from stores.postgres import PostgresConnection
from sync.postgres.schema_apply import apply_schema
from transforms.ddl import Phase
from transforms.plan import TablePlan


class PhaseDdl:
    """`sync.applier_ports.SchemaSteps` by way of `apply_schema`."""

    def create_uniques(self, connection: PostgresConnection, plan: TablePlan) -> None:
        """Create what one exact table still lacks, foreign keys left out. Raises ValueRefused for duplicates."""
        apply_schema(connection, [dataclasses.replace(plan.target, foreign_keys=())], Phase.AFTER_CONSISTENT)

    def create_foreign_keys(self, connection: PostgresConnection, plans: Sequence[TablePlan]) -> None:
        """Create what the store's tables still lack. Raises ValueRefused for rows without their parent."""
        apply_schema(connection, [plan.target for plan in plans], Phase.AFTER_CONSISTENT)
