"""Runs of row events: cut out of the buffer as event by event would, and taken apart again."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CorruptEvent, UndecodableRow
from sync.mysql.event_run import RowEvent, Run, row_events
from sync.mysql.event_types import ROWS, EventType
from sync.mysql.events import parse_header
from sync.mysql.runs import rows_of, take_run
from sync.mysql.stream import end_offset

HEADER = struct.Struct("<IBIIIH")
INSIDE = sorted(ROWS | {EventType.TABLE_MAP})
OTHERS = [EventType.QUERY, EventType.XID, EventType.MARIADB_GTID, EventType.MARIADB_WRITE_ROWS_COMPRESSED_V1, 200]


@dataclass(frozen=True)
class Sent:
    """An event as the source sends it; `gap`: bytes of the binlog before it that were left out."""

    kind: int
    table: int = 1
    body: bytes = b""
    gap: int = 0
    silent: bool = False
    """It does not say where it is."""
    harm: str = ""

    def raw(self, offset: int, checked: bool) -> bytes:
        size = 19 + 8 + len(self.body) + (4 if checked else 0)
        after = 0 if self.silent else (offset + self.gap + size) & 0xFFFFFFFF
        flags = 0x20 if self.harm == "artificial" else 0
        stated = size + 1 if self.harm == "size" else size
        raw = (
            HEADER.pack(7, self.kind, 1, stated, after, flags) + self.table.to_bytes(6, "little") + b"\1\0" + self.body
        )
        if checked:
            checksum = zlib.crc32(raw) ^ (1 if self.harm == "checksum" else 0)
            raw += struct.pack("<I", checksum)
        return raw


def packet(raw: bytes, harm: str = "") -> bytes:
    return (len(raw) + 1).to_bytes(3, "little") + b"\5" + (b"\xff" if harm == "status" else b"\0") + raw


good = st.builds(
    Sent,
    st.sampled_from(INSIDE),
    table=st.integers(1, 3),
    body=st.binary(max_size=40),
    gap=st.sampled_from([0, 0, 50, 1 << 31]),
    silent=st.booleans(),
)
ends = st.one_of(
    st.none(),
    st.builds(Sent, st.sampled_from(OTHERS)),
    st.builds(Sent, st.sampled_from(INSIDE), harm=st.sampled_from(["artificial", "size", "status"])),
)


@given(
    st.lists(good, max_size=12), ends, st.booleans(), st.sampled_from([4, (1 << 32) - 60, 1 << 40]), st.integers(0, 30)
)
def test_a_run_is_what_event_by_event_would_give(
    events: list[Sent], other: Sent | None, checked: bool, start: int, cut: int
) -> None:
    offset, wire, expected, places = start, b"", [], [start]
    for one in events:
        raw = one.raw(offset, checked)
        header = parse_header(raw)
        offset = end_offset(offset, header)
        wire += packet(raw)
        expected.append(raw)
        places.append(offset)
    if other is not None:
        wire += packet(other.raw(offset, checked), other.harm)
    else:
        wire = wire[: len(wire) - cut]  # the last packets are not here yet
    buffer = bytearray(b"before" + wire + b"after, not received")
    after, reached, count, run = take_run(buffer, 6, 6 + len(wire), checked, start)
    whole = sum(edge <= len(wire) for edge in edges(expected))
    assert count == whole
    assert run == b"".join(expected[:count])
    assert after == 6 + ([0, *edges(expected)][count])
    assert reached == places[count]


def edges(raws: list[bytes]) -> list[int]:
    """Where the packet of each event ends."""
    return [sum(len(raw) + 5 for raw in raws[: number + 1]) for number in range(len(raws))]


def test_a_wrong_checksum_ends_a_run() -> None:
    raws = [Sent(EventType.TABLE_MAP).raw(4, True), Sent(EventType.WRITE_ROWS_V2, harm="checksum").raw(31, True)]
    wire = bytearray(b"".join(map(packet, raws)))
    after, _, count, run = take_run(wire, 0, len(wire), True, 4)
    assert (after, count, run) == (len(raws[0]) + 5, 1, raws[0])
    assert take_run(wire, 0, len(wire), False, 4)[2] == 2


def test_a_run_has_an_end() -> None:
    raw = packet(Sent(EventType.WRITE_ROWS_V2, body=bytes(50_000)).raw(4, True))
    wire = bytearray(raw * 12)
    after, _, count, run = take_run(wire, 0, len(wire), True, 4)
    assert count == 5 and after == 5 * len(raw) and len(run) <= 1 << 18
    long = bytearray(packet(Sent(EventType.WRITE_ROWS_V2, body=bytes(1 << 18)).raw(4, True)))
    assert take_run(long, 0, len(long), True, 4)[2] == 0


@given(st.lists(good, max_size=12), st.booleans())
def test_a_run_taken_apart(events: list[Sent], checked: bool) -> None:
    events = [Sent(EventType.TABLE_MAP, table, b"first") for table in (1, 2, 3)] + events
    raws = [one.raw(4, checked) for one in events]
    run = Run(b"".join(raws), 4 if checked else 0)
    one_by_one = list(run.events())
    assert [header.type for header, _ in one_by_one] == [one.kind for one in events]
    assert [body[8:] for _, body in one_by_one] == [one.body for one in events]
    maps: dict[int, bytes] = {}
    singly: dict[int, bytes] = {}
    expected = [found for part in one_by_one for found in row_events(part, singly)]
    assert row_events(run, maps) == expected
    assert maps == singly
    assert all(isinstance(found, RowEvent) for found in expected)


@given(st.lists(good, min_size=1, max_size=6), st.data())
def test_damage_is_named(events: list[Sent], data: st.DataObject) -> None:
    raws = [Sent(EventType.TABLE_MAP, table).raw(4, True) for table in (1, 2, 3)]
    raws += [one.raw(4, True) for one in events]
    whole = {sum(map(len, raws[:number])) for number in range(len(raws) + 1)}
    run = b"".join(raws)
    cut = data.draw(st.integers(1, len(run) - 1).filter(lambda at: at not in whole))
    with pytest.raises(CorruptEvent):
        rows_of(run[:cut], 4, {})


def test_rows_without_a_map() -> None:
    with pytest.raises(UndecodableRow, match="no table map"):
        rows_of(Sent(EventType.WRITE_ROWS_V2, table=9).raw(4, True), 4, {1: b"x"})
    known = rows_of(Sent(EventType.WRITE_ROWS_V2, table=9).raw(4, True), 4, {9: b"x"})
    assert [found[0] for found in known] == [b"x"]
