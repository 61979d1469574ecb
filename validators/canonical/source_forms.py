"""The canonical text of a target column computed by the source itself, where the plan of the column allows it.

Only plans that are understood whole are pushed down; for any other `source_sql` gives the reason, and the table is
compared through the plan in Python instead. Values that a cast refuses or changes may print differently here: their
leaf then differs and is compared by value. No I/O.
"""

from __future__ import annotations

from typing import Final

from model.errors import ConfigError
from model.tables import ColumnDef, TableDef
from transforms.names import quoted_mysql
from transforms.plan import ColumnKind, ColumnPlan
from transforms.types import family
from validators.canonical.target_forms import INTEGERS, base_of, target_form

_INNOCENT: Final = ("nul_quarantine", "nul_strip", "max_characters(", "range(", "checked(", "jsonb_nul_")
"""Casts that leave every value alone that the target can hold as it is."""
_NUMBERS: Final = frozenset({"integer", "decimal"})
_TEXTS: Final = frozenset({"text", "character varying", "citext", "enum"})


class NotPushable(Exception):
    """The plan of a column has no SQL on the source; the text says why."""


def source_sql(plan: ColumnPlan, table: TableDef) -> str:
    """MySQL expression of the canonical text, NULL for NULL. Raises NotPushable with the reason."""
    if plan.kind is ColumnKind.CONSTANT:
        return (
            "NULL"
            if plan.constant is None
            else _text_literal(target_form(plan.target).canonical(_bytes(plan.constant)))
        )
    if plan.kind is ColumnKind.EXPRESSION:
        return _expression(plan)
    assert plan.source is not None
    column = table.columns[plan.source]
    if plan.kind is ColumnKind.MAP:
        return _mapped(plan, column)
    return _copied(plan, column)


def source_piece(plan: ColumnPlan, table: TableDef, free: bool) -> str:
    """The column's piece of a record (`record.piece`) as arguments of CONCAT. Raises NotPushable with the reason.

    Where it is wrong about a NULL or a number the record differs, and its leaf is compared by value.
    """
    sql = source_sql(plan, table)
    if _never_null(plan, table):
        if free:
            return f"LENGTH({sql}), ':', {sql}"
        assert plan.source is not None
        column = table.columns[plan.source]
        name = quoted_mysql(column.name)
        # CONCAT makes texts of numbers for less than a cast does.
        return name if sql == f"CAST({name} AS CHAR)" and family(column) in _NUMBERS else sql
    shown = f"CONCAT(LENGTH({sql}), ':', {sql})" if free else sql
    return f"COALESCE({shown}, 'N')"


def _never_null(plan: ColumnPlan, table: TableDef) -> bool:
    if plan.kind is not ColumnKind.COPY or plan.source is None or table.columns[plan.source].nullable:
        return False
    return not any(cast.name == "zero_date_null" for cast in plan.casts)


def _ewkb(hexed: str) -> str:
    """See transforms/ewkb.py: byte order, shape with the SRID's flag, SRID, the rest. Positions are those of digits."""
    flagged = f"CONCAT(SUBSTR({hexed}, 9, 8), '20', SUBSTR({hexed}, 1, 8), SUBSTR({hexed}, 19))"
    return f"IF(SUBSTR({hexed}, 1, 8) = '00000000', SUBSTR({hexed}, 9), {flagged})"


def _bytes(field: object) -> bytes:
    if not isinstance(field, bytes):
        raise NotPushable("its value is not a text")
    return field


def _text_literal(value: bytes) -> str:
    return f"_utf8mb4 X'{value.hex()}'"


def _casts(plan: ColumnPlan, *known: str) -> list[str]:
    """Names of casts that are not innocent. Raises NotPushable for one that is not `known` either."""
    found = []
    for cast in plan.casts:
        if cast.name.startswith(_INNOCENT):
            continue
        if not cast.name.startswith(known or ("\0",)):
            raise NotPushable(f"the cast {cast.name} has no form in the source's SQL")
        found.append(cast.name)
    return found


def text_sql(column: ColumnDef) -> str:
    """A text, ENUM or SET column in UTF-8."""
    name = quoted_mysql(column.name)
    if column.type in ("enum", "set") or column.charset not in (None, "utf8mb4"):
        return f"CONVERT({name} USING utf8mb4)"
    return name


def _integer_sql(column: ColumnDef) -> str:
    name = quoted_mysql(column.name)
    # Plus zero takes off what ZEROFILL and YEAR print before the digits.
    return f"({name} + 0)" if column.type in ("year", "bit", "enum") or "zerofill" in column.column_type else name


def _copied(plan: ColumnPlan, column: ColumnDef) -> str:
    try:
        kind = family(column)
    except ConfigError as error:
        raise NotPushable(error.message) from None
    to, name = base_of(plan.target), quoted_mysql(column.name)
    no = NotPushable(f"{column.column_type} as {plan.target.type} has no form in the source's SQL")
    match kind:
        case "integer":
            casts = _casts(plan, "boolean_from_integer")
            if (
                to.base in INTEGERS
                or to.base in _TEXTS
                or casts
                or (to.base == "numeric" and not any(to.arguments[1:]))
            ):
                return f"CAST({_integer_sql(column)} AS CHAR)"
        case "decimal" if "zerofill" not in column.column_type:
            _casts(plan)
            scale = column.scale or 0
            if to.base in _TEXTS or (to.base == "numeric" and to.arguments and to.arguments[1] == scale):
                return f"CAST({name} AS CHAR)"
            if to.base == "numeric" and not to.arguments:
                return _trimmed(f"CAST({name} AS CHAR)") if scale else f"CAST({name} AS CHAR)"
        case "float":
            _casts(plan)
            if to.base == "double precision" or (to.base == "real" and column.type == "float"):
                return float_sql(f"CAST({name} * 1e0 AS CHAR)")
        case "bit":
            casts = _casts(plan, "integer_from_bits", "boolean_from_integer")
            if not casts and to.base in ("bit", "bit varying", *_TEXTS):
                return f"LPAD(BIN({name} + 0), {column.length or 1}, '0')"
            if to.base in INTEGERS or to.base == "boolean":
                return f"CAST({name} + 0 AS CHAR)"
        case "text":
            casts = _casts(plan, "uuid_from_text", "valid_json")
            if to.base == "uuid":
                return f"LOWER(REPLACE({text_sql(column)}, '-', ''))"
            if to.base in _TEXTS or to.base == "json" or (not casts and to.base in INTEGERS | {"date"}):
                return text_sql(column)
        case "binary" | "geometry":
            casts = _casts(plan, "uuid_from_bytes", "utf8_from_bytes", "geometry_from_internal")
            if to.base == "geometry":
                return _ewkb(f"HEX({name})")
            if to.base in ("bytea", "uuid"):
                return f"LOWER(HEX({name}))"
            if "utf8_from_bytes" in casts:
                return f"CONVERT({name} USING utf8mb4)"
        case "enum":
            casts = _casts(plan, "enum_to_index")
            if casts:
                return f"CAST({name} + 0 AS CHAR)"
            if to.base in _TEXTS:
                return text_sql(column)
        case "set":
            casts = _casts(plan, "set_to_text")
            if casts:
                return text_sql(column)
            if to.array and to.base == "text" and all(_plain(label) for label in column.labels):
                text = text_sql(column)
                return f"IF({text} = '', '[]', CONCAT('[\"', REPLACE({text}, ',', '\",\"'), '\"]'))"
        case "json":
            _casts(plan, "valid_json")
            if column.type != "json" and to.base != "jsonb":
                return text_sql(column)
            if column.type == "json":
                return f"CAST({name} AS CHAR)"
        case "date" | "datetime" | "timestamp":
            return _date(plan, column, f"CAST({name} AS CHAR)", column.scale or 0)
        case "time":
            _casts(plan, "time_of_day")
            if to.base in ("interval", "time without time zone"):
                return _trimmed(f"CAST({name} AS CHAR)") if column.scale else f"CAST({name} AS CHAR)"
            if to.base in _TEXTS:
                return f"CAST({name} AS CHAR)"
        case "uuid":
            _casts(plan, "bytes_from_uuid")
            if to.base in ("uuid", "bytea"):
                return f"LOWER(REPLACE(CAST({name} AS CHAR), '-', ''))"
        case "inet":
            _casts(plan)
            return f"CAST({name} AS CHAR)"
    raise no


def _plain(label: str) -> bool:
    return bool(label) and label.isprintable() and not set(label) & {'"', "\\"}


def _trimmed(text: str) -> str:
    return f"TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {text}))"


def _date(plan: ColumnPlan, column: ColumnDef | None, text: str, digits: int) -> str:
    to = base_of(plan.target)
    casts = _casts(plan, "zero_date_", "truncate_fraction(", "utc_to_wall", "midnight_to_date", "date_to_midnight")
    if to.base in _TEXTS:
        return f"CONCAT({text}, '+00')" if column is not None and column.type == "timestamp" else text
    if to.base not in ("date", "timestamp without time zone", "timestamp with time zone"):
        raise NotPushable(f"a date as {plan.target.type} has no form in the source's SQL")
    shown = text
    for name in casts:
        if name.startswith("truncate_fraction("):
            kept = int(name[len("truncate_fraction(") : -1])
            shown, digits = f"LEFT({text}, {20 + kept if kept else 19})", kept
        elif name == "midnight_to_date":
            shown, digits = f"LEFT({text}, 10)", 0
        elif name == "date_to_midnight":
            shown = f"CONCAT({text}, ' 00:00:00')"
    if digits:
        shown = _trimmed(shown)
    zero = "NULL" if "zero_date_null" in casts else "'-infinity'"
    # Most dates are not zero, and a day costs less than a text.
    day = "" if column is None else f"DAYOFMONTH({quoted_mysql(column.name)}) = 0 AND "
    return f"IF({day}LEFT({text}, 10) = '0000-00-00', {zero}, {shown})"


def float_sql(text: str) -> str:
    """MySQL: the twin of `target_forms.float_sql`."""
    mantissa = f"SUBSTRING_INDEX({text}, 'e', 1)"
    digits = f"TRIM(LEADING '0' FROM REPLACE(REPLACE({mantissa}, '.', ''), '-', ''))"
    bare = f"TRIM(TRAILING '0' FROM {digits})"
    exponent = f"IF(LOCATE('e', {text}), SUBSTRING_INDEX({text}, 'e', -1) + 0, 0)"
    fraction = f"IF(LOCATE('.', {mantissa}), LENGTH(SUBSTRING_INDEX({mantissa}, '.', -1)), 0)"
    shift = f"CAST({exponent} - {fraction} + LENGTH({digits}) - LENGTH({bare}) AS SIGNED)"
    return f"CONCAT(IF({text} LIKE '-%', '-', ''), {bare}, 'e', {shift})"


def _mapped(plan: ColumnPlan, column: ColumnDef) -> str:
    assert plan.mapping is not None
    kind = family(column)
    if kind == "integer":
        read = f"CAST(CAST({_integer_sql(column)} AS CHAR) AS BINARY)"
    elif kind in ("text", "enum"):
        read = f"CAST({text_sql(column)} AS BINARY)"
    else:
        raise NotPushable(f"a value map over {column.column_type} has no form in the source's SQL")
    _casts(plan)
    canonical = target_form(plan.target).canonical

    def value(field: object) -> str:
        return "NULL" if field is None else _text_literal(canonical(_bytes(field)))

    cases = "".join(f" WHEN X'{key.hex()}' THEN {value(field)}" for key, field in plan.mapping.items())
    # A value that the map refuses is in no target; any text that no target value has will do.
    rest = _text_literal(b"\x01") if plan.strict else value(plan.otherwise)
    if not cases:
        raise NotPushable("an empty value map has no form in the source's SQL")
    return f"(CASE WHEN {read} IS NULL THEN NULL ELSE (CASE {read}{cases} ELSE {rest} END) END)"


def _expression(plan: ColumnPlan) -> str:
    assert plan.expression is not None
    if plan.expression.unpushable:
        raise NotPushable(plan.expression.unpushable)
    to, sql = base_of(plan.target), plan.expression.mysql
    if to.base in ("date", "timestamp without time zone"):
        return _date(plan, None, f"CAST({sql} AS CHAR)", 6 if to.base != "date" else 0)
    _casts(plan)
    if to.array or not (to.base in INTEGERS or to.base in _TEXTS or to.base == "numeric"):
        raise NotPushable(f"an expression as {plan.target.type} has no form in the source's SQL")
    if to.base == "numeric" and not to.arguments:
        raise NotPushable("an expression as numeric without a scale has no form in the source's SQL")
    return f"CONVERT({sql} USING utf8mb4)" if to.base in _TEXTS else f"CAST({sql} AS CHAR)"
