"""Row events built by hand for tests: the wire format of the manual, written independently of the decoder."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from model.tables import ColumnDef, TableDef, TableId
from sync.mysql.table_map import TableMap

INT, BIGINT, VARCHAR, DECIMAL, DATETIME2, BLOB, JSON = 3, 8, 15, 246, 18, 252, 245
Value = bytes | None


def table(*columns: ColumnDef, key: tuple[str, ...] = ("id",)) -> TableDef:
    """A table `shop.t`."""
    return TableDef(TableId("shop", "t"), columns, primary_key=key)


def table_map(types: Sequence[int], metadata: Sequence[int]) -> TableMap:
    """The table map of such columns, all nullable."""
    return TableMap(7, 1, "shop", "t", bytes(types), tuple(metadata), b"\xff" * ((len(types) + 7) // 8))


def bitmap(bits: Sequence[bool]) -> bytes:
    """Lowest bit first."""
    value = sum(1 << index for index, bit in enumerate(bits) if bit)
    return value.to_bytes((len(bits) + 7) // 8, "little")


def image(values: Sequence[Value]) -> bytes:
    """One row image of the columns that are present: NULL bits, then the values as they are on the wire."""
    return bitmap([value is None for value in values]) + b"".join(value for value in values if value is not None)


def event(
    count: int,
    images: Sequence[Sequence[Value]],
    *,
    present: Sequence[Sequence[bool]] | None = None,
    extra: bytes = b"",
) -> bytes:
    """A version 2 event of `count` columns; `present` has one bitmap, two for an UPDATE."""
    maps = present if present is not None else [[True] * count]
    head = struct.pack("<IHH", 7, 0, 1) + struct.pack("<H", 2 + len(extra)) + extra + bytes((count,))
    return head + b"".join(bitmap(bits) for bits in maps) + b"".join(image(values) for values in images)


def int4(value: int) -> bytes:
    """INT on the wire."""
    return struct.pack("<i", value)


def short(value: bytes) -> bytes:
    """A string with one byte of length."""
    return bytes((len(value),)) + value


def blob(value: bytes, width: int = 2) -> bytes:
    """A BLOB with `width` bytes of length."""
    return len(value).to_bytes(width, "little") + value


def datetime6(year: int, month: int, day: int, hour: int, minute: int, second: int, micros: int) -> bytes:
    """DATETIME(6) on the wire."""
    packed = (((year * 13 + month) << 5 | day) << 17) | hour << 12 | minute << 6 | second
    return (packed + 0x8000000000).to_bytes(5, "big") + micros.to_bytes(3, "big")


def decimal102(cents: int) -> bytes:
    """DECIMAL(10,2) on the wire: eight digits in four bytes, two in one."""
    raw = bytearray(divmod(abs(cents), 100)[0].to_bytes(4, "big") + (abs(cents) % 100).to_bytes(1, "big"))
    raw[0] ^= 0x80
    return bytes(octet ^ 0xFF for octet in raw) if cents < 0 else bytes(raw)
