"""Functions of the expression language over `transforms.typed_sql`: choices, arithmetic, text, dates.

Each writes the SQL that has its meaning on the source and on PostgreSQL; where the servers' own function of that name
differs (negative zero, saturation, Unicode case), the SQL works around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from model.errors import ConfigError, ValueRefused
from model.rows import Row
from transforms.names import literal
from transforms.typed_sql import (
    EXACT,
    Kind,
    Typed,
    Value,
    alike,
    as_condition,
    as_number,
    as_text,
    make,
    mysql_string,
    reach,
    sized,
)

# ---------------------------------------------------------------- choices


def _branches(parts: Sequence[Typed]) -> tuple[list[Typed], dict[str, Any]]:
    parts = alike(parts)
    kinds = {part.kind for part in parts} - {Kind.NULL}
    if not kinds:
        raise ConfigError("every branch is NULL", hint="Leave the column out instead.")
    size = sized(max(p.digits for p in parts), max(p.scale for p in parts)) if kinds == {Kind.NUMBER} else {}
    return parts, {"kind": kinds.pop(), "native_text": any(p.native_text for p in parts), **size}


def first_not_null(parts: Sequence[Typed]) -> Typed:
    """COALESCE."""
    parts, more = _branches(parts)
    inner = [part.python for part in parts]

    def evaluate(row: Row) -> Value:
        for step in inner:
            value = step(row)
            if value is not None:
                return value
        return None

    return Typed(
        python=evaluate,
        mysql=f"COALESCE({', '.join(part.mysql for part in parts)})",
        postgres=f"COALESCE({', '.join(part.postgres for part in parts)})",
        **reach(parts),
        **more,
    )


def case(whens: Sequence[tuple[Typed, Typed]], otherwise: Typed) -> Typed:
    """CASE WHEN … THEN … ELSE … END."""
    conditions = [as_condition(condition) for condition, _ in whens]
    results, more = _branches([*(result for _, result in whens), otherwise])
    steps = [(condition.python, result.python) for condition, result in zip(conditions, results, strict=False)]
    last = results[-1].python

    def evaluate(row: Row) -> Value:
        for condition, result in steps:
            if condition(row):
                return result(row)
        return last(row)

    def sql(side: Callable[[Typed], str]) -> str:
        pairs = " ".join(f"WHEN {side(c)} THEN {side(r)}" for c, r in zip(conditions, results, strict=False))
        return f"CASE {pairs} ELSE {side(results[-1])} END"

    return Typed(
        python=evaluate,
        mysql=sql(lambda part: part.mysql),
        postgres=f"({sql(lambda part: part.postgres)})",
        **reach([*conditions, *results]),
        **more,
    )


# ---------------------------------------------------------------- arithmetic


def arithmetic(operator: str, left: Typed, right: Typed) -> Typed:
    """`+`, `-`, `*` on exact decimals."""
    left, right = as_number(left), as_number(right)
    if operator == "*":
        size = sized(left.digits + right.digits, left.scale + right.scale)
        function: Callable[[Any, Any], Any] = EXACT.multiply
    else:
        size = sized(max(left.digits, right.digits) + 1, max(left.scale, right.scale))
        function = EXACT.add if operator == "+" else EXACT.subtract
    return make(
        Kind.NUMBER, function, [left, right], f"({left.mysql} {operator} {right.mysql})",
        f"({left.postgres} {operator} {right.postgres})", **size,
    )  # fmt: skip


def remainder(left: Typed, right: Typed) -> Typed:
    """`%` with the sign of the dividend; NULL when the divisor is 0."""
    left, right = as_number(left), as_number(right)
    size = sized(max(left.digits, right.digits), max(left.scale, right.scale))

    def function(a: Decimal, b: Decimal) -> Decimal | None:
        return EXACT.remainder(a, b) if b else None

    return make(
        Kind.NUMBER, function, [left, right], f"(MOD({left.mysql}, {right.mysql}) + 0)",
        f"mod({left.postgres}, NULLIF({right.postgres}, 0))", **size,
    )  # fmt: skip


def negative(part: Typed) -> Typed:
    """Unary minus."""
    part = as_number(part)
    return make(
        Kind.NUMBER, lambda value: EXACT.subtract(Decimal(0), value), [part], f"(0 - {part.mysql})",
        f"(0 - {part.postgres})", digits=part.digits, scale=part.scale,
    )  # fmt: skip


def absolute(part: Typed) -> Typed:
    """ABS."""
    part = as_number(part)
    return make(
        Kind.NUMBER, lambda value: value.copy_abs(), [part], f"ABS({part.mysql})", f"abs({part.postgres})",
        digits=part.digits, scale=part.scale,
    )  # fmt: skip


def rounded(part: Typed, decimals: int) -> Typed:
    """ROUND half away from zero; never adds decimals."""
    part = as_number(part)
    scale = min(decimals, part.scale)
    if scale == part.scale:
        return part
    unit = Decimal(1).scaleb(-scale)
    return make(
        Kind.NUMBER, lambda value: value.quantize(unit, context=EXACT), [part], f"ROUND({part.mysql}, {scale})",
        f"round({part.postgres}, {scale})", **sized(part.digits + 1, scale),
    )  # fmt: skip


def to_integer(part: Typed, *, up: bool) -> Typed:
    """CEIL and FLOOR."""
    part = as_number(part)
    if part.scale == 0:  # MySQL's FLOOR of a long whole number saturates at BIGINT
        return part
    name, mode = ("CEILING", ROUND_CEILING) if up else ("FLOOR", ROUND_FLOOR)
    return make(
        Kind.NUMBER, lambda value: value.to_integral_value(rounding=mode), [part],
        f"CAST({name}({part.mysql}) AS DECIMAL({part.digits + 1},0))", f"{name.lower()}({part.postgres})",
        **sized(part.digits + 1, 0),
    )  # fmt: skip


def to_decimal(part: Typed, precision: int, scale: int) -> Typed:
    """CAST to DECIMAL(p,s), half away from zero. Raises ConfigError when a value might not fit."""
    part = as_number(part)
    carry = 1 if scale < part.scale else 0
    if part.digits + carry > precision - scale:
        raise ConfigError(
            f"DECIMAL({precision},{scale}) cannot hold every value of {part.mysql}",
            hint=f"Use DECIMAL({part.digits + carry + scale},{scale}).",
        )
    unit = Decimal(1).scaleb(-scale)
    return make(
        Kind.NUMBER, lambda value: value.quantize(unit, context=EXACT), [part],
        f"CAST({part.mysql} AS DECIMAL({precision},{scale}))", f"round({part.postgres}, {scale})",
        **sized(precision - scale, scale),
    )  # fmt: skip


def float_to_decimal(part: Typed, precision: int, scale: int) -> Typed:
    """CAST of a float to DECIMAL(p,s): its shortest decimal, half away from zero; what does not fit is refused."""
    unit, limit = Decimal(1).scaleb(-scale), Decimal(10) ** (precision - scale)

    def convert(value: Decimal) -> Decimal:
        if abs(value) < limit:
            result = value.quantize(unit, context=EXACT)
            if abs(result) < limit:
                return result
        raise ValueRefused(f"the value {value} does not fit DECIMAL({precision},{scale})", hint="Widen the CAST.")

    return make(
        Kind.NUMBER, convert, [part], f"(CAST({part.mysql} AS DECIMAL({precision},{scale})) + 0)",
        f"({part.postgres})::numeric({precision},{scale})", **sized(precision - scale, scale),
    )  # fmt: skip


# ---------------------------------------------------------------- text

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_UPPER = str.maketrans(ascii_lowercase, ascii_uppercase)


def ascii_case(part: Typed, *, upper: bool) -> Typed:
    """UPPER and LOWER of A to Z; every other character stays, for servers and versions disagree about them."""
    part = as_text(part)
    source, target = (ascii_lowercase, ascii_uppercase) if upper else (ascii_uppercase, ascii_lowercase)
    mysql = f"{part.mysql} COLLATE utf8mb4_bin"
    for letter, other in zip(source, target, strict=True):
        mysql = f"REPLACE({mysql}, _utf8mb4'{letter}', _utf8mb4'{other}')"
    table = _UPPER if upper else _LOWER
    return make(
        Kind.TEXT, lambda value: value.translate(table), [part],
        f"CONVERT(CONVERT({mysql} USING binary) USING utf8mb4)", f"translate({part.postgres}, '{source}', '{target}')",
    )  # fmt: skip


def concatenated(parts: Sequence[Typed]) -> Typed:
    """CONCAT: NULL when a part is NULL."""
    parts = [as_text(part) for part in parts]
    return make(
        Kind.TEXT, lambda *values: "".join(values), parts, f"CONCAT({', '.join(part.mysql for part in parts)})",
        f"({' || '.join(part.postgres for part in parts)})",
    )  # fmt: skip


def trimmed(part: Typed) -> Typed:
    """TRIM of spaces (U+0020) at both ends."""
    part = as_text(part)
    return make(
        Kind.TEXT, lambda value: value.strip(" "), [part], f"TRIM({part.mysql})", f"btrim({part.postgres}, ' ')"
    )


def character_count(part: Typed) -> Typed:
    """Number of characters (code points)."""
    part = as_text(part)
    return make(
        Kind.NUMBER, lambda value: Decimal(len(value)), [part], f"CAST(CHAR_LENGTH({part.mysql}) AS DECIMAL(10,0))",
        f"char_length({part.postgres})::numeric", digits=10, scale=0,
    )  # fmt: skip


def substring(part: Typed, start: int, length: int | None) -> Typed:
    """SUBSTRING from `start` (≥ 1), `length` characters or all of the rest."""
    part = as_text(part)
    end = None if length is None else start - 1 + length
    more = "" if length is None else f", {length}"
    return make(
        Kind.TEXT, lambda value: value[start - 1 : end], [part], f"SUBSTRING({part.mysql}, {start}{more})",
        f"substr({part.postgres}, {start}{more})",
    )  # fmt: skip


def last_characters(part: Typed, length: int) -> Typed:
    """RIGHT."""
    part = as_text(part)
    return make(
        Kind.TEXT, lambda value: value[-length:] if length else "", [part], f"RIGHT({part.mysql}, {length})",
        f"right({part.postgres}, {length})",
    )  # fmt: skip


def replaced(part: Typed, old: Typed, new: Typed) -> Typed:
    """REPLACE, case-sensitive; nothing happens for an empty search text."""
    part, old, new = as_text(part), as_text(old), as_text(new)
    return make(
        Kind.TEXT, lambda value, a, b: value.replace(a, b) if a else value, [part, old, new],
        f"REPLACE({part.mysql} COLLATE utf8mb4_bin, {old.mysql}, {new.mysql})",
        f"replace({part.postgres}, {old.postgres}, {new.postgres})",
    )  # fmt: skip


# ---------------------------------------------------------------- dates


def date_part(part: Typed, kind: Kind, start: int, length: int) -> Typed:
    """A slice of a date's text: DATE (as a date), YEAR or MONTH (as a number)."""
    if part.kind not in (Kind.DATE, Kind.DATETIME):
        raise ConfigError(
            f"a date is needed here, and this is {part.kind}: {part.mysql}",
            hint="Use a DATE, DATETIME or TIMESTAMP column.",
        )
    piece = substring(as_text(part), start, length)
    if kind is Kind.DATE:
        return replace(piece, kind=Kind.DATE)
    return make(
        Kind.NUMBER, Decimal, [piece], f"CAST({piece.mysql} AS DECIMAL({length},0))", f"({piece.postgres})::numeric",
        digits=length, scale=0,
    )  # fmt: skip


def like(part: Typed, pattern: str) -> Typed:
    """LIKE with a fixed pattern of `%`, `_` and plain characters; case counts."""
    part = as_text(part)
    wild = {"%": ".*", "_": "."}
    compiled = re.compile("".join(wild.get(character, re.escape(character)) for character in pattern), re.DOTALL)
    return make(
        Kind.BOOLEAN, lambda value: compiled.fullmatch(value) is not None, [part],
        f"({part.mysql} COLLATE utf8mb4_bin LIKE {mysql_string(pattern)})",
        f'({part.postgres} COLLATE "C" LIKE {literal(pattern)})',
    )  # fmt: skip
