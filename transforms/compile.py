"""Compiles settings and source tables into the migration's plan. Every refusal happens here, before any change.

No I/O: the source tables come as values, and the same settings and tables always give the same plan.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from config.settings import Settings
from model.errors import ConfigError
from model.position import Flavour
from model.tables import TableDef, TableId
from transforms import names
from transforms.checks import translate_checks
from transforms.columns import build_columns, source_column, type_override
from transforms.constraints import build_indexes, derive_key, foreign_keys_of
from transforms.expressions import compile_condition
from transforms.lookups import with_lookups
from transforms.merging import merged, with_common_foreign_keys
from transforms.pgtypes import parse_type
from transforms.plan import CompiledExpression, MigrationPlan, SoftDelete, TablePlan
from transforms.read_models import compile_read_models
from transforms.routes import refusing_others, share_condition
from transforms.rules import Output, is_glob, outputs_of, refuse_unknown_tables, rule_of, skip_reason
from transforms.soft_delete import compile_soft_delete, without_deleted
from transforms.target import TargetColumn, TargetTable
from transforms.types import TypePolicy

ColumnId = tuple[TableId, str]


def compile_plan(
    settings: Settings,
    tables: Mapping[TableId, TableDef],
    flavour: Flavour,
    *,
    known: Collection[TableId] = (),
) -> MigrationPlan:
    """The plan of every table. Raises ConfigError, naming table and column, for what cannot work.

    `known`: tables that the configuration may name although they are no more.
    """
    refuse_unknown_tables(settings, {*tables, *known})
    skipped: dict[TableId, str] = {}
    outputs: list[Output] = []
    for table in sorted(tables.values(), key=lambda table: table.id):
        named_rule = rule_of(settings, table.id)
        reason = skip_reason(table, named_rule[1] if named_rule else None)
        if reason is not None:
            skipped[table.id] = reason
        else:
            outputs += outputs_of(settings, table, named_rule)
    _refuse_columns_of_nobody(settings, outputs)
    shared = _shared_types(settings, outputs)
    relation_names: dict[tuple[str, str], names.RelationNames] = defaultdict(names.RelationNames)
    for output in outputs:
        relation_names[output.store, output.schema].reserve(output.table)
        relation_names[output.store, output.schema].reserve(names.primary_key_name(output.table))
    plans = [
        _table_plan(settings, output, flavour, shared, relation_names[output.store, output.schema])
        for output in outputs
    ]
    plans = with_lookups(outputs, plans, relation_names)
    plans = with_common_foreign_keys(_with_foreign_keys(settings, merged(plans)))
    made = MigrationPlan(tuple(plans), skipped)
    return dataclasses.replace(made, read_models=compile_read_models(settings, made))


def _refuse_columns_of_nobody(settings: Settings, outputs: Iterable[Output]) -> None:
    """A glob rule may name columns that some of its tables lack, but not columns that all of them lack."""
    by_rule: dict[str, list[Output]] = defaultdict(list)
    for output in outputs:
        if output.rule_name is not None and is_glob(output.rule_name):
            by_rule[output.rule_name].append(output)
    for members in by_rule.values():
        known = {column.name.lower() for output in members for column in output.source.columns}
        for output in members:
            rule = output.rule
            for place, named in (
                ("rename", rule.rename), ("only", rule.only or ()), ("exclude", rule.exclude), ("types", rule.types),
                ("map", rule.map), ("mask", rule.mask),
            ):  # fmt: skip
                for name in named:
                    if name.lower() not in known:
                        source_column(output.source, name, place)


def _shared_types(settings: Settings, outputs: list[Output]) -> dict[tuple[str, ColumnId], str]:
    """Type overrides handed over to every column that foreign keys tie to the overridden one, per store.

    PostgreSQL cannot reference a bigint from a numeric, so one graph of foreign keys must have one type.
    """
    shared: dict[tuple[str, ColumnId], str] = {}
    for store in {output.store for output in outputs}:
        members = {output.source.id: output for output in outputs if output.store == store}
        groups: dict[ColumnId, set[ColumnId]] = {}
        for output in members.values():
            for key in output.source.foreign_keys:
                if key.ref_table not in members:
                    continue
                for own, referenced in zip(key.columns, key.ref_columns, strict=True):
                    left: ColumnId = (output.source.id, output.source.column(own).name)
                    right: ColumnId = (key.ref_table, members[key.ref_table].source.column(referenced).name)
                    group = groups.get(left, {left}) | groups.get(right, {right})
                    groups.update(dict.fromkeys(group, group))
        for group in groups.values():
            wanted = {}
            for table, name in group:
                text = type_override(settings, members[table], members[table].source.column(name))
                if text is not None:
                    wanted[str(parse_type("text" if text == "text+check" else text))] = text
            if len(wanted) == 1:
                for member in group:
                    shared[store, member] = next(iter(wanted.values()))
    return shared


def _table_plan(
    settings: Settings,
    output: Output,
    flavour: Flavour,
    shared: Mapping[tuple[str, ColumnId], str],
    relation_names: names.RelationNames,
) -> TablePlan:
    table = output.source
    if table.kind == "versioned":
        raise ConfigError(
            "the table is system-versioned; its history cannot be told from its rows in the stream",
            hint="Skip it, or drop the versioning: ALTER TABLE … DROP SYSTEM VERSIONING.",
            table=table.id,
        )
    policy = TypePolicy.of(settings.defaults, flavour, output.rule.zero_dates)
    handed = {
        name: text for (store, (owner, name)), text in shared.items() if store == output.store and owner == table.id
    }
    columns = build_columns(settings, output, policy, handed)
    try:
        where, deleted = _filter(output)
    except ConfigError as error:
        error.where.setdefault("table", table.id)
        raise
    key = derive_key(output, columns)
    if not key.names:
        columns.notes.append(
            "no key: rows are copied and replayed exactly, not upserted; only counts and sums can be verified"
        )
    elif not table.primary_key and output.rule.key is None:
        columns.notes.append(f"no primary key in the source: the unique index on ({', '.join(table.key)}) becomes it")
    indexes, uniques = build_indexes(output, columns, key, relation_names)
    checks = [*columns.checks, *translate_checks(output, columns, policy)]
    if table.triggers:
        columns.notes.append(f"triggers stay behind: {', '.join(table.triggers)}")
    if table.partitioned:
        columns.notes.append("partitions are not kept: one plain table")
    columns.notes += (
        [] if table.engine.lower() in ("innodb", "") else [f"{table.engine}: not transactional in the source"]
    )
    required = {name: position for position, name in enumerate(key.names)}
    target = TargetTable(
        store=output.store,
        schema=output.schema,
        name=output.table,
        columns=tuple(_not_null(column) if column.name in required else column for column in columns.targets),
        key=key.names,
        indexes=tuple(indexes),
        checks=tuple(checks),
        comment=table.comment,
        enums=tuple(columns.enums),
    )
    return TablePlan(
        source=table,
        target=target,
        columns=tuple(columns.plans),
        key=key.positions,
        uniques=tuple(uniques),
        where=where,
        deleted=deleted,
        routed=output.share is not None,
        notes=tuple(dict.fromkeys(columns.notes)),
    )


def _filter(output: Output) -> tuple[CompiledExpression | None, SoftDelete | None]:
    """Which rows the output takes: its share of the route, its `where`, and none that is marked as deleted."""
    rule, table, share = output.rule, output.source, output.share
    mine = rule.where
    if share is not None:
        condition = share_condition(share, table)
        mine = condition if mine is None else f"({mine}) AND ({condition})"
    deleted = None if rule.delete_when is None else compile_soft_delete(rule.delete_when, table, mine)

    def compiled(text: str | None) -> CompiledExpression | None:
        text = without_deleted(text, deleted.text) if deleted is not None else text
        return None if text is None else compile_condition(text, table)

    where = compiled(mine)
    if share is not None and share.strict and where is not None:
        where = refusing_others(where, share, compiled(rule.where), table)
    return where, deleted


def _not_null(column: TargetColumn) -> TargetColumn:
    return dataclasses.replace(column, nullable=False)


def _with_foreign_keys(settings: Settings, plans: list[TablePlan]) -> Iterable[TablePlan]:
    for plan in plans:
        if not plan.source.foreign_keys:
            yield plan
        elif not settings.defaults.foreign_keys:
            yield dataclasses.replace(
                plan, notes=(*plan.notes, "foreign keys are left out (defaults.foreign_keys: false)")
            )
        else:
            kept, notes = foreign_keys_of(plan, [other for other in plans if other.target.store == plan.target.store])
            yield dataclasses.replace(
                plan,
                target=dataclasses.replace(plan.target, foreign_keys=tuple(kept)),
                notes=(*plan.notes, *dict.fromkeys(notes)),
            )
