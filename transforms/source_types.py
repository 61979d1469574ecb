"""What the source's types are: families with one text form each, ranges, and the spellings that rules may match."""

from __future__ import annotations

import re

from model.errors import ConfigError
from model.tables import ColumnDef

TEXT_TYPES = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
BINARY_TYPES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
GEOMETRY_TYPES = frozenset(
    {
        "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
        "geometrycollection",
    }
)  # fmt: skip
SHAPES_OF_SHAPES = frozenset({"geometry", "geometrycollection"})
"""Spatial types whose values may be collections of any shapes, or of none."""
INTEGER_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32, "bigint": 64, "year": 16}


def family(column: ColumnDef) -> str:
    """The kind of text form that the column's fields have: integer, decimal, float, bit, text, binary, enum, set, json,
    date, datetime, timestamp, time, uuid, inet, geometry or vector. Raises ConfigError for a type we do not know."""
    kind = column.type
    if kind in INTEGER_BITS:
        return "integer"
    if kind in TEXT_TYPES:
        return "json" if column.json_check else "text"
    if kind in BINARY_TYPES:
        return "binary"
    if kind in GEOMETRY_TYPES:
        return "geometry"
    if kind in ("double", "real"):
        return "float"
    if kind in ("inet4", "inet6"):
        return "inet"
    if kind in (
        "decimal",
        "float",
        "bit",
        "enum",
        "set",
        "json",
        "date",
        "datetime",
        "timestamp",
        "time",
        "uuid",
        "vector",
    ):
        return kind
    raise ConfigError(
        f"crossfade does not know the source type {column.column_type!r}",
        hint="Leave the column out with `exclude`, or skip the table.",
        column=column.name,
    )


def integer_bounds(column: ColumnDef) -> tuple[int, int]:
    """Smallest and largest value of an integer column."""
    if column.type == "year":
        return 0, 2155
    bits = INTEGER_BITS[column.type]
    return (0, 2**bits - 1) if column.unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def source_spellings(column: ColumnDef) -> tuple[str, ...]:
    """Forms of the source type that a type rule may match: as declared, without display width, the bare type."""
    declared = " ".join(column.column_type.lower().split())
    plain = re.sub(r"^((?:tiny|small|medium|big)?int|year|float|double)\([\d,]+\)", r"\1", declared)
    short = plain.replace(" zerofill", "")
    bare = f"{column.type} unsigned" if column.unsigned else column.type
    return tuple(dict.fromkeys((declared, plain, short, bare)))
