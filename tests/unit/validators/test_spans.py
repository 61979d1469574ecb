"""Spans and what is made of them: every row lies in exactly one, verdicts over them add up, the ledger loses none."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from validators.cutting import _even
from validators.findings import ColumnDifference, Finding, FindingKind, Mode, Outcome, TableVerdict, Window
from validators.leaves import KeyRange
from validators.ledger import Chunk, MemoryLedger
from validators.merging import merged
from validators.spans import Span, between
from validators.verdict_documents import table_document, table_of

VALUES = st.integers(-(2**63), 2**64)


@given(st.sets(VALUES, max_size=8), VALUES)
def test_every_value_lies_in_exactly_one_span(starts: set[int], value: int) -> None:
    assert sum(span.holds(value) for span in between("id", sorted(starts))) == 1


@given(VALUES, st.integers(0, 10**6), st.integers(1, 50), VALUES)
def test_even_cuts_hold_everything_once(low: int, width: int, wanted: int, value: int) -> None:
    starts = _even(KeyRange(0, low, low + width), wanted)
    assert len(starts) < wanted or not starts
    assert sum(span.holds(value) for span in between("id", starts)) == 1


@given(st.integers(-50, 50), st.integers(0, 40), VALUES)
def test_halves_hold_what_the_whole_held(low: int, width: int, value: int) -> None:
    for span in (Span("id", low, low + width), Span("id", None, low + width), Span("id", low)):
        halves = span.halves(low, low + width)
        if halves is not None:
            assert sum(half.holds(value) for half in halves) == span.holds(value)
            assert Span.of(json.loads(json.dumps(halves[1].document()))) == halves[1]


def verdict(outcome: Outcome, *, rows: int | None = 5, why: str = "", control: bool | None = True) -> TableVerdict:
    """The verdict over one chunk."""
    return TableVerdict(
        "p", "s", "m", "t", Mode.CHECKSUM, outcome, why,
        source_rows=rows, target_rows=5, chunks_passed=int(outcome is Outcome.PASS), control=control,
        window=Window(3, "f:1", 4), compared_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


OUTCOMES = st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=6)


@given(OUTCOMES)
def test_a_table_passes_only_when_every_chunk_does(outcomes: list[Outcome]) -> None:
    whole = merged([verdict(outcome, why="" if outcome is Outcome.PASS else "late") for outcome in outcomes])
    worst = min(outcomes, key=[Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS].index)
    assert whole.outcome is worst
    assert whole.source_rows == 5 * len(outcomes)
    assert (whole.chunks, whole.chunks_passed) == (len(outcomes), outcomes.count(Outcome.PASS))


def test_what_one_chunk_lacks_the_table_lacks() -> None:
    passed, uncounted = verdict(Outcome.PASS), verdict(Outcome.INCONCLUSIVE, rows=None, why="gone")
    whole = merged([passed, uncounted])
    assert whole.source_rows is None and whole.why == "gone; 1 of 2 chunks verified"
    assert merged([passed, verdict(Outcome.PASS, control=False)]).control is False


def test_a_verdict_survives_the_ledger() -> None:
    found = Finding(
        FindingKind.DIFFERS, (("z", "1"), ("a", None)), (ColumnDifference("v", None, "x"),), "n", "l", "f:2"
    )
    one = dataclasses.replace(verdict(Outcome.FAIL), findings=(found,), excluded=(("c", "not migrated"),))
    assert table_of(json.loads(json.dumps(table_document(one)))) == one


def test_the_ledger_gives_every_chunk_until_it_is_done() -> None:
    ledger = MemoryLedger()
    ledger.begin([Chunk("a", Span("id", None, 9), 10), Chunk("b", Span(), 3)])
    first, second = ledger.take(), ledger.take()
    assert first is not None and second is not None and ledger.take() is None and ledger.open()
    ledger.give_back(second)
    again = ledger.take()
    assert again is not None and (again.number, again.attempts) == (second.number, 1)
    ledger.done(again, verdict(Outcome.PASS))
    ledger.split(first, (Span("id", None, 4), Span("id", 5, 9)))
    halves = [ledger.take(), ledger.take()]
    assert [half.chunk.span.low for half in halves if half] == [None, 5]
    for half in halves:
        assert half is not None
        ledger.done(half, verdict(Outcome.PASS))
    assert not ledger.open()
    assert [entry.chunk.plan_id for entry in ledger.entries()] == ["a", "b", "a"]
