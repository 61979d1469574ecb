"""One domain as the plan has it: its tables, the plans that read them, the stores they go to, and the way back.

Decided once, refused here when it cannot be cut over at all. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from config.settings import Settings
from model.errors import ConfigError, UsageError
from model.tables import TableDef, TableId
from sync.postgres.sequences import Ahead
from sync.postgres.value_limits import ValueLimit, unlimited, value_limits
from transforms.plan import MigrationPlan, TablePlan
from transforms.reverse import ReversePlan, Reversibility, reverse_plans
from transforms.rules import table_matches
from transforms.target import TargetTable
from validators.computed_verdict import Computed, computed_id


@dataclass(frozen=True, slots=True)
class DomainPlan:
    """A domain."""

    name: str
    tables: tuple[TableDef, ...]
    plans: tuple[TablePlan, ...]
    backs: tuple[ReversePlan, ...]
    stores: tuple[str, ...]
    app_roles: tuple[str, ...]
    problems: tuple[str, ...] = ()
    """Why it cannot be cut over as it is configured."""
    computed: Mapping[str, str] = field(default_factory=dict)
    """Looked-up columns of its tables, and read models over them: plan id of the verdict → what a proof holds for."""

    @property
    def table_ids(self) -> tuple[TableId, ...]:
        """Its source tables."""
        return tuple(table.id for table in self.tables)

    def targets(self, store: str) -> tuple[TargetTable, ...]:
        """Its tables in one store, each once."""
        found = {(plan.target.schema, plan.target.name): plan.target for plan in self.plans_of(store)}
        return tuple(found.values())

    def plans_of(self, store: str) -> tuple[TablePlan, ...]:
        """Its plans into one store."""
        return tuple(plan for plan in self.plans if plan.target.store == store)

    def backs_of(self, store: str) -> tuple[ReversePlan, ...]:
        """The ways back from one store."""
        return tuple(back for back in self.backs if back.plan.target.store == store)

    def limits(self, store: str) -> dict[TargetTable, tuple[ValueLimit, ...]]:
        """What the columns of every table in one store may hold while there is a way back."""
        return {
            table: tuple(
                limit
                for back in self.backs_of(store)
                if (back.plan.target.schema, back.plan.target.name) == (table.schema, table.name)
                for limit in value_limits(back)
            )
            for table in self.targets(store)
        }

    def unlimited(self, store: str) -> tuple[str, ...]:
        """`schema.table.column` of one store whose values only the reverse stream can judge."""
        return tuple(
            f"{back.plan.target.schema}.{back.plan.target.name}.{column}"
            for back in self.backs_of(store)
            for column in unlimited(back)
        )

    def aheads(self, store: str, least: Mapping[TableId, int]) -> tuple[Ahead, ...]:
        """What the identities of one store must begin above; `least`: the source's next ids.

        Tables in which rows of one source table get ids, in any store, count in steps of their own.
        """
        counting: dict[TableId, list[TargetTable]] = {}
        for plan in self.plans:
            if plan.source.id in least and any(column.identity for column in plan.target.columns):
                counting.setdefault(plan.source.id, []).append(plan.target)
        return tuple(
            Ahead(table, least[source], share, len(tables))
            for source, tables in counting.items()
            for share, table in enumerate(tables)
            if table.store == store
        )

    def lossy(self) -> dict[str, str]:
        """Source column → what the way back does to it, where that is not exact."""
        bad = (Reversibility.LOSSY, Reversibility.ONE_WAY)
        return {
            f"{back.source.id.name}.{verdict.column}": f"{verdict.way}: {verdict.reason}"
            for back in self.backs
            for verdict in back.verdicts
            if verdict.way in bad
        }


def domain_plan(settings: Settings, name: str, plan: MigrationPlan, tables: Mapping[TableId, TableDef]) -> DomainPlan:
    """The domain called `name`. Raises UsageError when there is none, ConfigError when it names no migrated table."""
    chosen = settings.domains.get(name)
    if chosen is None:
        known = ", ".join(settings.domains) or "none is configured"
        raise UsageError(f"there is no domain {name!r}", hint=f"Domains: {known}.")
    members = {one.source.id for one in plan.plans if _named(one.source.id, chosen.tables)}
    plans = tuple(one for one in plan.plans if one.source.id in members)
    if not plans:
        raise ConfigError(f"domain {name} has no migrated table", hint="See its `tables` in the configuration.")
    backs = tuple(back for back in reverse_plans(plan.plans) if back.source.id in members)
    sources = {one.source.id: one.source for one in plans}
    stores = tuple(dict.fromkeys(one.target.store for one in plans))
    problems = list(_problems(settings, name, plan, plans, members, tables))
    if chosen.stores and set(chosen.stores) != set(stores):
        problems.append(f"its tables go to {', '.join(stores)}, but `stores` says {', '.join(chosen.stores)}")
    return DomainPlan(
        name, tuple(sources.values()), plans, backs, stores, chosen.app_roles, tuple(dict.fromkeys(problems)),
        _computed(plan, plans),
    )  # fmt: skip


def _computed(plan: MigrationPlan, plans: tuple[TablePlan, ...]) -> dict[str, str]:
    targets = {(one.target.store, one.target.schema, one.target.name) for one in plans}
    lookups = [one for one in plan.lookups if (one.store, one.schema, one.table) in targets]
    models = [one for one in plan.read_models if {(one.store, one.schema, table) for table in one.reads} & targets]
    everyone: tuple[Computed, ...] = (*lookups, *models)
    return {computed_id(one): one.fingerprint for one in everyone}


def _named(table: TableId, patterns: tuple[str, ...]) -> bool:
    return any(table_matches(pattern, table) for pattern in patterns)


def _problems(
    settings: Settings,
    name: str,
    plan: MigrationPlan,
    plans: tuple[TablePlan, ...],
    members: set[TableId],
    tables: Mapping[TableId, TableDef],
) -> Iterator[str]:
    targets = {(one.target.store, one.target.schema, one.target.name) for one in plans}
    for other in plan.plans:
        target = (other.target.store, other.target.schema, other.target.name)
        if other.source.id not in members and target in targets:
            yield f"{other.source.id} of another domain writes to {other.target} too"
    for other_name, other_domain in settings.domains.items():
        if other_name != name:
            for table in sorted(members):
                if _named(table, other_domain.tables):
                    yield f"{table} is in domain {other_name} too"
    for definition in tables.values():
        for key in definition.foreign_keys:
            actions = [action for action in (key.on_delete, key.on_update) if action in ("CASCADE", "SET NULL")]
            # InnoDB's own actions fire no trigger: they would pass the gate.
            if definition.id in members and key.ref_table not in members and actions:
                yield f"foreign key {key.name} of {definition.id} takes {actions[0]} from {key.ref_table}, outside"
    for one in plans:
        if one.source.engine.lower() not in ("innodb", "xtradb"):
            yield f"{one.source.id} is {one.source.engine}: only InnoDB's row locks make the gate a barrier"
