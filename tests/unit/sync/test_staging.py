"""The COPY text format, read back by a reader of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model.rows import Field, Row
from sync.postgres.staging import BLOCK_BYTES, copy_blocks, copy_line

fields = st.none() | st.binary(max_size=20) | st.sampled_from([b"\\N", b"\\", b"\t", b"\r\n", b"", b"\\x00ff"])


def parsed(text: bytes) -> list[Row]:
    """COPY text format as PostgreSQL's manual tells it."""
    names = {ord("t"): b"\t", ord("n"): b"\n", ord("r"): b"\r", ord("\\"): b"\\"}

    def field(raw: bytes) -> Field:
        if raw == b"\\N":
            return None
        out, index = b"", 0
        while index < len(raw):
            if raw[index] == ord("\\"):
                out += names[raw[index + 1]]
                index += 2
            else:
                out += raw[index : index + 1]
                index += 1
        return out

    return [tuple(field(raw) for raw in line.split(b"\t")) for line in text.split(b"\n")[:-1]]


@given(st.lists(st.lists(fields, min_size=2, max_size=2).map(tuple), max_size=10))
def test_what_is_written_is_read_back(rows: list[Row]) -> None:
    assert parsed(b"".join(copy_blocks(rows))) == rows
    assert parsed(b"".join(map(copy_line, rows))) == rows


def test_blocks_are_bounded() -> None:
    row: Row = (b"x" * 1000,)
    blocks = list(copy_blocks([row] * 200))
    assert len(blocks) > 2
    assert max(map(len, blocks)) < BLOCK_BYTES + 1100
