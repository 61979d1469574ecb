"""The hot loop: row events into rows of text, or straight into lines that COPY takes, without an object per value.

Knows row images (manual of the row event: bitmaps of present columns, of NULLs, then the values); what a column's bytes
mean is in its FieldForm. Compiled with the types of kernel.pxd; runs uncompiled as it is. `decode.py` is the door.
"""

# mypy: always-false=compiled
# ruff: noqa: F821 (names of kernel.pxd)
from __future__ import annotations

from collections.abc import Callable

from model.errors import UndecodableRow, ValueRefused
from model.rows import ABSENT, Field, Row
from sync.mysql.forms import FieldForm
from sync.mysql.sink import Sink, copy_escaped

try:
    import cython
except ImportError:  # Cython is needed to compile only
    from sync.mysql import cython_shim as cython

NEVER, ALWAYS, IF_NUL, IF_BACKSLASH, IF_LONGER, IF_ODD_DATE = range(6)
"""When the casts of a column must see a value: the guards know which values a cast surely leaves alone."""

_ABSENT = -2
_NULL = -1
Refused = Callable[[ValueRefused], Field]


def compiled() -> bool:
    """Whether this is the compiled kernel."""
    return bool(cython.compiled)


class LineColumn:
    """A target column of a line: a source column with its casts, or a constant (`source` -1, COPY text)."""

    def __init__(
        self,
        source: int,
        form: FieldForm | None,
        converts: tuple[Callable[[Field], Field], ...] = (),
        guard: int = NEVER,
        limit: int = 0,
        constant: bytes | None = None,
    ) -> None:
        self.source = source
        self.form = form
        self.converts = converts
        self.guard = guard
        self.limit = limit
        self.constant = rb"\N" if constant is None else copy_escaped(constant)

    def suspicious(self, sink: Sink, mark: int) -> bool:
        """Whether the text since `mark` is one that the casts may change or refuse."""
        if self.guard == ALWAYS:
            return True
        if cython.compiled:
            if self.guard == IF_LONGER:
                return sink.size - mark > self.limit
            if self.guard == IF_ODD_DATE:
                # A day after the 28th may not exist; a zero year, month or day never does.
                at = mark
                if sink.size - mark < 10:
                    return True
                if sink.out[at] == 0x30 and sink.out[at + 1] == 0x30 and sink.out[at + 2] == 0x30:
                    return True
                if sink.out[at + 5] == 0x30 and sink.out[at + 6] == 0x30:
                    return True
                if sink.out[at + 8] == 0x30:
                    return sink.out[at + 9] == 0x30
                return sink.out[at + 8] > 0x32 or (sink.out[at + 8] == 0x32 and sink.out[at + 9] == 0x39)
            octet = 0x5C if self.guard == IF_BACKSLASH else 0
            return memchr(sink.out + mark, octet, sink.size - mark) != cython.NULL
        text = sink.since(mark)
        if self.guard == IF_LONGER:
            return len(text) > self.limit
        if self.guard == IF_ODD_DATE:
            return text[:3] == b"000" or text[5:7] == b"00" or not b"01" <= text[8:10] <= b"28"
        return (0x5C if self.guard == IF_BACKSLASH else 0) in text

    def write(self, sink: Sink, data: bytes, start: int, length: int) -> int:
        """Write the column's COPY text. Raises ValueRefused."""
        if self.form is None:
            return sink.put_bytes(self.constant)
        if self.guard == NEVER:
            if length == _NULL:
                return sink.put_bytes(rb"\N")
            return self.form.write(sink, data, start, length, True)
        value: Field = None
        mark = sink.mark()
        if length != _NULL:
            self.form.write(sink, data, start, length, False)
            if not self.suspicious(sink, mark):
                return sink.escape_since(mark)
            value = sink.take(mark)
        elif self.guard != ALWAYS:
            return sink.put_bytes(rb"\N")
        for convert in self.converts:
            value = convert(value)
        if value is None:
            return sink.put_bytes(rb"\N")
        if not isinstance(value, bytes):
            raise ValueRefused("a cast gave no value")
        return sink.put_bytes(copy_escaped(value))


class RowReader:
    """Reads the row events of one table at one schema version."""

    def __init__(self, table: str, names: list[str], forms: list[FieldForm]) -> None:
        self.table = table
        self.names = names
        self.forms = forms
        self.count = len(forms)
        self.sink = Sink()
        self.columns: list[LineColumn] = []
        self.key: list[int] = []
        self.at = self.end = 0
        self.present_before = self.present_after = 0
        self.column = -1
        if cython.compiled:
            self.room = bytearray(2 * self.count * 8)
            self.starts = numbers(self.room)
            self.lengths = self.starts + self.count
        else:
            self.starts = [0] * self.count
            self.lengths = [0] * self.count

    def aim(self, columns: list[LineColumn], key: list[int]) -> None:
        """Set what `lines` writes: target columns, and which of them are the key (none: the whole line is)."""
        self.columns = columns
        self.key = key

    def lenenc(self, data: bytes) -> int:
        """Length-encoded integer at the cursor."""
        if self.at >= self.end:
            raise self.broken("the event ends before its columns")
        first = data[self.at]
        self.at += 1
        if first < 0xFB:
            return first
        width = 2 if first == 0xFC else 3 if first == 0xFD else 8
        if first in (0xFB, 0xFF) or self.at + width > self.end:
            raise self.broken("the number of columns cannot be read")
        value = 0
        for index in range(width):
            value |= data[self.at + index] << (8 * index)
        self.at += width
        return value

    def broken(self, why: str) -> UndecodableRow:
        """The error for an event that does not fit."""
        name = self.names[self.column] if 0 <= self.column < len(self.names) else None
        return UndecodableRow(
            f"a row event does not fit the schema history: {why}",
            hint="The table's definition in the schema history is not that of this event; copy the table anew.",
            table=self.table,
            column=name,
            offset=self.at,
        )

    def open(self, data: bytes, end: int, extended: bool, before: bool, after: bool) -> int:
        """Read what stands before the row images."""
        self.at, self.end, self.column = 8, end, -1
        if extended:
            if end < 10:
                raise self.broken("the event is shorter than its header")
            extra = data[8] | data[9] << 8
            self.at += extra
        columns = self.lenenc(data)
        if columns != self.count:
            raise self.broken(f"it has {columns} columns, not {self.count}")
        bitmap = (self.count + 7) >> 3
        self.present_before = self.present_after = self.at
        self.at += bitmap
        if before and after:
            self.present_after = self.at
            self.at += bitmap
        if self.at > end:
            raise self.broken("it ends within its header")
        return 0

    def must_pass(self, reached: int) -> int:
        """A row of no columns (a MINIMAL image of mere defaults) takes no bytes: it can only be the last."""
        if self.at == reached:
            raise self.broken("it has rows of no bytes")
        return 0

    def locate(self, data: bytes, present: int) -> int:
        """Find start and length of every value of the image at the cursor, and go past it."""
        held = 0
        for index in range(self.count):
            held += data[present + (index >> 3)] >> (index & 7) & 1
        nulls = self.at
        at = nulls + ((held + 7) >> 3)
        if at > self.end:
            raise self.broken("it ends within a row")
        bit = 0
        for index in range(self.count):
            if not data[present + (index >> 3)] >> (index & 7) & 1:
                self.lengths[index] = _ABSENT
                continue
            if data[nulls + (bit >> 3)] >> (bit & 7) & 1:
                self.lengths[index] = _NULL
                bit += 1
                continue
            bit += 1
            form = self.forms[index]
            length = form.fixed
            if length < 0:
                if at + form.prefix > self.end:
                    self.column = index
                    raise self.broken("it ends within a row")
                length = form.little(data, at, form.prefix)
                at += form.prefix
            self.starts[index] = at
            self.lengths[index] = length
            at += length
            if at > self.end:
                self.column = index
                raise self.broken("it ends within a row")
        self.at = at
        return 0

    def blamed(self, error: ValueRefused, index: int, number: int) -> ValueRefused:
        """The error with table, column and row of the event."""
        error.where.setdefault("table", self.table)
        if 0 <= index < len(self.names):
            error.where.setdefault("column", self.names[index])
        error.where.setdefault("row", number)
        return error

    def image(self, data: bytes, present: int, number: int, refused: Refused | None) -> Row:
        """The row image at the cursor as fields."""
        self.locate(data, present)
        row: list[Field] = []
        for index in range(self.count):
            length = self.lengths[index]
            if length == _NULL:
                row.append(None)
            elif length == _ABSENT:
                row.append(ABSENT)
            else:
                form = self.forms[index]
                mark = self.sink.mark()
                try:
                    form.write(self.sink, data, self.starts[index], length, False)
                except ValueRefused as error:
                    self.sink.cut(mark)
                    self.blamed(error, index, number)
                    if refused is None:
                        raise
                    row.append(refused(error))
                    continue
                row.append(self.sink.take(mark))
        return tuple(row)

    def values(
        self, body: bytes, extended: bool, before: bool, after: bool, refused: Refused | None = None
    ) -> list[tuple[Row | None, Row | None]]:
        """Rows of an event as (before, after). See `decode.TableDecoder.decode`."""
        data = body
        self.sink.cut(0)
        self.open(data, len(body), extended, before, after)
        rows: list[tuple[Row | None, Row | None]] = []
        number = 0
        while True:
            reached = self.at
            old = self.image(data, self.present_before, number, refused) if before else None
            new = self.image(data, self.present_after, number, refused) if after else None
            rows.append((old, new))
            number += 1
            if self.at >= self.end:
                return rows
            self.must_pass(reached)

    def line(self, data: bytes) -> int:
        """Write the target columns of the located image, tabs between them."""
        for index in range(len(self.columns)):
            column = self.columns[index]
            if index:
                self.sink.put(0x09)
            self.column = column.source
            column.write(
                self.sink,
                data,
                self.starts[column.source] if column.source >= 0 else 0,
                self.lengths[column.source] if column.source >= 0 else 0,
            )
        return 0

    def key_of_image(self, data: bytes) -> bytes:
        """Only the key columns of the located image."""
        if not self.key:
            mark = self.sink.mark()
            self.line(data)
            return self.sink.take(mark)
        mark = self.sink.mark()
        for position in range(len(self.key)):
            column = self.columns[self.key[position]]
            if position:
                self.sink.put(0x09)
            self.column = column.source
            column.write(
                self.sink,
                data,
                self.starts[column.source] if column.source >= 0 else 0,
                self.lengths[column.source] if column.source >= 0 else 0,
            )
        return self.sink.take(mark)

    def covers(self, data: bytes, present: int, whole: bool) -> bool:
        """Whether an image has every column that the line (`whole`) or its key needs."""
        for index in range(len(self.columns)):
            column = self.columns[index]
            if not whole and self.key and index not in self.key:
                continue
            if column.source >= 0 and not data[present + (column.source >> 3)] >> (column.source & 7) & 1:
                return False
        return True

    def lines(
        self, body: bytes, extended: bool, before: bool, after: bool
    ) -> list[tuple[bytes | None, bytes | None, bytes | None]] | None:
        """Rows of an event as (key before, key after, line after). See `lines.LineDecoder.decode`."""
        data = body
        self.sink.cut(0)
        self.open(data, len(body), extended, before, after)
        if before and not self.covers(data, self.present_before, False):
            return None
        if after and not self.covers(data, self.present_after, True):
            return None
        rows: list[tuple[bytes | None, bytes | None, bytes | None]] = []
        number = 0
        try:
            while True:
                reached = self.at
                old = new = text = None
                if before:
                    self.locate(data, self.present_before)
                    old = self.key_of_image(data)
                if after:
                    self.locate(data, self.present_after)
                    new = self.key_of_image(data)
                    mark = self.sink.mark()
                    self.line(data)
                    text = self.sink.take(mark)
                rows.append((old, new, text))
                number += 1
                if self.at >= self.end:
                    return rows
                self.must_pass(reached)
        except ValueRefused as error:
            raise self.blamed(error, self.column, number) from None
