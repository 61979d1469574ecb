"""Several source tables in one target table: one shape for all, a constant in the key tells whose row it is.

Each source keeps a plan of its own, so copy, stream, comparison and way back go on source by source; the constants keep
their rows apart. Tables without such a constant could overwrite each other's rows and are refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from model.errors import ConfigError
from transforms.names import quoted
from transforms.plan import ColumnKind, ColumnPlan, TablePlan
from transforms.target import TargetCheck, TargetColumn, TargetIndex, TargetTable

_HINT = (
    "Give each a constant with `add` and put it into the `key`, e.g. add: {region: {value: eu}}, key: [region, id]; "
    "or give one of them another name with `table`."
)


def merged(plans: Sequence[TablePlan]) -> list[TablePlan]:
    """The plans, those that share a target table brought to one shape. Raises ConfigError when they cannot share it."""
    groups: dict[tuple[str, str, str], list[TablePlan]] = {}
    for plan in plans:
        groups.setdefault((plan.target.store, plan.target.schema, plan.target.name), []).append(plan)
    done = {
        id(before): after
        for group in groups.values()
        for before, after in zip(group, _shared(group) if len(group) > 1 else group, strict=True)
    }
    return [done[id(plan)] for plan in plans]


def _shared(group: list[TablePlan]) -> list[TablePlan]:
    first = group[0]
    for other in group[1:]:
        if other.source.id == first.source.id:
            raise ConfigError(
                f"two outputs of {other.source.id} both become {_place(other)}",
                hint="Give one of them another name with `table`.",
                table=other.source.id,
            )
    told_by = _told_by(group)
    columns = _columns(group)
    notes: list[str] = [f"shared with {', '.join(str(plan.source.id) for plan in group)}; told apart by {told_by}"]
    lost = [column.name for plan in group for column in plan.target.columns if column.identity]
    if lost:
        notes.append(f"column {lost[0]}: does not count by itself, for the numbers of several tables meet here")
    target = TargetTable(
        store=first.target.store,
        schema=first.target.schema,
        name=first.target.name,
        columns=tuple(columns),
        key=first.target.key,
        indexes=tuple(_indexes(group, told_by, notes)),
        checks=tuple(_checks(group, notes)),
        comment=first.target.comment,
        enums=first.target.enums,
    )
    return [_reshaped(plan, target, told_by, notes) for plan in group]


def _place(plan: TablePlan) -> str:
    return f"{plan.target.schema}.{plan.target.name} of the store {plan.target.store}"


def _told_by(group: list[TablePlan]) -> tuple[str, ...]:
    """The constant key columns by which the rows are told apart. Raises ConfigError when there are none."""
    first = group[0]
    constants = []
    for plan in group:
        if plan.target.key != first.target.key:
            raise ConfigError(
                f"{first.source.id} and {plan.source.id} both become {_place(plan)} with different keys:"
                f" ({', '.join(first.target.key)}) and ({', '.join(plan.target.key)})",
                hint="Name the same columns in the `key` of both." if plan.target.key else _HINT,
                table=plan.source.id,
            )
        constants.append(
            {
                plan.columns[index].target.name: plan.columns[index].constant
                for index in plan.key
                if plan.columns[index].kind is ColumnKind.CONSTANT
            }
        )
    names = tuple(name for name in first.target.key if all(name in found for found in constants))
    seen: dict[tuple[object, ...], TablePlan] = {}
    for plan, found in zip(group, constants, strict=True):
        value = tuple(found[name] for name in names)
        if value in seen:
            raise ConfigError(
                f"{seen[value].source.id} and {plan.source.id} both become {_place(plan)}, and nothing tells their rows"
                " apart",
                hint=_HINT,
                table=plan.source.id,
            )
        seen[value] = plan
    return names


def _columns(group: list[TablePlan]) -> list[TargetColumn]:
    """Every column of any of the tables, in the order of the first one. Raises ConfigError when types differ."""
    members = [{column.name: column for column in plan.target.columns} for plan in group]
    names = dict.fromkeys(name for member in members for name in member)
    return [_column(name, group, members) for name in names]


def _column(name: str, group: list[TablePlan], members: list[dict[str, TargetColumn]]) -> TargetColumn:
    found = [(plan, member[name]) for plan, member in zip(group, members, strict=True) if name in member]
    (owner, first), *others = found
    for plan, other in others:
        if (other.type, other.collation, other.generated) != (first.type, first.collation, first.generated) or (
            plan.target.enums != owner.target.enums
        ):
            raise ConfigError(
                f"{owner.source.id} and {plan.source.id} share {plan.target}, and its column {name} would be"
                f" {first.type} and {other.type}",
                hint="Give both the same type with `types`.",
                table=plan.source.id,
                column=name,
            )
    everywhere = len(found) == len(group)
    if first.generated is not None and not everywhere:
        raise ConfigError(
            f"only some tables that share {owner.target} have the generated column {name}",
            hint="Leave it out with `exclude`.",
            table=owner.source.id,
            column=name,
        )
    return dataclasses.replace(
        first,
        nullable=not everywhere or any(column.nullable for _, column in found),
        identity=False,
        default=first.default if everywhere and all(column.default == first.default for _, column in found) else None,
    )


def _indexes(group: list[TablePlan], told_by: tuple[str, ...], notes: list[str]) -> Iterable[TargetIndex]:
    """Indexes of all; a unique one holds for each table by itself, and only when all have it."""
    seen: dict[tuple[object, ...], list[TargetIndex]] = {}
    for plan in group:
        for index in plan.target.indexes:
            seen.setdefault((index.parts, index.unique, index.method, index.columns), []).append(index)
    apart = tuple(quoted(name) for name in told_by)
    for found in seen.values():
        index = found[0]
        if not index.unique:
            yield index
        elif len(found) == len(group):
            columns = (*told_by, *index.columns) if index.columns else ()
            yield dataclasses.replace(index, parts=(*apart, *index.parts), columns=columns)
        else:
            notes.append(f"index {index.name}: dropped, not every table that shares the target has it")


def _checks(group: list[TablePlan], notes: list[str]) -> Iterable[TargetCheck]:
    shared = set.intersection(*(set(plan.target.checks) for plan in group))
    for check in dict.fromkeys(check for plan in group for check in plan.target.checks):
        if check in shared:
            yield check
        else:
            notes.append(f"check {check.expression}: dropped, not every table that shares the target has it")


def _reshaped(plan: TablePlan, target: TargetTable, told_by: tuple[str, ...], notes: list[str]) -> TablePlan:
    mine = {column.target.name: column for column in plan.columns}
    columns: list[ColumnPlan] = []
    for column in target.columns:
        if column.generated is None:
            own = mine.get(column.name)
            columns.append(
                dataclasses.replace(own, target=column)
                if own is not None
                else ColumnPlan(column, ColumnKind.CONSTANT, constant=None)
            )
    places = {column.target.name: index for index, column in enumerate(columns)}
    uniques = [
        tuple(places[name] for name in index.columns) for index in target.indexes if index.unique and index.columns
    ]
    return dataclasses.replace(
        plan,
        target=target,
        columns=tuple(columns),
        key=tuple(places[name] for name in target.key),
        uniques=tuple(uniques),
        told_by=tuple(places[name] for name in told_by),
        notes=(*plan.notes, *dict.fromkeys(notes)),
    )


def with_common_foreign_keys(plans: Iterable[TablePlan]) -> list[TablePlan]:
    """Shared tables with the foreign keys that all of their plans found, and a note about the others."""
    plans = list(plans)
    groups: dict[tuple[str, str, str], list[TablePlan]] = {}
    for plan in plans:
        if plan.told_by:
            groups.setdefault((plan.target.store, plan.target.schema, plan.target.name), []).append(plan)
    kept = {
        place: tuple(
            key for key in group[0].target.foreign_keys if all(key in one.target.foreign_keys for one in group)
        )
        for place, group in groups.items()
    }
    done = []
    for plan in plans:
        keys = kept.get((plan.target.store, plan.target.schema, plan.target.name))
        if keys is not None:
            lost = [key.name for key in plan.target.foreign_keys if key not in keys]
            notes = tuple(
                f"foreign key {name}: dropped, not every table that shares the target has it" for name in lost
            )
            plan = dataclasses.replace(
                plan, target=dataclasses.replace(plan.target, foreign_keys=keys), notes=(*plan.notes, *notes)
            )
        done.append(plan)
    return done
