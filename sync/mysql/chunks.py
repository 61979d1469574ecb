"""Key ranges of a table's copy: how a key is read, written as a literal, compared and cut. No I/O.

A chunk is "everything after the last key that was read, in the key's own order, LIMIT n": no boundary is computed
apart from what the server itself returned, so that no collation or type can open a gap between two chunks. String
keys travel as the hex form of their stored bytes, never through a character set conversion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from model.tables import ColumnDef, TableDef
from stores.control.chunks import Bound, Chunk
from sync.mysql.literals import quoted_name

INTEGERS: Final = frozenset({"tinyint", "smallint", "mediumint", "int", "integer", "bigint", "year"})
_AS_IS = frozenset({"date", "datetime", "timestamp", "time", "uuid", "inet4", "inet6"})
_BINARY = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_TEXT = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})

MIN_ROWS: Final = 64
MAX_ROWS: Final = 500_000
FIRST_ROW_BYTES: Final = 256
"""Row size to begin with when the catalogue has no estimate."""


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """One column of a key: `read` gives its bound as text, `operand` is its side of a comparison."""

    column: ColumnDef
    read: str
    operand: str

    def literal(self, text: str) -> str:
        """SQL literal of a bound that `read` gave. Raises ValueError for a text that `read` cannot have given."""
        kind = self.column.type
        if kind in _TEXT or kind in _BINARY:
            raw = bytes.fromhex(text.removeprefix("\\x")).hex()
            if kind in _BINARY or self.column.charset in (None, "binary"):
                return f"X'{raw}'"
            collation = f" COLLATE {_word(self.column.collation)}" if self.column.collation else ""
            return f"_{_word(self.column.charset)} X'{raw}'{collation}"
        if kind in _AS_IS:
            if not all(letter.isalnum() or letter in "-: .+" for letter in text):
                raise ValueError(f"not a bound of type {kind}: {text!r}")
            return f"'{text}'"
        float(text)
        if kind in ("float", "double") and "e" not in text.lower():
            return text + "e0"
        return text


def _word(name: str | None) -> str:
    if not name or not name.replace("_", "").isalnum():
        raise ValueError(f"not a character set or collation name: {name!r}")
    return name


def key_column(column: ColumnDef) -> KeyColumn | None:
    """How bounds of a column are read and compared; None for a type that cannot be compared exactly."""
    name = quoted_name(column.name)
    if column.type in INTEGERS or column.type == "decimal":
        # + 0 takes off the zeros of ZEROFILL.
        return KeyColumn(column, f"{name} + 0" if column.type in INTEGERS else name, name)
    if column.type in ("float", "double"):
        # The text of a FLOAT has 6 digits; times 1e0 it is the double that the comparison uses.
        return KeyColumn(column, f"{name} * 1e0", name)
    if column.type == "bit":
        return KeyColumn(column, f"CAST({name} AS UNSIGNED)", name)
    if column.type == "enum":
        return KeyColumn(column, f"CAST({name} AS UNSIGNED)", name)
    if column.type == "set":
        # Compared bare, a SET would go through a double and lose its high bits.
        number = f"CAST({name} AS UNSIGNED)"
        return KeyColumn(column, number, number)
    if column.type in _TEXT or column.type in _BINARY:
        return KeyColumn(column, f"CONCAT('\\\\x', HEX({name}))", name)
    if column.type in _AS_IS:
        return KeyColumn(column, name, name)
    return None


@dataclass(frozen=True, slots=True)
class ChunkKey:
    """The key that a table is cut by."""

    columns: tuple[KeyColumn, ...]
    index: str
    """Name of the index that has the key's order, for FORCE INDEX."""

    @staticmethod
    def of(table: TableDef) -> ChunkKey | None:
        """The table's key; None when it has none, or one that cannot be compared exactly."""
        found = [key_column(table.column(name)) for name in table.key]
        columns = tuple(column for column in found if column is not None)
        if not columns or len(columns) != len(found):
            return None
        if table.primary_key:
            return ChunkKey(columns, "PRIMARY")
        for index in table.indexes:
            if index.unique and tuple(part.column for part in index.parts) == table.key:
                return ChunkKey(columns, index.name)
        return None

    @property
    def integer(self) -> bool:
        """Whether bounds can be ordered here, so that ranges can be cut up front."""
        return all(column.column.type in INTEGERS for column in self.columns)

    def after(self, low: Bound) -> str:
        """Condition "key > low": `a >= x AND (a > x OR (a = x AND b > y))`, whose first part finds the index range."""
        return self._beyond(low, ">", ">")

    def up_to(self, high: Bound) -> str:
        """Condition "key <= high"."""
        return self._beyond(high, "<", "<=")

    def _beyond(self, bound: Bound, strict: str, last: str) -> str:
        operands = [column.operand for column in self.columns]
        literals = [column.literal(_present(text)) for column, text in zip(self.columns, bound, strict=True)]
        if len(operands) == 1:
            return f"{operands[0]} {last} {literals[0]}"
        choices = []
        for depth, (operand, literal) in enumerate(zip(operands, literals, strict=True)):
            equal = [f"{operands[i]} = {literals[i]}" for i in range(depth)]
            sign = last if depth == len(operands) - 1 else strict
            choices.append("(" + " AND ".join([*equal, f"{operand} {sign} {literal}"]) + ")")
        return f"{operands[0]} {strict}= {literals[0]} AND ({' OR '.join(choices)})"

    def condition(self, span: Span) -> str:
        """WHERE condition of a range, without the word; `1 = 1` when it is open on both sides."""
        parts = []
        if span.low is not None:
            parts.append(self.after(span.low))
        if span.high is not None:
            parts.append(self.up_to(span.high))
        return " AND ".join(f"({part})" for part in parts) or "1 = 1"

    def order(self) -> str:
        """ORDER BY list."""
        return ", ".join(column.operand for column in self.columns)


def _present(text: str | None) -> str:
    if text is None:
        raise ValueError("a key has no NULL")
    return text


@dataclass(frozen=True, slots=True)
class Span:
    """A range of keys: above `low`, up to and with `high`; None is open."""

    low: Bound | None = None
    high: Bound | None = None


def rows_per_chunk(budget_bytes: int, row_bytes: float) -> int:
    """LIMIT of a chunk for a budget in bytes and a mean row size."""
    return max(MIN_ROWS, min(MAX_ROWS, int(budget_bytes / max(row_bytes, 1.0))))


def mean_row_bytes(table: TableDef) -> float:
    """Mean row size by the catalogue's estimates."""
    if table.rows_estimate > 0 and table.bytes_estimate > 0:
        return max(16.0, table.bytes_estimate / table.rows_estimate)
    return float(FIRST_ROW_BYTES)


def cut(bounds: Iterable[Bound], span: Span = Span()) -> tuple[Span, ...]:
    """A span cut after each of `bounds` that lies inside it (integer keys; any order, repeats allowed)."""
    inside = {
        bound
        for bound in bounds
        if (span.low is None or _numbers(span.low) < _numbers(bound))
        and (span.high is None or _numbers(bound) < _numbers(span.high))
    }
    ordered = sorted(inside, key=_numbers)
    lows: list[Bound | None] = [span.low, *ordered]
    highs: list[Bound | None] = [*ordered, span.high]
    return tuple(Span(low, high) for low, high in zip(lows, highs, strict=True))


def even_values(first: int, last: int, parts: int) -> tuple[int, ...]:
    """Values of the leading key column at which `first`…`last` falls into `parts` about equal parts."""
    return tuple(sorted({first + (last - first) * number // parts for number in range(1, parts)}))


def leading(bound: Bound | None, default: int) -> int:
    """The leading value of an integer key's bound."""
    return default if bound is None else _numbers(bound)[0]


def _numbers(bound: Bound) -> tuple[int, ...]:
    return tuple(int(_present(text)) for text in bound)


def missing(chunks: Iterable[Chunk], integer: bool) -> tuple[Span, ...]:
    """What a resumed copy still has to read: the key space without the ranges of the ledger's chunks.

    Keys that cannot be ordered here are read by one worker in key order, so that the ledger is one chain.
    """
    known = list(chunks)
    if not known:
        return (Span(),)
    if not integer:
        highest = max(known, key=lambda chunk: chunk.chunk_no).high
        return () if highest is None else (Span(highest, None),)
    # Bounds as Python orders them: (0,) below everything, (2,) above, (1, key) in between.
    below: tuple[int, tuple[int, ...]] = (0, ())
    above: tuple[int, tuple[int, ...]] = (2, ())
    ranges = sorted(
        (
            below if chunk.low is None else (1, _numbers(chunk.low)),
            above if chunk.high is None else (1, _numbers(chunk.high)),
        )
        for chunk in known
    )
    gaps: list[Span] = []
    reached = below
    for low, high in ranges:
        if low > reached:
            gaps.append(Span(_bound(reached), _bound(low)))
        reached = max(reached, high)
    if reached < above:
        gaps.append(Span(_bound(reached), None))
    return tuple(gaps)


def _bound(mark: tuple[int, tuple[int, ...]]) -> Bound | None:
    return tuple(str(number) for number in mark[1]) if mark[0] == 1 else None
