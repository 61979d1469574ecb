"""Reads the relay up to its durable tail, from this or another process, beside the writer and without locks.

Finds a transaction by the state at the start of each segment and a sparse index kept in memory. Never writes.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from model.errors import PositionPurged
from model.position import BinlogCoordinate
from sync.relay.records import (
    EVENTS,
    CorruptRelay,
    EndRecord,
    RecordKind,
    SegmentState,
    decode_end,
    decode_file,
    read_records,
    read_state,
    segment_numbers,
    segment_path,
)
from sync.relay.tail import TailFile, TailMark, signal_of
from sync.relay.transaction import Pieces, RelayTransaction
from sync.relay.values import AnyGtidSet, RelayTail, parse_gtids

_BUFFER: Final = 1 << 20
_IN_MEMORY_BYTES: Final = 1 << 20
"""A transaction up to this size is kept from the search for its end; a larger one is read twice."""
_INDEX_BYTES: Final = 1 << 20
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the records after transaction `seq` begin, and what holds there."""

    seq: int
    segment: int
    offset: int
    file: str
    gtids: AnyGtidSet | None
    format_event: bytes


class RelayReader:
    """Reads the relay in `directory`. Several may read at once, each for one thread."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._signal = signal_of(directory)
        self._tail_file: TailFile | None = None
        self._states: dict[int, tuple[SegmentState, int]] = {}
        self._index: list[_Place] = []
        self._last: _Place | None = None
        self._interrupted = False

    def _mark(self) -> TailMark | None:
        if self._tail_file is None:
            try:
                self._tail_file = TailFile(self.directory, create=False)
            except FileNotFoundError:
                return None
        return self._tail_file.read()

    @property
    def tail(self) -> RelayTail | None:
        """The durable tail now; None before the relay was begun."""
        mark = self._mark()
        return mark.tail if mark else None

    @property
    def first_seq(self) -> int:
        """The first transaction that can still be read (or will be, once it has ended); 0 for an empty relay."""
        for number in segment_numbers(self.directory):
            found = self._state(number)
            if found:
                return found[0].seq + (2 if found[0].open else 1)
        return 0

    def wait(self, after_seq: int, timeout_s: float) -> bool:
        """Wait until a transaction after `after_seq` is durable; False when the time passed, or after `interrupt`."""
        deadline = time.monotonic() + timeout_s
        while True:
            seen = self._signal.number
            mark = self._mark()
            if mark is not None and mark.tail.seq > after_seq:
                return True
            left = deadline - time.monotonic()
            if left <= 0 or self._interrupted:
                self._interrupted = False
                return False
            self._signal.wait(seen, min(left, _POLL_S))

    def interrupt(self) -> None:
        """From any thread: the wait under way ends at once, or the next one does."""
        self._interrupted = True
        self._signal.notify()

    def transactions(self, after_seq: int) -> Iterator[RelayTransaction]:
        """Yield the durable transactions after `after_seq` in order, and end at the tail as it is then.

        Raises PositionPurged when the relay no longer holds the first of them, CorruptRelay for damaged files.
        """
        mark = self._mark()
        if mark is None or mark.tail.seq <= after_seq:
            return
        place = self._forward(self._place(after_seq), after_seq, mark)
        while place.seq < mark.tail.seq:
            for transaction, following in self._scan(place, mark):
                place = following
                self._remember(place)
                yield transaction
            mark = self._mark() or mark

    def close(self) -> None:
        """Close the tail file."""
        if self._tail_file is not None:
            self._tail_file.close()
            self._tail_file = None

    # -- finding

    def _state(self, number: int) -> tuple[SegmentState, int] | None:
        found = self._states.get(number)
        if found is None:
            mark = self._mark()
            try:
                found = read_state(segment_path(self.directory, number))
            except FileNotFoundError:
                return None
            # A segment after the durable tail may be removed by the writer and made again with another beginning.
            if found is not None and mark is not None and number <= mark.segment:
                self._states[number] = found
        return found

    def _remember(self, place: _Place) -> None:
        self._last = place
        index = self._index
        if not index or place.seq > index[-1].seq:
            before = index[-1] if index else None
            if before is None or before.segment != place.segment or place.offset - before.offset >= _INDEX_BYTES:
                index.append(place)

    def _place(self, after_seq: int) -> _Place:
        """The nearest known place at or before the start of transaction `after_seq + 1`."""
        numbers = segment_numbers(self.directory)
        oldest = numbers[0] if numbers else 0
        candidates = []
        if self._last is not None and self._last.seq <= after_seq:
            candidates.append(self._last)
        if position := bisect.bisect_right(self._index, after_seq, key=lambda place: place.seq):
            candidates.append(self._index[position - 1])
        candidates = [place for place in candidates if place.segment >= oldest]
        for number in reversed(numbers):
            found = self._state(number)
            if found is None:
                continue
            state, offset = found
            if state.seq + (1 if state.open else 0) <= after_seq:
                gtids = parse_gtids(state.flavour, state.gtids)
                candidates.append(_Place(state.seq, number, offset, state.file, gtids, bytes.fromhex(state.format)))
                break
        if not candidates:
            raise PositionPurged(
                "the relay no longer holds the transactions that are needed",
                hint="Remove the relay's directory and start again: it is read anew from the lowest checkpoint.",
                first_needed=after_seq + 1,
                first_held=self.first_seq,
            )
        return max(candidates, key=lambda place: (place.segment, place.offset))

    # -- reading

    def _forward(self, place: _Place, seq: int, mark: TailMark) -> _Place:
        """The place after transaction `seq`, from one before that; the events between are not read."""
        if place.seq < seq:
            for kind, payload, segment, offset in self._records(place.segment, place.offset, mark, passing=EVENTS):
                place = self._after(place, kind, payload, segment, offset)
                if place.seq == seq:
                    self._remember(place)
                    break
        return place

    def _after(self, place: _Place, kind: int, payload: bytes, segment: int, offset: int) -> _Place:
        """The place after a record that is no event."""
        if kind == RecordKind.FILE:
            return _Place(place.seq, segment, offset, decode_file(payload).file, place.gtids, place.format_event)
        if kind == RecordKind.FORMAT:
            return _Place(place.seq, segment, offset, place.file, place.gtids, payload)
        if kind == RecordKind.END:
            end = decode_end(payload)
            if end.seq != place.seq + 1:
                raise CorruptRelay("transactions are out of order", got=end.seq, expected=place.seq + 1)
            gtids = place.gtids.add(end.gtid) if place.gtids is not None and end.gtid else place.gtids
            return _Place(end.seq, segment, offset, place.file, gtids, place.format_event)
        return place

    def _records(
        self, segment: int, offset: int, mark: TailMark, passing: frozenset[int] = frozenset()
    ) -> Iterator[tuple[int, bytes, int, int]]:
        """Yield (kind, payload, segment, offset after it) from a place to the tail.

        `passing`: see `read_records`.
        """
        while True:
            path = segment_path(self.directory, segment)
            limit = mark.offset if segment == mark.segment else None
            try:
                file = path.open("rb", buffering=_BUFFER)
            except FileNotFoundError:
                raise PositionPurged("the relay was purged while it was read", segment=path.name) from None
            with file:
                size = path.stat().st_size if limit is None else limit
                for kind, payload, after in read_records(file, offset, limit, passing):
                    offset = after
                    yield kind, payload, segment, after
            if offset != size:
                raise CorruptRelay("a relay segment is damaged", file=path.name, offset=offset)
            if segment >= mark.segment:
                return
            segment += 1
            found = self._state(segment)
            if found is None or found[0].relay != mark.relay:
                raise CorruptRelay("a relay segment is missing or of another relay", number=segment)
            offset = found[1]

    def _pieces(self, place: _Place, mark: TailMark) -> Pieces:
        for kind, payload, _, _ in self._records(place.segment, place.offset, mark):
            if kind in EVENTS:
                yield kind, payload
            elif kind == RecordKind.END:
                return

    def _scan(self, place: _Place, mark: TailMark) -> Iterator[tuple[RelayTransaction, _Place]]:
        """Yield every transaction from a place to the mark, with the place after it."""
        kept: list[tuple[int, bytes]] | None = []
        kept_bytes = 0
        for kind, payload, segment, offset in self._records(place.segment, place.offset, mark):
            if kind in EVENTS:
                if kept is not None:
                    kept.append((kind, payload))
                    kept_bytes += len(payload)
                    if kept_bytes > _IN_MEMORY_BYTES:
                        kept = None
                continue
            following = self._after(place, kind, payload, segment, offset)
            if kind == RecordKind.END:
                yield self._transaction(decode_end(payload), place, following.gtids, kept, mark), following
                kept, kept_bytes = [], 0
            place = following

    def _transaction(
        self,
        end: EndRecord,
        place: _Place,
        gtids: AnyGtidSet | None,
        kept: list[tuple[int, bytes]] | None,
        mark: TailMark,
    ) -> RelayTransaction:
        return RelayTransaction(
            seq=end.seq,
            gtid=end.gtid,
            commit_time=end.commit_time_us / 1_000_000,
            bytes=end.bytes,
            event_count=end.events,
            rolled_back=end.rolled_back,
            flavour=mark.tail.position.flavour,
            coordinate=BinlogCoordinate(place.file, end.offset),
            gtids=gtids,
            format_event=place.format_event,
            _open=partial(self._pieces, place, mark) if kept is None else partial(iter, tuple(kept)),
        )
