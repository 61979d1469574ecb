"""Routing by value: one source table to one table per store, each row to the store that its value names.

A value that no store is named for is refused, so that its row waits in the quarantine of the first store and is not
lost between the stores; that store answers for it when the table is verified.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from model.errors import ConfigError, ValueRefused
from model.rows import Field, Row
from model.tables import ColumnDef, TableDef
from transforms.expressions import compile_condition
from transforms.names import literal, quoted_mysql
from transforms.plan import CompiledExpression
from transforms.shares import Share
from transforms.source_types import family


def share_condition(share: Share, table: TableDef) -> str:
    """The condition of the rows of a share, as an expression. Raises ConfigError."""
    column = _column(share, table)
    name = quoted_mysql(column.name)
    if share.others is None:
        return f"{name} IN ({_listed(share.values, column)})"
    return f"NOT (({name} IN ({_listed(share.others, column)})) IS TRUE)"


def refusing_others(
    compiled: CompiledExpression, share: Share, wanted: CompiledExpression | None, table: TableDef
) -> CompiledExpression:
    """The filter of a strict share, which refuses values that are nobody's in rows that `wanted` takes."""
    column = _column(share, table)
    everybody = (*share.values, *(share.others or ()))
    listed = compile_condition(f"{quoted_mysql(column.name)} IN ({_listed(everybody, column)})", table)
    ordinal = table.index_of(column.name)

    def evaluate(row: Row) -> Field:
        if (wanted is None or wanted.evaluate(row) == b"1") and listed.evaluate(row) != b"1":
            value = row[ordinal]
            shown = repr(value.decode(errors="replace")) if isinstance(value, bytes) else "NULL"
            raise ValueRefused(
                f"no store is named for {column.name} = {shown}",
                hint=f"Add the value to `route.to` of {table.id.name}, or name a store with `otherwise`.",
                column=column.name,
            )
        return compiled.evaluate(row)

    columns = tuple(sorted({*compiled.columns, *listed.columns}))
    return dataclasses.replace(compiled, evaluate=evaluate, columns=columns)


def _column(share: Share, table: TableDef) -> ColumnDef:
    try:
        return table.column(share.by)
    except KeyError:
        raise ConfigError(
            f"route.by names the column {share.by!r}, which the table does not have",
            hint=f"Its columns are {', '.join(item.name for item in table.columns[:12])}.",
            table=table.id,
        ) from None


def _listed(values: Sequence[str], column: ColumnDef) -> str:
    kind = family(column)
    if kind in ("text", "enum"):
        return ", ".join(literal(value) for value in values)
    if kind == "integer":
        for value in values:
            if not value.lstrip("-").isdigit():
                raise ConfigError(
                    f"route.to names {value!r}, and {column.name} is {column.column_type}",
                    hint="Write whole numbers.",
                    column=column.name,
                )
        return ", ".join(values)
    raise ConfigError(
        f"rows cannot be routed by {column.name}, which is {column.column_type}",
        hint="Route by a text, enum or whole-number column.",
        column=column.name,
    )
