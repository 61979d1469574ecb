"""What PostgreSQL prints for a value → the spelling that our casts and the neutral text form have. Per target type.

The session that decodes is pinned: time zone UTC, ISO dates, interval style postgres, hex bytea, shortest floats. A
value that MySQL has no place for (infinity, NaN, BC, months) raises ValueRefused; nothing is rounded here.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable

from transforms.casts import array_literal, refuse
from transforms.pgtypes import PgType

Printed = Callable[[bytes], bytes]
"""From PostgreSQL's output to our spelling; never called with NULL."""

_HINT = "Mend the row in the store; MySQL cannot hold it."
_DAY = re.compile(rb"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?(\+00)?")
_INTERVAL = re.compile(
    rb"(?:(?P<years>[+-]?\d+) years?)?\s*(?:(?P<months>[+-]?\d+) mons?)?\s*(?:(?P<days>[+-]?\d+) days?)?\s*"
    rb"(?:(?P<sign>[+-])?(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d)(?:\.(?P<fraction>\d{1,6}))?)?"
)
_FLOAT = struct.Struct("<f")


def printed(target: PgType) -> Printed | None:
    """How the output of a target type is read; None when it is our spelling already."""
    if target.array:
        return array_text if target.base in ("text", "character varying", "citext") else float_array
    return _BY_BASE.get(target.base)


def widened(value: float) -> float:
    """The double that a FLOAT (32 bits) nearest to `value` is. Raises OverflowError."""
    return float(_FLOAT.unpack(_FLOAT.pack(value))[0])


def real(value: bytes) -> bytes:
    """real: the shortest text of 32 bits → Python's repr of the same number as a double."""
    return repr(widened(float(_finite(value)))).encode()


def double(value: bytes) -> bytes:
    """double precision → Python's repr."""
    return repr(float(_finite(value))).encode()


def _finite(value: bytes) -> bytes:
    if not math.isfinite(float(value)):
        raise refuse(value, "is not a finite number", _HINT)
    return value


def numeric(value: bytes) -> bytes:
    """numeric; NaN and infinity are refused."""
    if value[-1:] not in b"0123456789":
        raise refuse(value, "is not a finite number", _HINT)
    return value


def day(value: bytes) -> bytes:
    """date; -infinity is left for the zero-date cast."""
    if value != b"-infinity" and not _DAY.fullmatch(value):
        raise refuse(value, "is outside of the years that MySQL has", _HINT)
    return value


def moment(value: bytes) -> bytes:
    """timestamp and timestamptz; -infinity is left for the zero-date cast."""
    if value != b"-infinity" and not _MOMENT.fullmatch(value):
        raise refuse(value, "is outside of the years that MySQL has", _HINT)
    return value


def interval(value: bytes) -> bytes:
    """interval → `[-]HHH:MM:SS[.ffffff]`. Days count 24 hours; months and years have no length and are refused."""
    found = _INTERVAL.fullmatch(value)
    if found is None or not value:
        raise refuse(value, "is not an interval that MySQL's TIME can hold", _HINT)
    if int(found["years"] or 0) or int(found["months"] or 0):
        raise refuse(value, "counts months or years, which have no fixed length", _HINT)
    micros = int(found["hours"] or 0) * 3600 + int(found["minutes"] or 0) * 60 + int(found["seconds"] or 0)
    micros = micros * 1_000_000 + int((found["fraction"] or b"").ljust(6, b"0"))
    if found["sign"] == b"-":
        micros = -micros
    micros += int(found["days"] or 0) * 86_400_000_000
    sign, micros = ("-" if micros < 0 else ""), abs(micros)
    seconds, fraction = divmod(micros, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    text = f"{sign}{hour:02}:{minute:02}:{second:02}"
    return (f"{text}.{fraction:06}".rstrip("0") if fraction else text).encode()


def array_items(value: bytes) -> list[str | None]:
    """Elements of a one-dimensional array as PostgreSQL prints it. Raises ValueRefused for more dimensions."""
    text = value.decode()
    if not text.startswith("{") or not text.endswith("}"):
        raise refuse(value, "is not a plain array", _HINT)
    items: list[str | None] = []
    at, end = 1, len(text) - 1
    while at < end:
        if text[at] == '"':
            part: list[str] = []
            at += 1
            while text[at] != '"':
                at += text[at] == "\\"
                part.append(text[at])
                at += 1
            items.append("".join(part))
            at += 1
        else:
            stop = text.find(",", at, end)
            stop = end if stop < 0 else stop
            word = text[at:stop]
            if "{" in word:
                raise refuse(value, "is an array of arrays", _HINT)
            items.append(None if word == "NULL" else word)
            at = stop
        at += 1
    return items


def array_text(value: bytes) -> bytes:
    """text[] → the same with every element quoted."""
    items = array_items(value)
    if None in items:
        raise refuse(value, "holds a NULL element", _HINT)
    return array_literal([item for item in items if item is not None])


def float_array(value: bytes) -> bytes:
    """real[] and double precision[] → `{1.0,2.5}`, each the repr of a 32-bit number."""
    items = array_items(value)
    if None in items:
        raise refuse(value, "holds a NULL element", _HINT)
    return b"{" + b",".join(real((item or "").encode()) for item in items) + b"}"


def vector(value: bytes) -> bytes:
    """pgvector's `[1,2.5]` → `[1.0,2.5]`."""
    return b"[" + float_array(b"{" + value[1:-1] + b"}")[1:-1] + b"]"


_BY_BASE: dict[str, Printed] = {
    "real": real,
    "double precision": double,
    "numeric": numeric,
    "date": day,
    "timestamp without time zone": moment,
    "timestamp with time zone": moment,
    "interval": interval,
    "vector": vector,
}
