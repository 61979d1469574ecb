"""Compares exact numbers of rows at a known position, with the rows that came and went in between accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from model.errors import Busy
from sync.mysql.visibility import Reading
from validators.alignment import Alignment
from validators.canonical.record import RecordForm
from validators.findings import Window
from validators.source_side import SourceSide
from validators.target_side import TargetSide
from validators.touched import Touched, TouchedRows

TRIES: Final = 3
PAUSE_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Counts:
    """Both numbers and what they say."""

    source: int
    target: int
    agree: bool | None
    """None: not decided."""
    why: str = ""
    window: Window | None = None


def compare_counts(
    source: SourceSide, target: TargetSide, form: RecordForm, alignment: Alignment, changes: TouchedRows
) -> Counts:
    """Count until the numbers agree, surely disagree, or the deadline passes.

    The source is counted somewhere between S and P; what changed after that moment and up to T is one of the tails of
    the changes in (S, T]. A difference that no tail explains is one.
    """
    last = Counts(-1, -1, None)
    agreed = refuted = 0
    while True:
        found, proven = _once(source, target, form, alignment, changes)
        if found.agree is True and not found.why:
            return found
        agreed += found.agree is True
        refuted = refuted + 1 if found.agree is False and _apart(found) == _apart(last) else int(found.agree is False)
        last = found
        if agreed >= TRIES or refuted >= (1 if proven else 2):
            return found
        if alignment.expired or found.why.endswith(("no daemon runs", "no checkpoint")):
            return (
                found if found.agree is not False else Counts(found.source, found.target, None, found.why, found.window)
            )
        alignment.pause(PAUSE_S)


def _apart(counts: Counts) -> int:
    return counts.target - counts.source


def _once(
    source: SourceSide, target: TargetSide, form: RecordForm, alignment: Alignment, changes: TouchedRows
) -> tuple[Counts, bool]:
    try:
        low = alignment.low()
    except Busy as error:
        return Counts(-1, -1, None, str(error)), False
    there = source.count()
    high = alignment.high()
    if low is None:
        return Counts(there, target.count(), None, "the store has no checkpoint"), False
    checkpoint, reading = low
    late = alignment.wait(high)
    if late:
        return Counts(there, target.count(), None, late), False
    with alignment.target() as reached:
        here = target.count()
    window = Window(checkpoint.seq, str(high.coordinate), reached.seq)
    touched = changes.between(source.plan, form, checkpoint.seq, reached.seq)
    if touched.everything:
        why = touched.unknown or "cascades of the source changed the table while it was counted"
        return Counts(there, here, True if here == there else None, why, window), False
    possible = tails(touched)
    if here - there not in possible:
        return Counts(there, here, False, "", window), reading is Reading.PLAIN
    why = f"exact to within {max(map(abs, possible))} rows in flight" if len(possible) > 1 else ""
    return Counts(there, here, True, why, window), True


def tails(touched: Touched) -> set[int]:
    """What the number of rows can have changed by between the source's reading and T."""
    found, total = {0}, 0
    for _, net in reversed(touched.nets):
        total += net
        found.add(total)
    return found
