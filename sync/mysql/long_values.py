"""Values of a row event that are too long to be written into its line: they stay in the event until COPY asks for them.

So a row of 64 MB is in memory once, not once more as text (twice as long when it is bytes).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from sync.mysql.sink import copy_escaped

LONG_BYTES = 1 << 24
"""Values of at least this size stay in the event."""
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LongValue:
    """A value of an event that was found to be good, and its place in the line without it."""

    at: int
    body: bytes
    start: int
    length: int
    binary: bool
    r"""Written as `\x` and hexadecimal digits, not as text."""

    def blocks(self) -> Iterator[bytes]:
        """The value as COPY text, piece by piece."""
        if self.binary:
            yield rb"\\x"
        for start in range(self.start, self.start + self.length, PIECE_BYTES):
            piece = self.body[start : min(start + PIECE_BYTES, self.start + self.length)]
            yield piece.hex().encode() if self.binary else copy_escaped(piece)


@dataclass(frozen=True, slots=True, eq=False)
class LongLine:
    """A line of COPY with long values that are made when it is written."""

    text: bytes
    """The line without them."""
    values: tuple[LongValue, ...]

    def __len__(self) -> int:
        """Bytes of memory that it holds."""
        return len(self.text) + sum(value.length for value in self.values)

    def blocks(self) -> Iterator[bytes]:
        """The line, piece by piece."""
        done = 0
        for value in self.values:
            yield self.text[done : value.at]
            yield from value.blocks()
            done = value.at
        yield self.text[done:]


Line: TypeAlias = bytes | LongLine
"""A row as COPY's text format has it, without its newline."""
