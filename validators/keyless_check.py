"""Compares tables without a key as multisets of row hashes, at a known position.

What the store has more or less than the source must be what came and went between the source's reading and T, and that
is a tail of the changes in (S, T]. Memory is bounded: a large table is compared in parts of its hashes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from model.errors import Busy
from sync.mysql.visibility import Reading
from validators.alignment import Alignment
from validators.canonical.record import CanonicalRow, RecordForm
from validators.findings import Window
from validators.row_check import REPEATS, STOPPED, RowResult, finding
from validators.source_side import EVERYTHING, SourceSide
from validators.target_side import TargetSide
from validators.touched import TouchedRows

PAUSE_S: Final = 0.2
PART_ROWS: Final = 500_000

Multiset = Counter[int]


@dataclass(slots=True)
class KeylessCheck:
    """Compares the rows of one plan without a key."""

    source: SourceSide
    target: TargetSide
    form: RecordForm
    alignment: Alignment
    changes: TouchedRows
    most_findings: int

    def run(self, size: int) -> RowResult:
        """Compare a table of about `size` rows until it is equal, different, or the deadline passes."""
        result = RowResult()
        parts = -(-max(size, 1) // PART_ROWS)
        for part in range(parts):
            self._part(part, parts, result)
            if result.unresolved or result.stopped:
                break
        return result

    def _part(self, part: int, parts: int, result: RowResult) -> None:
        last: Multiset | None = None
        times = 0
        while True:
            result.why = ""
            rest, sure = self._rest(part, parts, result)
            if rest is not None:
                if not rest:
                    return
                times = times + 1 if rest == last else 1
                last = rest
                if sure or times >= REPEATS:
                    self._report(rest, result)
                    return
            if self.alignment.expired or result.why.endswith(("no daemon runs", "no checkpoint")):
                result.why = result.why or "rows change faster than they can be compared"
                result.unresolved = [()] * (rest.total() if rest else 1)
                return
            self.alignment.pause(PAUSE_S)

    def _rest(self, part: int, parts: int, result: RowResult) -> tuple[Multiset | None, bool]:
        """Rows that the store has more often (positive) or less often than it should, and whether that is sure.

        None when there was no comparison.
        """
        try:
            low = self.alignment.low()
        except Busy as error:
            result.why = str(error)
            return None, False
        if low is None:
            result.why = "the store has no checkpoint"
            return None, False
        checkpoint, reading = low
        difference: Multiset = Counter()
        difference.subtract(self._hashes(self.source.rows(EVERYTHING), part, parts))
        high = self.alignment.high()
        late = self.alignment.wait(high)
        if late:
            result.why = late
            return None, False
        with self.alignment.target() as reached:
            difference.update(self._hashes(self.target.rows("true"), part, parts))
        result.window = Window(checkpoint.seq, str(high.coordinate), reached.seq)
        result.compared = max(result.compared, len(difference))
        touched = self.changes.between(self.source.plan, self.form, checkpoint.seq, reached.seq)
        difference = _present(difference)
        if not difference:
            return difference, True
        tails = [difference]
        for moves in reversed(touched.moves):
            moved = Counter({row: number for row, number in moves.items() if row % parts == part})
            tails.append(_present(_minus(tails[-1], moved)))
            if not tails[-1]:
                return tails[-1], True
        nearest = min(tails, key=lambda rest: sum(map(abs, rest.values())))
        changed = {row for moves in touched.moves for row in moves}
        untouched = Counter({row: number for row, number in nearest.items() if row not in changed})
        if touched.everything:
            result.why = touched.unknown or "cascades of the source changed rows while they were compared"
        sure = bool(untouched) and reading is Reading.PLAIN and not touched.everything
        return untouched or nearest, sure

    def _hashes(self, rows: Iterable[CanonicalRow], part: int, parts: int) -> Iterable[int]:
        for row in rows:
            row_hash = self.form.hash(row)
            if row_hash % parts == part:
                yield row_hash

    def _report(self, rest: Multiset, result: RowResult) -> None:
        """Findings of the differing rows, their values read once more."""
        wanted = dict(list(rest.items())[: self.most_findings])
        if len(wanted) < len(rest):
            result.stopped = True
            result.why = STOPPED
        shown: dict[int, CanonicalRow] = {}
        for rows in (self.source.rows(EVERYTHING), self.target.rows("true")):
            for row in rows:
                row_hash = self.form.hash(row)
                if row_hash in wanted:
                    shown.setdefault(row_hash, row)
        for row_hash, number in wanted.items():
            row = shown.get(row_hash, (b"hash %x" % row_hash,))
            times = abs(number)
            expected, found = ([], [row] * times) if number > 0 else ([row] * times, [])
            result.add(finding(self.form, row, expected, found, f"{times} times" if times > 1 else ""))


def _minus(rest: Multiset, moved: Multiset) -> Multiset:
    left = Counter(rest)
    left.subtract(moved)
    return left


def _present(rest: Multiset) -> Multiset:
    return Counter({row: number for row, number in rest.items() if number})
