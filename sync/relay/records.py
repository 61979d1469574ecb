"""The bytes of a relay segment: magic, then records of length, CRC32, kind and payload.

A segment begins with a STATE record that holds all that a reader needs to start there. Only encodes and decodes.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final

from model.errors import CrossfadeError, ExitCode
from model.position import BinlogCoordinate, Flavour, Position
from sync.relay.values import RelayTail, TransactionEnd

MAGIC: Final = b"XFRELAY\x01"
RECORD: Final = struct.Struct("<IIB")
"""Payload length, CRC32 of kind and payload, kind."""
_END: Final = struct.Struct("<QQqQIB")
_FILE: Final = struct.Struct("<Q")
_ROLLED_BACK: Final = 1


class RecordKind(IntEnum):
    """What a record holds."""

    EVENT = 1
    """A raw binlog event as on the wire, or its first part."""
    PART = 2
    """More of the event before it."""
    FILE = 3
    """Name of the binlog file that follows and the offset where nothing before it is missing."""
    END = 4
    """A `TransactionEnd`; the events since the last END are its transaction."""
    STATE = 5
    """A `SegmentState`."""
    FORMAT = 6
    """A raw FORMAT_DESCRIPTION event; it holds for the events that follow."""
    RUN = 7
    """Raw row events and table maps, whole, one after the other (`sync/mysql/runs.py`)."""


EVENTS: Final = frozenset({int(RecordKind.EVENT), int(RecordKind.PART), int(RecordKind.RUN)})
"""Kinds of records that hold events of transactions."""

_SEEDS: Final = {int(kind): zlib.crc32(bytes([kind])) for kind in RecordKind}


class CorruptRelay(CrossfadeError):
    """The relay's files are damaged."""

    default_hint = "Stop the daemon, remove the relay's directory and start again: it is read anew from the source."


class RelayUnwritable(CrossfadeError):
    """The relay cannot be written."""

    exit_code = ExitCode.INCOMPLETE
    default_hint = "Free space on the relay's disk, then start again: it goes on after its last whole transaction."


@dataclass(frozen=True, slots=True)
class SegmentState:
    """What holds at the start of a segment."""

    relay: str
    """Id of the relay; segments of another relay are refused."""
    number: int
    seq: int
    """Last transaction that ended before the segment."""
    open: bool
    """Whether the segment begins inside transaction `seq + 1`."""
    source: str
    """Identity of the server that the stream came from when the segment was begun."""
    flavour: Flavour
    file: str
    offset: int
    gtids: str | None
    """GTIDs executed up to `seq`; None when the stream has none."""
    format: str
    """The FORMAT_DESCRIPTION event in force, as hex; "" before the first."""

    @property
    def tail(self) -> RelayTail:
        """The end of the last transaction before the segment."""
        return RelayTail(self.seq, Position(self.flavour, BinlogCoordinate(self.file, self.offset), self.gtids or ""))

    def encode(self) -> bytes:
        """The payload of a STATE record."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def decode(payload: bytes) -> SegmentState:
        """Read what `encode` made."""
        fields = json.loads(payload)
        return SegmentState(**{**fields, "flavour": Flavour(fields["flavour"])})


@dataclass(frozen=True, slots=True)
class EndRecord:
    """A `TransactionEnd` as stored: the file's name is known from the FILE records, sizes are added."""

    seq: int
    offset: int
    commit_time_us: int
    bytes: int
    events: int
    rolled_back: bool
    gtid: str


def record(kind: int, payload: bytes | memoryview) -> bytes:
    """Header of a record; its payload is to be written right after it."""
    return RECORD.pack(len(payload), zlib.crc32(payload, _SEEDS[kind]), kind)


def encode_end(end: TransactionEnd, size: int, events: int) -> bytes:
    """Payload of an END record for a transaction of `events` events and `size` raw bytes."""
    flags = _ROLLED_BACK if end.rolled_back else 0
    return _END.pack(end.seq, end.coordinate.offset, end.commit_time_us, size, events, flags) + end.gtid.encode()


def decode_end(payload: bytes) -> EndRecord:
    """Read an END record."""
    seq, offset, commit_time_us, size, events, flags = _END.unpack_from(payload)
    return EndRecord(
        seq, offset, commit_time_us, size, events, bool(flags & _ROLLED_BACK), payload[_END.size :].decode()
    )


def encode_file(coordinate: BinlogCoordinate) -> bytes:
    """Payload of a FILE record."""
    return _FILE.pack(coordinate.offset) + coordinate.file.encode()


def decode_file(payload: bytes) -> BinlogCoordinate:
    """Read a FILE record."""
    return BinlogCoordinate(payload[_FILE.size :].decode(), _FILE.unpack_from(payload)[0])


def read_records(
    file: BinaryIO, start: int, limit: int | None = None, passing: frozenset[int] = frozenset()
) -> Iterator[tuple[int, bytes, int]]:
    """Yield (kind, payload, offset after it) from `start` up to `limit` or the first incomplete or damaged record.

    The payload of kinds in `passing` is passed over and given as empty. The caller knows where the records must end,
    and judges an early end.
    """
    file.seek(start)
    offset = start
    read = file.read
    while limit is None or offset < limit:
        head = read(RECORD.size)
        if len(head) < RECORD.size:
            return
        length, checksum, kind = RECORD.unpack(head)
        seed = _SEEDS.get(kind)
        if seed is None:
            return
        if kind in passing:
            offset += RECORD.size + length
            file.seek(offset)
            yield kind, b"", offset
            continue
        payload = read(length)
        if len(payload) < length or zlib.crc32(payload, seed) != checksum:
            return
        offset += RECORD.size + length
        yield kind, payload, offset


def segment_path(directory: Path, number: int) -> Path:
    """Path of a segment file."""
    return directory / f"relay-{number:06d}.seg"


def segment_numbers(directory: Path) -> list[int]:
    """Numbers of the segment files in a directory, ascending."""
    stems = (path.stem.removeprefix("relay-") for path in directory.glob("relay-*.seg"))
    return sorted(int(stem) for stem in stems if stem.isdigit())


def read_state(path: Path) -> tuple[SegmentState, int] | None:
    """The state of a segment and the offset of its first record after it; None when its beginning is not whole."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return None
        for kind, payload, offset in read_records(file, len(MAGIC)):
            return (SegmentState.decode(payload), offset) if kind == RecordKind.STATE else None
    return None
