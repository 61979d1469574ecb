"""Chooses how each column is read: wire types and sizes from the TABLE_MAP, all else from the schema history.

Fails closed: a table map that the definition cannot have written raises UndecodableRow; nothing is guessed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Final

from model.errors import CrossfadeError, UndecodableRow, ValueRefused
from model.tables import ColumnDef, TableDef
from sync.mysql import charsets, old_temporals
from sync.mysql.forms import (
    BinaryForm,
    BitForm,
    ConvertedForm,
    DecimalForm,
    EnumForm,
    FieldForm,
    IntegerForm,
    RealForm,
    SetForm,
    SingleByteForm,
    TextForm,
    YearForm,
)
from sync.mysql.jsonb import JsonForm
from sync.mysql.table_map import ColumnType, TableMap
from sync.mysql.temporals import DateForm, DatetimeForm, TimeForm, TimestampForm

T = ColumnType
_INTEGERS: Final = {
    "tinyint": (T.TINY, 1),
    "smallint": (T.SHORT, 2),
    "mediumint": (T.INT24, 3),
    "int": (T.LONG, 4),
    "bigint": (T.LONGLONG, 8),
}
_BLOB_WIDTHS: Final = {"tiny": 1, "": 2, "medium": 3, "long": 4}
_BLOBS: Final = {prefix + base: width for prefix, width in _BLOB_WIDTHS.items() for base in ("blob", "text")}
GEOMETRIES: Final = frozenset(
    {
        "geometry",
        "point",
        "linestring",
        "polygon",
        "multipoint",
        "multilinestring",
        "multipolygon",
        "geometrycollection",
        "geomcollection",
    }
)
BINARIES: Final = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})


def forms_of(table: TableDef, table_map: TableMap) -> list[FieldForm]:
    """One form per column. Raises UndecodableRow (table, column) when the two do not fit."""
    if table_map.column_count != len(table.columns):
        raise misfit(table, None, f"the binlog says {table_map.column_count} columns, the history {len(table.columns)}")
    forms = []
    names, unsigned, types = table_map.optional.names, table_map.optional.unsigned, table_map.real_types
    for index, column in enumerate(table.columns):
        if names is not None and names[index].lower() != column.name.lower():
            raise misfit(table, column, f"the binlog calls the column {names[index]}")
        if unsigned is not None and column.type in _INTEGERS and unsigned[index] != column.unsigned:
            raise misfit(table, column, "the binlog and the history do not agree whether it is UNSIGNED")
        try:
            forms.append(_form(column, types[index], table_map.metadata[index]))
        except _Misfit as error:
            raise misfit(table, column, str(error)) from None
        except CrossfadeError as error:
            error.where = {"table": str(table.id), "column": column.name, **error.where}
            raise
    return forms


def misfit(table: TableDef, column: ColumnDef | None, why: str) -> UndecodableRow:
    """The error for a table map that the schema history's definition cannot have written."""
    return UndecodableRow(
        f"the binlog's rows do not fit the schema history: {why}",
        hint="The table was changed without the stream noticing; copy it anew.",
        table=str(table.id),
        column=column.name if column else None,
    )


class _Misfit(Exception):
    """Type or size of one column differ."""


def _expect(condition: bool, why: str) -> None:
    if not condition:
        raise _Misfit(why)


def _form(column: ColumnDef, kind: int, meta: int) -> FieldForm:
    base, low, high = column.type, meta & 0xFF, meta >> 8
    name = T(kind).name if kind in T.__members__.values() else str(kind)
    wrong = f"it is {column.column_type} in the history, {name} in the binlog"
    if base in _INTEGERS:
        wire, width = _INTEGERS[base]
        _expect(kind == wire, wrong)
        return IntegerForm(width, column.unsigned)
    if base in ("float", "double"):
        _expect(kind == (T.FLOAT if base == "float" else T.DOUBLE), wrong)
        return RealForm(4 if kind == T.FLOAT else 8)
    if base == "decimal":
        _expect(kind == T.NEWDECIMAL, wrong)
        _expect(column.precision in (None, low) and column.scale in (None, high), f"{wrong}({low},{high})")
        return DecimalForm(low, high)
    if base == "bit":
        bits = high * 8 + low
        _expect(kind == T.BIT and column.length in (None, bits), f"{wrong}({bits})")
        return BitForm(bits)
    if base == "year":
        _expect(kind == T.YEAR, wrong)
        return YearForm()
    if base in ("date", "datetime", "timestamp", "time"):
        return _temporal(column, kind, low, wrong)
    if base in ("enum", "set"):
        _expect(kind == (T.ENUM if base == "enum" else T.SET), wrong)
        labels = [label.encode() for label in column.labels]
        wanted = (
            (1 if len(labels) < 256 else 2)
            if base == "enum"
            else {5: 8, 6: 8, 7: 8}.get((len(labels) + 7) // 8, (len(labels) + 7) // 8)
        )
        _expect(high == wanted, f"it has {len(labels)} labels in the history, {high} bytes in the binlog")
        return EnumForm(high, labels) if base == "enum" else SetForm(high, labels)
    return _string(column, kind, low, high, wrong)


def _temporal(column: ColumnDef, kind: int, low: int, wrong: str) -> FieldForm:
    base, digits = column.type, column.scale or 0
    if base == "date":
        _expect(kind in (T.DATE, T.NEWDATE), wrong)
        return DateForm()
    newer: dict[str, tuple[int, Callable[[int], FieldForm]]] = {
        "datetime": (T.DATETIME2, DatetimeForm),
        "timestamp": (T.TIMESTAMP2, TimestampForm),
        "time": (T.TIME2, TimeForm),
    }
    if kind == newer[base][0]:
        _expect(low == digits, f"{wrong}({low})")
        return newer[base][1](digits)
    older = {
        "datetime": (T.DATETIME, old_temporals.datetime_reader),
        "timestamp": (T.TIMESTAMP, old_temporals.timestamp_reader),
        "time": (T.TIME, old_temporals.time_reader),
    }
    _expect(kind == older[base][0], wrong)
    width, read = older[base][1](digits)
    return ConvertedForm(width, 0, read)


def _string(column: ColumnDef, kind: int, low: int, high: int, wrong: str) -> FieldForm:
    base = column.type
    if base == "json":
        _expect(kind == T.JSON, wrong)
        return JsonForm(low)
    if base in GEOMETRIES:
        _expect(kind == T.GEOMETRY, wrong)
        return BinaryForm(low)
    if base == "vector" and kind == T.VECTOR:
        return ConvertedForm(-1, low, vector_text)
    if kind == T.STRING:
        # Lengths above 255 have their two upper bits, inverted, in the type byte.
        size = high | ((low & 0x30) ^ 0x30) << 4
        prefix = 2 if size > 255 else 1
        if base == "binary":
            _expect(column.length in (None, size), f"{wrong}({size})")
            return BinaryForm(prefix, size)
        if base in _FIXED_TEXT:
            wanted, read = _FIXED_TEXT[base]
            _expect(size == wanted, f"{wrong}({size})")
            return ConvertedForm(-1, prefix, _padded(wanted, read))
        _expect(base == "char", wrong)
        return text_form(column.charset, prefix, stripped=True)
    if kind in (T.VARCHAR, T.VARCHAR_COMPRESSED):
        _expect(base in ("varchar", "varbinary", "vector"), wrong)
        size = low | high << 8
        prefix = 2 if size > 255 else 1
        if base == "vector":
            return ConvertedForm(-1, prefix, vector_text)
        if kind == T.VARCHAR_COMPRESSED:
            return _compressed(column, prefix)
        return BinaryForm(prefix) if base == "varbinary" else text_form(column.charset, prefix)
    _expect(kind in (T.BLOB, T.BLOB_COMPRESSED) and base in _BLOBS, wrong)
    _expect(_BLOBS[base] == low, f"{wrong} of {low} length bytes")
    if kind == T.BLOB_COMPRESSED:
        return _compressed(column, low)
    return BinaryForm(low) if base in BINARIES else text_form(column.charset, low)


def text_form(charset: str | None, prefix: int, stripped: bool = False) -> FieldForm:
    """The form of text in a character set. Raises Refused for one that is not known."""
    name = charset or "utf8mb4"
    if name in charsets.UTF8:
        return TextForm(prefix, stripped, ascii_only=name == "ascii")
    table = charsets.single_byte_table(name)
    if table is not None:
        return SingleByteForm(prefix, name, table, stripped)
    decode = charsets.decoder(name)
    if stripped:
        return ConvertedForm(-1, prefix, lambda raw: decode(raw).rstrip(b" "), text=True)
    return ConvertedForm(-1, prefix, decode, text=True)


def vector_text(raw: bytes) -> bytes:
    """Little-endian 4-byte floats → `{1.0,2.5}`. Raises ValueRefused when they do not come out even."""
    if len(raw) % 4:
        raise ValueRefused("a VECTOR is not made of 4-byte floats")
    return b"{" + ",".join(map(repr, struct.unpack(f"<{len(raw) // 4}f", raw))).encode() + b"}"


def uuid_text(raw: bytes) -> bytes:
    """16 bytes → `8-4-4-4-12` lower-case hexadecimal digits."""
    digits = raw.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])).encode()


def inet4_text(raw: bytes) -> bytes:
    """Four bytes → dotted decimal."""
    return ".".join(map(str, raw)).encode()


def inet6_text(raw: bytes) -> bytes:
    """Sixteen bytes → the text that MariaDB prints: the longest gap is left out, be it one zero; IPv4 at the end."""
    words = [raw[at] << 8 | raw[at + 1] for at in range(0, 16, 2)]
    gap, length, at = 0, 0, 0
    while at < 8:
        run = 0
        while at + run < 8 and words[at + run] == 0:
            run += 1
        if run > length:
            gap, length = at, run
        at += run + 1
    if gap == 0 and (length == 6 or (length == 5 and words[5] == 0xFFFF)):
        return (b"::ffff:" if length == 5 else b"::") + inet4_text(raw[12:])
    parts = [f"{word:x}" for word in words]
    if length == 0:
        return ":".join(parts).encode()
    return f"{':'.join(parts[:gap])}::{':'.join(parts[gap + length :])}".encode()


_FIXED_TEXT: Final = {"uuid": (16, uuid_text), "inet6": (16, inet6_text), "inet4": (4, inet4_text)}


def _padded(width: int, read: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """The reader over bytes whose zeros at the end were cut off."""
    return lambda raw: read(raw.ljust(width, b"\0"))


def decompressed(raw: bytes) -> bytes:
    """A value of a MariaDB COMPRESSED column: a byte that says how, the original length, then zlib's stream.

    Raises ValueRefused when it cannot be read.
    """
    if not raw:
        return b""
    method, raw_deflate, width = raw[0] >> 4, raw[0] & 8, raw[0] & 7
    if method == 0:
        return raw[1:]
    try:
        if method != 8:
            raise ValueError(f"method {method}")
        value = zlib.decompress(raw[1 + width :], -zlib.MAX_WBITS if raw_deflate else zlib.MAX_WBITS)
        if len(value) != int.from_bytes(raw[1 : 1 + width], "big"):
            raise ValueError("its length differs")
    except (zlib.error, ValueError) as error:
        raise ValueRefused(f"a COMPRESSED value cannot be read: {error}") from None
    return value


def _compressed(column: ColumnDef, prefix: int) -> FieldForm:
    if column.type in BINARIES:
        return ConvertedForm(-1, prefix, lambda raw: b"\\x" + decompressed(raw).hex().encode())
    convert = charsets.decoder(column.charset or "utf8mb4")
    return ConvertedForm(-1, prefix, lambda raw: convert(decompressed(raw)), text=True)
