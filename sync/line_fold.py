"""Folding of rows that are lines of COPY already: the algebra of `fold.py`, by the event, without an object per value.

Every key is in one of four places. Those of one event are mostly of one kind and new to the segment; then they go in by
one call. A row is `fresh` when its key first appeared by INSERT: a table that equals the source has no such row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import cast

from model.rows import Op, Row
from sync.fresh_rows import FreshRows
from sync.mysql.lines import RowLines
from sync.mysql.long_values import LONG_BYTES, Line, LongLine
from transforms.plan import TablePlan

_ONE_BLOCK_BYTES = LONG_BYTES
"""No line of one block is a LongLine."""
_BLOCK_LINES = 500
_ESCAPES = {0x62: b"\b", 0x66: b"\f", 0x6E: b"\n", 0x72: b"\r", 0x74: b"\t", 0x76: b"\v"}


@dataclass(frozen=True, slots=True, eq=False)
class LineFold:
    """The outcome for each key of one keyed plan. Keys and rows are as `RowLines` has them."""

    plan: TablePlan
    gone: dict[bytes, None] = field(default_factory=dict)
    """To delete."""
    moved: dict[bytes, Line] = field(default_factory=dict)
    """To delete, then to insert: a unique value changed or the key was used again."""
    kept: dict[bytes, Line] = field(default_factory=dict)
    """To insert or to update."""
    fresh: FreshRows = field(default_factory=FreshRows)
    """To insert: new to the segment."""

    def __len__(self) -> int:
        return len(self.gone) + len(self.moved) + len(self.kept) + len(self.fresh)

    def weighs(self, size: int) -> bool:
        """Whether the rows have so many bytes or more. Counts no further than that."""
        rows = chain(self.moved.values(), self.kept.values(), self.fresh.lines)
        while size > 0 and (some := list(islice(rows, _BLOCK_LINES))):
            size -= sum(map(len, some))
        return size <= 0

    def add(self, op: Op, rows: RowLines) -> None:
        """Fold the rows of one event in, in their order."""
        if op is Op.INSERT:
            self._insert(rows.new_keys, rows.lines)
        elif op is Op.DELETE:
            self._delete(rows.old_keys)
        else:
            self._update(rows)

    def _apart(self, keys: Iterable[bytes], *places: dict[bytes, Line] | dict[bytes, None]) -> bool:
        """Whether none of the keys is in any of the places."""
        for place in places:  # noqa: SIM110 (a generator for every event costs as much as all the rest of it)
            if place and not place.keys().isdisjoint(keys):
                return False
        return True

    def _insert(self, keys: list[bytes], lines: list[Line]) -> None:
        if self._apart(keys, self.gone, self.moved, self.kept):
            self.fresh.add(keys, lines)
            return
        fresh = self.fresh.by_key
        for key, line in zip(keys, lines, strict=True):
            if key in self.gone or key in self.moved:
                self._move(key, line)
            elif key in self.kept:
                self.kept[key] = line
            else:
                fresh[key] = line

    def _delete(self, keys: list[bytes]) -> None:
        if not self._apart(keys, self.moved, self.kept, self.fresh.by_key):
            for key in keys:
                self._forget(key)
        self.gone.update(dict.fromkeys(keys))

    def _update(self, rows: RowLines) -> None:
        keys = rows.new_keys
        same = rows.old_keys == keys
        if same and True not in rows.moved and self._apart(keys, self.gone, self.moved, self.fresh.by_key):
            self.kept.update(zip(keys, rows.lines, strict=True))
            return
        moved = rows.moved or [False] * len(keys)
        for old, key, line, changed in zip(rows.old_keys, keys, rows.lines, moved, strict=True):
            if old == key:
                self._replace(key, line, changed)
                continue
            moves = changed or old in self.moved
            self._forget(old)
            self.gone[old] = None
            if moves or key in self.gone or key in self.moved or key in self.fresh.by_key:
                self._move(key, line)
            else:
                self.kept[key] = line

    def _replace(self, key: bytes, line: Line, changed: bool) -> None:
        if key in self.fresh.by_key:
            self.fresh.by_key[key] = line
        elif changed or key in self.gone or key in self.moved:
            self._move(key, line)
        else:
            self.kept[key] = line

    def _move(self, key: bytes, line: Line) -> None:
        self._forget(key)
        self.moved[key] = line

    def _forget(self, key: bytes) -> None:
        self.gone.pop(key, None)
        self.moved.pop(key, None)
        self.kept.pop(key, None)
        self.fresh.by_key.pop(key, None)


def fields_of(line: bytes) -> Row:
    r"""The fields of a line of COPY (PostgreSQL manual, "COPY", Text Format); `\N` is NULL."""
    if b"\\" not in line:
        return tuple(line.split(b"\t"))
    return tuple(None if field == rb"\N" else _plain(field) for field in line.split(b"\t"))


def _plain(field: bytes) -> bytes:
    parts = field.split(b"\\")
    if len(parts) == 1:
        return field
    out = [parts[0]]
    at = 1
    while at < len(parts):
        part = parts[at]
        if part:
            out += (_ESCAPES.get(part[0], part[:1]), part[1:])
        elif at + 1 < len(parts):
            # Two in a row: a backslash, and what follows it is plain.
            at += 1
            out += (b"\\", parts[at])
        at += 1
    return b"".join(out)


def prefixed(prefix: bytes, lines: Iterable[Line]) -> Iterator[bytes]:
    """Blocks of lines with something before each of them and line ends; long lines are not copied.

    The blocks are small, so that the store begins with the first while we join the others.
    """
    between = b"\n" + prefix
    waiting = iter(lines)
    while some := list(islice(waiting, _BLOCK_LINES)):
        if sum(map(len, some)) < _ONE_BLOCK_BYTES:
            yield prefix + between.join(cast(list[bytes], some)) + b"\n"
            continue
        for line in some:
            yield prefix
            if isinstance(line, LongLine):
                yield from line.blocks()
            else:
                yield line
            yield b"\n"
