"""Rows of a text-protocol result straight into lines that COPY takes, without an object per value.

Knows packets and length-encoded strings (protocol manual, "MySQL Packets" and "Text Resultset"). The forms here are
those of values that the server printed; each gives what `textform.from_select` gives. What must be looked at closer is
refused: the caller then takes the slow way. Compiled with the types of result_lines.pxd; runs uncompiled as it is.
"""

# mypy: always-false=compiled
# ruff: noqa: F821 (names of the .pxd)
from __future__ import annotations

from collections.abc import Sequence

from model.errors import ConnectionLost, ValueRefused
from sync.mysql.forms import EnumForm, FieldForm, refuse_nul
from sync.mysql.kernel import LineColumn
from sync.mysql.sink import Sink

try:
    import cython
except ImportError:  # Cython is needed to compile only
    from sync.mysql import cython_shim as cython

if not cython.compiled:
    from sync.mysql.guards import IS_NULL
    from sync.mysql.octets import little
    from sync.mysql.sink import put, put_bytes, put_slice

    LARGEST, ERROR_MARK, END_MARK, NULL_MARK = 0xFFFFFF, 0xFF, 0xFE, 0xFB

MORE, END, ERROR = 0, 1, 2
"""What stands behind the whole rows of some bytes: not all of a packet, the end of the result, an error packet."""


def whole_rows(body: bytes) -> tuple[int, int, int, int, int]:
    """How far whole rows go: offset behind them, offset of the last one, how many, MORE, END or ERROR, bytes wanted.

    The bytes wanted, counted from the offset behind the rows, are what it takes to know more.
    """
    data = body
    total = len(body)
    behind = last = count = 0
    while True:
        at = behind
        while True:
            if at + 4 > total:
                return behind, last, count, MORE, at + 4 - behind
            size = little(data, at, 3)
            if at + 4 + size > total:
                return behind, last, count, MORE, at + 4 + size - behind
            if at == behind and size:
                if data[at + 4] == ERROR_MARK:
                    return behind, last, count, ERROR, 0
                # 0xFE as the first byte of a long packet announces a value's length.
                if data[at + 4] == END_MARK and size < 9:
                    return behind, last, count, END, 0
            at += 4 + size
            if size < LARGEST:
                break
        last = behind
        behind = at
        count += 1


class PrintedForm(FieldForm):
    """What the server prints of numbers, dates and the like is the text form, and has nothing to escape."""

    def __init__(self, tail: bytes = b"") -> None:
        FieldForm.__init__(self, -1, 0)
        self.tail = tail

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """The bytes themselves, and the tail."""
        put_slice(sink, data, start, length)
        return put_bytes(sink, self.tail)


class VerbatimForm(FieldForm):
    """Any bytes as they are (JSON, types that we do not know)."""

    def __init__(self) -> None:
        FieldForm.__init__(self, -1, 0)

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """The bytes themselves. With `copy`, raises ValueRefused for NUL."""
        if not copy:
            return put_slice(sink, data, start, length)
        if cython.compiled:
            if length and memchr(data + start, 0, length) != cython.NULL:
                raise refuse_nul()
        elif 0 in data[start : start + length]:
            raise refuse_nul()
        sink.put_copy(data, start, length)
        return 0


class NumberForm(FieldForm):
    """YEAR, DECIMAL and integers with ZEROFILL: digits without the zeros before them, no sign of zero."""

    def __init__(self) -> None:
        FieldForm.__init__(self, -1, 0)

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """Sign, digits, decimals as printed. Raises ValueRefused for what is not made of digits."""
        at = start
        end = start + length
        negative = at < end and data[at] == 0x2D
        if negative:
            at += 1
        while at + 1 < end and data[at] == 0x30 and data[at + 1] != 0x2E:
            at += 1
        if at == end or data[at] == 0x2E:
            raise ValueRefused("the source printed a number without digits")
        nonzero = False
        for index in range(at, end):
            octet = data[index]
            if octet != 0x2E and not 0x30 <= octet <= 0x39:
                raise ValueRefused("the source printed a number with something else than digits")
            if 0x31 <= octet <= 0x39:
                nonzero = True
        if negative and nonzero:
            put(sink, 0x2D)
        return put_slice(sink, data, at, end - at)


class EnumNumberForm(EnumForm):
    """ENUM, selected as the index of its label."""

    def __init__(self, labels: Sequence[bytes]) -> None:
        EnumForm.__init__(self, -1, labels)

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """The label. Raises ValueRefused for an index beyond the labels."""
        index = 0
        if length < 1 or length > 9:
            raise ValueRefused("the source printed no index of an ENUM")
        for at in range(start, start + length):
            octet = data[at]
            if not 0x30 <= octet <= 0x39:
                raise ValueRefused("the source printed no index of an ENUM")
            index = 10 * index + octet - 0x30
        if index >= len(self.labels):
            raise ValueRefused(f"ENUM index {index} is beyond the {len(self.labels) - 1} labels of the schema history")
        return put_bytes(sink, self.escaped[index] if copy else self.labels[index])


class ResultRows:
    """Walks over rows of `width` selected values: `row` is called for each, with every value's place in the data."""

    def __init__(self, width: int) -> None:
        self.width = width
        if cython.compiled:
            self.room = bytearray(2 * width * 8)
            self.starts = numbers(self.room)
            self.lengths = self.starts + self.width
        else:
            self.starts, self.lengths = [0] * width, [0] * width

    def walk(self, body: bytes) -> int:
        """Go over a block of whole rows (`whole_rows`). Raises ConnectionLost for bytes that are no such rows."""
        data = body
        end = len(body)
        at = 0
        while at < end:
            size = little(data, at, 3)
            if size == LARGEST:
                at = self.long_row(body, at)
                continue
            self.split(data, at + 4, at + 4 + size)
            self.row(data)
            at += 4 + size
        return 0

    def long_row(self, body: bytes, start: int) -> int:
        """Take a row of several packets; returns the offset behind it."""
        parts = []
        at = start
        while True:
            size = int.from_bytes(body[at : at + 3], "little")
            parts.append(body[at + 4 : at + 4 + size])
            at += 4 + size
            if size < LARGEST:
                break
        joined = b"".join(parts)
        self.split(joined, 0, len(joined))
        self.row(joined)
        return at

    def split(self, data: bytes, start: int, end: int) -> int:
        """Find the values of one row."""
        at = start
        for index in range(self.width):
            if at >= end:
                raise broken()
            size = data[at]
            at += 1
            if size == NULL_MARK:
                self.lengths[index] = IS_NULL
                continue
            if size > NULL_MARK:
                width = 2 if size == 0xFC else 3 if size == 0xFD else 8
                if at + width > end or size == ERROR_MARK:
                    raise broken()
                size = little(data, at, width)
                at += width
            if size < 0 or size > end - at:
                raise broken()
            self.starts[index] = at
            self.lengths[index] = size
            at += size
        if at != end:
            raise broken()
        return 0

    def row(self, data: bytes) -> int:
        """Take the row whose values have been found."""
        raise NotImplementedError


class ResultLines(ResultRows):
    """Writes lines of some target columns from rows of `width` selected values. One thread at a time."""

    def __init__(self, columns: list[LineColumn], width: int) -> None:
        ResultRows.__init__(self, width)
        self.columns = columns
        self.sink = Sink()

    def lines(self, body: bytes) -> bytes:
        """Lines of a block of whole rows (`whole_rows`), each with its line end.

        Raises ValueRefused when any value has no text form, or a cast refuses it: take the slow way for this block.
        Raises ConnectionLost for bytes that are no rows of this width.
        """
        self.sink.reset()
        self.walk(body)
        return self.sink.take(0)

    def row(self, data: bytes) -> int:
        """Write the line of one row."""
        for index in range(len(self.columns)):
            column = self.columns[index]
            if index:
                put(self.sink, 0x09)
            if column.source >= 0:
                column.write(self.sink, data, self.starts[column.source], self.lengths[column.source])
            else:
                column.write(self.sink, data, 0, 0)
        return put(self.sink, 0x0A)


def broken() -> ConnectionLost:
    """The error for bytes that are not what was asked for."""
    return ConnectionLost("the source sent a row that is not as wide as what was selected")
