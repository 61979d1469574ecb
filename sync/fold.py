"""Folds changes per target key, so that each key is written once per segment, and orders them so that unique indexes
never collide: deletes, then rows whose unique values changed as delete + insert, then the rest as upserts.

The algebra (after TiDB DM's compactor): I+U→I, I+D→D, U+U→U, U+D→D, D+I→replace, key change → D(old)+I(new). D is
kept even after I, for a replayed stream may find the row in the store. Tables without a key are not folded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from model.rows import ABSENT, Op, Row
from sync.line_fold import LineFold, fields_of
from sync.mysql.lines import RowLines
from sync.routing import TargetChange
from transforms.plan import TablePlan

Lookup = Callable[[TablePlan, Row], Row | None]
"""Fetches the row of a key from the store, for partial changes that move a row; None when there is none."""


class Fate(IntEnum):
    """What a segment does to one key. The numbers are those of the staging tables."""

    DELETE = 0
    MOVE = 1
    """Delete, then insert: a unique value changed or the key was used again."""
    UPSERT = 2
    PATCH = 3
    """Update the columns that are present, if the row exists."""


@dataclass(frozen=True, slots=True)
class Folded:
    """The outcome for one key. `row` is None for DELETE; ABSENT means default (MOVE, UPSERT) or unchanged (PATCH)."""

    fate: Fate
    row: Row | None


@dataclass(frozen=True, slots=True)
class PlanFold:
    """Folded changes of one keyed plan, or the ordered changes of a keyless one."""

    plan: TablePlan
    entries: dict[Row, Folded]
    ordered: list[TargetChange]

    def __len__(self) -> int:
        return len(self.entries) + len(self.ordered)

    @property
    def size(self) -> int:
        """Bytes of the rows of a keyed plan."""
        rows = (folded.row for folded in self.entries.values() if folded.row is not None)
        return sum(len(value) for row in rows for value in row if isinstance(value, bytes))


DELETED = Folded(Fate.DELETE, None)


class Segment:
    """A stretch of changes that is applied at once. Mutable while it is filled, then handed to the writer."""

    def __init__(self, lookup: Lookup) -> None:
        self._folds: dict[str, PlanFold] = {}
        self._lines: dict[str, LineFold] = {}
        self._writes: set[str] = set()
        self._lookup = lookup
        self.changes = 0
        """Changes that went in, before folding."""

    def __len__(self) -> int:
        return sum(map(len, self._folds.values())) + sum(map(len, self._lines.values()))

    def __iter__(self) -> Iterator[PlanFold]:
        """What was folded as values."""
        return iter(self._folds.values())

    @property
    def lines(self) -> Iterable[LineFold]:
        """What was folded as lines; a plan is in one of the two forms only."""
        return self._lines.values()

    def has_values(self, plan_id: str) -> bool:
        """Whether the plan's changes are in the segment as values: then it takes no lines of the plan."""
        return plan_id in self._folds

    def has_lines(self, plan_id: str) -> bool:
        """Whether the plan's changes are in the segment as lines: then it takes no values of the plan."""
        return plan_id in self._lines

    def writes(self, plan_id: str) -> bool:
        """Whether anything but deletes of the plan is in the segment."""
        return plan_id in self._writes

    def add(self, change: TargetChange) -> None:
        """Fold one change in, in stream order."""
        self.changes += 1
        plan = change.plan
        fold = self._folds.get(change.plan_id)
        if fold is None:
            fold = self._folds[change.plan_id] = PlanFold(plan, {}, [])
        if change.op is not Op.DELETE:
            self._writes.add(change.plan_id)
        if not plan.key:
            fold.ordered.append(change)
            return
        entries = fold.entries
        if change.op is Op.DELETE:
            assert change.key_before is not None
            entries[change.key_before] = DELETED
            return
        assert change.key_after is not None and change.row is not None
        if change.op is Op.INSERT:
            _put(entries, change.key_after, change.row, moved=False)
            return
        assert change.key_before is not None
        if change.partial:
            self._patch(entries, change)
            return
        old = entries.get(change.key_before)
        moved = change.unique_changed or (old is not None and old.fate is Fate.MOVE)
        if change.key_before != change.key_after:
            entries[change.key_before] = DELETED
        _put(entries, change.key_after, change.row, moved=moved)

    def add_lines(self, plan: TablePlan, plan_id: str, op: Op, rows: RowLines) -> int:
        """Fold the rows of one event in, and give their number. Only for plans with a key."""
        count = rows.rows
        self.changes += count
        fold = self._lines.get(plan_id)
        if fold is None:
            fold = self._lines[plan_id] = LineFold(plan)
        if op is not Op.DELETE:
            self._writes.add(plan_id)
        fold.add(op, rows)
        return count

    def _patch(self, entries: dict[Row, Folded], change: TargetChange) -> None:
        """Fold a partial update: keep it partial when neither key nor unique values move, else complete the row."""
        assert change.key_before is not None and change.key_after is not None and change.row is not None
        known = entries.get(change.key_before)
        if known is not None and known.fate is Fate.DELETE:
            return
        moves = change.unique_changed or change.key_before != change.key_after
        if known is not None and known.fate in (Fate.MOVE, Fate.UPSERT):
            assert known.row is not None
            row, moved = overlaid(known.row, change.row), known.fate is Fate.MOVE or change.unique_changed
        elif not moves:
            row = change.row if known is None or known.row is None else overlaid(known.row, change.row)
            entries[change.key_before] = Folded(Fate.PATCH, row)
            return
        else:
            base = self._lookup(change.plan, change.key_before)
            if base is None:
                entries[change.key_before] = DELETED
                return
            if known is not None and known.row is not None:
                base = overlaid(base, known.row)
            row, moved = overlaid(base, change.row), change.unique_changed
        if change.key_before != change.key_after:
            entries[change.key_before] = DELETED
        _put(entries, change.key_after, row, moved=moved)


def in_fields(fold: LineFold) -> PlanFold:
    """Folded lines as folded values, for few rows."""
    entries: dict[Row, Folded] = {fields_of(key): DELETED for key in fold.gone}
    for fate, lines in ((Fate.MOVE, fold.moved), (Fate.UPSERT, fold.kept), (Fate.UPSERT, fold.fresh.by_key)):
        for key, line in lines.items():
            assert isinstance(line, bytes)  # few rows with a long one go by staging
            entries[fields_of(key)] = Folded(fate, fields_of(line))
    return PlanFold(fold.plan, entries, [])


def _put(entries: dict[Row, Folded], key: Row, row: Row, *, moved: bool) -> None:
    old = entries.get(key)
    if old is not None and old.fate in (Fate.DELETE, Fate.MOVE):
        moved = True
    entries[key] = Folded(Fate.MOVE if moved else Fate.UPSERT, row)


def overlaid(base: Row, change: Row) -> Row:
    """`base` with every field of `change` that is present."""
    return tuple(old if new is ABSENT else new for old, new in zip(base, change, strict=True))
