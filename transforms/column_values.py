"""A source column as an expression: what its text form becomes, and how both servers spell the same value."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from model.rows import Row
from model.tables import ColumnDef
from transforms import typed_sql as sql
from transforms.casts import array_items
from transforms.names import quoted_mysql
from transforms.source_types import family as family_of
from transforms.source_types import integer_bounds
from transforms.typed_sql import Kind, Typed


def column_value(column: ColumnDef, ordinal: int, postgres: str) -> Typed:
    """A column as an expression: what its neutral text form becomes, and how both servers spell the same value."""
    name = quoted_mysql(column.name)
    columns = frozenset({ordinal})
    kind = family_of(column)

    def field(convert: Callable[[bytes], sql.Value]) -> sql.Evaluate:
        def evaluate(row: Row) -> sql.Value:
            value = row[ordinal]
            return convert(value) if isinstance(value, bytes) else None

        return evaluate

    def number(text: bytes) -> Decimal:
        return Decimal(text.decode())

    if kind == "integer":
        digits = len(str(integer_bounds(column)[1]))
        return Typed(
            Kind.NUMBER,
            field(number),
            f"CAST({name} AS DECIMAL({digits},0))",
            f"{postgres}::numeric",
            digits,
            0,
            columns,
        )
    if kind == "decimal":
        precision, scale = column.precision or 10, column.scale or 0
        return Typed(Kind.NUMBER, field(number), name, f"{postgres}::numeric", precision - scale, scale, columns)
    if kind == "bit" and (column.length or 1) <= 62:
        return Typed(
            Kind.NUMBER, field(lambda value: Decimal(int(value, 2))), f"CAST({name} + 0 AS DECIMAL(20,0))",
            f"{postgres}::bigint::numeric", 20, 0, columns,
        )  # fmt: skip
    if kind == "float":
        return Typed(
            Kind.FLOAT,
            field(number),
            f"({name} * 1e0)",
            f"{postgres}::double precision::text::numeric",
            columns=columns,
        )
    if kind in ("text", "enum"):
        return Typed(
            Kind.TEXT, field(lambda value: value.decode()), f"CONVERT({name} USING utf8mb4)", f"{postgres}::text",
            columns=columns, native_text=True,
        )  # fmt: skip
    if kind == "date":
        return Typed(
            Kind.DATE,
            field(lambda value: value.decode()),
            f"CONVERT(CAST({name} AS CHAR) USING utf8mb4)",
            f"(CASE WHEN {postgres} = '-infinity' THEN '0000-00-00' ELSE to_char({postgres}, 'YYYY-MM-DD') END)",
            columns=columns,
            native_text=True,
        )
    if kind in ("datetime", "timestamp"):
        digits = column.scale or 0
        whole = f"CAST({name} AS CHAR)"
        padded = f"RPAD({whole}, 26, _utf8mb4'0')" if digits else f"CONCAT({whole}, _utf8mb4'.000000')"
        moment = f"({postgres} AT TIME ZONE 'UTC')" if kind == "timestamp" else postgres
        return Typed(
            Kind.DATETIME,
            field(lambda value: _padded(value.decode().removesuffix("+00"))),
            f"CONVERT({padded} USING utf8mb4)",
            f"(CASE WHEN {postgres} = '-infinity' THEN '0000-00-00 00:00:00.000000'"
            f" ELSE to_char({moment}, 'YYYY-MM-DD HH24:MI:SS.US') END)",
            columns=columns,
            native_text=True,
        )
    if kind == "json":
        return Typed(Kind.JSON, field(lambda value: value.decode()), name, postgres, columns=columns)
    if kind == "set":
        return Typed(Kind.ARRAY, field(lambda value: tuple(array_items(value))), name, postgres, columns=columns)
    return Typed(Kind.OPAQUE, field(lambda value: value), name, postgres, columns=columns)


def _padded(text: str) -> str:
    return text.ljust(26, "0") if "." in text else f"{text}.000000"
