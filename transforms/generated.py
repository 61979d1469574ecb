"""Generated columns of the source: generated in the store too when the expression means the same there, else plain.

A plain column is fed by copy and stream, for row images hold the values of stored and virtual columns alike.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from model.errors import ConfigError
from model.tables import ColumnDef, TableDef
from transforms.expressions import compile_expression
from transforms.names import quoted
from transforms.types import default_type, family

if TYPE_CHECKING:
    from transforms.columns import OutputColumns
    from transforms.types import TypePolicy

_UNSTABLE = ("date", "datetime", "timestamp", "float")
"""Families whose text depends on PostgreSQL settings, so that no generated column may use it."""


def unchanged_column(columns: OutputColumns, table: TableDef, column: ColumnDef, policy: TypePolicy) -> str:
    """The target's spelling of a column that holds the source's values as they are. Raises ConfigError for others."""
    position = columns.of_source.get(column.name)
    if position is None or columns.plans[position].source is None:
        raise ConfigError(f"{column.name} is not copied")
    target = columns.plans[position].target
    if columns.plans[position].mapping is not None or target.type != str(default_type(column, policy)):
        raise ConfigError(f"{column.name} has another type or other values in the store")
    return quoted(target.name)


def translate_generated(columns: OutputColumns, table: TableDef, policy: TypePolicy) -> None:
    """Turn the plan's columns that can be generated in the store into generated ones; the others get a note."""
    dropped: set[int] = set()
    for column in table.columns:
        position = columns.of_source.get(column.name)
        if column.generated is None or position is None:
            continue
        plan = columns.plans[position]
        try:
            expression = _postgres_expression(columns, table, column, policy)
        except ConfigError as error:
            columns.notes.append(
                f"column {column.name}: generated in the source, a plain column in the store ({error.message})"
            )
            continue
        target = dataclasses.replace(plan.target, generated=expression, default=None)
        columns.targets[columns.targets.index(plan.target)] = target
        dropped.add(position)
    if dropped:
        kept = [index for index in range(len(columns.plans)) if index not in dropped]
        columns.of_source = {name: kept.index(i) for name, i in columns.of_source.items() if i in kept}
        columns.plans = [columns.plans[index] for index in kept]


def _postgres_expression(columns: OutputColumns, table: TableDef, column: ColumnDef, policy: TypePolicy) -> str:
    if column.name in table.key:
        raise ConfigError("it is part of the key")
    if any(column.name in (part.column for part in index.parts) for index in table.indexes):
        raise ConfigError("an index uses it")
    plan = columns.plans[columns.of_source[column.name]]
    if plan.mapping is not None or family(column) not in ("integer", "decimal", "text"):
        raise ConfigError(f"its type is {plan.target.type}")
    if column.type == "char":
        raise ConfigError("its type is char, of which the source cuts off the spaces at the end")

    def spelled(used: ColumnDef) -> str:
        if used.generated is not None:
            raise ConfigError("it uses another generated column")
        if family(used) in _UNSTABLE:
            raise ConfigError(f"it uses {used.name}, a {used.type}")
        return unchanged_column(columns, table, used, policy)

    expression = compile_expression(column.expression or "", table, postgres_column=spelled, own_meaning=False)
    if expression.compiled.unpushable:
        raise ConfigError(expression.compiled.unpushable)
    kinds = ("text",) if family(column) == "text" else ("integer", "decimal")
    if family(expression.result) not in kinds:
        raise ConfigError(f"its type is {column.column_type}, and the expression gives another kind of value")
    # A condition, which PostgreSQL does not make a smallint or a numeric of; the source counts it as 1 and 0.
    number = "::integer" if expression.result.type == "tinyint" else ""
    return f"({expression.compiled.postgres}){number}::{plan.target.type}"
