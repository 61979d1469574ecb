"""Packets of a dump become events: checksums verified, binlog file and 64-bit offset followed, format kept.

A long event comes in pieces. Judges nothing but framing; what an event means is the caller's business.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from model.errors import CorruptEvent
from model.position import BinlogCoordinate
from sync.mysql.dump import refusal_of_packet
from sync.mysql.event_types import CONTROL, IGNORABLE, EventType, event_name
from sync.mysql.events import (
    ARTIFICIAL,
    CHECKSUM_BYTES,
    HEADER_BYTES,
    ChecksumAlgorithm,
    EventHeader,
    FormatDescription,
    parse_format_description,
    parse_header,
    parse_heartbeat,
    parse_rotate,
)
from sync.mysql.framing import PacketStream
from sync.mysql.runs import RESIDUE, take_run

_MASK: Final = (1 << 32) - 1


def end_offset(offset: int, header: EventHeader) -> int:
    """Offset after an event that starts at or after `offset`: 64 bits, though events tell only the lower 32.

    Events that the source leaves out make gaps of less than 4 GiB; MariaDB 11.4 writes 0 inside transactions.
    """
    expected = offset + header.size
    if header.log_pos == 0 or expected & _MASK == header.log_pos:
        return expected
    candidate = offset & ~_MASK | header.log_pos
    return candidate if candidate >= offset else candidate + _MASK + 1


class EventStream:
    """Events of one dump that starts at `start`; the source's first ROTATE corrects it."""

    def __init__(self, packets: PacketStream, start: BinlogCoordinate, where: str) -> None:
        self._packets = packets
        self._where = where
        self.file = start.file
        self.start = start.offset
        """Offset before the last event."""
        self.offset = start.offset
        """Offset after the last event."""
        self.format: FormatDescription | None = None
        self.checksum_bytes = 0
        self._crc = 0
        self._left = 0

    @property
    def coordinate(self) -> BinlogCoordinate:
        """After the last event."""
        return BinlogCoordinate(self.file, self.offset)

    def next_event(self) -> tuple[EventHeader, bytes] | None:
        """The next event, or its first piece; None when told to stop. Raises what the source refuses, CorruptEvent."""
        packet = self._packets.next_packet()
        if packet is None:
            return None
        if packet[:1] != b"\0":
            raise refusal_of_packet(packet, self._where)
        raw = packet[1:]
        header = parse_header(raw)
        if self._packets.more:
            self._crc, self._left = zlib.crc32(raw), header.size - len(raw)
        elif len(raw) != header.size:
            raise self._corrupt("an event's length does not match its packet", header)
        kind = header.type
        if kind in CONTROL:
            self._control(header, raw)
            return header, raw
        if self.checksum_bytes and not self._packets.more and zlib.crc32(raw) != RESIDUE:
            raise self._corrupt("a binlog event's checksum is wrong", header)
        self.start = self.offset
        if header.log_pos or not (header.flags & ARTIFICIAL or kind in IGNORABLE):
            self.offset = end_offset(self.offset, header)
        return header, raw

    def next_run(self) -> tuple[int, bytes]:
        """The row events and table maps that are next and here already: their number, and the events as they came.

        For a transaction's inside. It waits for nothing, and leaves what is amiss to `next_event`.
        """
        buffer, start, end = self._packets.buffered
        after, offset, count, raw = take_run(buffer, start, end, self.checksum_bytes > 0, self.offset)
        if count:
            self._packets.skip(after)
            self.offset = offset
        return count, raw

    def body(self, raw: bytes) -> bytes:
        """An event without header and checksum."""
        return raw[HEADER_BYTES : len(raw) - self.checksum_bytes]

    @property
    def in_pieces(self) -> bool:
        """Whether more of the last event is to come from `pieces`."""
        return self._packets.more

    def pieces(self, header: EventHeader) -> Iterator[bytes | None]:
        """The rest of a long event, then its checksum is judged; None when told to stop."""
        if not self._packets.more:
            return
        while self._packets.more:
            piece = self._packets.next_part()
            if piece is None:
                yield None
                return
            self._crc = zlib.crc32(piece, self._crc)
            self._left -= len(piece)
            if piece:
                yield piece
        if self._left:
            raise self._corrupt("an event's length does not match its packets", header)
        if self.checksum_bytes and self._crc != RESIDUE:
            raise self._corrupt("a binlog event's checksum is wrong", header)

    def _control(self, header: EventHeader, raw: bytes) -> None:
        if header.type == EventType.FORMAT_DESCRIPTION:
            described = parse_format_description(raw[HEADER_BYTES:])
            checked = described.checksum is ChecksumAlgorithm.CRC32
            if checked and zlib.crc32(raw) != RESIDUE:
                raise self._corrupt("a binlog event's checksum is wrong", header)
            self.format, self.checksum_bytes = described, CHECKSUM_BYTES if checked else 0
            if header.log_pos:
                self.offset = max(self.offset, header.log_pos)
            return
        tail = CHECKSUM_BYTES if zlib.crc32(raw) == RESIDUE else 0
        body = raw[HEADER_BYTES : len(raw) - tail]
        if header.type == EventType.ROTATE:
            rotate = parse_rotate(body)
            self.file, self.offset = rotate.file, rotate.offset
            return
        heartbeat = parse_heartbeat(header.type, body)
        if heartbeat.file and heartbeat.file != self.file:
            self.file, self.offset = heartbeat.file, 0
        if heartbeat.offset is not None:
            self.offset = max(self.offset, heartbeat.offset)
        elif header.log_pos:
            self.offset = end_offset(self.offset, header._replace(size=0))

    def _corrupt(self, what: str, header: EventHeader) -> CorruptEvent:
        return CorruptEvent(
            what,
            hint="Start again: the event is read anew. If it stays, the binlog file is damaged; see the source's disk.",
            event=event_name(header.type),
            position=self.coordinate,
            bytes=header.size,
        )
