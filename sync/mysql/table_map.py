"""TABLE_MAP events: the shape of a table as its row events use it, with the optional metadata when the source logs it.

Only parses. What the columns mean is the schema history's business; optional fields of unknown kinds are skipped and
listed, because they describe, and never change, the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from model.errors import CorruptEvent
from sync.mysql.wire import Cursor


class ColumnType(IntEnum):
    """Column type numbers as they stand in a TABLE_MAP event."""

    DECIMAL = 0
    TINY = 1
    SHORT = 2
    LONG = 3
    FLOAT = 4
    DOUBLE = 5
    NULL = 6
    TIMESTAMP = 7
    LONGLONG = 8
    INT24 = 9
    DATE = 10
    TIME = 11
    DATETIME = 12
    YEAR = 13
    NEWDATE = 14
    VARCHAR = 15
    BIT = 16
    TIMESTAMP2 = 17
    DATETIME2 = 18
    TIME2 = 19
    TYPED_ARRAY = 20
    BLOB_COMPRESSED = 140
    VARCHAR_COMPRESSED = 141
    VECTOR = 242
    JSON = 245
    NEWDECIMAL = 246
    ENUM = 247
    SET = 248
    TINY_BLOB = 249
    MEDIUM_BLOB = 250
    LONG_BLOB = 251
    BLOB = 252
    VAR_STRING = 253
    STRING = 254
    GEOMETRY = 255


T = ColumnType
_METADATA_BYTES: Final = {
    T.FLOAT: 1,
    T.DOUBLE: 1,
    T.VARCHAR: 2,
    T.BIT: 2,
    T.TIMESTAMP2: 1,
    T.DATETIME2: 1,
    T.TIME2: 1,
    T.BLOB_COMPRESSED: 1,
    T.VARCHAR_COMPRESSED: 2,
    T.VECTOR: 1,
    T.JSON: 1,
    T.NEWDECIMAL: 2,
    T.ENUM: 2,
    T.SET: 2,
    T.TINY_BLOB: 1,
    T.MEDIUM_BLOB: 1,
    T.LONG_BLOB: 1,
    T.BLOB: 1,
    T.VAR_STRING: 2,
    T.STRING: 2,
    T.GEOMETRY: 1,
}
_NUMERIC: Final = frozenset({T.TINY, T.SHORT, T.INT24, T.LONG, T.LONGLONG, T.NEWDECIMAL, T.FLOAT, T.DOUBLE, T.YEAR})
_CHARACTER: Final = frozenset({T.VARCHAR, T.VAR_STRING, T.STRING, T.BLOB, T.TINY_BLOB, T.MEDIUM_BLOB, T.LONG_BLOB})
_MARIADB_CHARACTER: Final = _CHARACTER | {T.GEOMETRY, T.BLOB_COMPRESSED, T.VARCHAR_COMPRESSED}


class _Optional(IntEnum):
    """Kinds of optional metadata fields (MySQL: Table_map_event::Optional_metadata_field_type)."""

    SIGNEDNESS = 1
    DEFAULT_CHARSET = 2
    COLUMN_CHARSET = 3
    COLUMN_NAME = 4
    SET_STR_VALUE = 5
    ENUM_STR_VALUE = 6
    GEOMETRY_TYPE = 7
    SIMPLE_PRIMARY_KEY = 8
    PRIMARY_KEY_WITH_PREFIX = 9
    ENUM_AND_SET_DEFAULT_CHARSET = 10
    ENUM_AND_SET_COLUMN_CHARSET = 11
    COLUMN_VISIBILITY = 12
    VECTOR_DIMENSIONALITY = 13


@dataclass(frozen=True, slots=True)
class OptionalMetadata:
    """What the source says of its columns beyond their types; `None` where it says nothing.

    Tuples have one member per column of the table, except `primary_key`.
    """

    unsigned: tuple[bool, ...] | None = None
    collations: tuple[int, ...] | None = None
    """Collation number of character columns; 0 for the others."""
    label_collations: tuple[int, ...] | None = None
    """Collation number of ENUM and SET columns; 0 for the others."""
    names: tuple[str, ...] | None = None
    labels: tuple[tuple[bytes, ...], ...] | None = None
    """Labels of ENUM and SET columns in the column's character set; () for the others."""
    primary_key: tuple[tuple[int, int], ...] | None = None
    """Column index and prefix length in characters (0: whole column), in key order."""
    visible: tuple[bool, ...] | None = None
    geometry_types: tuple[int, ...] | None = None
    vector_dimensions: tuple[int, ...] | None = None
    unknown: tuple[int, ...] = ()
    """Kinds of optional fields that are not known here; they were skipped."""


@dataclass(frozen=True, slots=True)
class TableMap:
    """A table as the row events that follow describe it."""

    table_id: int
    flags: int
    schema: str
    table: str
    types: bytes
    """Type number per column (`ColumnType`); ENUM and SET stand as STRING, see `real_types`."""
    metadata: tuple[int, ...]
    """Per column its metadata bytes as one little-endian integer; 0 for types without."""
    nullable: bytes
    """Bitmap, lowest bit of the first byte is the first column."""
    optional: OptionalMetadata = field(default_factory=OptionalMetadata)

    @property
    def column_count(self) -> int:
        """Number of columns."""
        return len(self.types)

    def is_nullable(self, index: int) -> bool:
        """Whether the column at `index` may be NULL."""
        return bool(self.nullable[index >> 3] >> (index & 7) & 1)

    @property
    def real_types(self) -> bytes:
        """Types with ENUM and SET unpacked from STRING."""
        return _real_types(self.types, self.metadata)


def _real_types(types: bytes, metadata: tuple[int, ...]) -> bytes:
    return bytes(
        meta & 0xFF if kind == T.STRING and meta & 0xFF in (T.ENUM, T.SET) else kind
        for kind, meta in zip(types, metadata, strict=True)
    )


def _bits(raw: bytes, count: int) -> tuple[bool, ...]:
    """Bits from the highest of the first byte on; bits that the source left out are False."""
    return tuple(index >> 3 < len(raw) and bool(raw[index >> 3] & 0x80 >> (index & 7)) for index in range(count))


def _spread(columns: list[int], values: tuple[int, ...], count: int) -> tuple[int, ...]:
    found = [0] * count
    for column, value in zip(columns, values, strict=False):
        found[column] = value
    return tuple(found)


def _integers(cursor: Cursor) -> tuple[int, ...]:
    found = []
    while cursor.remaining():
        found.append(cursor.lenenc())
    return tuple(found)


def _default_collations(cursor: Cursor, count: int) -> tuple[int, ...]:
    """A default, then (ordinal among the columns concerned, collation) where it differs."""
    collations = [cursor.lenenc()] * count
    while cursor.remaining():
        ordinal, collation = cursor.lenenc(), cursor.lenenc()
        if ordinal < count:
            collations[ordinal] = collation
    return tuple(collations)


def _label_lists(cursor: Cursor) -> list[tuple[bytes, ...]]:
    lists = []
    while cursor.remaining():
        lists.append(tuple(cursor.lenenc_bytes() for _ in range(cursor.lenenc())))
    return lists


def _parse_optional(cursor: Cursor, types: bytes, mariadb: bool) -> OptionalMetadata:
    count = len(types)
    numeric = [i for i, kind in enumerate(types) if kind in _NUMERIC]
    character = [i for i, kind in enumerate(types) if kind in (_MARIADB_CHARACTER if mariadb else _CHARACTER)]
    geometry = [i for i, kind in enumerate(types) if kind == T.GEOMETRY]
    vectors = [i for i, kind in enumerate(types) if kind == T.VECTOR]
    labelled = [i for i, kind in enumerate(types) if kind in (T.ENUM, T.SET)]
    found: dict[str, object] = {}
    labels: dict[int, tuple[bytes, ...]] = {}
    unknown: list[int] = []
    while cursor.remaining():
        kind = cursor.uint(1)
        value = Cursor(cursor.lenenc_bytes())
        if kind == _Optional.SIGNEDNESS:
            flags = _bits(value.take(value.remaining()), len(numeric))
            found["unsigned"] = tuple(bool(flag) for flag in _spread(numeric, flags, count))
        elif kind == _Optional.DEFAULT_CHARSET:
            found["collations"] = _spread(character, _default_collations(value, len(character)), count)
        elif kind == _Optional.COLUMN_CHARSET:
            found["collations"] = _spread(character, _integers(value), count)
        elif kind == _Optional.ENUM_AND_SET_DEFAULT_CHARSET:
            found["label_collations"] = _spread(labelled, _default_collations(value, len(labelled)), count)
        elif kind == _Optional.ENUM_AND_SET_COLUMN_CHARSET:
            found["label_collations"] = _spread(labelled, _integers(value), count)
        elif kind == _Optional.COLUMN_NAME:
            names = []
            while value.remaining():
                names.append(value.lenenc_bytes().decode())
            found["names"] = tuple(names)
        elif kind in (_Optional.SET_STR_VALUE, _Optional.ENUM_STR_VALUE):
            wanted = T.SET if kind == _Optional.SET_STR_VALUE else T.ENUM
            columns = [i for i in labelled if types[i] == wanted]
            labels.update(zip(columns, _label_lists(value), strict=False))
        elif kind == _Optional.GEOMETRY_TYPE:
            found["geometry_types"] = _spread(geometry, _integers(value), count)
        elif kind == _Optional.VECTOR_DIMENSIONALITY:
            found["vector_dimensions"] = _spread(vectors, _integers(value), count)
        elif kind == _Optional.SIMPLE_PRIMARY_KEY:
            found["primary_key"] = tuple((column, 0) for column in _integers(value))
        elif kind == _Optional.PRIMARY_KEY_WITH_PREFIX:
            numbers = _integers(value)
            found["primary_key"] = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        elif kind == _Optional.COLUMN_VISIBILITY:
            found["visible"] = _bits(value.take(value.remaining()), count)
        else:
            unknown.append(kind)
    if labels:
        found["labels"] = tuple(labels.get(index, ()) for index in range(count))
    return OptionalMetadata(**found, unknown=tuple(unknown))  # type: ignore[arg-type]


def parse_table_map(body: bytes, *, mariadb: bool = False) -> TableMap:
    """Read a TABLE_MAP event's body (no header, no checksum).

    `mariadb` chooses which columns its optional metadata counts (geometry has a collation there). Raises CorruptEvent.
    """
    cursor = Cursor(body)
    table_id, flags = cursor.uint(6), cursor.uint(2)
    schema = cursor.take(cursor.uint(1)).decode()
    cursor.take(1)
    table = cursor.take(cursor.uint(1)).decode()
    cursor.take(1)
    types = cursor.take(cursor.lenenc())
    block = Cursor(cursor.lenenc_bytes())
    metadata = tuple(block.uint(_METADATA_BYTES[T(kind)]) if kind in _METADATA_BYTES else 0 for kind in types)
    if block.remaining():
        raise CorruptEvent("a table's column metadata does not fit its column types", table=f"{schema}.{table}")
    nullable = cursor.take((len(types) + 7) // 8)
    optional = _parse_optional(cursor, _real_types(types, metadata), mariadb)
    return TableMap(table_id, flags, schema, table, types, metadata, nullable, optional)
