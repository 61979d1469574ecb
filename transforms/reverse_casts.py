"""The way back through each named cast of `transforms.casts`: from its output to a neutral form that gives it.

A cast that only refuses has no step here: its values are their own inverse. What a cast lost stays lost; that is said
by the cast (`reversible`), not here.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from model.errors import ConfigError
from model.tables import ColumnDef
from transforms.casts import array_literal, refuse
from transforms.ewkb import to_internal
from transforms.plan import Cast

Back = Callable[[bytes], bytes]
_HINT = "Mend the row in the store; MySQL cannot hold it."
_ONLY_REFUSING = {
    "nul_quarantine", "nul_strip", "max_characters", "range", "checked", "valid_json", "jsonb_nul_quarantine",
    "jsonb_nul_strip", "zero_date_quarantine", "zero_date_null", "time_of_day", "truncate_fraction", "round_numeric",
    "numeric_from_float", "whole_number", "real", "double precision", "uuid_from_text", "inet_from_text",
}  # fmt: skip
"""Casts whose output is (a spelling of) a value that they give back; the source type's own form is made afterwards."""


def back_through(cast: Cast, column: ColumnDef) -> Back | None:
    """The inverse of a cast for a source column, None when the value stays as it is. Raises ConfigError if unknown."""
    name, _, argument = cast.name.removesuffix(")").partition("(")
    if name in _ONLY_REFUSING:
        return None
    maker = _MAKERS.get(name)
    if maker is None:
        raise ConfigError(f"the conversion {cast.name} has no way back", hint="Take another type for the column.")
    return maker(column, argument)


def _zero_date(column: ColumnDef, argument: str) -> Back:
    zero = b"0000-00-00"
    if column.type in ("datetime", "timestamp"):
        zero += b" 00:00:00" + (b"+00" if column.type == "timestamp" else b"")

    def back(value: bytes) -> bytes:
        return zero if value == b"-infinity" else value

    return back


def _utc_to_wall(column: ColumnDef, argument: str) -> Back:
    return lambda value: value if value == b"-infinity" else value + b"+00"


def _wall_to_utc(column: ColumnDef, argument: str) -> Back:
    zone = ZoneInfo(argument)

    def back(value: bytes) -> bytes:
        if value == b"-infinity":
            return value
        head, dot, fraction = value.decode().removesuffix("+00").partition(".")
        local = datetime.fromisoformat(head).replace(tzinfo=UTC).astimezone(zone)
        return f"{local.replace(tzinfo=None).isoformat(' ', 'seconds')}{dot}{fraction}".encode()

    return back


def _utc_to_zone(column: ColumnDef, argument: str) -> Back:
    zone = ZoneInfo(argument)

    def back(value: bytes) -> bytes:
        if value == b"-infinity":
            return value
        head, dot, fraction = value.decode().partition(".")
        wall = datetime.fromisoformat(head)
        utc = wall.replace(tzinfo=zone).astimezone(UTC)
        if utc.astimezone(zone).replace(tzinfo=None) != wall:
            raise refuse(value, f"does not exist in {argument}", _HINT)
        return f"{utc.replace(tzinfo=None).isoformat(' ', 'seconds')}{dot}{fraction}+00".encode()

    return back


def _midnight_to_date(column: ColumnDef, argument: str) -> Back:
    return lambda value: value if value == b"-infinity" else value + b" 00:00:00"


def _date_to_midnight(column: ColumnDef, argument: str) -> Back:
    def back(value: bytes) -> bytes:
        head, _, time = value.partition(b" ")
        if time.strip(b"0:.+"):
            raise refuse(value, "has a time of day, the source holds a date", _HINT)
        return head

    return back


def _boolean_from_integer(column: ColumnDef, argument: str) -> Back:
    return lambda value: b"1" if value == b"t" else b"0"


def _integer_from_bits(column: ColumnDef, argument: str) -> Back:
    width = column.length or 1

    def back(value: bytes) -> bytes:
        number = int(value)
        if not 0 <= number < 1 << width:
            raise refuse(value, f"does not fit {width} bits", _HINT)
        return format(number, f"0{width}b").encode()

    return back


def _set_to_text(column: ColumnDef, argument: str) -> Back:
    return lambda value: array_literal(value.decode().split(",") if value else [])


def _enum_to_index(column: ColumnDef, argument: str) -> Back:
    labels = (b"", *(label.encode() for label in column.labels))

    def back(value: bytes) -> bytes:
        number = int(value)
        if not 0 <= number < len(labels):
            raise refuse(value, "is no number of a label of the ENUM", _HINT)
        return labels[number]

    return back


def _uuid_from_bytes(column: ColumnDef, argument: str) -> Back:
    return lambda value: b"\\x" + value.replace(b"-", b"").lower()


def _bytes_from_uuid(column: ColumnDef, argument: str) -> Back:
    def back(value: bytes) -> bytes:
        digits = value[2:]
        if len(digits) != 32:
            raise refuse(value, "is not 16 bytes, the source holds a UUID", _HINT)
        return b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    return back


def _inet_from_bytes(column: ColumnDef, argument: str) -> Back:
    def back(value: bytes) -> bytes:
        try:
            packed = ipaddress.ip_address(value.decode()).packed
        except ValueError:
            raise refuse(value, "is a network, not an address", _HINT) from None
        if column.type == "binary" and len(packed) != (column.length or 1):
            raise refuse(value, f"is not {column.length} bytes as the source's column is", _HINT)
        return b"\\x" + packed.hex().encode()

    return back


def _utf8_from_bytes(column: ColumnDef, argument: str) -> Back:
    return lambda value: b"\\x" + value.hex().encode()


def _point_from_geometry(column: ColumnDef, argument: str) -> Back:
    srid = column.srid or 0

    def back(value: bytes) -> bytes:
        x, _, y = value.decode().strip("()").partition(",")
        return b"\\x" + struct.pack("<IBI2d", srid, 1, 1, float(x), float(y)).hex().encode()

    return back


def _vector_brackets(column: ColumnDef, argument: str) -> Back:
    return lambda value: b"{" + value[1:-1] + b"}"


_MAKERS: dict[str, Callable[[ColumnDef, str], Back]] = {
    "zero_date_infinity": _zero_date,
    "utc_to_wall": _utc_to_wall,
    "wall_to_utc": _wall_to_utc,
    "utc_to_zone": _utc_to_zone,
    "midnight_to_date": _midnight_to_date,
    "date_to_midnight": _date_to_midnight,
    "boolean_from_integer": _boolean_from_integer,
    "integer_from_bits": _integer_from_bits,
    "set_to_text": _set_to_text,
    "enum_to_index": _enum_to_index,
    "uuid_from_bytes": _uuid_from_bytes,
    "bytes_from_uuid": _bytes_from_uuid,
    "inet_from_bytes": _inet_from_bytes,
    "utf8_from_bytes": _utf8_from_bytes,
    "point_from_geometry": _point_from_geometry,
    "geometry_from_internal": lambda column, argument: to_internal,
    "vector_brackets": _vector_brackets,
}
