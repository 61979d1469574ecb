"""Rows of a text-protocol result straight into digests of canonical records, for what the source cannot hash itself.

A record is the canonical texts of the target columns (`validators.canonical`, which decides what they are); here they
are made from the packets without a row of Python values in between. Columns that the plan computes get a source row
with what they read. A row with a value that is refused is left to the caller. Compiled with the types of
result_records.pxd; runs uncompiled as it is.
"""

# mypy: always-false=compiled

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from model.errors import ApplyError, ValueRefused
from model.rows import ABSENT, Field, Row
from sync.mysql.forms import FieldForm
from sync.mysql.kernel import LineColumn
from sync.mysql.result_lines import ResultRows
from sync.mysql.sink import Sink

try:
    import cython
except ImportError:  # Cython is needed to compile only
    from sync.mysql import cython_shim as cython

if not cython.compiled:
    from sync.mysql.guards import AS_IS, DECIMAL, DOCUMENT, INSTANT, INTEGER, IS_NULL, MOMENT
    from sync.mysql.json_text import put_plain_document
    from sync.mysql.sink import put, put_bytes

    SEPARATOR, NULL, DIGITS = 0x1F, 0x4E, 18

Hashed = tuple[int, int | None]
"""Hash of a row's record, and the value that its leaf is cut by (None: the hash)."""


class RecordColumn:
    """A target column of a record: copied (`line`), computed from a source row (`value`), or a constant (`fixed`)."""

    def __init__(
        self,
        line: LineColumn | None,
        value: Callable[[Row], Field] | None,
        fixed: bytes | None,
        how: int,
        digits: int,
        free: bool,
        convert: Callable[[bytes], bytes],
    ) -> None:
        """`how`: see guards.py; `digits` after the point of a DECIMAL; `free` texts are written with their length."""
        self.line = line
        self.value = value
        self.fixed = fixed
        self.how = how
        self.digits = digits
        self.free = free
        self.convert = convert

    def canonical(self, sink: Sink, text: bytes) -> bytes:
        """The canonical text of a text of the value."""
        how = self.how
        if how == AS_IS:
            return text
        if how == INTEGER:
            return text if is_decimal(text, 0) else self.convert(text)
        if how == DECIMAL:
            return text if is_decimal(text, self.digits) else self.convert(text)
        if how == MOMENT:
            return without_zeros(text, len(text))
        if how == INSTANT:
            return without_zeros(text, len(text) - 3 if text.endswith(b"+00") else len(text))
        if how == DOCUMENT:
            found = put_plain_document(sink, text)
            return self.convert(text) if found is None else found
        return self.convert(text)


class SourceField:
    """A source column that computed columns or the filter read."""

    def __init__(self, ordinal: int, place: int, form: FieldForm) -> None:
        """`place` among the selected values."""
        self.ordinal = ordinal
        self.place = place
        self.form = form


class ResultDigests(ResultRows):
    """Counts and sums of the hashes of rows, by leaf. One thread at a time."""

    def __init__(
        self,
        columns: list[RecordColumn],
        reads: list[SourceField],
        source_width: int,
        width: int,
        key: int,
        divisor: int,
        accepts: Callable[[Row], bool] | None,
        leaf_of: Callable[[int | None, int], int],
        refused: Callable[[list[bytes | None]], Hashed],
    ) -> None:
        """`key` is the column that leaves of `divisor` values are cut by, -1: the hash.

        `leaf_of` decides where the value is too large for a machine word; `refused` takes the selected values of a row
        with a value that is refused.
        """
        ResultRows.__init__(self, width)
        self.columns = columns
        self.reads = reads
        self.blank: list[Field] = [ABSENT] * source_width
        self.key = key
        self.divisor = divisor if divisor < 1 << 62 else 0
        self.accepts = accepts
        self.leaf_of = leaf_of
        self.refused = refused
        self.sink = Sink()
        self.found: dict[int, tuple[int, int]] = {}
        self.leaf = self.count = self.high = self.low = 0

    def add(self, body: bytes) -> int:
        """Take in a block of whole rows. Raises ConnectionLost, and what `refused` raises."""
        self.walk(body)
        return 0

    def digests(self) -> dict[int, tuple[int, int]]:
        """Leaf → number of rows, sum of their hashes."""
        self.flush()
        return self.found

    def row(self, data: bytes) -> int:
        """Take in one row."""
        self.sink.reset()
        leaf: int | None
        try:
            key = self.record(data)
            if key is None:
                return 0
            row_hash = first_60_bits(sha256(self.sink.take(0)).digest())
        except ValueRefused:
            row_hash, leaf = self.refused(self.raw(data))
            return self.enter(self.leaf_of(leaf, row_hash), row_hash)
        if self.key < 0:
            return self.enter(row_hash & (self.divisor - 1), row_hash)
        if len(key) > DIGITS or self.divisor == 0:
            return self.enter(self.leaf_of(int(key), row_hash), row_hash)
        return self.enter(divided(whole_number(key), self.divisor), row_hash)

    def enter(self, leaf: int, row_hash: int) -> int:
        """Count a row of a leaf. Rows of one leaf come together when the table is read by its key."""
        if leaf != self.leaf:
            self.flush()
            self.leaf = leaf
        self.count += 1
        self.high += row_hash >> 30
        self.low += row_hash & 0x3FFFFFFF
        return 0

    def flush(self) -> int:
        """Add what was counted for the present leaf."""
        if self.count:
            count, total = self.found.get(self.leaf, (0, 0))
            total += self.low
            upper: object = self.high
            self.found[self.leaf] = (count + self.count, total + (int(upper) << 30))  # type: ignore[call-overload]
        self.count = self.high = self.low = 0
        return 0

    def record(self, data: bytes) -> bytes | None:
        """Write the record of a row; gives the canonical text of the leaf's column ("0" for none), None: not accepted.

        Raises ValueRefused.
        """
        sink = self.sink
        row: Row | None = None
        key = b"0"
        if self.accepts is not None:
            row = self.source_row(data)
            if not accepted(self.accepts, row):
                return None
        for index in range(len(self.columns)):
            column = self.columns[index]
            if index:
                put(sink, SEPARATOR)
            if column.fixed is not None:
                put_bytes(sink, column.fixed)
                continue
            line = column.line
            if line is not None:
                mark = sink.mark()
                if not line.plain(sink, data, self.starts[line.source], self.lengths[line.source]):
                    put(sink, NULL)
                    continue
                text = sink.take(mark)
            else:
                if row is None:
                    row = self.source_row(data)
                field = column.value(row)  # type: ignore[misc]
                if field is None:
                    put(sink, NULL)
                    continue
                if not isinstance(field, bytes):
                    raise ApplyError("a partial row has no canonical form")
                text = field
            text = column.canonical(sink, text)
            if column.free:
                sink.put_unsigned(len(text))
                put(sink, 0x3A)
            put_bytes(sink, text)
            if index == self.key:
                key = text
        return key

    def source_row(self, data: bytes) -> Row:
        """The source row as far as it is read; all else is ABSENT."""
        row = self.blank.copy()
        for read in self.reads:
            length = self.lengths[read.place]
            if length == IS_NULL:
                row[read.ordinal] = None
            else:
                mark = self.sink.mark()
                read.form.write(self.sink, data, self.starts[read.place], length, False)
                row[read.ordinal] = self.sink.take(mark)
        return tuple(row)

    def raw(self, data: bytes) -> list[bytes | None]:
        """The selected values of the row."""
        values: list[bytes | None] = []
        for index in range(self.width):
            start = self.starts[index]
            values.append(None if self.lengths[index] == IS_NULL else data[start : start + self.lengths[index]])
        return values


def accepted(accepts: Callable[[Row], bool], row: Row) -> bool:
    """Whether the plan takes a row; one that no store is named for counts, for it waits in the quarantine."""
    try:
        return accepts(row)
    except ValueRefused:
        return True


def is_decimal(text: bytes, digits: int) -> bool:
    """Whether a number is written with so many digits after the point, no needless zero or sign."""
    data = text
    size = len(text)
    at = 1 if size and data[0] == 0x2D else 0
    whole = size - digits - 1 if digits else size
    if at >= whole or (data[at] == 0x30 and (whole > at + 1 or at == 1)):
        return False
    for index in range(at, size):
        if index == whole:
            if data[index] != 0x2E:
                return False
        elif not 0x30 <= data[index] <= 0x39:
            return False
    return True


def without_zeros(text: bytes, size: int) -> bytes:
    """The first `size` bytes of a time without the zeros that end its fraction."""
    if b"." not in text:
        return text[:size]
    while size and text[size - 1] == 0x30:
        size -= 1
    while size and text[size - 1] == 0x2E:
        size -= 1
    return text[:size]


def whole_number(text: bytes) -> int:
    """The value of at most 18 digits with or without a sign."""
    at = 1 if text[0] == 0x2D else 0
    value = 0
    for index in range(at, len(text)):
        value = 10 * value + text[index] - 0x30
    return -value if at else value


def divided(value: int, divisor: int) -> int:
    """Division towards zero, as the servers divide."""
    return value // divisor if value >= 0 else -(-value // divisor)


def first_60_bits(digest: bytes) -> int:
    """The first 60 bits as a number."""
    value = 0
    for index in range(8):
        value = value << 8 | digest[index]
    return value >> 4
