"""`reverse: column = expression`: the declared way back of a computed column, compiled over the target's columns.

The expression is of the same vetted kind as forward ones; the target's columns stand in for a source
table of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from model.errors import ConfigError
from model.rows import Field, Row
from model.tables import ColumnDef, TableDef, TableId
from transforms.expressions import compile_expression
from transforms.pgtypes import PgType, parse_type
from transforms.plan import TablePlan
from transforms.reverse_forms import form_of
from transforms.reverse_printed import printed
from transforms.rules import nearest
from transforms.target import TargetColumn

TEXTS = frozenset({"text", "character varying", "citext"})


@dataclass(frozen=True, slots=True)
class DeclaredReverse:
    """A compiled declaration."""

    column: ColumnDef
    ordinal: int
    reads: tuple[str, ...]
    evaluate: Callable[[Row], Field]
    """From PostgreSQL's output of `reads` to the neutral form of `column`. Raises ValueRefused."""


def compile_reverse(plan: TablePlan, text: str, name: str) -> DeclaredReverse:
    """Compile a declaration of the target column `name`. Raises ConfigError."""
    left, equals, right = text.partition("=")
    wanted = left.strip().strip("`")
    if not equals or not right.strip():
        raise ConfigError(
            f"`reverse` of {name} is not `column = expression`: {text!r}",
            hint="Name the source column that gets the value, e.g. reverse: price = price_cents * 0.01",
            table=plan.source.id,
            column=name,
        )
    try:
        column = plan.source.column(wanted)
    except KeyError:
        raise ConfigError(
            f"`reverse` of {name} gives the column {wanted!r}, which the source does not have",
            hint=nearest(wanted, [item.name for item in plan.source.columns]) or "",
            table=plan.source.id,
            column=name,
        ) from None
    stand_in = TableDef(TableId(plan.target.schema, plan.target.name), tuple(map(_stand_in, plan.target.columns)))
    expression = compile_expression(right.strip(), stand_in)
    if expression.result.type == "longtext" and column.type not in (
        "char",
        "varchar",
        "text",
        "mediumtext",
        "longtext",
    ):
        raise ConfigError(
            f"`reverse` of {name} is text, the source's column {column.name} is {column.column_type}",
            hint="CAST inside the expression.",
            table=plan.source.id,
            column=name,
        )
    used = expression.compiled.columns
    readers = [_reader(plan.target.columns[ordinal], stand_in.columns[ordinal]) for ordinal in used]
    width = len(stand_in.columns)
    compiled, form = expression.compiled, form_of(column)

    def evaluate(fields: Row) -> Field:
        row: list[Field] = [None] * width
        for ordinal, read, value in zip(used, readers, fields, strict=True):
            row[ordinal] = read(value) if isinstance(value, bytes) else None
        result = compiled.evaluate(tuple(row))
        return form(result) if isinstance(result, bytes) else None

    return DeclaredReverse(
        column,
        plan.source.index_of(column.name),
        tuple(plan.target.columns[ordinal].name for ordinal in used),
        evaluate,
    )


def _type_of(column: TargetColumn) -> PgType:
    return PgType("text") if column.type.endswith('"') else parse_type(column.type)


def _stand_in(column: TargetColumn) -> ColumnDef:
    """A source column with the same values as a target column."""
    kind = _type_of(column)
    name = column.name
    if kind.array and kind.base in TEXTS:
        return ColumnDef(name, "set", "set")
    if kind.array:
        return ColumnDef(name, "geometry", "geometry")  # opaque: no expression can use it
    match kind.base:
        case "smallint" | "bigint":
            return ColumnDef(name, kind.base, kind.base)
        case "integer":
            return ColumnDef(name, "int", "int")
        case "boolean":
            return ColumnDef(name, "tinyint", "tinyint(1)")
        case "numeric":
            precision, scale = kind.arguments or (65, 30)
            return ColumnDef(name, "decimal", f"decimal({precision},{scale})", precision=precision, scale=scale)
        case "real" | "double precision":
            return ColumnDef(name, "double", "double")
        case "date":
            return ColumnDef(name, "date", "date")
        case "timestamp without time zone":
            return ColumnDef(name, "datetime", "datetime(6)", scale=6)
        case "timestamp with time zone":
            return ColumnDef(name, "timestamp", "timestamp(6)", scale=6)
        case "json" | "jsonb":
            return ColumnDef(name, "json", "json")
        case "text" | "character varying" | "citext" | "uuid" | "inet":
            return ColumnDef(name, "longtext", "longtext")
        case _:
            return ColumnDef(name, "geometry", "geometry")


def _reader(target: TargetColumn, column: ColumnDef) -> Callable[[bytes], bytes]:
    kind = _type_of(target)
    spelled, form = printed(kind), form_of(column)
    if kind.array and spelled is not None:
        return spelled
    if kind.base in ("json", "jsonb"):
        return lambda value: value
    if kind.base == "boolean":
        return lambda value: b"1" if value == b"t" else b"0"
    return form if spelled is None else lambda value: form(spelled(value))
