"""A cursor over bytes for the encodings of MySQL's protocol: fixed and length-encoded integers, varlen integers.

Only reads; running off the end raises CorruptEvent, never IndexError.
"""

from __future__ import annotations

from typing import Final

from model.errors import CorruptEvent

_LENENC_WIDTHS: Final = {0xFC: 2, 0xFD: 3, 0xFE: 8}


class Cursor:
    """Reads forward through a buffer between `start` and `end`."""

    __slots__ = ("data", "end", "offset")

    def __init__(self, data: bytes | memoryview, start: int = 0, end: int | None = None) -> None:
        self.data = data
        self.offset = start
        self.end = len(data) if end is None else end

    def remaining(self) -> int:
        """Bytes not read yet."""
        return self.end - self.offset

    def take(self, count: int) -> bytes:
        """The next `count` bytes. Raises CorruptEvent when there are fewer."""
        if count < 0 or self.offset + count > self.end:
            raise CorruptEvent("a binlog event is shorter than its own lengths say", wanted=count)
        piece = bytes(self.data[self.offset : self.offset + count])
        self.offset += count
        return piece

    def uint(self, width: int) -> int:
        """Little-endian unsigned integer of `width` bytes."""
        return int.from_bytes(self.take(width), "little")

    def lenenc(self) -> int:
        """Length-encoded integer (protocol manual, "Length-Encoded Integer Type")."""
        first = self.uint(1)
        if first < 0xFB:
            return first
        width = _LENENC_WIDTHS.get(first)
        if width is None:
            raise CorruptEvent("a length in a binlog event is not a length-encoded integer", first_byte=first)
        return self.uint(width)

    def lenenc_bytes(self) -> bytes:
        """Bytes preceded by their length-encoded length."""
        return self.take(self.lenenc())

    def varlen(self) -> int:
        """Unsigned variable-length integer of MySQL's serialization library.

        The number of trailing one bits of the first byte is the number of bytes that follow (eight ones: eight more);
        the value is what is left above those bits and their closing zero.
        """
        first = self.uint(1)
        more = 0
        while more < 8 and first >> more & 1:
            more += 1
        if more == 8:
            return self.uint(8)
        value = int.from_bytes(bytes((first,)) + self.take(more), "little")
        return value >> (more + 1)

    def varlen_signed(self) -> int:
        """Signed variable-length integer of the same library: the lowest bit is the sign."""
        value = self.varlen()
        return -(value >> 1) - 1 if value & 1 else value >> 1
