"""Vetted SQL expressions: parsed as MySQL, restricted to what `transforms.typed_sql` gives a meaning, compiled thrice.

Nothing is passed through unseen: a node or function outside the whitelist is a ConfigError that names it. Meanings
that differ from the source's own (text compares by code point, LOWER and UPPER know A to Z only, LENGTH counts
characters) are in docs/expressions.md; `own_meaning=False` refuses them, for the source's generated columns and checks.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from model.errors import ConfigError
from model.rows import Field, Row
from model.tables import ColumnDef, TableDef
from transforms import sql_documents as documents
from transforms import sql_functions as functions
from transforms import sql_zones as zones
from transforms import typed_sql as sql
from transforms.casts import array_literal
from transforms.column_values import column_value
from transforms.json_paths import plain_path
from transforms.names import quoted
from transforms.pgtypes import PgType
from transforms.plan import Cast, CompiledExpression
from transforms.rules import nearest
from transforms.type_fits import fit_casts
from transforms.type_policy import TypePolicy
from transforms.typed_sql import Kind, Typed

ALLOWED = (
    "columns, numbers, 'text', TRUE, FALSE, NULL, + - * %, = <> < <= > >= <=>, AND, OR, NOT, IS NULL, IN, BETWEEN, "
    "LIKE, CASE, IF, COALESCE, IFNULL, NULLIF, CONCAT, LOWER, UPPER, TRIM, LENGTH, CHAR_LENGTH, SUBSTRING, LEFT, "
    "RIGHT, REPLACE, CAST(… AS CHAR | DECIMAL(p,s) | SIGNED | DATE), ABS, ROUND, FLOOR, CEIL, MOD, DATE, YEAR, MONTH, "
    "CONVERT_TZ, JSON_EXTRACT, ->, ->>, JSON_VALUE, JSON_UNQUOTE, JSON_OBJECT, JSON_ARRAY, "
    "STRING_TO_ARRAY, ARRAY_TO_STRING"
)
PostgresColumn = Callable[[ColumnDef], str]
"""How a source column is spelled in PostgreSQL SQL."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression and the column that its values could come from (for type questions)."""

    compiled: CompiledExpression
    result: ColumnDef


def compile_expression(
    text: str,
    table: TableDef,
    *,
    postgres_column: PostgresColumn = lambda column: quoted(column.name),
    own_meaning: bool = True,
) -> Expression:
    """Compile an expression over the columns of `table`. Raises ConfigError naming the expression and what is wrong."""
    return _finished(text, _parsed(text, table, postgres_column, own_meaning))


def compile_condition(
    text: str,
    table: TableDef,
    *,
    postgres_column: PostgresColumn = lambda column: quoted(column.name),
    own_meaning: bool = True,
) -> CompiledExpression:
    """Compile a condition; `evaluate` gives b'1', b'0' or None. Raises ConfigError."""
    node = _parsed(text, table, postgres_column, own_meaning)
    if node.only_here:
        raise ConfigError(
            f"the servers cannot compute this condition: {node.only_here}",
            hint="A filter is asked of both sides; use a column of its own with `expr` instead.",
            expression=text,
        )
    try:
        return _finished(text, sql.as_condition(node)).compiled
    except ConfigError as error:
        error.where.setdefault("expression", text)
        raise


def result_casts(expression: Expression, wanted: PgType, policy: TypePolicy) -> tuple[Cast, ...] | None:
    """Casts from the expression's values to a target type, None when there are none."""
    return fit_casts(expression.result, wanted, policy)


# ---------------------------------------------------------------- results


def _finished(text: str, node: Typed) -> Expression:
    inner = node.python
    if node.kind is Kind.NUMBER:
        mysql, postgres = sql.scaled_sql(node)
        scale = node.scale

        def encode(row: Row) -> Field:
            value = inner(row)
            return None if value is None else sql.digits_text(value, scale).encode()

        result = ColumnDef(
            "result",
            "decimal",
            f"decimal({node.digits + scale},{scale})",
            precision=max(node.digits + scale, 1),
            scale=scale,
        )
    elif node.kind is Kind.BOOLEAN:
        mysql, postgres = node.mysql, node.postgres

        def encode(row: Row) -> Field:
            value = inner(row)
            return None if value is None else b"1" if value else b"0"

        result = ColumnDef("result", "tinyint", "tinyint")
    elif node.kind is Kind.DATETIME and node.utc:
        mysql, postgres = node.mysql, node.postgres

        def encode(row: Row) -> Field:
            value = inner(row)
            return None if value is None else f"{value}+00".encode()

        result = ColumnDef("result", "timestamp", "timestamp(6)", scale=6)
    elif node.kind in (Kind.TEXT, Kind.DATE, Kind.DATETIME, Kind.JSON):
        mysql, postgres = node.mysql, node.postgres

        def encode(row: Row) -> Field:
            value = inner(row)
            return None if value is None else value.encode()

        name = {Kind.TEXT: "longtext", Kind.DATE: "date", Kind.DATETIME: "datetime", Kind.JSON: "json"}[node.kind]
        result = ColumnDef("result", name, name, scale=6 if node.kind is Kind.DATETIME else None)
    elif node.kind is Kind.ARRAY:
        mysql, postgres = node.mysql, node.postgres

        def encode(row: Row) -> Field:
            value = inner(row)
            return None if value is None else array_literal(list(value))

        result = ColumnDef("result", "set", "set")
    else:
        raise ConfigError(
            f"the expression is {node.kind}, which has no exact text",
            hint="Copy the column instead, or CAST it: CAST(… AS DECIMAL(p,s)).",
            expression=text,
        )
    columns = tuple(sorted(node.columns))
    if node.only_here:
        return Expression(CompiledExpression(text, encode, "", "", columns, unpushable=node.only_here), result)
    return Expression(CompiledExpression(text, encode, mysql, postgres, columns), result)


def _parsed(text: str, table: TableDef, postgres_column: PostgresColumn, own_meaning: bool) -> Typed:
    if "\\" in text:
        raise ConfigError("an expression cannot hold a backslash", hint="Write the character itself.", expression=text)
    quiet = logging.getLogger("sqlglot")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)
    try:
        statements = sqlglot.parse(f"SELECT {text}", read="mysql")
    except SqlglotError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"the expression cannot be read: {reason}", hint=f"Allowed: {ALLOWED}.", expression=text
        ) from None
    finally:
        quiet.setLevel(level)
    select = statements[0] if len(statements) == 1 else None
    extra = select is None or any(value for name, value in select.args.items() if name != "expressions" and value)
    if not isinstance(select, exp.Select) or extra or len(select.expressions) != 1:
        raise ConfigError("this is not one expression", hint=f"Allowed: {ALLOWED}.", expression=text)
    try:
        return _Builder(table, postgres_column, own_meaning).build(select.expressions[0])
    except ConfigError as error:
        error.where.setdefault("expression", text)
        raise


# ---------------------------------------------------------------- the whitelist


class _Builder:
    """Walks one parsed expression. Every method takes one node type; what has no method is refused."""

    def __init__(self, table: TableDef, postgres_column: PostgresColumn, own_meaning: bool) -> None:
        self._table = table
        self._postgres_column = postgres_column
        self._own_meaning = own_meaning

    def build(self, node: exp.Expression) -> Typed:
        handler = _HANDLERS.get(type(node))
        if handler is None:
            raise _outside(node)
        arguments, build = handler
        unknown = [name for name, value in node.args.items() if value and name not in arguments]
        if unknown:
            raise _outside(node)
        return build(self, node)

    def part(self, node: exp.Expression, name: str = "this") -> Typed:
        value = node.args.get(name)
        if not isinstance(value, exp.Expression):
            raise _outside(node)
        return self.build(value)

    def parts(self, node: exp.Expression) -> list[Typed]:
        return [self.build(item) for item in node.args.get("expressions") or ()]

    def pair(self, node: exp.Expression) -> tuple[Typed, Typed]:
        return self.part(node), self.part(node, "expression")

    def column(self, node: exp.Expression) -> Typed:
        name = node.name
        try:
            column = self._table.column(name)
        except KeyError:
            raise ConfigError(
                f"the expression names the column {name!r}, which the table does not have",
                hint=nearest(name, [column.name for column in self._table.columns])
                or "Text is written in single quotes, columns without.",
                table=self._table.id,
                column=name,
            ) from None
        return column_value(column, self._table.columns.index(column), self._postgres_column(column))

    def literal(self, node: exp.Expression) -> Typed:
        return sql.string_literal(node.name) if node.args.get("is_string") else sql.number_literal(node.name)

    def introducer(self, node: exp.Expression) -> Typed:
        value = node.args.get("expression")
        if isinstance(value, exp.Literal) and value.is_string and value.name.isascii():
            return sql.string_literal(value.name)
        raise _outside(node)

    def whole(self, node: exp.Expression, name: str, low: int) -> int:
        value = node.args.get(name)
        if isinstance(value, exp.Literal) and not value.is_string and value.name.isdigit() and int(value.name) >= low:
            return int(value.name)
        raise ConfigError(
            f"{node.sql('mysql')}: a whole number of at least {low}, written out, is needed",
            hint="Positions count from 1.",
        )

    def own(self, node: exp.Expression) -> None:
        if not self._own_meaning:
            raise ConfigError(f"{node.sql('mysql')}: crossfade's meaning may differ from the source's")

    def compare(self, word: str, function: Callable[[Any, Any], bool], left: Typed, right: Typed) -> Typed:
        self.no_collation(left, right)
        return sql.compare(word, function, left, right)

    def no_collation(self, *parts: Typed) -> None:
        if not self._own_meaning and any(part.kind is Kind.TEXT and part.native_text for part in parts):
            raise ConfigError("text is compared by its collation in the source and by code point in the store")

    def is_(self, node: exp.Expression) -> Typed:
        part, right = self.part(node), node.args.get("expression")
        if isinstance(right, exp.Null):
            return sql.is_null(part)
        if isinstance(right, exp.Boolean):
            known = functions.first_not_null([sql.as_condition(part), sql.boolean_literal(not right.this)])
            return known if right.this else sql.negation(known)
        raise _outside(node)

    def in_(self, node: exp.Expression) -> Typed:
        subject, choices = self.part(node), self.parts(node)
        if not choices:
            raise _outside(node)
        result = self.compare("=", operator.eq, subject, choices[0])
        for choice in choices[1:]:
            result = sql.both(result, self.compare("=", operator.eq, subject, choice), is_and=False)
        return result

    def between(self, node: exp.Expression) -> Typed:
        subject = self.part(node)
        low = self.compare(">=", operator.ge, subject, self.part(node, "low"))
        return sql.both(low, self.compare("<=", operator.le, subject, self.part(node, "high")), is_and=True)

    def like(self, node: exp.Expression) -> Typed:
        pattern = node.args.get("expression")
        if not isinstance(pattern, exp.Literal) or not pattern.is_string:
            raise ConfigError(
                f"{node.sql('mysql')}: LIKE needs a pattern written out", hint="Use %, _ and plain characters."
            )
        self.own(node)
        found = functions.like(self.part(node), pattern.name)
        return sql.negation(found) if node.args.get("negate") else found

    def case(self, node: exp.Expression) -> Typed:
        subject = self.part(node) if node.args.get("this") else None
        whens = []
        for branch in node.args["ifs"]:
            condition = self.part(branch)
            if subject is not None:
                condition = self.compare("=", operator.eq, subject, condition)
            whens.append((condition, self.part(branch, "true")))
        otherwise = self.part(node, "default") if node.args.get("default") else sql.NULL
        return functions.case(whens, otherwise)

    def if_(self, node: exp.Expression) -> Typed:
        return functions.case([(self.part(node), self.part(node, "true"))], self.part(node, "false"))

    def nullif(self, node: exp.Expression) -> Typed:
        left, right = self.pair(node)
        return functions.case([(self.compare("=", operator.eq, left, right), sql.NULL)], left)

    def case_of_letters(self, node: exp.Expression) -> Typed:
        self.own(node)
        return functions.ascii_case(self.part(node), upper=isinstance(node, exp.Upper))

    def length(self, node: exp.Expression) -> Typed:
        if node.args.get("binary"):
            self.own(node)
        return functions.character_count(self.part(node))

    def substring(self, node: exp.Expression) -> Typed:
        length = self.whole(node, "length", 0) if node.args.get("length") else None
        return functions.substring(self.part(node), self.whole(node, "start", 1), length)

    def replace(self, node: exp.Expression) -> Typed:
        return functions.replaced(self.part(node), self.part(node, "expression"), self.part(node, "replacement"))

    def round(self, node: exp.Expression) -> Typed:
        return functions.rounded(self.part(node), self.whole(node, "decimals", 0) if node.args.get("decimals") else 0)

    def cast(self, node: exp.Expression) -> Typed:
        part, to = self.part(node), node.args["to"]
        sizes = [int(size.name) for size in to.expressions]
        kind = to.this
        if kind == exp.DType.CHAR and not sizes:
            return sql.as_text(part)
        if kind == exp.DType.DATE and part.kind in (Kind.DATE, Kind.DATETIME):
            return functions.date_part(part, Kind.DATE, 1, 10)
        if kind == exp.DType.DECIMAL and len(sizes) == 2 and sizes[1] <= sizes[0]:
            return self.to_decimal(part, sizes[0], sizes[1])
        if kind == exp.DType.BIGINT and not sizes:
            return functions.rounded(part, 0)
        raise _outside(node)

    def document(self, build: Callable[[Typed, documents.Path], Typed], node: exp.Expression, path: str) -> Typed:
        self.own(node)
        return build(self.part(node), plain_path(node, path))

    def arrow(self, node: exp.Expression) -> Typed:
        """`column->'$.path'` inside of a call, which the parser takes for a lambda."""
        names, path = node.expressions, node.args.get("this")
        if len(names) != 1 or not isinstance(path, exp.Literal) or not path.is_string:
            raise _outside(node)
        column = exp.column(exp.to_identifier(names[0].name, quoted=True)).sql("mysql")
        again = sqlglot.parse_one(f"JSON_EXTRACT({column}, {path.sql('mysql')})", read="mysql")
        assert isinstance(again, exp.Expression)
        return self.build(again)

    def json_object(self, node: exp.Expression) -> Typed:
        self.own(node)
        pairs = []
        for pair in node.expressions:
            key = pair.args.get("this")
            if not isinstance(pair, exp.JSONKeyValue) or not isinstance(key, exp.Literal) or not key.is_string:
                raise ConfigError(f"{node.sql('mysql')}: keys are texts written out", hint="JSON_OBJECT('key', value).")
            pairs.append((key.name, self.part(pair, "expression")))
        return documents.built_object(pairs)

    def by_name(self, node: exp.Expression) -> Typed:
        self.own(node)
        name, parts = node.name.upper(), self.parts(node)
        if name == "JSON_ARRAY":
            return documents.built_array(parts)
        if name == "JSON_UNQUOTE" and len(parts) == 1:
            return documents.unquoted(parts[0])
        raise _outside(node)

    def written_out(self, node: exp.Expression, name: str) -> str:
        value = node.args.get(name)
        if not isinstance(value, exp.Literal) or not value.is_string:
            raise ConfigError(f"{node.sql('mysql')}: {name} must be a text written out", hint="Write it in quotes.")
        return value.name

    def convert_tz(self, node: exp.Expression) -> Typed:
        self.own(node)
        source, target = self.written_out(node, "source_tz"), self.written_out(node, "target_tz")
        return zones.convert(self.part(node, "timestamp"), source, target)

    def split(self, node: exp.Expression) -> Typed:
        self.own(node)
        return documents.split(self.part(node), self.written_out(node, "expression"))

    def join(self, node: exp.Expression) -> Typed:
        self.own(node)
        return documents.joined_text(self.part(node), self.written_out(node, "expression"))

    def to_decimal(self, part: Typed, precision: int, scale: int) -> Typed:
        if part.kind is Kind.FLOAT:
            return functions.float_to_decimal(part, precision, scale)
        return functions.to_decimal(part, precision, scale)

    def same_pair(self, node: exp.Expression) -> tuple[Typed, Typed]:
        left, right = self.pair(node)
        self.no_collation(left, right)
        return left, right


def _outside(node: exp.Expression) -> ConfigError:
    name = node.name if isinstance(node, exp.Anonymous) else type(node).__name__.upper()
    if isinstance(node, exp.Func) and not isinstance(node, exp.Anonymous):
        name = node.sql_name()
    return ConfigError(f"{node.sql('mysql')}: {name} is not allowed in expressions", hint=f"Allowed: {ALLOWED}.")


_Handler = Callable[[_Builder, exp.Expression], Typed]
_PAIR = {"this", "expression"}
_JSON = {*_PAIR, "only_json_types", "scalar_only"}


def _comparison(word: str, function: Callable[[Any, Any], bool]) -> tuple[set[str], _Handler]:
    return _PAIR, lambda builder, node: builder.compare(word, function, *builder.pair(node))


def _arithmetic(word: str) -> tuple[set[str], _Handler]:
    return _PAIR, lambda builder, node: functions.arithmetic(word, *builder.pair(node))


_HANDLERS: Mapping[type[exp.Expression], tuple[set[str], _Handler]] = {
    exp.Column: ({"this"}, _Builder.column),
    exp.Literal: ({"this", "is_string"}, _Builder.literal),
    exp.Introducer: (_PAIR, _Builder.introducer),
    exp.Null: (set(), lambda builder, node: sql.NULL),
    exp.Boolean: ({"this"}, lambda builder, node: sql.boolean_literal(bool(node.args["this"]))),
    exp.Paren: ({"this"}, lambda builder, node: builder.part(node)),
    exp.Add: _arithmetic("+"),
    exp.Sub: _arithmetic("-"),
    exp.Mul: _arithmetic("*"),
    exp.Mod: (_PAIR, lambda builder, node: functions.remainder(*builder.pair(node))),
    exp.Neg: ({"this"}, lambda builder, node: functions.negative(builder.part(node))),
    exp.EQ: _comparison("=", operator.eq),
    exp.NEQ: _comparison("<>", operator.ne),
    exp.LT: _comparison("<", operator.lt),
    exp.LTE: _comparison("<=", operator.le),
    exp.GT: _comparison(">", operator.gt),
    exp.GTE: _comparison(">=", operator.ge),
    exp.NullSafeEQ: (_PAIR, lambda builder, node: sql.same(*builder.same_pair(node))),
    exp.And: (_PAIR, lambda builder, node: sql.both(*builder.pair(node), is_and=True)),
    exp.Or: (_PAIR, lambda builder, node: sql.both(*builder.pair(node), is_and=False)),
    exp.Not: ({"this"}, lambda builder, node: sql.negation(builder.part(node))),
    exp.Is: (_PAIR, _Builder.is_),
    exp.In: ({"this", "expressions"}, _Builder.in_),
    exp.Between: ({"this", "low", "high"}, _Builder.between),
    exp.Like: ({*_PAIR, "negate"}, _Builder.like),
    exp.Case: ({"this", "ifs", "default"}, _Builder.case),
    exp.If: ({"this", "true", "false"}, _Builder.if_),
    exp.Coalesce: (
        {"this", "expressions"},
        lambda builder, node: functions.first_not_null([builder.part(node), *builder.parts(node)]),
    ),
    exp.Nullif: (_PAIR, _Builder.nullif),
    exp.Concat: ({"expressions", "safe"}, lambda builder, node: functions.concatenated(builder.parts(node))),
    exp.Lower: ({"this"}, _Builder.case_of_letters),
    exp.Upper: ({"this"}, _Builder.case_of_letters),
    exp.Trim: ({"this"}, lambda builder, node: functions.trimmed(builder.part(node))),
    exp.Length: ({"this", "binary"}, _Builder.length),
    exp.Substring: ({"this", "start", "length"}, _Builder.substring),
    exp.Left: (_PAIR, lambda b, node: functions.substring(b.part(node), 1, b.whole(node, "expression", 0))),
    exp.Right: (_PAIR, lambda b, node: functions.last_characters(b.part(node), b.whole(node, "expression", 0))),
    exp.Replace: ({*_PAIR, "replacement"}, _Builder.replace),
    exp.Cast: ({"this", "to", "_type"}, _Builder.cast),
    exp.Abs: ({"this"}, lambda builder, node: functions.absolute(builder.part(node))),
    exp.Round: ({"this", "decimals"}, _Builder.round),
    exp.Floor: ({"this"}, lambda builder, node: functions.to_integer(builder.part(node), up=False)),
    exp.Ceil: ({"this"}, lambda builder, node: functions.to_integer(builder.part(node), up=True)),
    exp.TsOrDsToDate: ({"this"}, lambda builder, node: functions.date_part(builder.part(node), Kind.DATE, 1, 10)),
    exp.JSONExtract: (_JSON, lambda b, node: b.document(documents.extract, node, "expression")),
    exp.JSONExtractScalar: (_JSON, lambda b, node: b.document(documents.unquoted, node, "expression")),
    exp.JSONValue: ({"this", "path"}, lambda b, node: b.document(documents.value, node, "path")),
    exp.Lambda: ({"this", "expressions"}, _Builder.arrow),
    exp.JSONObject: ({"expressions"}, _Builder.json_object),
    exp.Anonymous: ({"this", "expressions"}, _Builder.by_name),
    exp.ConvertTimezone: ({"source_tz", "target_tz", "timestamp"}, _Builder.convert_tz),
    exp.StringToArray: (_PAIR, _Builder.split),
    exp.ArrayToString: (_PAIR, _Builder.join),
    exp.Year: ({"this"}, lambda builder, node: functions.date_part(builder.part(node), Kind.NUMBER, 1, 4)),
    exp.Month: ({"this"}, lambda builder, node: functions.date_part(builder.part(node), Kind.NUMBER, 6, 2)),
}
