"""Decides candidates: their rows are read on both sides at a known position, and compared by value.

A difference in a row that nobody touched in (S, T] is confirmed at once; a touched one is read again at the next
position, until it is equal or untouched. A row that changes during every comparison is held against the last change
that the store's own position includes: it is then verified by the stream, and counted apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from model.errors import Busy
from sync.mysql.chunks import mean_row_bytes
from sync.mysql.visibility import Reading
from validators.alignment import Alignment
from validators.canonical.record import CanonicalRow, RecordForm
from validators.findings import ColumnDifference, Finding, FindingKind, Window
from validators.source_side import SourceSide
from validators.target_side import TargetSide
from validators.touched import Touched, TouchedRows

BATCH_KEYS: Final = 1_000
BATCH_BYTES: Final = 32 << 20
"""Of rows that are held at once, by the catalogue's estimate."""
REPEATS: Final = 3
"""How often a row must show the same at advancing positions where one comparison does not decide."""
PAUSE_S: Final = 0.1

MASKED: Final = "‹masked›"

Rows = list[CanonicalRow]


@dataclass(slots=True)
class RowResult:
    """What came of the candidates."""

    findings: list[Finding] = field(default_factory=list)
    compared: int = 0
    by_stream: int = 0
    """Rows that changed during every comparison and were right each time by the binlog's last change."""
    unresolved: list[CanonicalRow] = field(default_factory=list)
    why: str = ""
    """Why rows are unresolved, or that a weaker method was used."""
    window: Window | None = None
    stopped: bool = False
    """Whether the limit of findings ended the comparison."""

    def add(self, found: Finding) -> None:
        """Enter a finding, confirmed at the present window."""
        at = "" if self.window is None else self.window.high
        self.findings.append(dataclasses.replace(found, position=at))


STOPPED: Final = "stopped: the table has as many differing rows as verify.max_findings lets a run look for"


@dataclass(slots=True)
class RowCheck:
    """Compares the rows of one plan."""

    source: SourceSide
    target: TargetSide
    form: RecordForm
    alignment: Alignment
    changes: TouchedRows
    most_findings: int
    _seen: dict[CanonicalRow, tuple[Rows, Rows, int]] = field(default_factory=dict)
    _streamed: dict[CanonicalRow, int] = field(default_factory=dict)

    def run(self, keys: Sequence[CanonicalRow], result: RowResult | None = None) -> RowResult:
        """Compare the rows with these keys until each is decided or the deadline passes; `result` grows by them."""
        if result is None:
            result = RowResult()
        pending = list(keys)
        result.compared += len(pending)
        size = max(10, min(BATCH_KEYS, int(BATCH_BYTES / mean_row_bytes(self.source.plan.source))))
        while pending and not result.stopped:
            again: list[CanonicalRow] = []
            for start in range(0, len(pending), size):
                batch = pending[start : start + size]
                if len(result.findings) >= self.most_findings:
                    result.stopped = True
                    result.why = STOPPED
                    again += pending[start:]
                    break
                again += self._pass(batch, result)
            if again and not result.stopped:
                if self.alignment.expired or result.why.endswith(("no daemon runs", "no checkpoint")):
                    break
                self.alignment.pause(PAUSE_S)
            pending = again
        result.unresolved += pending
        if not result.unresolved and not result.stopped and "relay" not in result.why:
            result.why = ""
        return result

    def _pass(self, keys: Sequence[CanonicalRow], result: RowResult) -> list[CanonicalRow]:
        """One comparison at one position; gives the keys that have to be read again."""
        try:
            low = self.alignment.low()
        except Busy as error:
            result.why = str(error)
            return list(keys)
        if low is None:
            result.why = "the store has no checkpoint"
            return list(keys)
        checkpoint, reading = low
        expected = self.source.lookup(keys, locking=reading is Reading.LOCKING)
        high = self.alignment.high()
        late = self.alignment.wait(high)
        if late:
            result.why = late
            return list(keys)
        with self.alignment.target() as reached:
            found = self.target.lookup(keys)
        result.window = Window(checkpoint.seq, str(high.coordinate), reached.seq)
        different = [key for key in keys if not self._same(expected.get(key, []), found.get(key, []))]
        if not different:
            return []
        touched = self.changes.between(self.source.plan, self.form, checkpoint.seq, reached.seq)
        return [
            key
            for key in different
            if not self._decided(key, expected.get(key, []), found.get(key, []), touched, result)
        ]

    def _decided(self, key: CanonicalRow, expected: Rows, found: Rows, touched: Touched, result: RowResult) -> bool:
        if key not in touched:
            result.add(finding(self.form, key, expected, found))
            return True
        if not touched.everything:
            return self._by_stream(key, expected, found, touched, result)
        result.why = (
            f"{touched.unknown}; rows are compared {REPEATS} times at advancing positions instead"
            if touched.unknown
            else "cascades of the source changed rows while they were compared"
        )
        before = self._seen.get(key)
        times = before[2] + 1 if before and before[:2] == (expected, found) else 1
        self._seen[key] = (expected, found, times)
        if times < REPEATS:
            return False
        result.add(finding(self.form, key, expected, found, note=f"the same at {times} positions"))
        return True

    def _by_stream(self, key: CanonicalRow, expected: Rows, found: Rows, touched: Touched, result: RowResult) -> bool:
        """A row that changed in between: the store must hold what the last change before T left."""
        if key not in touched.last:
            result.why = "rows change faster than they can be compared, and the binlog has partial row images"
            return False
        image = touched.last[key]
        wanted = [] if image is None else [image]
        if not self._same(wanted, found):
            note = "compared with the last change in the binlog"
            result.add(finding(self.form, key, wanted, found, note=note))
            return True
        times = self._streamed.get(key, 0) + 1
        self._streamed[key] = times
        if times < REPEATS:
            result.why = "rows change faster than they can be compared"
            return False
        result.by_stream += 1
        return True

    def _same(self, expected: Rows, found: Rows) -> bool:
        if len(expected) != len(found):
            return False
        if len(expected) == 1:
            return self.form.same(expected[0], found[0])
        rest = list(found)
        for row in expected:
            match = next((other for other in rest if self.form.same(row, other)), None)
            if match is None:
                return False
            rest.remove(match)
        return True


def finding(form: RecordForm, key: CanonicalRow, expected: Rows, found: Rows, note: str = "") -> Finding:
    """The difference between the source's and the store's rows of one key."""
    if form.key:
        named = tuple((form.names[index], shown(value)) for index, value in zip(form.key, key, strict=True))
    else:
        named = tuple((form.names[index], disclosed(form, index, key)) for index in range(len(key)))
    if not found:
        return Finding(FindingKind.MISSING, named, (), note or _refusal(expected))
    if not expected:
        return Finding(FindingKind.EXTRA, named, (), note or (f"{len(found)} times" if len(found) > 1 else ""))
    if len(found) > len(expected):
        return Finding(FindingKind.EXTRA, named, (), note or f"{len(found)} times instead of {len(expected)}")
    columns = tuple(
        ColumnDifference(form.names[index], disclosed(form, index, expected[0]), disclosed(form, index, found[0]))
        for index in form.different(expected[0], found[0])
    )
    return Finding(FindingKind.DIFFERS, named, columns, note)


def _refusal(expected: Rows) -> str:
    for row in expected:
        for value in row:
            if value is not None and value.startswith(b"\x01refused: "):
                return shown(value[1:]) or ""
    return ""


def disclosed(form: RecordForm, index: int, row: CanonicalRow) -> str | None:
    """A column of a row for people: of a masked one only whether it is NULL. (Keys are needed to mend rows.)"""
    value = row[index]
    return MASKED if index in form.masked and value is not None else shown(value)


def shown(value: bytes | None) -> str | None:
    """A canonical text for people."""
    return None if value is None else value.decode(errors="backslashreplace")
