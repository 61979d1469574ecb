from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ConnectionLost, CrossfadeError, ValueRefused
from model.rows import Field, Row
from sync.mysql.snapshot import ChunkRows, RawBlock, RawRow, _blocks
from sync.mysql.textform import as_is

EOF = b"\x05\x00\x00\x09\xfe\x00\x00\x02\x00"


def length_encoded(value: bytes | None) -> bytes:
    if value is None:
        return b"\xfb"
    size = len(value)
    if size < 251:
        return bytes([size]) + value
    if size < 1 << 16:
        return b"\xfc" + size.to_bytes(2, "little") + value
    return b"\xfd" + size.to_bytes(3, "little") + value


def packets(row: list[bytes | None], largest: int = 0xFFFFFF) -> bytes:
    body = b"".join(length_encoded(value) for value in row)
    framed = b""
    while True:
        part, body = body[:largest], body[largest:]
        framed += len(part).to_bytes(3, "little") + b"\x00" + part
        if len(part) < largest:
            return framed


def receiver(data: bytes, step: int) -> Callable[[int], bytes]:
    left = memoryview(data)

    def receive(size: int) -> bytes:
        nonlocal left
        part, left = left[: min(step, size)], left[min(step, size) :]
        return bytes(part)

    return receive


def parsed(data: bytes, step: int, block_bytes: int = 600) -> list[RawRow]:
    return [row for block in _blocks(receiver(data, step), block_bytes) for row in block.rows()]


def blocks(*rows: list[bytes | None], block_bytes: int = 1) -> Iterator[RawBlock]:
    return _blocks(receiver(b"".join(packets(row) for row in rows) + EOF, 1000), block_bytes)


values = st.one_of(st.none(), st.binary(max_size=20), st.binary(min_size=250, max_size=300))


@given(st.lists(st.lists(values, min_size=1, max_size=5), max_size=10), st.integers(1, 700))
def test_rows_come_out_whatever_the_pieces_they_arrive_in(rows: list[list[bytes | None]], step: int) -> None:
    data = b"".join(packets(row) for row in rows) + EOF
    assert parsed(data, step) == rows


def test_a_row_of_more_than_one_packet() -> None:
    row: list[bytes | None] = [b"a" * 100_000, None, b"b" * ((1 << 24) - 1 - 100_004 - 1 - 4 + 5)]
    data = packets(row) + packets([b"next"]) + EOF
    assert parsed(data, 1 << 20) == [row, [b"next"]]


def test_a_value_that_begins_like_an_end_is_no_end() -> None:
    # 0xFE as the first byte announces eight bytes of length; only a short packet is the end.
    body = b"\xfe" + (10).to_bytes(8, "little") + b"x" * 10
    data = len(body).to_bytes(3, "little") + b"\x00" + body + EOF
    assert parsed(data, 1000) == [[b"x" * 10]]


def test_an_end_of_the_connection_is_no_end_of_the_rows() -> None:
    with pytest.raises(ConnectionLost):
        parsed(packets([b"a"]), 1000)


def test_an_error_in_the_middle_is_raised() -> None:
    error = b"\xff" + (1317).to_bytes(2, "little") + b"#70100Query execution was interrupted"
    data = packets([b"a"]) + len(error).to_bytes(3, "little") + b"\x00" + error
    with pytest.raises(CrossfadeError, match="interrupted"):
        parsed(data, 1000)


class TestChunkRows:
    def test_the_last_key_is_that_of_the_last_row(self) -> None:
        rows = ChunkRows(blocks([b"1", b"a", b"1"], [b"2", None, b"2"]), (as_is, as_is), 1)
        assert list(rows) == [(b"1", b"a"), (b"2", None)]
        assert (rows.count, rows.last) == (2, ("2",))

    def test_a_row_without_a_text_form_is_handed_over_and_the_rest_goes_on(self) -> None:
        def picky(value: bytes | None) -> Field:
            if value == b"bad":
                raise ValueRefused("no")
            return value

        refused: list[Row] = []
        rows = ChunkRows(blocks([b"1", b"bad", b"1"], [b"2", b"ok", b"2"], [b"3", b"bad", b"3"]), (as_is, picky), 1)
        rows.on_refusal(lambda row, error: refused.append(row))
        assert list(rows) == [(b"2", b"ok")]
        assert refused == [(b"1", b"\\x626164"), (b"3", b"\\x626164")]
        assert (rows.count, rows.last) == (3, ("3",))
