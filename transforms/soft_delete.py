"""Soft deletes: the condition by which the application marks a row as deleted, and the marks that a delete sets.

The marks are read from the usual conditions (`deleted = 1`, `deleted_at IS NOT NULL`, `status = 'X'`), or declared.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlglot
from sqlglot import exp

from config.reshaping import SoftDelete as SoftDeleteRule
from model.errors import ConfigError, ValueRefused
from model.rows import ABSENT, Field
from model.tables import ColumnDef, TableDef
from transforms.columns import source_column
from transforms.defaults import neutral_literal
from transforms.expressions import compile_condition
from transforms.plan import SoftDelete
from transforms.source_types import family

NOW = "now"
TIMED = frozenset({"date", "datetime", "timestamp"})


def compile_soft_delete(rule: SoftDeleteRule, table: TableDef, others: str | None) -> SoftDelete:
    """The condition and its marks; `others` is the rest of the filter. Raises ConfigError for what cannot work."""
    condition = compile_condition(rule.sql, table)
    if rule.set is None:
        return SoftDelete(rule.sql, condition.mysql, others, _derived(rule.sql, table))
    marks = _declared(rule.set, table)
    given = dict(marks)
    if set(condition.columns) <= set(given):
        row: list[Field] = [None] * len(table.columns)
        for ordinal, value in marks:
            row[ordinal] = _moment(table.columns[ordinal]) if value is ABSENT else value
        if condition.evaluate(tuple(row)) != b"1":
            raise ConfigError(
                "the values of delete_when.set do not make a row a deleted one",
                hint=f"Choose values for which {rule.sql} holds.",
                table=table.id,
            )
    return SoftDelete(rule.sql, condition.mysql, others, marks)


def without_deleted(where: str | None, deleted: str) -> str:
    """The filter of a table with soft deletes: a row stays unless the condition holds; NULL is not a delete."""
    kept = f"NOT (({deleted}) IS TRUE)"
    return kept if where is None else f"({where}) AND {kept}"


def _declared(marks: Mapping[str, str], table: TableDef) -> tuple[tuple[int, Field], ...]:
    found: list[tuple[int, Field]] = []
    for name, text in marks.items():
        column = source_column(table, name, "delete_when.set")
        value: Field = ABSENT
        if text != NOW or family(column) not in TIMED:
            try:
                value = neutral_literal(column, text)
            except (ValueRefused, ValueError) as error:
                raise ConfigError(
                    f"delete_when.set: {text!r} is no value of {column.column_type}",
                    hint="Write a value of the column, or now for a date or time.",
                    table=table.id,
                    column=name,
                ) from error
        found.append((table.index_of(column.name), value))
    return tuple(found)


def _derived(text: str, table: TableDef) -> tuple[tuple[int, Field], ...]:
    """The mark that the condition itself tells; () when it tells none."""
    select = sqlglot.parse_one(f"SELECT {text}", read="mysql")
    node = select.expressions[0]
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Column):
        return _mark(node, table, "1")
    if isinstance(node, exp.Is) and isinstance(node.this, exp.Column):
        true = isinstance(node.expression, exp.Boolean) and bool(node.expression.this)
        return _mark(node.this, table, "1") if true else ()
    if isinstance(node, exp.Not) and isinstance(node.this, exp.Is) and isinstance(node.this.expression, exp.Null):
        inner = node.this.this
        if isinstance(inner, exp.Column) and family(table.column(inner.name)) in TIMED:
            return ((table.index_of(inner.name), ABSENT),)
        return ()
    if isinstance(node, exp.EQ | exp.NEQ) and isinstance(node.this, exp.Column):
        literal = node.expression
        if isinstance(literal, exp.Literal) and isinstance(node, exp.EQ):
            return _mark(node.this, table, literal.name)
        if isinstance(literal, exp.Literal) and literal.name == "0":
            return _mark(node.this, table, "1")
    return ()


def _mark(node: exp.Column, table: TableDef, value: str) -> tuple[tuple[int, Field], ...]:
    column = table.column(node.name)
    if family(column) not in ("integer", "text", "enum", "decimal", "bit"):
        return ()
    return ((table.index_of(column.name), neutral_literal(column, value)),)


def _moment(column: ColumnDef) -> bytes:
    """Any moment in the column's neutral form."""
    return {"date": b"2000-01-01", "timestamp": b"2000-01-01 00:00:00+00"}.get(family(column), b"2000-01-01 00:00:00")
