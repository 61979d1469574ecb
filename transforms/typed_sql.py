"""One expression in three languages with a known type: Python over a source row, the source's SQL, PostgreSQL's SQL.

The meaning is ours, and each builder writes the SQL that has exactly that meaning on its server: numbers are exact
decimals, text compares by code point with no padding, dates are their text. Property tests hold the three together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import StrEnum
from typing import Any

from model.errors import ConfigError
from model.rows import Row
from transforms.names import literal

EXACT = Context(prec=150, rounding=ROUND_HALF_UP)
MAX_DIGITS, MAX_SCALE = 65, 30
"""The limits of DECIMAL on MySQL and MariaDB."""


class Kind(StrEnum):
    """Types of the expression language."""

    NUMBER = "a number"
    TEXT = "text"
    BOOLEAN = "a condition"
    DATE = "a date"
    DATETIME = "a date with time"
    FLOAT = "a floating-point number"
    JSON = "a JSON document"
    ARRAY = "an array of texts"
    OPAQUE = "a value without operations"
    NULL = "NULL"


Value = Any
Evaluate = Callable[[Row], Value]


@dataclass(frozen=True, slots=True)
class Typed:
    """An expression: Decimal for NUMBER, str for TEXT and dates, bool for BOOLEAN, None for NULL."""

    kind: Kind
    python: Evaluate
    mysql: str
    postgres: str
    digits: int = 0
    """NUMBER: most digits before the point."""
    scale: int = 0
    """NUMBER: most decimals."""
    columns: frozenset[int] = frozenset()
    text: str | None = None
    """The value of a string literal."""
    native_text: bool = False
    """TEXT or dates that come from a column, whose comparison on the source follows its collation."""
    utc: bool = False
    """DATETIME: a moment in UTC, so that it can become a type with a time zone."""
    only_here: str = ""
    """Why no server computes it; `mysql` and `postgres` are words for messages then."""


def joined(parts: Sequence[Typed]) -> frozenset[int]:
    """Ordinals of the source columns that any of the parts reads."""
    return frozenset().union(*(part.columns for part in parts))


def reach(parts: Sequence[Typed]) -> dict[str, Any]:
    """What a node inherits from its parts: the columns that they read, and why it has no SQL."""
    return {
        "columns": joined(parts),
        "only_here": next((part.only_here for part in parts if part.only_here), ""),
    }


def _strict(function: Callable[..., Value], parts: Sequence[Typed]) -> Evaluate:
    """NULL when any part is NULL, else the function of their values."""
    inner = [part.python for part in parts]
    if len(inner) == 1:
        only = inner[0]

        def one(row: Row) -> Value:
            value = only(row)
            return None if value is None else function(value)

        return one

    def many(row: Row) -> Value:
        values = [evaluate(row) for evaluate in inner]
        return None if None in values else function(*values)

    return many


def make(
    kind: Kind, function: Callable[..., Value], parts: Sequence[Typed], mysql: str, postgres: str, **more: Any
) -> Typed:
    """A node over `parts` that is NULL when one of them is."""
    return Typed(
        kind, _strict(function, parts), mysql, postgres, **reach(parts),
        native_text=any(part.native_text for part in parts), **more,
    )  # fmt: skip


def computed_here(
    kind: Kind, function: Callable[..., Value], parts: Sequence[Typed], why: str, *, strict: bool = True
) -> Typed:
    """A node that only Python computes. `strict`: NULL when one of the parts is."""
    inner = [part.python for part in parts]
    evaluate = _strict(function, parts) if strict else lambda row: function(*(step(row) for step in inner))
    words = f"{kind} of {', '.join(part.mysql for part in parts)}"
    return Typed(kind, evaluate, words, words, columns=joined(parts), only_here=why)


def sized(digits: int, scale: int) -> dict[str, Any]:
    """Digits and scale of a result. Raises ConfigError when no DECIMAL of the source could hold it."""
    if scale > MAX_SCALE or digits + scale > MAX_DIGITS:
        raise ConfigError(
            f"a number of up to {digits} digits and {scale} decimals exceeds the source's DECIMAL(65,30)",
            hint="Narrow the operands first with CAST(… AS DECIMAL(p,s)) or ROUND.",
        )
    return {"digits": digits, "scale": scale}


# ---------------------------------------------------------------- constants


def number_literal(text: str) -> Typed:
    """A decimal literal as it is written. Raises ConfigError for exponents."""
    if not text.replace(".", "", 1).isdigit() or text.startswith("."):
        raise ConfigError(f"{text} is not an exact decimal number", hint="Write it with digits and a point: 0.5.")
    whole, _, fraction = text.partition(".")
    value, spelled = Decimal(text), f"{whole}.{fraction}" if fraction else whole
    digits = len(whole.lstrip("0"))
    sql = f"CAST({spelled} AS DECIMAL({max(digits + len(fraction), 1)},{len(fraction)}))"
    return Typed(Kind.NUMBER, lambda row: value, sql, f"{spelled}::numeric", **sized(digits, len(fraction)))


def mysql_string(text: str) -> str:
    """A string literal that means the same under every sql_mode and connection character set."""
    plain = text.isascii() and text.isprintable() and "\\" not in text and "'" not in text
    return f"_utf8mb4'{text}'" if plain else f"_utf8mb4 0x{text.encode().hex()}" if text else "_utf8mb4''"


def string_literal(text: str) -> Typed:
    """A text constant."""
    return Typed(Kind.TEXT, lambda row: text, mysql_string(text), f"{literal(text)}::text", text=text)


NULL = Typed(Kind.NULL, lambda row: None, "NULL", "NULL")


def boolean_literal(value: bool) -> Typed:
    """TRUE or FALSE."""
    return Typed(Kind.BOOLEAN, lambda row: value, "1" if value else "0", "true" if value else "false")


# ---------------------------------------------------------------- changes of type


def as_number(part: Typed) -> Typed:
    """A number; conditions count as 1 and 0. Raises ConfigError for anything else."""
    if part.kind is Kind.NUMBER:
        return part
    if part.kind is Kind.BOOLEAN:
        return make(
            Kind.NUMBER, lambda value: Decimal(int(value)), [part], f"CAST({part.mysql} AS DECIMAL(1,0))",
            f"({part.postgres})::int::numeric", digits=1, scale=0,
        )  # fmt: skip
    if part.kind is Kind.NULL:
        return replace(part, kind=Kind.NUMBER, mysql="CAST(NULL AS DECIMAL(1,0))", postgres="NULL::numeric")
    hint = (
        "Make it exact first: CAST(… AS DECIMAL(p,s))."
        if part.kind is Kind.FLOAT
        else "Text is not turned into numbers by itself; compare text with text."
    )
    raise ConfigError(f"a number is needed here, and this is {part.kind}: {part.mysql}", hint=hint)


def as_condition(part: Typed) -> Typed:
    """A condition; a number is true unless it is 0. Raises ConfigError for anything else."""
    if part.kind is Kind.BOOLEAN:
        return part
    if part.kind is Kind.NULL:
        return replace(part, kind=Kind.BOOLEAN, postgres="NULL::boolean")
    if part.kind is Kind.NUMBER:
        return make(Kind.BOOLEAN, bool, [part], f"({part.mysql} <> 0)", f"({part.postgres} <> 0)")
    raise ConfigError(
        f"a condition is needed here, and this is {part.kind}: {part.mysql}", hint="Compare it with something."
    )


def digits_text(value: Decimal, scale: int) -> str:
    """A decimal with exactly `scale` decimals and no negative zero."""
    number = value.quantize(Decimal(1).scaleb(-scale), context=EXACT)
    return format(number if number else abs(number), "f")


def scaled_sql(part: Typed) -> tuple[str, str]:
    """Source and PostgreSQL SQL of a number that prints exactly `part.scale` decimals."""
    precision = max(part.digits + part.scale, 1)
    return f"CAST({part.mysql} AS DECIMAL({precision},{part.scale}))", f"round({part.postgres}, {part.scale})"


def as_text(part: Typed) -> Typed:
    """The value as text: numbers with their decimals, conditions as 1 and 0, dates as they are written."""
    if part.kind is Kind.TEXT:
        return part
    if part.kind in (Kind.DATE, Kind.DATETIME):
        return replace(part, kind=Kind.TEXT)
    if part.kind is Kind.NULL:
        return replace(part, kind=Kind.TEXT, postgres="NULL::text")
    number = as_number(part)
    mysql, postgres = scaled_sql(number)
    return make(
        Kind.TEXT, lambda value: digits_text(value, number.scale), [number],
        f"CONVERT(CAST({mysql} AS CHAR) USING utf8mb4)", f"({postgres})::text",
    )  # fmt: skip


def _as_datetime(part: Typed) -> Typed:
    if part.kind is not Kind.DATE:
        return part
    return make(
        Kind.DATETIME, lambda value: value + " 00:00:00.000000", [part],
        f"CONCAT({part.mysql}, _utf8mb4' 00:00:00.000000')", f"({part.postgres} || ' 00:00:00.000000')",
    )  # fmt: skip


def _date_literal(part: Typed, kind: Kind) -> Typed:
    """A string literal read as a date, for a comparison with one. Raises ConfigError when it is none."""
    text = part.text or ""
    day, _, time = text.partition(" ")
    shape = [piece.isdigit() for piece in (day[:4], day[5:7], day[8:10])]
    good = len(day) == 10 and day[4] == day[7] == "-" and all(shape)
    if good and time:
        clock, _, fraction = time.partition(".")
        good = len(clock) == 8 and clock[2] == clock[5] == ":" and clock.replace(":", "").isdigit()
        good = good and len(fraction) <= 6 and (not fraction or fraction.isdigit())
        text = f"{day} {clock}.{fraction.ljust(6, '0')}"
    if not good:
        raise ConfigError(
            f"{part.text!r} is compared with a date", hint="Write it as 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'."
        )
    found = replace(string_literal(text), kind=Kind.DATETIME if time else Kind.DATE, text=None)
    return _as_datetime(found) if kind is Kind.DATETIME else found


def alike(parts: Sequence[Typed]) -> list[Typed]:
    """The parts brought to one kind, for comparison and for branches. Raises ConfigError when there is none."""
    kinds = {part.kind for part in parts} - {Kind.NULL}
    if not kinds:
        return list(parts)
    if kinds <= {Kind.NUMBER, Kind.BOOLEAN} and kinds != {Kind.BOOLEAN}:
        return [as_number(part) for part in parts]
    if kinds == {Kind.BOOLEAN}:
        return [as_condition(part) for part in parts]
    if kinds & {Kind.DATE, Kind.DATETIME} and kinds <= {Kind.DATE, Kind.DATETIME, Kind.TEXT}:
        wanted = Kind.DATETIME if Kind.DATETIME in kinds else Kind.DATE
        dates = [
            _date_literal(part, wanted) if part.kind is Kind.TEXT and part.text is not None else part for part in parts
        ]
        if any(part.kind is Kind.TEXT for part in dates):
            raise ConfigError("a date is mixed with text", hint="Use CAST(… AS CHAR) for the date.")
        mixed = {part.kind for part in dates} - {Kind.NULL}
        return [_as_datetime(part) if len(mixed) > 1 else part for part in dates]
    if kinds == {Kind.TEXT}:
        return [as_text(part) for part in parts]
    names = " and ".join(sorted(kinds))
    raise ConfigError(
        f"{names} do not go together: {', '.join(part.mysql for part in parts[:3])}",
        hint="Quote both as text, or use CAST(… AS CHAR) or CAST(… AS DECIMAL(p,s)).",
    )


# ---------------------------------------------------------------- comparison and logic


def comparable(part: Typed) -> tuple[str, str]:
    """SQL of both servers under which text compares by code point.

    CONVERT, not CAST AS BINARY: on MySQL 5.6 that marks a literal as binary for all rows to come.
    """
    if part.kind in (Kind.TEXT, Kind.DATE, Kind.DATETIME):
        return f"CONVERT({part.mysql} USING binary)", f'({part.postgres}) COLLATE "C"'
    return part.mysql, part.postgres


def compare(operator: str, function: Callable[[Any, Any], bool], left: Typed, right: Typed) -> Typed:
    """`=`, `<>`, `<`, `<=`, `>`, `>=`; NULL when a side is NULL."""
    left, right = alike([left, right])
    (my_left, pg_left), (my_right, pg_right) = comparable(left), comparable(right)
    return make(
        Kind.BOOLEAN, function, [left, right],
        f"({my_left} {operator} {my_right})", f"({pg_left} {operator} {pg_right})",
    )  # fmt: skip


def same(left: Typed, right: Typed) -> Typed:
    """`<=>`: equality for which NULL equals NULL."""
    left, right = alike([left, right])
    (my_left, pg_left), (my_right, pg_right) = comparable(left), comparable(right)
    one, other = left.python, right.python
    return Typed(
        Kind.BOOLEAN,
        lambda row: one(row) == other(row),
        f"({my_left} <=> {my_right})",
        f"({pg_left} IS NOT DISTINCT FROM {pg_right})",
        **reach([left, right]),
        native_text=left.native_text or right.native_text,
    )


def is_null(part: Typed) -> Typed:
    """`IS NULL`, of any kind."""
    inner = part.python
    return Typed(
        Kind.BOOLEAN, lambda row: inner(row) is None, f"({part.mysql} IS NULL)", f"({part.postgres} IS NULL)",
        **reach([part]),
    )  # fmt: skip


def negation(part: Typed) -> Typed:
    """NOT."""
    part = as_condition(part)
    return make(Kind.BOOLEAN, lambda value: not value, [part], f"(NOT {part.mysql})", f"(NOT {part.postgres})")


def both(left: Typed, right: Typed, *, is_and: bool) -> Typed:
    """AND and OR with three truth values."""
    left, right = as_condition(left), as_condition(right)
    one, other, word = left.python, right.python, "AND" if is_and else "OR"
    decides = not is_and

    def evaluate(row: Row) -> Value:
        first = one(row)
        if first is decides:
            return decides
        second = other(row)
        if second is decides:
            return decides
        return None if first is None or second is None else is_and

    return Typed(
        Kind.BOOLEAN, evaluate, f"({left.mysql} {word} {right.mysql})", f"({left.postgres} {word} {right.postgres})",
        **reach([left, right]), native_text=left.native_text or right.native_text,
    )  # fmt: skip
