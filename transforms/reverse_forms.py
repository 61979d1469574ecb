"""Any spelling of a value → the neutral text form of its source column, or a refusal: the reverse-legality guard.

What MySQL would round, cut, pad away or store as something else is refused here (ValueRefused) before it is sent; what
it stores as a matter of the type (CHAR without trailing spaces, BINARY padded) is brought to that form.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation

from model.tables import ColumnDef
from transforms.casts import array_items, array_literal, refuse
from transforms.ewkb import refuse_empty
from transforms.reverse_printed import widened
from transforms.types import family, integer_bounds

Form = Callable[[bytes], bytes]
_HINT = "Mend the row in the store; the source's column cannot hold it."
_EXACT = Context(prec=200, traps=[Inexact, InvalidOperation])
_DAY = re.compile(rb"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(rb"(\d{4}-\d\d-\d\d)(?: (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?)?(\+00)?")
_TIME = re.compile(rb"(-?)(\d{2,3}):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_LONGEST_TIME_S = 838 * 3600 + 59 * 60 + 59
_FIRST, _LAST = b"1970-01-01 00:00:01", b"2038-01-19 03:14:07"


def form_of(column: ColumnDef) -> Form:
    """The function that gives a value of the column its neutral form. Raises ConfigError for an unknown type."""
    return _FORMS[family(column)](column)


def implicit_default(column: ColumnDef) -> bytes | None:
    """What a MySQL that is not strict puts into a NOT NULL column without a default; None when there is nothing."""
    kind = family(column)
    if kind == "enum":
        return column.labels[0].encode() if column.labels else None
    if kind == "binary":
        return b"\\x" + (b"00" * (column.length or 1) if column.type == "binary" else b"")
    values = {
        "integer": b"0", "decimal": b"0", "float": b"0.0", "bit": b"0" * (column.length or 1), "text": b"",
        "set": b"{}", "date": b"0000-00-00", "datetime": b"0000-00-00 00:00:00", "timestamp": b"0000-00-00 00:00:00+00",
        "time": b"00:00:00",
    }  # fmt: skip
    value = values.get(kind)
    return None if value is None else form_of(column)(value)


def _decimal(value: bytes) -> Decimal:
    try:
        number = Decimal(value.decode())
    except (InvalidOperation, UnicodeDecodeError):
        raise refuse(value, "is not a number", _HINT) from None
    if not number.is_finite():
        raise refuse(value, "is not a finite number", _HINT)
    return number


def _integer(column: ColumnDef) -> Form:
    low, high = integer_bounds(column)
    year = column.type == "year"

    def form(value: bytes) -> bytes:
        try:
            number = int(value)
        except ValueError:
            fraction = _decimal(value)
            number = int(fraction)
            if number != fraction:
                raise refuse(value, "has a fraction, the source holds whole numbers", _HINT) from None
        if not low <= number <= high or (year and 0 < number < 1901):
            raise refuse(value, f"is out of range for {column.column_type}", _HINT)
        return b"%d" % number

    return form


def _decimals(column: ColumnDef) -> Form:
    precision, scale = column.precision or 10, column.scale or 0
    unit, limit = Decimal(1).scaleb(-scale), Decimal(10) ** (precision - scale)

    def form(value: bytes) -> bytes:
        try:
            number = _decimal(value).quantize(unit, context=_EXACT)
        except (Inexact, InvalidOperation):
            raise refuse(value, f"has more decimals than {column.column_type} keeps", _HINT) from None
        if number.copy_abs() >= limit or (column.unsigned and number < 0):
            raise refuse(value, f"is out of range for {column.column_type}", _HINT)
        return format(number if number else number.copy_abs(), "f").encode()

    return form


def _float(column: ColumnDef) -> Form:
    single = column.type == "float"

    def form(value: bytes) -> bytes:
        decimal = _decimal(value)
        try:
            number = widened(float(decimal)) if single else float(decimal)
        except OverflowError:
            raise refuse(value, f"is out of range for {column.column_type}", _HINT) from None
        if column.unsigned and number < 0:
            raise refuse(value, f"is out of range for {column.column_type}", _HINT)
        text = repr(number)
        if not single and Decimal(text) != decimal:
            raise refuse(value, "has more digits than a DOUBLE keeps", _HINT)
        return text.encode()

    return form


def _bit(column: ColumnDef) -> Form:
    width = column.length or 1

    def form(value: bytes) -> bytes:
        if len(value) != width or value.strip(b"01"):
            raise refuse(value, f"is not {width} bits", _HINT)
        return value

    return form


def _text(column: ColumnDef) -> Form:
    limit = column.length if column.type in ("char", "varchar") else None
    stripped = column.type == "char"

    def form(value: bytes) -> bytes:
        if stripped:
            value = value.rstrip(b" ")
        if limit is not None and len(value) > limit and len(value.decode()) > limit:
            raise refuse(value, f"is longer than {limit} characters", _HINT)
        return value

    return form


def _binary(column: ColumnDef) -> Form:
    limit = column.length if column.type in ("binary", "varbinary") else None
    padded = 2 + 2 * (column.length or 1) if column.type == "binary" else 0

    def form(value: bytes) -> bytes:
        if value[:2] != b"\\x":
            raise refuse(value, "is not bytes in hex", _HINT)
        if limit is not None and len(value) - 2 > 2 * limit:
            raise refuse(value, f"is longer than {limit} bytes", _HINT)
        return value.ljust(padded, b"0")

    return form


def _enum(column: ColumnDef) -> Form:
    labels = {label.encode() for label in column.labels} | {b""}

    def form(value: bytes) -> bytes:
        if value not in labels:
            raise refuse(value, f"is not a label of {column.column_type[:80]}", _HINT)
        return value

    return form


def _set(column: ColumnDef) -> Form:
    labels = set(column.labels)

    def form(value: bytes) -> bytes:
        items = set(array_items(value))
        if not items <= labels:
            raise refuse(value, f"holds what is not a label of {column.column_type[:80]}", _HINT)
        return array_literal([label for label in column.labels if label in items])

    return form


def _as_it_is(column: ColumnDef) -> Form:
    return lambda value: value


def _date(column: ColumnDef) -> Form:
    def form(value: bytes) -> bytes:
        if not _DAY.fullmatch(value):
            raise refuse(value, "is not a date that MySQL has", _HINT)
        return value

    return form


def _fraction(value: bytes, digits: bytes | None, scale: int) -> bytes:
    """Fractional seconds with exactly `scale` digits and their dot. Raises ValueRefused when more would be needed."""
    digits = digits or b""
    if digits[scale:].strip(b"0"):
        raise refuse(value, f"has more than {scale} digits of a second", _HINT)
    return b"." + digits[:scale].ljust(scale, b"0") if scale else b""


def _moment(column: ColumnDef) -> Form:
    scale = column.scale or 0
    utc = column.type == "timestamp"

    def form(value: bytes) -> bytes:
        found = _MOMENT.fullmatch(value)
        if found is None or (found[4] is not None) != utc:
            raise refuse(value, "is not a moment that MySQL has", _HINT)
        head = found[1] + b" " + (found[2] or b"00:00:00")
        if utc and head[:4] != b"0000" and not _FIRST <= head <= _LAST:
            raise refuse(value, "is outside of 1970-01-01 00:00:01 to 2038-01-19 03:14:07 UTC", _HINT)
        return head + _fraction(value, found[3], scale) + (b"+00" if utc else b"")

    return form


def _time(column: ColumnDef) -> Form:
    scale = column.scale or 0

    def form(value: bytes) -> bytes:
        found = _TIME.fullmatch(value)
        if found is None:
            raise refuse(value, "is not a time that MySQL has", _HINT)
        sign, hours, minutes, seconds, digits = found.groups()
        total = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
        fraction = _fraction(value, digits, scale)
        if total + bool(fraction.strip(b".0")) > _LONGEST_TIME_S:
            raise refuse(value, "is longer than 838:59:59", _HINT)
        sign = sign if total or fraction.strip(b".0") else b""
        return b"%b%02d:%b:%b%b" % (sign, int(hours), minutes, seconds, fraction)

    return form


def _geometry(column: ColumnDef) -> Form:
    return refuse_empty if column.no_empty_shape else _as_it_is(column)


_FORMS: dict[str, Callable[[ColumnDef], Form]] = {
    "integer": _integer,
    "decimal": _decimals,
    "float": _float,
    "bit": _bit,
    "text": _text,
    "binary": _binary,
    "enum": _enum,
    "set": _set,
    "json": _as_it_is,
    "date": _date,
    "datetime": _moment,
    "timestamp": _moment,
    "time": _time,
    "uuid": _as_it_is,
    "inet": _as_it_is,
    "geometry": _geometry,
    "vector": _as_it_is,
}
