"""Compares tables without a key: both sides' rows of the differing buckets as multisets, at a known position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from model.errors import Busy
from sync.mysql.visibility import Reading
from validators.alignment import Alignment
from validators.canonical.record import CanonicalRow, RecordForm
from validators.findings import Window
from validators.leaves import Leaves
from validators.row_check import RowResult, finding
from validators.source_side import EVERYTHING, SourceSide
from validators.target_side import TargetSide
from validators.touched import TouchedRows

PAUSE_S: Final = 0.2
TIMES_UNPROVEN: Final = 2
"""Where S cannot be proven visible to plain reads: how often the same difference must show."""

Multiset = Counter[CanonicalRow]


@dataclass(slots=True)
class KeylessCheck:
    """Compares the rows of one plan without a key."""

    source: SourceSide
    target: TargetSide
    form: RecordForm
    alignment: Alignment
    changes: TouchedRows
    leaves: Leaves
    most_findings: int

    def run(self, chosen: Sequence[int]) -> RowResult:
        """Compare the rows of the chosen buckets until they are clean, different, or the deadline passes."""
        result = RowResult()
        last: Multiset | None = None
        times = 0
        while True:
            difference, reading = self._difference(chosen, result)
            if difference is not None and not difference:
                result.why = ""
                return result
            if difference is not None and reading is not None:
                times = times + 1 if difference == last else 1
                last = difference
                if reading is Reading.PLAIN or times >= TIMES_UNPROVEN:
                    _report(difference, self.form, result, self.most_findings)
                    return result
            if self.alignment.expired or result.why.endswith(("no daemon runs", "no checkpoint")):
                result.unresolved = list(difference or [()])
                return result
            self.alignment.pause(PAUSE_S)

    def _difference(self, chosen: Sequence[int], result: RowResult) -> tuple[Multiset | None, Reading | None]:
        """Rows that the source has more often (positive) or less often than the store.

        The reading is None when changes in between may explain the difference; the difference when there was no
        comparison.
        """
        try:
            low = self.alignment.low()
        except Busy as error:
            result.why = str(error)
            return None, None
        if low is None:
            result.why = "the store has no checkpoint"
            return None, None
        checkpoint, reading = low
        wanted = set(chosen)
        expected = self._bucketed(self.source.rows(EVERYTHING), wanted)
        high = self.alignment.high()
        late = self.alignment.wait(high)
        if late:
            result.why = late
            return None, None
        with self.alignment.target() as reached:
            found = self._bucketed(self.target.rows("true"), wanted)
        result.window = Window(checkpoint.seq, str(high.coordinate), reached.seq)
        result.compared = max(expected.total(), found.total())
        expected.subtract(found)
        difference = Counter({row: number for row, number in expected.items() if number})
        if not difference:
            return difference, reading
        touched = self.changes.between(self.source.plan, self.form, checkpoint.seq, reached.seq)
        if touched.everything or touched.keys:
            result.why = touched.unknown or "rows change faster than they can be compared"
            clean = {row: number for row, number in difference.items() if row not in touched}
            return Counter(clean or difference), reading if clean else None
        return difference, reading

    def _bucketed(self, rows: Iterable[CanonicalRow], wanted: set[int]) -> Multiset:
        return Counter(row for row in rows if self.leaves.of(None, self.form.hash(row)) in wanted)


def _report(difference: Multiset, form: RecordForm, result: RowResult, most: int) -> None:
    result.why = ""
    for row, number in difference.items():
        if len(result.findings) >= most:
            result.stopped = True
            result.why = f"stopped at {most} differing rows"
            return
        times = abs(number)
        note = f"{times} times" if times > 1 else ""
        expected, found = ([row] * times, []) if number > 0 else ([], [row] * times)
        result.findings.append(finding(form, row, expected, found, note))
