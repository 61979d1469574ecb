"""Runs: the row events of a transaction with their table maps, many at a time, as they came one after the other.

They are most of a binlog and ask nothing of the reader but that they are whole, so it takes all that its buffer holds
at once; the applier takes them apart. Compiled with the types of runs.pxd; runs uncompiled as it is.
"""

# mypy: always-false=compiled

from __future__ import annotations

import zlib
from typing import Final

from model.errors import CorruptEvent, UndecodableRow

try:
    import cython
except ImportError:  # Cython is needed to compile only
    from sync.mysql import cython_shim as cython

if not cython.compiled:
    from sync.mysql.octets import little

    HEADER: Final = 19
    """Bytes of an event's header: time, type at 4, server id, size at 9, position at 13, flags at 17."""
    PACKET_HEADER: Final = 5
    """Three bytes of length, a number, and the byte that says that an event follows."""
    LEAST: Final = 8
    """Bytes of the shortest body: the number of the table and the flags."""
    MOST: Final = 1 << 18
    """A run is no longer, so that what waits for the applier can be counted in runs."""
    TABLE_MAP: Final = 19
    ARTIFICIAL: Final = 0x20

RESIDUE: Final = 0x2144DF1C
"""CRC32 of any bytes followed by their own little-endian CRC32."""
_ROWS: Final = bytes(int(kind in (23, 24, 25, 30, 31, 32, 39)) for kind in range(256))
"""Whether an event type is that of uncompressed row events."""

_crc32 = zlib.crc32


def take_run(buffer: bytearray, start: int, end: int, checked: bool, offset: int) -> tuple[int, int, int, bytes]:
    """The run that begins at `start`, of packets that are whole before `end`: where it ends, the offset in the binlog
    after it, the number of its events, and the events with headers and checksums.

    `offset` is the binlog's before it; `checked`: events end in a checksum. Stops before whatever is not as it should
    be: who looks at that event by itself will say what is wrong.
    """
    data = buffer
    view = memoryview(buffer)
    pieces: list[memoryview] = []
    rows = _ROWS
    at = start
    while end - at > PACKET_HEADER + HEADER:
        event = at + PACKET_HEADER
        size = little(data, at, 3) - 1
        after = event + size
        kind = data[event + 4]
        sized = little(data, event + 9, 4)
        if size < HEADER + LEAST or after > end or after - start > MOST or data[event - 1] != 0:
            break
        if (kind != TABLE_MAP and not rows[kind]) or sized != size:
            break
        if data[event + 17] & ARTIFICIAL:
            break
        raw = view[event:after]
        if checked and _crc32(raw) != RESIDUE:
            break
        pieces.append(raw)
        # As `stream.end_offset`: there are gaps where the source leaves events out, and it may not say where it is.
        position = little(data, event + 13, 4)
        offset += (position - offset) & 0xFFFFFFFF if position else size
        at = after
    return at, offset, len(pieces), b"".join(pieces)


def rows_of(run: bytes, checksum: int, maps: dict[int, bytes]) -> list[tuple[bytes, int, bytes]]:
    """The row events of a run: the body of the table map that holds, the event's type, its body without checksum.

    `checksum`: bytes of it in each event. `maps`: the maps of the transaction's events before, by table number; it
    takes those of the run. Raises UndecodableRow for an event without a map, CorruptEvent.
    """
    data = run
    found: list[tuple[bytes, int, bytes]] = []
    end = len(run)
    at = 0
    while at < end:
        if end - at < HEADER + LEAST:
            raise CorruptEvent("a run of row events is cut short", bytes=end)
        size = little(data, at + 9, 4)
        body = at + HEADER
        after = at + size - checksum
        if after < body + LEAST or at + size > end:
            raise CorruptEvent("a row event is shorter than its header", bytes=size)
        table = little(data, body, 6)
        kind = data[at + 4]
        if kind == TABLE_MAP:
            maps[table] = run[body:after]
        else:
            known = maps.get(table)
            if known is None:
                raise UndecodableRow("a row event has no table map before it", table_id=table)
            found.append((known, kind, run[body:after]))
        at += size
    return found
