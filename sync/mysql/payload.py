"""Expands what servers compress: MySQL's TRANSACTION_PAYLOAD (zstd, streamed) and MariaDB's compressed events (zlib).

Yields events as if they had been written plainly: header with the plain type and size, body without checksum.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, Protocol, cast

import zstandard

from model.errors import CorruptEvent, UnknownEvent
from sync.mysql.event_types import MARIADB_COMPRESSED, EventType, event_name
from sync.mysql.events import HEADER_BYTES, EventHeader, parse_header, parse_rows_header
from sync.mysql.wire import Cursor

_END_MARK, _PAYLOAD_SIZE, _COMPRESSION, _UNCOMPRESSED_SIZE = range(4)
_ZSTD: Final = 0
_NOT_COMPRESSED: Final = 255
_READ_BYTES: Final = 1 << 17


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _Parts:
    """A readable over byte chunks that ends after `left` bytes."""

    def __init__(self, first: bytes, chunks: Iterator[bytes], left: int) -> None:
        self._chunk = first
        self._chunks = chunks
        self._offset = 0
        self._left = left

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; b"" at the end. Raises CorruptEvent when the chunks end before the promised size."""
        if self._left == 0:
            return b""
        while self._offset >= len(self._chunk):
            following = next(self._chunks, None)
            if following is None:
                raise CorruptEvent("a transaction payload is cut short", missing=self._left)
            self._chunk, self._offset = following, 0
        count = min(self._left, len(self._chunk) - self._offset)
        if size >= 0:
            count = min(count, size)
        piece = self._chunk[self._offset : self._offset + count]
        self._offset += count
        self._left -= count
        return piece


def _read_exactly(source: _Readable, count: int) -> bytes:
    """`count` bytes, or b"" when the source is at its end. Raises CorruptEvent when it ends in between."""
    pieces = []
    left = count
    while left:
        try:
            piece = source.read(left)
        except zstandard.ZstdError as error:
            raise CorruptEvent(f"a transaction payload cannot be decompressed: {error}") from error
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    if left and pieces:
        raise CorruptEvent("a transaction payload ends inside an event", missing=left)
    return b"".join(pieces)


def expand_payload(first: bytes, more: Iterator[bytes]) -> Iterator[tuple[EventHeader, bytes]]:
    """Yield the events of a TRANSACTION_PAYLOAD event whose body begins with `first` and goes on in `more`.

    Streams: neither the compressed nor the plain form is ever whole in memory. Raises CorruptEvent, UnknownEvent.
    """
    cursor = Cursor(first)
    size = algorithm = None
    while (kind := cursor.lenenc()) != _END_MARK:
        value = Cursor(cursor.lenenc_bytes())
        if kind == _PAYLOAD_SIZE:
            size = value.lenenc()
        elif kind == _COMPRESSION:
            algorithm = value.lenenc()
    if size is None:
        raise CorruptEvent("a transaction payload does not say its size")
    source: _Readable = _Parts(first[cursor.offset :], more, size)
    if algorithm == _ZSTD:
        decompressor = zstandard.ZstdDecompressor()
        source = decompressor.stream_reader(cast(BinaryIO, source), read_size=_READ_BYTES, read_across_frames=True)
    elif algorithm != _NOT_COMPRESSED:
        raise UnknownEvent("a transaction payload uses a compression that is not known here", algorithm=algorithm)
    while raw := _read_exactly(source, HEADER_BYTES):
        header = parse_header(raw)
        body = _read_exactly(source, header.size - HEADER_BYTES)
        if len(body) != header.size - HEADER_BYTES:
            raise CorruptEvent("a transaction payload ends inside an event")
        yield header, body


def _inflate(data: bytes) -> bytes:
    """MariaDB's compressed form: a byte with algorithm and width, the plain length big-endian, then the zlib stream."""
    cursor = Cursor(data)
    head = cursor.uint(1)
    if head >> 4 & 7 != 0:
        raise UnknownEvent("a compressed event uses a compression that is not known here", algorithm=head >> 4 & 7)
    size = int.from_bytes(cursor.take(head & 7), "big")
    try:
        plain = zlib.decompress(data[cursor.offset :], bufsize=size or 1)
    except zlib.error as error:
        raise CorruptEvent(f"a compressed event cannot be decompressed: {error}") from error
    if len(plain) != size:
        raise CorruptEvent("a compressed event has another length than it says", expected=size, got=len(plain))
    return plain


def expand_mariadb(header: EventHeader, body: bytes) -> tuple[EventHeader, bytes]:
    """The plain form of one of MariaDB's compressed events. Raises CorruptEvent, UnknownEvent."""
    plain_type = MARIADB_COMPRESSED.get(EventType(header.type))
    if plain_type is None:
        raise UnknownEvent(f"not a compressed event: {event_name(header.type)}")
    if plain_type is EventType.QUERY:
        start = 13 + body[8] + int.from_bytes(body[11:13], "little") + 1
    else:
        start = parse_rows_header(plain_type, body).rows_offset
    plain = body[:start] + _inflate(body[start:])
    return header._replace(type=int(plain_type), size=HEADER_BYTES + len(plain)), plain
