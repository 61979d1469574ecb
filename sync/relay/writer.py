"""The relay's one writer: appends raw events, ends transactions, makes them durable, publishes the tail, purges.

Transactions of any size pass through; nothing is held in memory but the file's buffer. Only whole transactions that
are on disk become visible. It does not look into events.
"""

from __future__ import annotations

import fcntl
import os
import threading
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from model.errors import LockHeld
from model.position import BinlogCoordinate, Position
from sync.relay.fsync import fsync_directory
from sync.relay.records import (
    EVENTS,
    MAGIC,
    RECORD,
    CorruptRelay,
    RecordKind,
    SegmentState,
    decode_end,
    decode_file,
    encode_end,
    encode_file,
    read_records,
    read_state,
    record,
    segment_numbers,
    segment_path,
)
from sync.relay.tail import TailFile, TailMark, signal_of
from sync.relay.values import AnyGtidSet, RelayTail, TransactionEnd, parse_gtids

log = structlog.get_logger(__name__)

_BUFFER: Final = 1 << 20
_BUDGET_POLL_S: Final = 0.05
_BUDGET_CHECK_BYTES: Final = 1 << 16


@dataclass(slots=True)
class _Segment:
    """A segment file that exists."""

    state: SegmentState
    size: int


@dataclass(frozen=True, slots=True)
class _Point:
    """A place between two transactions."""

    segment: int
    offset: int
    seq: int
    coordinate: BinlogCoordinate
    gtids: AnyGtidSet | None


class RelayWriter:
    """Appends to the relay in `directory`; raises LockHeld when another writer has it open.

    `segment_bytes` is the size at which a new segment file is begun, `budget_bytes` the size of all (and of what
    waits beside them) at which appending waits for `purge`, until `stop` is set. Methods other than `purge` are for one
    thread.
    """

    def __init__(
        self, directory: Path, segment_bytes: int, budget_bytes: int, *, stop: threading.Event | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory = directory
        self._segment_bytes = segment_bytes
        self._budget_bytes = budget_bytes
        self._stop = stop or threading.Event()
        self._lock_file = (directory / "lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock_file.close()
            raise LockHeld("another daemon writes this relay", directory=directory) from None
        self._tail_file = TailFile(directory, create=True)
        self._signal = signal_of(directory)
        self._lock = threading.Lock()
        """Guards the list of segments, which `purge` changes from other threads."""
        self._segments: list[_Segment] = []
        self._file: BinaryIO | None = None
        self._format = b""
        self._transaction_bytes = 0
        self._transaction_events = 0
        self._tail: RelayTail | None = None
        self._last: _Point | None = None
        """End of the last complete transaction, synced or not."""
        self._published: _Point | None = None
        self._until_check = 0
        self._aside_bytes = 0
        self.over_budget = False
        """Whether appending waits (or an open transaction alone exceeds the budget)."""
        self._recover()

    # -- state

    @property
    def tail(self) -> RelayTail | None:
        """The last durable complete transaction; None for a relay that was never begun."""
        return self._tail

    @property
    def last_seq(self) -> int:
        """Number of the last complete transaction, synced or not; 0 for an empty relay."""
        return self._last.seq if self._last else 0

    @property
    def source(self) -> str:
        """Identity of the server that the stream came from, "" before `begin`."""
        return self._segments[-1].state.source if self._segments else ""

    @property
    def gtids_known(self) -> bool:
        """Whether the tail's GTID set is complete, so that the stream can be resumed by it."""
        return self._last is not None and self._last.gtids is not None

    @property
    def first_seq(self) -> int:
        """The first transaction that is wholly in the relay (it may not have ended yet); 0 for an empty relay."""
        with self._lock:
            if not self._segments:
                return 0
            state = self._segments[0].state
            return state.seq + (2 if state.open else 1)

    @property
    def size_bytes(self) -> int:
        """Size of all segments, and of what waits beside them."""
        with self._lock:
            return self._aside_bytes + sum(segment.size for segment in self._segments)

    # -- opening

    def begin(self, tail: RelayTail, source: str, *, gtids_known: bool) -> None:
        """Start an empty relay after transaction `tail.seq`. `gtids_known`: `tail.position.gtids` is complete."""
        if self._segments:
            raise CorruptRelay("the relay has been begun already", directory=self.directory)
        gtids = parse_gtids(tail.position.flavour, tail.position.gtids if gtids_known else None)
        state = SegmentState(
            relay=uuid.uuid4().hex,
            number=1,
            seq=tail.seq,
            open=False,
            source=source,
            flavour=tail.position.flavour,
            file=tail.position.coordinate.file,
            offset=tail.position.coordinate.offset,
            gtids=None if gtids is None else str(gtids),
            format="",
        )
        self._create(state)
        self._last = _Point(1, self._segments[0].size, tail.seq, tail.position.coordinate, gtids)
        self.sync()

    def change_source(self, source: str) -> None:
        """The stream goes on from another server: a new segment says so; the coordinate is unknown until `move`."""
        last = self._last
        if last is not None and source != self.source:
            self._last = replace(last, coordinate=BinlogCoordinate("", 0))
            self._roll(source)
            self.sync()

    def _recover(self) -> None:
        """Find the last complete transaction, cut what follows it. Raises CorruptRelay for damage before that."""
        relay = ""
        for number in segment_numbers(self.directory):
            path = segment_path(self.directory, number)
            found = read_state(path)
            if found is None:
                break
            state = found[0]
            if state.number != number or (relay and state.relay != relay):
                raise CorruptRelay("a segment belongs to another relay", file=path.name)
            if self._segments and number != self._segments[-1].state.number + 1:
                raise CorruptRelay("a segment is missing", before=path.name)
            relay = state.relay
            self._segments.append(_Segment(state, path.stat().st_size))
        for number in segment_numbers(self.directory):
            if not self._segments or number > self._segments[-1].state.number:
                log.warning("relay.torn_segment_removed", segment=number)
                segment_path(self.directory, number).unlink()
        if not self._segments:
            return
        for segment in reversed(self._segments):
            point = self._last_point(segment)
            if point is not None:
                break
        else:
            raise CorruptRelay("the relay has no beginning", directory=self.directory)
        self._cut(point)
        self._last = point
        self.sync(force=True)

    def _last_point(self, segment: _Segment) -> _Point | None:
        """Where the last complete transaction of a segment ends, None when the segment lies inside one transaction."""
        state = segment.state
        gtids = parse_gtids(state.flavour, state.gtids)
        coordinate = BinlogCoordinate(state.file, state.offset)
        point: _Point | None = None
        inside = state.open
        seq = state.seq
        with segment_path(self.directory, state.number).open("rb", buffering=_BUFFER) as file:
            for kind, payload, offset in read_records(file, len(MAGIC)):
                if kind in EVENTS:
                    inside = True
                elif kind == RecordKind.END:
                    end = decode_end(payload)
                    coordinate, seq, inside = BinlogCoordinate(coordinate.file, end.offset), end.seq, False
                    if gtids is not None and end.gtid:
                        gtids = gtids.add(end.gtid)
                elif kind == RecordKind.FILE:
                    coordinate = decode_file(payload)
                elif kind == RecordKind.FORMAT:
                    self._format = payload
                elif kind == RecordKind.STATE:
                    self._format = bytes.fromhex(state.format)
                if not inside:
                    point = _Point(state.number, offset, seq, coordinate, gtids)
        return point

    def _cut(self, point: _Point) -> None:
        """Remove everything after a point and go on writing there."""
        if self._file is not None:
            self._file.close()
        with self._lock:
            removed = [segment for segment in self._segments if segment.state.number > point.segment]
            self._segments = [segment for segment in self._segments if segment.state.number <= point.segment]
            self._segments[-1].size = point.offset
        for segment in reversed(removed):
            segment_path(self.directory, segment.state.number).unlink()
        path = segment_path(self.directory, point.segment)
        self._file = path.open("r+b", buffering=_BUFFER)
        self._file.truncate(point.offset)
        self._file.seek(point.offset)
        if removed:
            fsync_directory(self.directory)
        self._transaction_bytes = self._transaction_events = 0

    def _create(self, state: SegmentState) -> None:
        payload = state.encode()
        path = segment_path(self.directory, state.number)
        self._file = path.open("w+b", buffering=_BUFFER)
        self._file.write(MAGIC + record(RecordKind.STATE, payload) + payload)
        self._file.flush()
        os.fsync(self._file.fileno())
        fsync_directory(self.directory)
        with self._lock:
            self._segments.append(_Segment(state, self._file.tell()))

    def _roll(self, source: str | None = None) -> None:
        """Make the segment durable and begin the next."""
        last = self._last
        assert self._file is not None and last is not None
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._file.close()
        before = self._segments[-1].state
        self._create(
            SegmentState(
                relay=before.relay,
                number=before.number + 1,
                seq=last.seq,
                open=self._transaction_events > 0,
                source=before.source if source is None else source,
                flavour=before.flavour,
                file=last.coordinate.file,
                offset=last.coordinate.offset,
                gtids=None if last.gtids is None else str(last.gtids),
                format=self._format.hex(),
            )
        )
        if not self._transaction_events:
            self._mark_here()

    # -- appending

    def _write(self, kind: int, payload: bytes | memoryview) -> None:
        segment = self._segments[-1]
        if segment.size >= self._segment_bytes:
            self._roll()
            segment = self._segments[-1]
        file = self._file
        assert file is not None
        file.write(record(kind, payload))
        file.write(payload)
        segment.size += RECORD.size + len(payload)

    def _mark_here(self, coordinate: BinlogCoordinate | None = None) -> None:
        last = self._last
        assert last is not None
        segment = self._segments[-1]
        self._last = _Point(segment.state.number, segment.size, last.seq, coordinate or last.coordinate, last.gtids)

    def set_format(self, raw: bytes) -> None:
        """Keep a FORMAT_DESCRIPTION event: it holds for the events that follow. Not inside a transaction."""
        if raw != self._format:
            self._format = raw
            self._write(RecordKind.FORMAT, raw)
            self._mark_here()

    def move(self, coordinate: BinlogCoordinate) -> None:
        """Nothing is missing up to `coordinate`. Only a change of file is written; not inside a transaction."""
        last = self._last
        assert last is not None
        if coordinate.file != last.coordinate.file:
            self._write(RecordKind.FILE, encode_file(coordinate))
            self._mark_here(coordinate)
        elif coordinate.offset > last.coordinate.offset:
            self._last = _Point(last.segment, last.offset, last.seq, coordinate, last.gtids)

    def append_event(self, raw: bytes | memoryview, file: str) -> None:
        """Append an event of binlog file `file`, or its first part. Waits while the relay is over its budget."""
        self._append(RecordKind.EVENT, raw, 1, file)

    def append_run(self, raw: bytes, count: int, file: str) -> None:
        """Append `count` whole row events and table maps. Waits while the relay is over its budget."""
        self._append(RecordKind.RUN, raw, count, file)

    def _append(self, kind: int, raw: bytes | memoryview, count: int, file: str) -> None:
        if self._last is None or file != self._last.coordinate.file:
            raise CorruptRelay("an event of a file that was not announced", file=file)
        self._wait_for_budget(len(raw))
        self._write(kind, raw)
        self._transaction_events += count
        self._transaction_bytes += len(raw)

    def append_part(self, raw: bytes | memoryview) -> None:
        """Append more of the last event."""
        self._wait_for_budget(len(raw))
        self._write(RecordKind.PART, raw)
        self._transaction_bytes += len(raw)

    def end_transaction(self, end: TransactionEnd) -> None:
        """End the transaction whose events were appended. It becomes visible with the next `sync`."""
        last = self._last
        assert last is not None
        if end.seq != last.seq + 1:
            raise CorruptRelay("transactions are out of order", got=end.seq, expected=last.seq + 1)
        self._write(RecordKind.END, encode_end(end, self._transaction_bytes, self._transaction_events))
        gtids = last.gtids.add(end.gtid) if last.gtids is not None and end.gtid else last.gtids
        segment = self._segments[-1]
        self._last = _Point(segment.state.number, segment.size, end.seq, end.coordinate, gtids)
        self._transaction_bytes = self._transaction_events = 0

    def discard_open(self) -> None:
        """Drop the events since the last complete transaction, wherever they are; sync the rest."""
        if self._last is None:
            return
        if self._file is not None:
            self._file.flush()
        if self._transaction_events:
            self._cut(self._last)
        self.sync()

    def sync(self, *, force: bool = False) -> None:
        """Make complete transactions durable and publish them. Does nothing when there is nothing new."""
        last = self._last
        if last is None or (last is self._published and not force):
            return
        assert self._file is not None
        before = self._published
        if force or before is None or (before.segment, before.offset) != (last.segment, last.offset):
            self._file.flush()
            os.fdatasync(self._file.fileno())
        state = self._segments[-1].state
        position = Position(state.flavour, last.coordinate, "" if last.gtids is None else str(last.gtids))
        tail = RelayTail(last.seq, position)
        self._tail_file.publish(TailMark(state.relay, tail, last.segment, last.offset))
        # Readers go by the file: whoever is told of a tail must find it there.
        self._tail = tail
        self._published = last
        self._signal.notify()

    # -- space

    def count_aside(self, change: int) -> None:
        """Files beside the segments grow or shrink by so many bytes. Waits as an append does before they grow."""
        if change > 0:
            self._wait_for_budget(change)
        with self._lock:
            self._aside_bytes += change

    def _wait_for_budget(self, size: int) -> None:
        self._until_check -= size
        if self._until_check > 0:
            return
        self._until_check = _BUDGET_CHECK_BYTES
        if self.size_bytes < self._budget_bytes:
            self.over_budget = False
            return
        if not self.over_budget:
            log.warning("relay.over_budget", budget_bytes=self._budget_bytes)
        self.over_budget = True
        self.sync()
        while (
            self.size_bytes >= self._budget_bytes and not self._only_open_left() and not self._stop.wait(_BUDGET_POLL_S)
        ):
            pass
        self.over_budget = self.size_bytes >= self._budget_bytes

    def _only_open_left(self) -> bool:
        """Whether no segment could ever be purged before the open transaction ends: then waiting would be for ever."""
        done = self._last.seq if self._last else 0
        with self._lock:
            return len(self._segments) < 2 or (self._segments[1].state.open and self._segments[1].state.seq == done)

    def purge(self, before_seq: int) -> int:
        """Delete segments that hold only transactions before `before_seq`; returns the bytes freed. Any thread."""
        freed = 0
        tail = self._tail
        before_seq = min(before_seq, tail.seq + 1) if tail else 0
        with self._lock:
            while len(self._segments) > 1:
                following = self._segments[1].state
                if following.seq + (1 if following.open else 0) >= before_seq:
                    break
                oldest = self._segments.pop(0)
                segment_path(self.directory, oldest.state.number).unlink()
                freed += oldest.size
        if freed:
            fsync_directory(self.directory)
        return freed

    def close(self) -> None:
        """Sync complete transactions and let go of the directory."""
        if self._lock_file.closed:
            return
        try:
            self.discard_open()
            if self._file is not None:
                self._file.close()
        finally:
            self._tail_file.close()
            self._lock_file.close()
