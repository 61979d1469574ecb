"""What `cutover plan` prints: the statements and steps of a domain's cutover and rollback, as a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.settings import Settings
from cutover import cutover_steps, rollback_steps
from cutover.domain import domain_plan
from model.tables import TableDef, TableId
from sync.mysql.gate_ddl import Event, gate_table_ddl, marker_table_ddl, pass_table_ddl, trigger_ddl
from sync.mysql.reverse_tables import DATABASE
from sync.postgres.slots import stream_name
from transforms.plan import MigrationPlan


def plan_document(
    settings: Settings, name: str, plan: MigrationPlan, tables: Mapping[TableId, TableDef]
) -> dict[str, Any]:
    """The JSON form. Raises UsageError, ConfigError."""
    domain = domain_plan(settings, name, plan, tables)
    source = [gate_table_ddl(DATABASE), pass_table_ddl(DATABASE), marker_table_ddl(DATABASE)]
    source += [trigger_ddl(name, table, event, DATABASE) for table in domain.table_ids for event in Event]
    stores: list[str] = []
    held: list[str] = []
    for store in domain.stores:
        for table in domain.targets(store):
            stores.append(f"{store}: gate trigger and REPLICA IDENTITY FULL on {table.schema}.{table.name}")
        for table, limits in domain.limits(store).items():
            at = f"{store}: {table.schema}.{table.name}"
            held += [f"{at}.{one.column}: {one.holds.replace('NEW.', '')} ({one.source})" for one in limits]
        held += [f"{store}: {column}: what cannot go back is found by the reverse stream, which halts"
                 for column in domain.unlimited(store)]  # fmt: skip
        slot = stream_name(settings.name, name, store)
        stores.append(f"{store}: publication and logical replication slot {slot}")
        roles = ", ".join(domain.app_roles) or "nobody (no app_roles configured)"
        stores.append(f"{store}: write privileges taken from {roles} until the cutover")
    return {
        "domain": name,
        "problems": list(domain.problems),
        "lossy": [f"{column}: {why}" for column, why in domain.lossy().items()],
        "prepare_source": source,
        "prepare_stores": stores,
        "limits": held,
        "cutover": [f"{step.name}: {step.title}" for step in (*cutover_steps.BEFORE, *cutover_steps.AFTER)],
        "rollback": [f"{step.name}: {step.title}" for step in (*rollback_steps.BEFORE, *rollback_steps.AFTER)],
    }
