"""One verdict over a table made of the verdicts over its chunks. No I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from validators.findings import Outcome, TableVerdict, Window

MOST_REASONS: Final = 3


def merged(chunks: Sequence[TableVerdict]) -> TableVerdict:
    """The verdict over all rows of these chunks, at least one: FAIL when one fails, PASS only when all pass."""
    first = chunks[0]
    if len(chunks) == 1:
        return first
    outcomes = [chunk.outcome for chunk in chunks]
    outcome = next((worse for worse in (Outcome.FAIL, Outcome.INCONCLUSIVE) if worse in outcomes), Outcome.PASS)
    passed = sum(chunk.chunks_passed for chunk in chunks)
    total = sum(chunk.chunks for chunk in chunks)
    reasons = list(dict.fromkeys(chunk.why for chunk in chunks if chunk.why))
    if len(reasons) > MOST_REASONS:
        reasons = [*reasons[:MOST_REASONS], f"and {len(reasons) - MOST_REASONS} more reasons"]
    if Outcome.INCONCLUSIVE in outcomes:
        reasons.append(f"{passed} of {total} chunks verified")
    controls = {chunk.control for chunk in chunks}
    return dataclasses.replace(
        first,
        outcome=outcome,
        why="; ".join(reasons),
        next_step=next((chunk.next_step for chunk in chunks if chunk.next_step), ""),
        source_rows=_total([chunk.source_rows for chunk in chunks]),
        target_rows=_total([chunk.target_rows for chunk in chunks]),
        leaves=sum(chunk.leaves for chunk in chunks),
        leaves_compared_again=sum(chunk.leaves_compared_again for chunk in chunks),
        rows_compared_again=sum(chunk.rows_compared_again for chunk in chunks),
        rows_by_stream=sum(chunk.rows_by_stream for chunk in chunks),
        missing=sum(chunk.missing for chunk in chunks),
        extra=sum(chunk.extra for chunk in chunks),
        different=sum(chunk.different for chunk in chunks),
        unresolved=sum(chunk.unresolved for chunk in chunks),
        findings=tuple(finding for chunk in chunks for finding in chunk.findings),
        window=_window([chunk.window for chunk in chunks if chunk.window is not None]),
        control=False if False in controls else True if True in controls else None,
        duration_s=sum(chunk.duration_s for chunk in chunks),
        compared_at=min((chunk.compared_at for chunk in chunks if chunk.compared_at is not None), default=None),
        chunks=total,
        chunks_passed=passed,
    )


def _total(counts: Sequence[int | None]) -> int | None:
    """None when a chunk was not counted: a sum of the others would look like the table's."""
    return None if None in counts else sum(count for count in counts if count is not None)


def _window(windows: Sequence[Window]) -> Window | None:
    if not windows:
        return None
    last = max(windows, key=lambda window: window.target_seq)
    return Window(min(window.low_seq for window in windows), last.high, last.target_seq)
