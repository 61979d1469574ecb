"""Geometries between MySQL's own bytes and the EWKB of PostGIS, both in hex; no library is asked.

MySQL and MariaDB keep the SRID (4 bytes, little-endian), then WKB with x before y (OGC 06-103r4, little-endian too).
EWKB has the SRID behind the first type, which a flag tells of; PostGIS prints it in upper-case hex. Coordinates keep
their bits and their order: of a geographic SRID MySQL 8 and later keeps the longitude as x whatever order its texts
have, as PostGIS does; older servers and MariaDB know of no axes, and keep what was written.
"""

from __future__ import annotations

import struct
from typing import Final

from model.errors import ValueRefused
from model.rows import Field
from transforms.casts import refuse
from transforms.plan import Cast

SHAPES: Final = range(1, 8)
"""Point, LineString, Polygon, MultiPoint, MultiLineString, MultiPolygon, GeometryCollection: what both sides have."""
MOST_SRID: Final = 999_999
"""PostGIS puts another one in the place of a higher SRID."""
_SRID, _Z, _M = 0x20000000, 0x80000000, 0x40000000
_HINT: Final = "Mend the row in the store; MySQL cannot hold it."
_KEEP: Final = "Keep the column as bytea."
_NOTHING: Final = b"0700000000000000"
"""A collection of no parts, behind the order of bytes."""
_PARTS: Final = {4: 1, 5: 2, 6: 3}
"""What the parts of a multi-geometry are."""


def refuse_empty(value: bytes) -> bytes:
    r"""`\x` and MySQL's own bytes as they are. Raises ValueRefused for the empty collection, which MySQL 5.6 has not.

    Of empty shapes inside of others that server takes some and refuses some; it is left to it.
    """
    if value[12:28] == _NOTHING:
        why = "is an empty GEOMETRYCOLLECTION, and MySQL 5.6 has no empty shape"
        raise refuse(value, why, "Write NULL or another shape; the source's column cannot hold it.")
    return value


def geometry_from_internal() -> Cast:
    """The cast of a spatial column to PostGIS' geometry."""

    def convert(value: Field) -> Field:
        return from_internal(value) if isinstance(value, bytes) else value

    return Cast("geometry_from_internal", convert)


def from_internal(value: bytes) -> bytes:
    r"""`\x` and MySQL's own bytes → EWKB as PostGIS prints it. Raises ValueRefused."""
    raw = _bytes(value, value[2:])
    if len(raw) < 9 or raw[4] != 1:
        raise refuse(value, "is not a geometry as MySQL keeps it", _KEEP)
    srid, kind = struct.unpack_from("<I", raw)[0], struct.unpack_from("<I", raw, 5)[0]
    if kind not in SHAPES:
        raise refuse(value, f"is a geometry of the kind {kind}, which is not known", _KEEP)
    if srid > MOST_SRID:
        raise refuse(value, f"has the SRID {srid}, PostGIS takes them up to {MOST_SRID}", _KEEP)
    head = struct.pack("<BII", 1, kind | _SRID, srid) if srid else raw[4:9]
    return (head + raw[9:]).hex().upper().encode()


def to_internal(value: bytes) -> bytes:
    r"""EWKB as PostGIS prints it → `\x` and MySQL's own bytes.

    Raises ValueRefused for what MySQL has no place for: Z and M, curves and surfaces, empty parts.
    """
    raw = _bytes(value, value)
    found = 0
    head = struct.unpack_from("<BI", raw) if len(raw) >= 9 else (0, 0)
    kind = head[1] & ~_SRID
    rest = 5
    if head[1] & _SRID:
        found, rest = struct.unpack_from("<I", raw, 5)[0], 9
    wkb = struct.pack("<BI", head[0], kind) + raw[rest:]
    try:
        end = _walked(value, wkb, 0)
    except struct.error:
        end = -1
    if end != len(wkb):
        raise refuse(value, "is not a whole geometry", _HINT)
    return b"\\x" + (struct.pack("<I", found) + wkb).hex().encode()


def _bytes(value: bytes, digits: bytes) -> bytes:
    try:
        return bytes.fromhex(digits.decode())
    except ValueError:
        raise refuse(value, "is not a geometry in hex", _HINT) from None


def _walked(value: bytes, wkb: bytes, at: int, only: int | None = None) -> int:
    """Where the geometry that begins at `at` ends. Raises ValueRefused, and struct.error when it is cut off."""
    order, kind = struct.unpack_from("<BI", wkb, at)
    if order != 1:
        raise refuse(value, "is not little-endian", _HINT)
    if kind & (_Z | _M):
        raise refuse(value, "has Z or M, MySQL's geometries have two dimensions", _HINT)
    if kind not in SHAPES or (only is not None and kind != only):
        raise refuse(value, "is or holds a shape that MySQL does not have", _HINT)
    at += 5
    if kind == 1:
        x, y = struct.unpack_from("<2d", wkb, at)
        if x != x or y != y:
            raise _empty(value)
        return at + 16
    (count,) = struct.unpack_from("<I", wkb, at)
    at += 4
    if not count and kind != 7:
        raise _empty(value)
    for _ in range(count):
        if kind == 2:
            at += 16
        elif kind == 3:
            (points,) = struct.unpack_from("<I", wkb, at)
            at += 4 + 16 * points
        else:
            at = _walked(value, wkb, at, _PARTS.get(kind))
        if at > len(wkb):
            raise refuse(value, "is not a whole geometry", _HINT)
    return at


def _empty(value: bytes) -> ValueRefused:
    return refuse(value, "is or holds an empty shape, MySQL has only the empty GEOMETRYCOLLECTION", _HINT)
