"""The canonical text of a target column: as PostgreSQL computes it, and as Python makes it of any text of the value.

Python has the last word: it takes both the neutral text form (what the plan projects) and what PostgreSQL prints, and
gives one text for one value. The SQL need only agree with it for ordinary values; where it does not, rows are compared
by value and found equal. It must never give one text for two values. No I/O.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from typing import Any, Final

from model.errors import ConfigError
from sync.mysql.guards import AS_IS, CALL, DECIMAL, DOCUMENT, INSTANT, INTEGER, MOMENT
from transforms.casts import array_items
from transforms.names import quoted
from transforms.pgtypes import PgType, parse_type
from transforms.target import TargetColumn

Canonical = Callable[[bytes], bytes]
Same = Callable[[bytes, bytes], bool]
INTEGERS: Final = frozenset({"smallint", "integer", "bigint"})


@dataclass(frozen=True, slots=True)
class TargetForm:
    """How one target column is read and compared."""

    sql: str
    """PostgreSQL expression of the canonical text."""
    read: str
    """PostgreSQL expression whose text `canonical` takes."""
    free: bool
    """Whether the text can hold any character; it is hashed with its length before it."""
    canonical: Canonical
    same: Same = bytes.__eq__
    """Whether two canonical texts are the same value."""
    how: int = CALL
    """What `canonical` does to ordinary values, for the compiled path."""
    digits: int = 0
    """Of a DECIMAL: digits after the point."""


def base_of(column: TargetColumn) -> PgType:
    """The column's type taken apart; enum types of the plan count as text."""
    try:
        return parse_type(column.type)
    except ConfigError:
        return PgType("text")


def target_form(column: TargetColumn) -> TargetForm:
    """The form of a target column."""
    name = quoted(column.name)
    kind = base_of(column)
    text = f"{name}::text"
    if kind.array:
        return _array(name, kind)
    match kind.base:
        case "smallint" | "integer" | "bigint":
            return TargetForm(text, text, False, _integer, how=INTEGER)
        case "numeric":
            if kind.arguments:
                return TargetForm(text, text, False, _scaled(kind.arguments[1]), how=DECIMAL, digits=kind.arguments[1])
            return TargetForm(f"trim_scale({name})::text", text, False, _unscaled)
        case "real" | "double precision":
            wide = f"{name}::float8::text"
            return TargetForm(float_sql(wide), wide, False, _real if kind.base == "real" else _double)
        case "boolean":
            return TargetForm(f"{name}::int::text", f"{name}::int::text", False, _boolean)
        case "bytea":
            return TargetForm(f"encode({name}, 'hex')", f"encode({name}, 'hex')", False, _hex)
        case "uuid":
            return TargetForm(f"replace({text}, '-', '')", text, False, _uuid)
        case "inet":
            return TargetForm(f"abbrev({name})", f"abbrev({name})", False, _address)
        case "date":
            return TargetForm(text, text, False, as_is, how=AS_IS)
        case "timestamp without time zone" | "time without time zone" | "interval":
            return TargetForm(text, text, False, _moment, how=MOMENT)
        case "timestamp with time zone":
            wall = f"({name} AT TIME ZONE 'UTC')::text"
            return TargetForm(wall, wall, False, _instant, how=INSTANT)
        case "jsonb":
            return TargetForm(text, text, True, _document, _same_document, how=DOCUMENT)
        case "geometry":
            return TargetForm(text, text, False, bytes.upper)
        case "point" | "vector":
            return TargetForm(text, text, False, _floats)
        case _:
            # text, varchar, citext, json, bit, enums: what they print is what they are.
            return TargetForm(text, text, kind.base not in ("bit", "bit varying"), as_is, how=AS_IS)


def _array(name: str, kind: PgType) -> TargetForm:
    if kind.base in ("real", "double precision"):
        return TargetForm(
            f"array_to_json({name}::float8[])::text", f"array_to_json({name}::float8[])::text", False, _floats
        )
    listed = f"array_to_json({name})::text"
    return TargetForm(listed, listed, True, _items)


def float_sql(text: str) -> str:
    """PostgreSQL: the printed float `text` as sign, digits without outer zeros, `e`, exponent of the last digit."""
    mantissa = f"split_part({text}, 'e', 1)"
    digits = f"ltrim(replace(replace({mantissa}, '.', ''), '-', ''), '0')"
    bare = f"rtrim({digits}, '0')"
    exponent = f"coalesce(nullif(split_part({text}, 'e', 2), '')::int, 0)"
    shift = f"{exponent} - length(split_part({mantissa}, '.', 2)) + length({digits}) - length({bare})"
    return (
        f"CASE WHEN {text} IN ('NaN', 'Infinity', '-Infinity') THEN {text} "
        f"ELSE (CASE WHEN {text} LIKE '-%' THEN '-' ELSE '' END) || {bare} || 'e' || ({shift}) END"
    )


def as_is(text: bytes) -> bytes:
    """For types that print what they are."""
    return text


def _integer(text: bytes) -> bytes:
    return text if text.isdigit() and text[0] != 0x30 else b"%d" % int(text)


def _scaled(scale: int) -> Canonical:
    unit = Decimal(1).scaleb(-scale)

    def canonical(text: bytes) -> bytes:
        head, dot, tail = text.partition(b".")
        if len(tail) == scale and bool(dot) == bool(scale) and head.isdigit() and (head[:1] != b"0" or head == b"0"):
            return text
        try:
            number = Decimal(text.decode())
            exact = number.quantize(unit) if number.is_finite() else number
        except InvalidOperation:
            return text
        if exact != number:
            return text  # More digits than the type holds: not the same value, so not the same text.
        return format(exact if exact else abs(exact), "f").encode()

    return canonical


def _unscaled(text: bytes) -> bytes:
    try:
        number = Decimal(text.decode())
    except InvalidOperation:
        return text
    if not number.is_finite():
        return text
    plain = format(number, "f")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return (plain if number else "0").encode()


def _double(text: bytes) -> bytes:
    return _float_text(float(text))


def _real(text: bytes) -> bytes:
    try:
        return _float_text(struct.unpack("f", struct.pack("f", float(text)))[0])
    except OverflowError:
        return text


def _float_text(value: float) -> bytes:
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": b"NaN", "inf": b"Infinity", "-inf": b"-Infinity"}[repr(value)]
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    bare = digits.rstrip("0")
    shift = int(exponent or "0") - len(fraction) + len(digits) - len(bare)
    if not bare:
        shift = 0
    return f"{'-' if struct.pack('>d', value)[0] & 0x80 else ''}{bare}e{shift}".encode()


def _boolean(text: bytes) -> bytes:
    return b"1" if text in (b"t", b"1", b"true") else b"0" if text in (b"f", b"0", b"false") else text


def _hex(text: bytes) -> bytes:
    return text.removeprefix(b"\\x").lower()


def _uuid(text: bytes) -> bytes:
    return text.replace(b"-", b"").lower()


def _address(text: bytes) -> bytes:
    try:
        return str(ip_address(text.decode())).encode()
    except ValueError:
        return text


def _moment(text: bytes) -> bytes:
    return text.rstrip(b"0").rstrip(b".") if b"." in text else text


def _instant(text: bytes) -> bytes:
    return _moment(text.removesuffix(b"+00"))


def _number(text: str) -> Decimal:
    return Decimal(text)


def _loaded(text: bytes) -> Any:
    return json.loads(text, parse_float=_number, parse_int=_number)


def _document(text: bytes) -> bytes:
    """A document as jsonb prints it: members by length and bytes of their names, numbers without exponent."""
    try:
        return _printed(_loaded(text)).encode("utf-8", "surrogatepass")
    except ValueError:
        return text


def _printed(value: Any) -> str:
    if isinstance(value, dict):
        order = sorted(
            value, key=lambda name: (len(name.encode("utf-8", "surrogatepass")), name.encode("utf-8", "surrogatepass"))
        )
        return (
            "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {_printed(value[name])}" for name in order) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(_printed(item) for item in value) + "]"
    if isinstance(value, Decimal):
        return format(value if value else abs(value), "f")
    return json.dumps(value, ensure_ascii=False)


def _same_document(one: bytes, other: bytes) -> bool:
    if one == other:
        return True
    try:
        return bool(_loaded(one) == _loaded(other) and _kinds(_loaded(one)) == _kinds(_loaded(other)))
    except ValueError:
        return False


def _kinds(value: Any) -> Any:
    """Types of a document's values: Python takes true for 1."""
    if isinstance(value, dict):
        return {name: _kinds(item) for name, item in value.items()}
    return [_kinds(item) for item in value] if isinstance(value, list) else type(value)


def _items(text: bytes) -> bytes:
    if not text.startswith(b"{"):
        return text
    return json.dumps(array_items(text), ensure_ascii=False, separators=(",", ":")).encode()


def _floats(text: bytes) -> bytes:
    inside = text.strip(b"{}[]()")
    numbers = [float(item) for item in inside.split(b",")] if inside else []
    return b"[" + b",".join(repr(item).removesuffix(".0").encode() for item in numbers) + b"]"
