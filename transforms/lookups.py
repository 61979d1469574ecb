"""Lookups: columns that a store fills from another of its tables, compiled and checked against both.

The store itself keeps them (`sync.postgres.lookups`), so they are columns of the target table but not of the plan:
copy, stream and the comparison with the source know nothing of them. No I/O.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from config.reshaping import LookupRule
from model.errors import ConfigError
from transforms import names
from transforms.columns import typed_text
from transforms.lookup import Lookup
from transforms.pgtypes import EXTENSIONS, parse_type
from transforms.plan import TablePlan
from transforms.rules import Output, nearest
from transforms.target import TargetColumn, TargetIndex

_WHOLE = ("smallint", "integer", "bigint")
_TEXT = ("text", "character varying")
COMPARABLE = (*_WHOLE, *_TEXT, "numeric", "uuid", "date", "boolean", "bytea")
"""Types whose equal values have one text, by which writers of the two tables wait for each other."""


def with_lookups(
    outputs: Sequence[Output],
    plans: Sequence[TablePlan],
    relation_names: Mapping[tuple[str, str], names.RelationNames],
) -> list[TablePlan]:
    """The plans with the columns that their rules look up. `plans` are those of `outputs`, one each.

    Raises ConfigError, naming table and column, for what cannot work.
    """
    done: list[TablePlan] = []
    for output, plan in zip(outputs, plans, strict=True):
        columns: list[TargetColumn] = []
        for name, rule in output.rule.lookup.items():
            try:
                columns.append(_column(plan, plans, name, rule))
            except ConfigError as error:
                error.where.setdefault("table", output.source.id)
                error.where.setdefault("column", name)
                raise
        done.append(_with_columns(plan, columns, relation_names[output.store, output.schema]) if columns else plan)
    return done


def _with_columns(plan: TablePlan, columns: list[TargetColumn], free: names.RelationNames) -> TablePlan:
    """The plan whose target has the columns, and an index by which the rows of a changed value are found."""
    target = plan.target
    indexes = list(target.indexes)
    for column in columns:
        lookup = column.lookup
        assert lookup is not None
        parts = tuple(names.quoted(name) for name in lookup.by)
        width = len(parts)
        if target.key[:width] != lookup.by and all(index.parts[:width] != parts for index in indexes):
            indexes.append(TargetIndex(free.index(target.name, f"{target.name}_{'_'.join(lookup.by)}"), parts))
    return dataclasses.replace(
        plan,
        target=dataclasses.replace(target, columns=(*target.columns, *columns), indexes=tuple(indexes)),
    )


def _column(plan: TablePlan, plans: Sequence[TablePlan], name: str, rule: LookupRule) -> TargetColumn:
    target = plan.target
    mates = [one for one in plans if one.target.store == target.store and one.target.schema == target.schema]
    if sum(one.target.name == target.name for one in mates) > 1:
        raise ConfigError(
            f"several tables share {target}, which can look up nothing", hint="Use a read model (docs/read-models.md)."
        )
    others = [one for one in mates if one.target.name == rule.table]
    if not others:
        known = sorted({one.target.name for one in mates})
        raise ConfigError(
            f"the store {target.store} gets no table {rule.table!r} to look into",
            hint=nearest(rule.table, known)
            or f"Bring it there too: tables: {{{rule.table}: {{to: [{{store: …}}, {{store: {target.store}}}]}}}}",
        )
    key = rule.key or others[0].target.key
    _require_unique(others, key)
    if len(rule.by) != len(key):
        raise ConfigError(
            f"`by` names {len(rule.by)} columns, the key of {rule.table} has {len(key)}",
            hint=f"Name the columns that hold ({', '.join(key)}), in this order.",
        )
    for mine, theirs in zip(rule.by, key, strict=True):
        _require_alike(_written(plan, mine), _written(others[0], theirs), rule.table)
    value, masked = _value(others, rule)
    # The functions that keep the column know the types of pg_catalog only.
    foreign = value.type.endswith('"') or parse_type(value.type).base in EXTENSIONS
    kind = "text" if foreign else value.type
    otherwise = None
    if rule.otherwise is not None:
        given = str(rule.otherwise).lower() if isinstance(rule.otherwise, bool) else str(rule.otherwise)
        otherwise = typed_text(given, kind, column=name)[1].decode()
    lookup = Lookup(
        store=target.store,
        schema=target.schema,
        table=target.name,
        column=name,
        by=rule.by,
        other=rule.table,
        key=key,
        key_types=tuple(_widest(_written(others[0], column).type) for column in key),
        value=value.name,
        type=kind,
        otherwise=otherwise,
        masked=masked,
    )
    return TargetColumn(names.checked(name, "the column's name"), kind, collation=value.collation, lookup=lookup)


def _written(plan: TablePlan, name: str) -> TargetColumn:
    """The column of the store's table that copy and stream write. Raises ConfigError."""
    known = {column.target.name: column.target for column in plan.columns}
    if name not in known:
        raise ConfigError(
            f"{plan.target.name} has no written column {name!r}",
            hint=nearest(name, known) or f"Its columns in the store are {', '.join(known)}.",
        )
    return known[name]


def _require_unique(others: Sequence[TablePlan], key: tuple[str, ...]) -> None:
    """Two rows with one key could both give the value."""
    for plan in others:
        unique = [plan.target.key, *(index.columns for index in plan.target.indexes if index.unique)]
        if not key or not any(found and set(found) == set(key) for found in unique):
            raise ConfigError(
                f"nothing makes ({', '.join(key)}) unique in {plan.target.name}",
                hint="`key` must name the columns of its key or of a unique index: "
                + (" or ".join(f"({', '.join(found)})" for found in unique if found) or "it has none")
                + ".",
            )


def _require_alike(mine: TargetColumn, theirs: TargetColumn, table: str) -> None:
    """Values must be equal, and written alike, in both tables."""
    bases = []
    for column in (mine, theirs):
        base = "" if column.type.endswith('"') else parse_type(column.type).base
        if base not in COMPARABLE or parse_type(column.type).array:
            raise ConfigError(
                f"nothing can be looked up by {column.name}, a column of the type {column.type}",
                hint="Look up by whole numbers, decimals, text, uuid or dates.",
            )
        bases.append("whole" if base in _WHOLE else "text" if base in _TEXT else column.type)
    if bases[0] != bases[1] or mine.collation != theirs.collation:
        raise ConfigError(
            f"{mine.name} is {_typed(mine)}, {table}.{theirs.name} is {_typed(theirs)}",
            hint="Give both the same type with `types`.",
        )


def _widest(type_text: str) -> str:
    base = parse_type(type_text).base
    return "bigint" if base in _WHOLE else "text" if base in _TEXT else base


def _typed(column: TargetColumn) -> str:
    return f'{column.type} COLLATE "{column.collation}"' if column.collation else column.type


def _value(others: Sequence[TablePlan], rule: LookupRule) -> tuple[TargetColumn, bool]:
    """The column that gives the value, and whether it is masked. Raises ConfigError."""
    known = {column.name: column for plan in others for column in plan.target.columns}
    if rule.column not in known:
        raise ConfigError(
            f"{rule.table} has no column {rule.column!r} in the store",
            hint=nearest(rule.column, known) or f"Its columns are {', '.join(known)}.",
        )
    masked = {column.target.name for plan in others for column in plan.columns if column.masked}
    return known[rule.column], rule.column in masked
