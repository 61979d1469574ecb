"""Geometries between MySQL's bytes and EWKB: literals as PostGIS prints them, every shape there and back, refusals."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ConfigError, ValueRefused
from transforms.ewkb import from_internal, to_internal
from transforms.pgtypes import parse_type

POINT = struct.pack("<BI2d", 1, 1, 1.0, 2.0)
COORDINATES = st.floats(allow_nan=False, width=64)


def points(count: int) -> st.SearchStrategy[bytes]:
    return st.lists(st.tuples(COORDINATES, COORDINATES), min_size=count, max_size=5).map(
        lambda found: struct.pack("<I", len(found)) + b"".join(struct.pack("<2d", *one) for one in found)
    )


def headed(kind: int, body: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return body.map(lambda found: struct.pack("<BI", 1, kind) + found)


def several(parts: st.SearchStrategy[bytes], least: int = 1) -> st.SearchStrategy[bytes]:
    return st.lists(parts, min_size=least, max_size=3).map(
        lambda found: struct.pack("<I", len(found)) + b"".join(found)
    )


POINTS = headed(1, st.tuples(COORDINATES, COORDINATES).map(lambda one: struct.pack("<2d", *one)))
LINES = headed(2, points(2))
POLYGONS = headed(3, several(points(4)))
SIMPLE = st.one_of(
    POINTS, LINES, POLYGONS, headed(4, several(POINTS)), headed(5, several(LINES)), headed(6, several(POLYGONS))
)
SHAPES = st.recursive(SIMPLE, lambda inner: headed(7, several(inner, 0)), max_leaves=4)


def internal(srid: int, wkb: bytes) -> bytes:
    return b"\\x" + (struct.pack("<I", srid) + wkb).hex().encode()


def test_a_point_is_what_postgis_prints() -> None:
    assert from_internal(internal(0, POINT)) == b"0101000000000000000000F03F0000000000000040"
    # SELECT 'SRID=4326;POINT(1 2)'::geometry
    assert from_internal(internal(4326, POINT)) == b"0101000020E6100000000000000000F03F0000000000000040"
    empty = struct.pack("<BII", 1, 7, 0)
    assert from_internal(internal(3857, empty)) == b"0107000020110F000000000000"


@given(st.integers(0, 999_999), SHAPES)
def test_every_shape_there_and_back(srid: int, wkb: bytes) -> None:
    value = internal(srid, wkb)
    assert to_internal(from_internal(value)) == value
    assert to_internal(from_internal(value).lower()) == value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (internal(1_000_000, POINT), "has the SRID 1000000"),
        (internal(0, struct.pack("<BI", 1, 8)), "of the kind 8"),
        (internal(0, struct.pack(">BI2d", 0, 1, 1, 2)), "as MySQL keeps it"),
        (b"\\x00000000", "as MySQL keeps it"),
    ],
)
def test_what_postgis_cannot_hold_is_refused(value: bytes, why: str) -> None:
    with pytest.raises(ValueRefused, match=why):
        from_internal(value)


NAN = float("nan")


@pytest.mark.parametrize(
    ("wkb", "why"),
    [
        (struct.pack("<BI3d", 1, 0x80000001, 1, 2, 3), "Z or M"),
        (struct.pack("<BIII", 1, 0x60000001, 4326, 0), "Z or M"),
        (struct.pack("<BII", 1, 7, 1) + struct.pack("<BI3d", 1, 0x40000001, 1, 2, 3), "Z or M"),
        (struct.pack("<BI2d", 1, 1, NAN, NAN), "empty shape"),
        (struct.pack("<BII", 1, 2, 0), "empty shape"),
        (struct.pack("<BII", 1, 7, 1) + struct.pack("<BII", 1, 3, 0), "empty shape"),
        (struct.pack("<BII", 1, 8, 0), "does not have"),
        (struct.pack("<BII", 1, 4, 1) + struct.pack("<BII", 1, 7, 0), "does not have"),
        (POINT[:-1], "not a whole"),
        (POINT + b"\0", "not a whole"),
        (struct.pack("<BII", 1, 2, 1 << 31), "not a whole"),
        (struct.pack(">BI2d", 0, 1, 1, 2), "little-endian"),
        (b"", "little-endian"),
    ],
)
def test_what_mysql_cannot_hold_is_refused(wkb: bytes, why: str) -> None:
    with pytest.raises(ValueRefused, match=why):
        to_internal(wkb.hex().upper().encode())


def test_types_are_spelled_as_the_catalogue_does() -> None:
    assert str(parse_type("geometry")) == "geometry"
    assert str(parse_type("GEOMETRY( multilinestring , 4326)")) == "geometry(MultiLineString,4326)"
    assert str(parse_type("geometry(point)")) == "geometry(Point)"
    with pytest.raises(ConfigError):
        parse_type("geometry(circularstring)")
