"""Looks rows up by canonical key on both sides: how a canonical key value is written for each server. No I/O.

The source may find more rows than asked for (its collations are coarser); the reader compares canonical keys again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from model.tables import ColumnDef
from transforms.names import quoted, quoted_mysql
from transforms.plan import ColumnKind, ColumnPlan, TablePlan
from transforms.types import family
from validators.canonical.record import CanonicalRow, RecordForm
from validators.canonical.source_forms import NotPushable
from validators.canonical.target_forms import INTEGERS, base_of
from validators.leaves import postgres_name

Literal = Callable[[bytes], str]
_PLAIN_DATES = ("zero_date_", "utc_to_wall")


def source_condition(plan: TablePlan, form: RecordForm, keys: Iterable[CanonicalRow]) -> str:
    """WHERE condition of the rows with these keys. Raises NotPushable when a key has no form in the source's SQL."""
    columns = [_source_operand(plan.columns[index], plan, form.sources[index]) for index in form.key]
    if len(columns) == 1:
        operand, literal = columns[0]
        return f"{operand} IN ({', '.join(literal(_present(key[0])) for key in keys)})"
    return " OR ".join(
        "("
        + " AND ".join(
            f"{operand} = {literal(_present(value))}" for (operand, literal), value in zip(columns, key, strict=True)
        )
        + ")"
        for key in keys
    )


def _present(value: bytes | None) -> bytes:
    return b"" if value is None else value


def _source_operand(column: ColumnPlan, plan: TablePlan, sql: str | None) -> tuple[str, Literal]:
    if column.kind is ColumnKind.COPY and column.source is not None:
        source = plan.source.columns[column.source]
        literal = _native_literal(column, source)
        if literal is not None:
            return quoted_mysql(source.name), literal
    if sql is None:
        raise NotPushable(f"the key column {column.target.name} cannot be looked up in the source")
    return f"CAST({sql} AS BINARY)", lambda value: f"X'{value.hex()}'"


def _native_literal(column: ColumnPlan, source: ColumnDef) -> Literal | None:
    """How a value is compared with the bare column, so that its index serves; None when there is no such way."""
    to, kind = base_of(column.target), family(source)
    if kind == "integer" and (to.base in INTEGERS or to.base == "numeric"):
        return lambda value: str(int(value))
    if kind == "decimal" and to.base == "numeric":
        return lambda value: value.decode()
    if kind in ("text", "enum") and to.base in ("text", "character varying", "citext", "enum"):
        return lambda value: f"_utf8mb4 X'{value.hex()}'"
    if kind == "binary" and to.base in ("bytea", "uuid"):
        return lambda value: f"X'{value.decode()}'"
    if kind in ("date", "datetime", "timestamp") and all(cast.name.startswith(_PLAIN_DATES) for cast in column.casts):
        zero = "0000-00-00" if kind == "date" else "0000-00-00 00:00:00"
        return lambda value: f"'{zero if value == b'-infinity' else value.decode()}'"
    if kind == "uuid" and to.base == "uuid":
        return lambda value: "'" + "-".join(_split(value.decode(), (8, 4, 4, 4, 12))) + "'"
    return None


def _split(text: str, sizes: Sequence[int]) -> list[str]:
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    return parts


def target_lookup(
    plan: TablePlan, form: RecordForm, selected: str, keys: Sequence[CanonicalRow]
) -> tuple[str, list[list[str]]]:
    """Statement and parameters that give the `selected` expressions of the rows with these keys.

    Raises NotPushable for a key type without a text form that PostgreSQL reads.
    """
    names, values = [], []
    for position, index in enumerate(form.key):
        column = plan.columns[index].target
        to = base_of(column)
        if to.array or to.base in ("point", "vector", "geometry", "json", "jsonb"):
            raise NotPushable(f"a key of type {column.type} cannot be looked up in the store")
        prefix = "\\x" if to.base == "bytea" else ""
        names.append((_escaped(quoted(column.name)), f"%s::text[]::{_escaped(column.type)}[]"))
        values.append([prefix + _present(key[position]).decode() for key in keys])
    selected, table = _escaped(selected), _escaped(postgres_name(plan))
    if len(names) == 1:
        return f"SELECT {selected} FROM {table} WHERE {names[0][0]} = ANY ({names[0][1]})", values
    columns = ", ".join(f"k{position}" for position in range(len(names)))
    joined = " AND ".join(f"{name} = k{position}" for position, (name, _) in enumerate(names))
    unnested = ", ".join(parameter for _, parameter in names)
    return f"SELECT {selected} FROM unnest({unnested}) AS wanted({columns}) JOIN {table} ON {joined}", values


def _escaped(statement: str) -> str:
    """Text that goes through the driver's placeholders unchanged."""
    return statement.replace("%", "%%")
