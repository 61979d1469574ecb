"""Packets, events, offsets beyond 4 GiB and transaction boundaries, from hand-made bytes over a socket pair."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ConnectionLost, CorruptEvent, CrossfadeError, PositionPurged, SourceError, UnknownEvent
from model.gtid import GtidSet
from model.position import BinlogCoordinate
from sync.mysql.dump import ServerIdClash, encode_gtid_set, refusal
from sync.mysql.event_types import EventType
from sync.mysql.events import EventHeader, parse_header, parse_previous_gtids
from sync.mysql.framing import PacketStream
from sync.mysql.stream import EventStream, end_offset
from sync.mysql.transactions import Boundary, TransactionTracker
from tests.unit.sync.binlog_bytes import (
    SERVER_UUID,
    event,
    format_description,
    gtid,
    mariadb_gtid,
    packets,
    query,
    rotate,
    xid,
)

START = BinlogCoordinate("bin.000001", 4)


class Wire:
    """A stream fed by the test."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        self.stop = threading.Event()
        self.packets = PacketStream(theirs, 0.5, self.stop)
        self.stream = EventStream(self.packets, START, "source test")

    def send(self, data: bytes) -> None:
        """Send without waiting for the other side to read."""
        threading.Thread(target=self._ours.sendall, args=(data,), daemon=True).start()

    def end(self) -> None:
        """Close the sending side."""
        self._ours.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A fresh stream."""
    made = Wire()
    yield made
    made.end()


def test_events_and_coordinates(wire: Wire) -> None:
    wire.send(packets(rotate("bin.000007", 4, crc=False), format_description(), xid(log_pos=500), rotate("bin.000008")))
    seen = []
    for _ in range(4):
        assert wire.stream.next_event() is not None
        seen.append(str(wire.stream.coordinate))
    assert seen == ["bin.000007:4", "bin.000007:4", "bin.000007:500", "bin.000008:4"]


def test_checksums_follow_the_format(wire: Wire) -> None:
    bad = xid()[:-1] + b"\0"
    wire.send(packets(format_description(crc=False), xid(crc=False), format_description(crc=True), xid(), bad))
    for _ in range(4):
        assert wire.stream.next_event() is not None
    with pytest.raises(CorruptEvent, match="checksum"):
        wire.stream.next_event()


@pytest.mark.parametrize("size", [1 << 19, (1 << 24) - 20 - 4, (1 << 24) - 24 - 1, (1 << 24) + 5, 40_000_000])
def test_long_event_comes_in_pieces(wire: Wire, size: int) -> None:
    raw = event(EventType.WRITE_ROWS_V2, bytes(size))
    wire.send(packets(format_description(), raw, xid()))
    wire.stream.next_event()
    found = wire.stream.next_event()
    assert found is not None
    header, first = found
    assert header.size == len(raw) and wire.stream.in_pieces
    total = len(first)
    for piece in wire.stream.pieces(header):
        assert piece is not None and len(piece) <= 1 << 20
        total += len(piece)
    assert total == len(raw)
    following = wire.stream.next_event()
    assert following is not None and following[0].type == EventType.XID


def test_long_event_with_a_wrong_checksum(wire: Wire) -> None:
    raw = bytearray(event(EventType.WRITE_ROWS_V2, bytes(3_000_000)))
    raw[2_000_000] ^= 1
    wire.send(packets(format_description(), bytes(raw)))
    wire.stream.next_event()
    found = wire.stream.next_event()
    assert found is not None
    with pytest.raises(CorruptEvent, match="checksum"):
        list(wire.stream.pieces(found[0]))


def test_silence_and_end(wire: Wire) -> None:
    with pytest.raises(ConnectionLost, match="silent"):
        wire.stream.next_event()
    wire.send(packets(xid())[:10])
    with pytest.raises(ConnectionLost, match="silent"):
        wire.stream.next_event()
    wire.end()
    with pytest.raises(ConnectionLost, match="closed"):
        wire.stream.next_event()


def test_stop_while_waiting(wire: Wire) -> None:
    wire.stop.set()
    assert wire.stream.next_event() is None


@given(st.integers(4, 1 << 40), st.lists(st.tuples(st.integers(19, 1 << 31), st.integers(0, 1 << 30)), max_size=20))
def test_offsets_beyond_four_gigabytes(offset: int, steps: list[tuple[int, int]]) -> None:
    """The lower 32 bits suffice as long as gaps between events are shorter than 4 GiB."""
    for size, gap in steps:
        truth = offset + gap + size
        header = EventHeader(0, EventType.XID, 1, size, truth & 0xFFFFFFFF, 0)
        if gap == 0 or header.log_pos != 0:
            offset = end_offset(offset, header)
            assert offset == truth


def test_offset_without_log_pos_is_counted() -> None:
    assert end_offset((1 << 32) - 10, EventHeader(0, 30, 1, 50, 0, 0)) == (1 << 32) + 40


def boundaries(*events: bytes) -> tuple[list[str], TransactionTracker]:
    tracker = TransactionTracker()
    found = []
    for raw in events:
        header = parse_header(raw)
        boundary = tracker.feed(header, raw[19:-4])
        found.append(boundary.value)
        if boundary is Boundary.END and raw is not events[-1]:
            tracker.reset()
    return found, tracker


ROWS = event(EventType.WRITE_ROWS_V2, b"")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([gtid(1), query("BEGIN"), ROWS, xid()], "inside inside inside end"),
        ([gtid(1), query("CREATE TABLE t (a INT)"), gtid(2)], "inside end inside"),
        ([query("BEGIN"), ROWS, query("COMMIT")], "inside inside end"),
        ([query("DROP TABLE t"), query("BEGIN"), query("INSERT INTO t"), xid()], "end inside inside end"),
        ([query("BEGIN"), query("SAVEPOINT a"), query("ROLLBACK TO a"), xid()], "inside inside inside end"),
        ([gtid(1), query("XA START X'78',X'',1"), ROWS, query("XA END X'78',X'',1"), event(38, bytes(13))],
         "inside inside inside inside end"),
        ([gtid(1), query("XA COMMIT X'78',X'',1")], "inside end"),
        ([mariadb_gtid(1, 0), ROWS, xid()], "inside inside end"),
        ([mariadb_gtid(1, 0), query("CREATE TABLE c (a INT)"), ROWS, query("COMMIT")], "inside inside inside end"),
        ([mariadb_gtid(1, 1 | 32), query("CREATE TABLE c (a INT)")], "inside end"),
        ([mariadb_gtid(1, 0), query("INSERT INTO t VALUES (1)"), query("ROLLBACK")], "inside inside end"),
        ([gtid(1), event(EventType.TRANSACTION_PAYLOAD, b"")], "inside end"),
        ([event(EventType.INTVAR, bytes(9)), query("INSERT INTO m VALUES (1)")], "inside end"),
        ([gtid(1), query("# Dummy event replacing event type 160 that slave cannot handle."), query("BEGIN"), xid()],
         "inside dummy inside end"),
        ([gtid(1), query("BEGIN"), ROWS, gtid(2)], "inside inside inside next"),
    ],
)  # fmt: skip
def test_boundaries(events: list[bytes], expected: str) -> None:
    assert " ".join(boundaries(*events)[0]) == expected


def test_rollback_is_marked_and_unknown_dummy_refused() -> None:
    assert boundaries(query("BEGIN"), ROWS, query("ROLLBACK"))[1].rolled_back
    assert not boundaries(query("BEGIN"), ROWS, query("COMMIT"))[1].rolled_back
    with pytest.raises(UnknownEvent):
        boundaries(query("# Dummy event replacing event type 172 that slave cannot handle."))


@pytest.mark.parametrize(
    ("errno", "text", "kind", "transient"),
    [
        (1236, "Could not find first log file name in binary log index file", PositionPurged, False),
        (1236, "Cannot replicate because the source purged required binary logs. Replicate …", PositionPurged, False),
        (1236, "Could not find GTID state requested by slave in any binlog files. Probably …", PositionPurged, False),
        (1236, "A replica with the same server_uuid/server_id as this replica has connected", ServerIdClash, True),
        (1236, "Client requested source to start replication from position > file size", SourceError, False),
        (1236, "log event entry exceeded max_allowed_packet; Increase max_allowed_packet", SourceError, False),
        (1236, "Slave has more GTIDs than the master has, using the master's SERVER_UUID", SourceError, False),
        (1053, "Server shutdown in progress", ConnectionLost, True),
        (1236, "something new", SourceError, False),
    ],
)
def test_refusals(errno: int, text: str, kind: type[CrossfadeError], transient: bool) -> None:
    error = refusal(errno, text, "source s")
    assert type(error) is kind and error.transient is transient and error.hint


PLAIN = f"{SERVER_UUID}:1-5:8"


@pytest.mark.parametrize("text", ["", PLAIN, f"{PLAIN},{SERVER_UUID}:blue:2"])
def test_gtid_set_encoding_is_what_previous_gtids_hold(text: str) -> None:
    gtids = GtidSet.parse(text)
    assert GtidSet.parse(parse_previous_gtids(encode_gtid_set(gtids))) == gtids
    assert len(encode_gtid_set(GtidSet())) == struct.calcsize("<Q")
