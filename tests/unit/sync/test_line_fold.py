"""Folding lines: against a store that refuses duplicates at every step, event by event, and the fields of a line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.rows import Op, Row
from sync import line_fold
from sync.fold import Segment, in_fields
from sync.fresh_rows import FreshRows
from sync.line_fold import LineFold, fields_of, prefixed
from sync.mysql.lines import RowLines
from sync.postgres.staging import copy_line
from tests.support.changes import make_plan, make_table
from tests.unit.sync.test_fold import UniqueStore, no_lookup

TABLE = make_table("t", "id int,slot int,note text", uniques=(("slot",),))
PLAN = make_plan(TABLE)
FIELD = st.none() | st.text(st.sampled_from("ab\\\t\n\r N"), max_size=6).map(str.encode)


def line(row: Row) -> bytes:
    return copy_line(row)[:-1]


@given(st.lists(FIELD, min_size=1, max_size=4))
def test_fields_of_a_line_are_those_it_was_made_of(fields: list[bytes | None]) -> None:
    assert fields_of(line(tuple(fields))) == tuple(fields)


def test_prefixes_go_before_every_line_even_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in (1000, 1):
        monkeypatch.setattr(line_fold, "_ONE_BLOCK_BYTES", limit)
        assert b"".join(prefixed(b"0\t", [b"a", b"", b"b"])) == b"0\ta\n0\t\n0\tb\n"
        assert b"".join(prefixed(b"0\t", {b"": None})) == b"0\t\n"
        assert list(prefixed(b"0\t", [])) == []


def test_rows_of_a_key_that_comes_twice_are_one_for_who_asks_by_key() -> None:
    rows = FreshRows({b"0": b"0\ta"})
    rows.add([b"1", b"2"], [b"1\ta", b"2\ta"])
    rows.add([b"2", b"0"], [b"2\tb", b"0\tb"])
    assert len(rows) == 5
    assert list(rows.lines) == [b"0\ta", b"1\ta", b"2\ta", b"2\tb", b"0\tb"]
    assert rows.by_key == {b"0": b"0\tb", b"1": b"1\ta", b"2": b"2\tb"}
    assert len(rows) == 3
    assert list(rows.lines) == list(rows.by_key.values())


@given(st.lists(st.integers(1, 5), max_size=1200), st.integers(1, 4000))
def test_a_fold_is_weighed_to_the_byte(lengths: list[int], size: int) -> None:
    fold = LineFold(PLAN, moved={b"m": b"xx"}, kept={b"k": b"yyy"})
    fold.add(Op.INSERT, RowLines([], [b"%d" % n for n in range(len(lengths))], [b"z" * n for n in lengths]))
    assert fold.weighs(size) == (5 + sum(lengths) >= size)


small = st.integers(0, 4)
steps = st.lists(
    st.tuples(st.sampled_from(["insert", "update", "move", "delete"]), small, st.none() | small, st.integers(1, 3)),
    max_size=40,
)


class Source:
    """A table with a key and a unique column; what it does comes out as events of one or more rows."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows: dict[bytes, Row] = {row[0]: row for row in rows if row[0] is not None and isinstance(row[0], bytes)}
        self.events: list[tuple[Op, RowLines]] = []

    def fits(self, row: Row, instead: bytes | None) -> bool:
        others = [other for key, other in self.rows.items() if key != instead]
        return all(other[0] != row[0] and (row[1] is None or other[1] != row[1]) for other in others)

    def do(self, what: str, number: int, slot: int | None, count: int) -> None:
        """Up to `count` rows with neighbouring keys in one event."""
        event: tuple[list[bytes], list[bytes], list[bytes], list[bool]] = ([], [], [], [])
        for offset in range(count):
            key = b"%d" % ((number + offset) % 5)
            old = self.rows.get(key)
            value = None if slot is None else b"%d" % ((slot + offset) % 5)
            new: Row = (key, value, b"note %d" % len(self.events))
            if what == "move":
                new = (b"%d" % ((number + offset + 2) % 5), *new[1:])
            if (what == "insert") != (old is None) or (what != "delete" and not self.fits(new, key)):
                continue
            if old is not None:
                del self.rows[key]
                event[0].append(key)
            if what != "delete":
                assert isinstance(new[0], bytes)
                self.rows[new[0]] = new
                event[1].append(new[0])
                event[2].append(line(new))
            if old is not None and what != "delete":
                event[3].append(old[1] != new[1])
        if event[0] or event[1]:
            op = {"insert": Op.INSERT, "delete": Op.DELETE}.get(what, Op.UPDATE)
            self.events.append((op, RowLines(*event)))


@settings(max_examples=300)
@given(start=st.sets(small), listed=steps, exact=st.booleans())
def test_a_segment_of_lines_leaves_the_store_as_the_source_is(
    start: set[int], listed: list[tuple[str, int, int | None, int]], exact: bool
) -> None:
    rows: list[Row] = [(b"%d" % number, b"%d" % number, b"base") for number in sorted(start)]
    source = Source(rows)
    store = UniqueStore(rows)
    for step in listed:
        source.do(*step)
    segment = Segment(no_lookup)
    for op, event in source.events:
        segment.add_lines(PLAN, PLAN.id, op, event)
    for fold in segment.lines:
        # No key comes twice, so that COPY can have the rows as they came.
        assert len(fold.fresh) == len(list(fold.fresh.lines)) == len(fold.fresh.by_key)
        assert_apart(fold)
        if exact:
            # What goes straight into the table must be new to it.
            assert store.rows.keys().isdisjoint({fields_of(key) for key in fold.fresh.by_key})
        store.apply(as_segment(fold))
    assert store.rows == {(key,): row for key, row in source.rows.items()}


def assert_apart(fold: LineFold) -> None:
    places = [fold.gone.keys(), fold.moved.keys(), fold.kept.keys(), fold.fresh.by_key.keys()]
    assert len(fold) == len(set().union(*places))
    assert all(
        fields_of(text)[:1] == fields_of(key) for key, text in (fold.moved | fold.kept | fold.fresh.by_key).items()
    )


def as_segment(fold: LineFold) -> Segment:
    """A segment that holds the outcome as values."""
    segment = Segment(no_lookup)
    segment._folds[PLAN.id] = in_fields(fold)
    return segment
