"""The hot loop: row events into rows of text, or straight into lines that COPY takes, without an object per value.

Knows row images (manual of the row event: bitmaps of present columns, of NULLs, then the values); what a column's bytes
mean is in its FieldForm. Compiled with the types of kernel.pxd; runs uncompiled as it is. `decode.py` is the door.
"""

# mypy: always-false=compiled
# ruff: noqa: F821 (names of the .pxd)
from __future__ import annotations

from collections.abc import Callable

from model.errors import UndecodableRow, ValueRefused
from model.rows import ABSENT, Field, Row
from sync.mysql.forms import FieldForm
from sync.mysql.long_values import LONG_BYTES, Line, LongLine, LongValue
from sync.mysql.sink import Sink, copy_escaped

try:
    import cython
except ImportError:  # Cython is needed to compile only
    from sync.mysql import cython_shim as cython

if not cython.compiled:
    from sync.mysql.guards import (
        ALWAYS,
        IF_BACKSLASH,
        IF_LONGER,
        IF_NUL,
        IF_ODD_DATE,
        IS_ABSENT,
        IS_NULL,
        NEVER,
        PLAIN_BYTES,
    )
    from sync.mysql.octets import little
    from sync.mysql.sink import put, put_bytes

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
        guard: int = 0,
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
        if self.guard & ALWAYS:
            return True
        if cython.compiled:
            size = sink.size - mark
            at = sink.out + mark
            if self.guard & IF_LONGER and size > self.limit:
                return True
            if self.guard & IF_ODD_DATE:
                if size < 10:
                    return True
                # A day after the 28th may not exist; a zero year, month or day never does.
                if at[0] == 0x30 and at[1] == 0x30 and at[2] == 0x30:
                    return True
                if (at[5] == 0x30 and at[6] == 0x30) or (at[8] == 0x30 and at[9] == 0x30):
                    return True
                if at[8] > 0x32 or (at[8] == 0x32 and at[9] == 0x39):
                    return True
            if self.guard & IF_NUL and memchr(at, 0, size) != cython.NULL:
                return True
            return self.guard & IF_BACKSLASH and memchr(at, 0x5C, size) != cython.NULL
        text = sink.since(mark)
        if self.guard & IF_LONGER and len(text) > self.limit:
            return True
        if self.guard & IF_ODD_DATE and (text[:3] == b"000" or text[5:7] == b"00" or not b"01" <= text[8:10] <= b"28"):
            return True
        return bool((self.guard & IF_NUL and 0 in text) or (self.guard & IF_BACKSLASH and 0x5C in text))

    def write(self, sink: Sink, data: bytes, start: int, length: int) -> int:
        """Write the column's COPY text. Raises ValueRefused."""
        if self.form is None:
            return put_bytes(sink, self.constant)
        if self.guard == NEVER:
            if length == IS_NULL:
                return put_bytes(sink, rb"\N")
            return self.form.write(sink, data, start, length, True)
        mark = sink.mark()
        if not self.plain(sink, data, start, length):
            return put_bytes(sink, rb"\N")
        return sink.escape_since(mark)

    def plain(self, sink: Sink, data: bytes, start: int, length: int) -> int:
        """Write the text of a column that is no constant, not escaped; 0 for NULL, else 1. Raises ValueRefused."""
        value: Field = None
        mark = sink.mark()
        assert self.form is not None
        if length != IS_NULL:
            self.form.write(sink, data, start, length, False)
            if not self.suspicious(sink, mark):
                return 1
            value = sink.take(mark)
        elif not self.guard & ALWAYS:
            return 0
        for convert in self.converts:
            value = convert(value)
        if value is None:
            return 0
        if not isinstance(value, bytes):
            raise ValueRefused("a cast gave no value")
        put_bytes(sink, value)
        return 1


class RowReader:
    """Reads the row events of one table at one schema version."""

    def __init__(self, table: str, names: list[str], forms: list[FieldForm]) -> None:
        self.table = table
        self.names = names
        self.forms = forms
        self.count = len(forms)
        self.sink = Sink()
        self.columns: list[LineColumn] = []
        self.body = b""
        self.long_bytes = LONG_BYTES
        self.long_values: list[LongValue] = []
        self.key: list[int] = []
        self.uniques: list[int] = []
        self.at = self.end = 0
        self.present_before = self.present_after = 0
        self.held_before = self.held_after = 0
        self.column = -1
        if cython.compiled:
            self.room = bytearray(4 * self.count * 8)
            self.starts = numbers(self.room)
            self.lengths = self.starts + self.count
            self.fixed = self.lengths + self.count
            self.prefixes = self.fixed + self.count
        else:
            self.starts, self.lengths = [0] * self.count, [0] * self.count
            self.fixed, self.prefixes = [0] * self.count, [0] * self.count
        for index in range(len(forms)):
            self.fixed[index] = forms[index].fixed
            self.prefixes[index] = forms[index].prefix

    def aim(self, columns: list[LineColumn], key: list[int], uniques: list[int], long_bytes: int = LONG_BYTES) -> None:
        """Set what `lines` writes: target columns, and which of them are the key (none: the whole line is).

        `uniques` are the source columns of other unique indexes, whose changes are told. Values of `long_bytes` are
        left in the event where their text can be made piece by piece; not in a key.
        """
        self.columns = columns
        self.long_bytes = long_bytes if key else 1 << 62
        self.key = key
        self.uniques = uniques
        if cython.compiled:
            self.edge_room = bytearray(8 * (len(columns) + 1))
            self.edges = numbers(self.edge_room)
            self.old_room = bytearray(2 * 8 * len(uniques))
            self.old_starts = numbers(self.old_room)
            self.old_lengths = self.old_starts + len(uniques)
        else:
            self.edges = [0] * (len(columns) + 1)
            self.old_starts, self.old_lengths = [0] * len(uniques), [0] * len(uniques)

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
        self.held_before = self.held_after = 0
        for index in range(self.count):
            self.held_before += data[self.present_before + (index >> 3)] >> (index & 7) & 1
            self.held_after += data[self.present_after + (index >> 3)] >> (index & 7) & 1
        return 0

    def must_pass(self, reached: int) -> int:
        """A row of no columns (a MINIMAL image of mere defaults) takes no bytes: it can only be the last."""
        if self.at == reached:
            raise self.broken("it has rows of no bytes")
        return 0

    def locate(self, data: bytes, present: int) -> int:
        """Find start and length of every value of the image at the cursor, and go past it."""
        held = self.held_before if present == self.present_before else self.held_after
        nulls = self.at
        at = nulls + ((held + 7) >> 3)
        if at > self.end:
            raise self.broken("it ends within a row")
        bit = 0
        for index in range(self.count):
            if held < self.count and not data[present + (index >> 3)] >> (index & 7) & 1:
                self.lengths[index] = IS_ABSENT
                continue
            if data[nulls + (bit >> 3)] >> (bit & 7) & 1:
                self.lengths[index] = IS_NULL
                bit += 1
                continue
            bit += 1
            length = self.fixed[index]
            if length < 0:
                if at + self.prefixes[index] > self.end:
                    self.column = index
                    raise self.broken("it ends within a row")
                length = little(data, at, self.prefixes[index])
                at += self.prefixes[index]
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
            if length == IS_NULL:
                row.append(None)
            elif length == IS_ABSENT:
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
        self.sink.reset()
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
        # Locals, for this is the innermost loop but one.
        sink, columns = self.sink, self.columns
        for index in range(len(columns)):
            column = columns[index]
            if index:
                put(sink, 0x09)
            if cython.compiled:
                self.edges[index] = sink.size
            else:
                self.edges[index] = sink.mark()
            source = column.source
            self.column = source
            if source < 0:
                column.write(sink, data, 0, 0)
                continue
            length = self.lengths[source]
            if length >= self.long_bytes and self.leave(data, index):
                continue
            column.write(sink, data, self.starts[source], length)
        self.edges[len(columns)] = sink.mark() + 1
        return 0

    def leave(self, data: bytes, index: int) -> bool:
        """Leave a long value in the event, if it can be. Raises ValueRefused."""
        column = self.columns[index]
        form = column.form
        if form is None or not form.plain or column.guard != NEVER or index in self.key:
            return False
        start, length = self.starts[column.source], self.lengths[column.source]
        form.check(data, start, length, True)
        self.long_values.append(LongValue(self.sink.mark(), self.body, start, length, form.plain == PLAIN_BYTES))
        return True

    def taken(self) -> Line:
        """The line that was written, with the values that were left out."""
        if not self.long_values:
            return self.sink.take_whole()
        line = LongLine(self.sink.take(0), tuple(self.long_values))
        self.long_values = []
        return line

    def key_of_line(self, mark: int) -> bytes:
        """The key columns of the line that was written since `mark`."""
        if not self.key:
            return self.sink.since(mark)
        if len(self.key) == 1:
            index = self.key[0]
            return self.sink.between(self.edges[index], self.edges[index + 1] - 1)
        start = self.sink.mark()
        for position in range(len(self.key)):
            index = self.key[position]
            if position:
                put(self.sink, 0x09)
            self.sink.again(self.edges[index], self.edges[index + 1] - 1)
        return self.sink.take(start)

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
                put(self.sink, 0x09)
            self.column = column.source
            column.write(
                self.sink,
                data,
                self.starts[column.source] if column.source >= 0 else 0,
                self.lengths[column.source] if column.source >= 0 else 0,
            )
        return self.sink.take(mark)

    def keep_uniques(self) -> int:
        """Remember where the unique values of the located image are."""
        for place in range(len(self.uniques)):
            index = self.uniques[place]
            self.old_starts[place] = self.starts[index]
            self.old_lengths[place] = self.lengths[index]
        return 0

    def unique_changed(self, data: bytes) -> bool:
        """Whether a unique value of the located image is another than the one that was kept, or was not there."""
        for place in range(len(self.uniques)):
            index = self.uniques[place]
            length = self.lengths[index]
            if length != self.old_lengths[place]:
                return True
            if length <= 0:
                continue
            old, new = self.old_starts[place], self.starts[index]
            if cython.compiled:
                if memcmp(data + old, data + new, length) != 0:
                    return True
            elif data[old : old + length] != data[new : new + length]:
                return True
        return False

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
    ) -> tuple[list[bytes], list[bytes], list[Line], list[bool]] | None:
        """Rows of an event as keys before, keys after, lines after, uniques changed. See `lines.LineDecoder.decode`."""
        data = body
        self.sink.reset()
        self.open(data, len(body), extended, before, after)
        if before and not self.covers(data, self.present_before, False):
            return None
        if after and not self.covers(data, self.present_after, True):
            return None
        self.body, self.long_values = body, []
        # Lists, not a tuple per row: fewer objects for the garbage collector to walk.
        olds: list[bytes] = []
        news: list[bytes] = []
        texts: list[Line] = []
        moved: list[bool] = []
        watched = before and after and len(self.uniques) > 0
        number = 0
        try:
            while True:
                reached = self.at
                if before:
                    self.locate(data, self.present_before)
                    olds.append(self.key_of_image(data))
                    if watched:
                        self.keep_uniques()
                if after:
                    self.locate(data, self.present_after)
                    if watched:
                        moved.append(self.unique_changed(data))
                    self.line(data)
                    news.append(self.key_of_line(0))
                    texts.append(self.taken())
                number += 1
                if self.at >= self.end:
                    break
                self.must_pass(reached)
        except ValueRefused as error:
            raise self.blamed(error, self.column, number) from None
        finally:
            self.body = b""
        return olds, news, texts, moved
