"""One source transaction as the appliers see it: its facts, and its events streamed from the relay.

Compressed payloads and events come out expanded, checksums stripped (the reader verified them before they were
written, and every relay record has its own). The events of a transaction can be read more than once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import TypeAlias

from model.position import BinlogCoordinate, Flavour, Position
from sync.mysql.event_run import Part, Run
from sync.mysql.event_types import MARIADB_COMPRESSED, EventType
from sync.mysql.events import (
    CHECKSUM_BYTES,
    HEADER_BYTES,
    ChecksumAlgorithm,
    EventHeader,
    parse_format_description,
    parse_header,
)
from sync.mysql.payload import expand_mariadb, expand_payload
from sync.relay.records import RecordKind
from sync.relay.values import AnyGtidSet

Body: TypeAlias = bytes
Pieces: TypeAlias = Iterator[tuple[int, bytes]]
"""(EVENT, PART or RUN, bytes) of the records of one transaction, in order."""


@lru_cache(maxsize=16)
def _checksum_bytes(format_event: bytes) -> int:
    if not format_event:
        return 0
    described = parse_format_description(format_event[HEADER_BYTES:])
    return CHECKSUM_BYTES if described.checksum is ChecksumAlgorithm.CRC32 else 0


@dataclass(frozen=True, slots=True)
class RelayTransaction:
    """A complete transaction. `events()` reads it from disk; it works until the relay is purged beyond it."""

    seq: int
    gtid: str
    commit_time: float
    """Seconds since the epoch, with microseconds when the source gives them."""
    bytes: int
    """Size of its raw events."""
    event_count: int
    """Number of raw events (a compressed payload counts as one)."""
    rolled_back: bool
    """It ended in ROLLBACK: only changes of non-transactional tables in it took place."""
    flavour: Flavour
    coordinate: BinlogCoordinate
    gtids: AnyGtidSet | None = field(repr=False)
    format_event: Body = field(repr=False)
    """The raw FORMAT_DESCRIPTION event that holds for its events."""
    _open: Callable[[], Pieces] = field(repr=False)

    @property
    def position(self) -> Position:
        """The end of the transaction."""
        return Position(self.flavour, self.coordinate, "" if self.gtids is None else str(self.gtids))

    def events(self) -> Iterator[tuple[EventHeader, Body]]:
        """Yield (header, body without checksum) of every event. Raises CorruptEvent, UnknownEvent, CorruptRelay."""
        for part in self.parts():
            if isinstance(part, Run):
                yield from part.events()
            else:
                yield part

    def parts(self) -> Iterator[Part]:
        """The same with row events and their table maps together, as they came. Raises the same."""
        checksum = _checksum_bytes(self.format_event)
        events = _Grouped(self._open())
        while (found := events.next_record()) is not None:
            kind, raw = found
            if kind == RecordKind.RUN:
                yield Run(raw, checksum)
                continue
            header = parse_header(raw)
            if header.type == EventType.TRANSACTION_PAYLOAD:
                yield from expand_payload(raw[HEADER_BYTES:], events.rest())
                continue
            body = raw[HEADER_BYTES : header.size - checksum]
            if len(raw) < header.size:
                body = _joined(body, events.rest(), header.size - HEADER_BYTES - checksum)
            if header.type in MARIADB_COMPRESSED:
                yield expand_mariadb(header, body)
            else:
                yield header, body


def _joined(first: bytes, rest: Iterator[bytes], size: int) -> bytes:
    """A long body out of its pieces, which are let go one by one, without the checksum at its end."""
    with BytesIO() as whole:
        whole.write(first)
        for piece in rest:
            whole.write(piece)
        whole.truncate(size)
        # Shares the buffer, as nobody writes any more.
        return whole.getvalue()


class _Grouped:
    """Records grouped into events: the first record of each, and the rest of it on demand."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._ahead: tuple[int, bytes] | None = None

    def next_record(self) -> tuple[int, bytes] | None:
        """A run, or the first record of the next event; what is left of the last one is passed over."""
        if self._ahead is not None:
            found, self._ahead = self._ahead, None
            return found
        for found in self._pieces:
            if found[0] != RecordKind.PART:
                return found
        return None

    def rest(self) -> Iterator[bytes]:
        """The other records of the event that `next_record` began."""
        for found in self._pieces:
            if found[0] != RecordKind.PART:
                self._ahead = found
                return
            yield found[1]
