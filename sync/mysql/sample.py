"""A few rows of a source table in the neutral text form: the first by key, or the one with a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.errors import UsageError
from model.rows import Row
from model.tables import TableDef
from stores.mysql import MysqlConnection, ServerInfo
from sync.mysql.literals import quoted_name
from sync.mysql.reverse_literals import column_sql
from sync.mysql.snapshot import raw_rows
from sync.mysql.textform import from_select, select_expression
from transforms.defaults import neutral_literal


def sample(
    connection: MysqlConnection[Any], info: ServerInfo, table: TableDef, limit: int, key: Sequence[str] | None = None
) -> list[Row]:
    """Rows of `table`, of `connect_reader`'s connection. Raises UsageError for a key that it cannot have."""
    chosen = "" if key is None else f" WHERE {_condition(table, key, info)}"
    order = f" ORDER BY {', '.join(map(quoted_name, table.key))}" if table.key and key is None else ""
    columns = ", ".join(select_expression(column, info) for column in table.columns)
    query = f"SELECT {columns} FROM {quoted_name(table.id.schema, table.id.name)}{chosen}{order} LIMIT {limit:d}"
    reads = [from_select(column) for column in table.columns]
    return [
        tuple(read(value) for read, value in zip(reads, raw, strict=True)) for raw in list(raw_rows(connection, query))
    ]


def _condition(table: TableDef, key: Sequence[str], info: ServerInfo) -> str:
    if not table.key:
        raise UsageError(f"{table.id} has no key", hint="Use --rows.")
    if len(key) != len(table.key):
        raise UsageError(
            f"the key of {table.id} is ({', '.join(table.key)}), {len(key)} values were given",
            hint=f"Give {len(table.key)}, separated by commas.",
        )
    parts = []
    for name, text in zip(table.key, key, strict=True):
        column = table.column(name)
        try:
            value = neutral_literal(column, text)
            if column.type.endswith("int") or column.type in ("decimal", "year"):
                float(text)
            parts.append(column_sql(column, mariadb=info.mariadb).seek(value).decode())
        except (ValueError, ArithmeticError) as error:
            raise UsageError(
                f"{text!r} is no value of {name}, which is {column.column_type}",
                hint="Write it as the source prints it.",
            ) from error
    return " AND ".join(parts)
