"""The tail file: how far readers may read, written after every sync, read from any process at any time.

It is a hint between running processes, not a truth: after a crash the writer derives the tail from the segments.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from model.position import BinlogCoordinate, Flavour, Position
from sync.relay.values import RelayTail

_HEAD: Final = struct.Struct("<II")
_FIRST_READ: Final = 4096
_READS: Final = 3
"""A mark read while it is written may be torn: then it is read again."""
NAME: Final = "tail"


@dataclass(frozen=True, slots=True)
class TailMark:
    """What the tail file says: the tail, and the segment and offset right after its last record."""

    relay: str
    tail: RelayTail
    segment: int
    offset: int

    def encode(self) -> bytes:
        """Length, CRC32 and JSON."""
        coordinate = self.tail.position.coordinate
        body = json.dumps(
            [
                self.relay,
                self.tail.seq,
                self.tail.position.flavour,
                coordinate.file,
                coordinate.offset,
                self.tail.position.gtids,
                self.segment,
                self.offset,
            ]
        ).encode()
        return _HEAD.pack(len(body), zlib.crc32(body)) + body

    @staticmethod
    def decode(raw: bytes) -> TailMark | None:
        """Read what `encode` made; None when it is cut or torn."""
        if len(raw) < _HEAD.size:
            return None
        length, checksum = _HEAD.unpack_from(raw)
        body = raw[_HEAD.size : _HEAD.size + length]
        if len(body) < length or zlib.crc32(body) != checksum:
            return None
        relay, seq, flavour, file, position, gtids, segment, offset = json.loads(body)
        tail = RelayTail(seq, Position(Flavour(flavour), BinlogCoordinate(file, position), gtids))
        return TailMark(relay, tail, segment, offset)


class TailFile:
    """One side of the tail file. The writer publishes; readers read without locks and see the last whole mark."""

    def __init__(self, directory: Path, *, create: bool) -> None:
        flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
        self._descriptor = os.open(directory / NAME, flags, 0o600)
        self._raw = b""
        self._mark: TailMark | None = None

    def publish(self, mark: TailMark) -> None:
        """Make a mark visible to all readers."""
        os.pwrite(self._descriptor, mark.encode(), 0)

    def read(self) -> TailMark | None:
        """The last mark that was whole when it was read; None before the first is published."""
        for _ in range(_READS):
            raw = os.pread(self._descriptor, _FIRST_READ, 0)
            if len(raw) >= _HEAD.size and (wanted := _HEAD.size + _HEAD.unpack_from(raw)[0]) > len(raw):
                raw = os.pread(self._descriptor, wanted, 0)
            if raw == self._raw:
                break
            if (mark := TailMark.decode(raw)) is not None:
                self._raw, self._mark = raw, mark
                break
        return self._mark

    def close(self) -> None:
        """Close the file; a second time does nothing (the number may be another file's by then)."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class TailSignal:
    """Wakes the waiting readers of this process when its writer publishes."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._number = 0

    @property
    def number(self) -> int:
        """How often it was notified. Read before looking, so that a notification meanwhile is not missed."""
        return self._number

    def notify(self) -> None:
        """Wake all who wait."""
        with self._condition:
            self._number += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout_s: float) -> None:
        """Wait for a notification after number `seen`, or for the timeout."""
        with self._condition:
            self._condition.wait_for(lambda: self._number != seen, timeout_s)


_signals: WeakValueDictionary[Path, TailSignal] = WeakValueDictionary()
_signals_lock = threading.Lock()


def signal_of(directory: Path) -> TailSignal:
    """The signal that writer and readers of a directory share within this process."""
    with _signals_lock:
        return _signals.setdefault(directory.resolve(), TailSignal())
