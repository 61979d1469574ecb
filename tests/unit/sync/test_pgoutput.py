"""The decoder of logical replication messages: every kind, cut at every byte, and what is not known."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.postgres.pgoutput import (
    EPOCH_2000,
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    MalformedMessage,
    Origin,
    Relation,
    RelationColumn,
    Truncate,
    Type,
    Update,
    Value,
    decode,
    lsn_text,
    parse_lsn,
)


def tuple_of(*values: Value) -> bytes:
    """A tuple as the server writes it."""
    data = struct.pack(">H", len(values))
    for value in values:
        if value is None:
            data += b"n"
        elif isinstance(value, bytes):
            data += b"t" + struct.pack(">I", len(value)) + value
        else:
            data += b"u"
    return data


ROW = (b"1", None, UNCHANGED, b"")
MESSAGES = [
    (b"B" + struct.pack(">QqI", 0x1_0000_0002, 1_500_000, 77), Begin(0x1_0000_0002, EPOCH_2000 + 1.5, 77)),
    (b"C" + struct.pack(">BQQq", 0, 5, 9, -2_000_000), Commit(5, 9, EPOCH_2000 - 2.0)),
    (b"O" + struct.pack(">Q", 3) + b"there\0", Origin(3, "there")),
    (
        b"R" + struct.pack(">I", 16400) + b"shop\0items\0f" + struct.pack(">H", 2)
        + b"\1id\0" + struct.pack(">Ii", 23, -1) + b"\0n\xc3\xa4me\0" + struct.pack(">Ii", 1043, 24),
        Relation(
            16400, "shop", "items", "f", (RelationColumn("id", 23, -1, True), RelationColumn("näme", 1043, 24, False))
        ),
    ),
    (b"Y" + struct.pack(">I", 20000) + b"\0mood\0", Type(20000, "pg_catalog", "mood")),
    (b"I" + struct.pack(">I", 16400) + b"N" + tuple_of(*ROW), Insert(16400, ROW)),
    (b"U" + struct.pack(">I", 16400) + b"N" + tuple_of(*ROW), Update(16400, None, False, ROW)),
    (
        b"U" + struct.pack(">I", 16400) + b"O" + tuple_of(b"0", b"x") + b"N" + tuple_of(b"1", UNCHANGED),
        Update(16400, (b"0", b"x"), True, (b"1", UNCHANGED)),
    ),
    (
        b"U" + struct.pack(">I", 16400) + b"K" + tuple_of(b"0", None) + b"N" + tuple_of(b"1", b"y"),
        Update(16400, (b"0", None), False, (b"1", b"y")),
    ),
    (b"D" + struct.pack(">I", 16400) + b"O" + tuple_of(b"0", b"x"), Delete(16400, (b"0", b"x"), True)),
    (b"D" + struct.pack(">I", 16400) + b"K" + tuple_of(b"0", None), Delete(16400, (b"0", None), False)),
    (b"T" + struct.pack(">IBII", 2, 3, 16400, 16401), Truncate((16400, 16401), True, True)),
    (
        b"M" + struct.pack(">BQ", 1, 12) + b"crossfade.ping\0" + struct.pack(">I", 3) + b"a\0b",
        LogicalMessage(True, 12, "crossfade.ping", b"a\0b"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), MESSAGES, ids=[type(message).__name__ for _, message in MESSAGES])
def test_each_message_and_each_way_to_cut_it(data: bytes, message: object) -> None:
    assert decode(data) == message
    for size in range(len(data)):
        with pytest.raises(MalformedMessage):
            decode(data[:size])
    with pytest.raises(MalformedMessage):
        decode(data + b"\0")


STRANGE = (b"", b"S\0\0", b"Xyz", b"I\0\0\0\1K\0\0", b"D\0\0\0\1N\0\0", b"I\0\0\0\1N\0\1b\0\0\0\0")


@pytest.mark.parametrize("data", STRANGE)
def test_what_is_not_known_stops(data: bytes) -> None:
    """Streamed transactions, prepared ones, binary values: none of them was asked for."""
    with pytest.raises(MalformedMessage):
        decode(data)


@given(st.lists(st.one_of(st.binary(max_size=300), st.none(), st.just(UNCHANGED)), max_size=40))
def test_any_row(values: list[Value]) -> None:
    message = decode(b"I\0\0\0\7N" + tuple_of(*values))
    assert message == Insert(7, tuple(values))


@given(st.integers(0, 2**64 - 1))
def test_positions(lsn: int) -> None:
    assert parse_lsn(lsn_text(lsn)) == lsn


def test_a_position_as_the_server_writes_it() -> None:
    assert parse_lsn("16/B374D848") == 0x16B374D848
    with pytest.raises(ValueError):
        parse_lsn("16B374D848")
