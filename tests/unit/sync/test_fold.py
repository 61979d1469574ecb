"""Folding: the algebra against a naive replay, and the order that keeps unique indexes from colliding."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.rows import ABSENT, Op, Row, RowChange
from sync.fold import Fate, Segment, overlaid
from sync.routing import Router
from tests.support.changes import Impossible, SourceModel, as_row, make_plan, make_table
from transforms.plan import TablePlan

TABLE = make_table("t", "id int,slot int,note text", uniques=(("slot",),))
PLAN = make_plan(TABLE)


def no_lookup(plan: TablePlan, key: Row) -> Row | None:
    raise AssertionError("nothing to look up")


class UniqueStore:
    """A target with a key and a unique column that refuses duplicates at every single step."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = {(row[0],): row for row in rows}

    def lookup(self, plan: TablePlan, key: Row) -> Row | None:
        return self.rows.get(key)

    def apply(self, segment: Segment) -> None:
        for fold in segment:
            for key, folded in fold.entries.items():
                if folded.fate in (Fate.DELETE, Fate.MOVE):
                    self.rows.pop(key, None)
            for key, folded in fold.entries.items():
                if folded.fate in (Fate.MOVE, Fate.UPSERT):
                    assert folded.row is not None
                    self._put(key, folded.row)
            for key, folded in fold.entries.items():
                if folded.fate is Fate.PATCH and key in self.rows:
                    assert folded.row is not None
                    self._put(key, overlaid(self.rows[key], folded.row))

    def _put(self, key: Row, row: Row) -> None:
        taken = {other[1] for at, other in self.rows.items() if at != key and other[1] is not None}
        assert row[1] not in taken, f"unique value {row[1]!r} collides"
        self.rows[key] = row


small = st.integers(0, 4)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), small, st.none() | small),
        st.tuples(st.just("update"), small, st.none() | small),
        st.tuples(st.just("move"), small, small),
        st.tuples(st.just("delete"), small, st.just(0)),
        st.tuples(st.just("swap"), small, small),
    ),
    max_size=25,
)


def play(source: SourceModel, steps: list[tuple[str, int, int | None]]) -> None:
    """Do what can be done of the steps."""
    for number, (what, key, other) in enumerate(steps):
        try:
            if what == "insert":
                source.insert("t", key, other, f"n{number}")
                continue
            row = source.find("t", key)
            if what == "update":
                source.update("t", row, as_row((key, other, f"n{number}")))
            elif what == "move":
                source.update("t", row, as_row((other, row[1], row[2])))
            elif what == "delete":
                source.delete("t", row)
            else:
                second = source.find("t", other)
                if second != row:
                    source.update("t", row, (row[0], None, row[2]))
                    source.update("t", second, (second[0], row[1], second[2]))
                    source.update("t", (row[0], None, row[2]), (row[0], second[1], row[2]))
        except (KeyError, Impossible):
            continue


@pytest.mark.parametrize("minimal", [False, True])
@settings(max_examples=400, deadline=None)
@given(first=operations, batches=st.lists(operations, max_size=4))
def test_folded_segments_equal_a_naive_replay_and_never_collide(
    minimal: bool, first: list[tuple[str, int, int | None]], batches: list[list[tuple[str, int, int | None]]]
) -> None:
    source = SourceModel({"t": TABLE}, minimal=minimal)
    play(source, first)
    source.commit()
    store = UniqueStore(source.rows["t"])
    router = Router([PLAN])
    for steps in batches:
        play(source, steps)
        segment = Segment(store.lookup)
        for batch in source.commit():
            for target in router.route(batch.changes[0]):
                segment.add(target)
        store.apply(segment)
        assert sorted(store.rows.values()) == sorted(source.rows["t"])


@settings(max_examples=200, deadline=None)
@given(before=operations, middle=operations, after=operations)
def test_replay_from_an_earlier_point_converges(
    before: list[tuple[str, int, int | None]],
    middle: list[tuple[str, int, int | None]],
    after: list[tuple[str, int, int | None]],
) -> None:
    """A copy that already has `middle` is replayed from before it: the last image of every key wins."""
    source = SourceModel({"t": make_table("t", "id int,slot int,note text")})
    play(source, before)
    source.commit()
    play(source, middle)
    copied = list(source.rows["t"])
    play(source, after)
    store = UniqueStore(copied)
    store._put = lambda key, row: store.rows.__setitem__(key, row)  # type: ignore[method-assign]
    router = Router([make_plan(make_table("t", "id int,slot int,note text"))])
    segment = Segment(store.lookup)
    for batch in source.commit():
        for target in router.route(batch.changes[0]):
            segment.add(target)
    store.apply(segment)
    assert sorted(store.rows.values(), key=str) == sorted(source.rows["t"], key=str)


def fold(
    *changes: RowChange, lookup: Callable[[TablePlan, Row], Row | None] = no_lookup
) -> dict[Row, tuple[Fate, Row | None]]:
    segment = Segment(lookup)
    for change in changes:
        for target in Router([PLAN]).route(change):
            segment.add(target)
    return {key: (entry.fate, entry.row) for part in segment for key, entry in part.entries.items()}


def change(op: Op, before: tuple[object, ...] | None, after: tuple[object, ...] | None) -> RowChange:
    def row(fields: tuple[object, ...] | None) -> Row | None:
        return None if fields is None else tuple(ABSENT if f is ABSENT else as_row((f,))[0] for f in fields)

    return RowChange(op, TABLE.id, row(before), row(after))


KEY = (b"1",)


def test_insert_then_update_is_one_upsert() -> None:
    found = fold(change(Op.INSERT, None, (1, 5, "a")), change(Op.UPDATE, (1, 5, "a"), (1, 5, "b")))
    assert found == {KEY: (Fate.UPSERT, (b"1", b"5", b"b"))}


def test_insert_then_delete_keeps_the_delete() -> None:
    found = fold(change(Op.INSERT, None, (1, 5, "a")), change(Op.DELETE, (1, 5, "a"), None))
    assert found == {KEY: (Fate.DELETE, None)}


def test_delete_then_insert_replaces() -> None:
    found = fold(change(Op.DELETE, (1, 5, "a"), None), change(Op.INSERT, None, (1, 6, "b")))
    assert found == {KEY: (Fate.MOVE, (b"1", b"6", b"b"))}


def test_a_changed_unique_value_moves_the_row() -> None:
    found = fold(change(Op.UPDATE, (1, 5, "a"), (1, 6, "a")))
    assert found == {KEY: (Fate.MOVE, (b"1", b"6", b"a"))}


def test_a_changed_key_deletes_the_old_row() -> None:
    found = fold(change(Op.UPDATE, (1, 5, "a"), (2, 5, "a")))
    assert found == {KEY: (Fate.DELETE, None), (b"2",): (Fate.UPSERT, (b"2", b"5", b"a"))}


def test_partial_updates_merge_and_stay_partial() -> None:
    wide = make_table("t", "id int,slot int,note text,other text", uniques=(("slot",),))
    segment = Segment(no_lookup)
    for before, after in (
        ((b"1", ABSENT, ABSENT, ABSENT), (ABSENT, ABSENT, b"x", ABSENT)),
        ((b"1", ABSENT, ABSENT, ABSENT), (ABSENT, ABSENT, ABSENT, None)),
    ):
        for target in Router([make_plan(wide)]).route(RowChange(Op.UPDATE, wide.id, before, after)):
            segment.add(target)
    (part,) = segment
    assert part.entries[KEY].fate is Fate.PATCH
    assert part.entries[KEY].row == (b"1", ABSENT, b"x", None)


def test_a_partial_update_that_moves_a_row_is_completed_from_the_store() -> None:
    found = fold(
        change(Op.UPDATE, (1, ABSENT, ABSENT), (ABSENT, 7, ABSENT)),
        lookup=lambda plan, key: (b"1", b"5", b"old"),
    )
    assert found == {KEY: (Fate.MOVE, (b"1", b"7", b"old"))}


def test_a_partial_update_of_a_missing_row_writes_nothing() -> None:
    found = fold(change(Op.DELETE, (1, 5, "a"), None), change(Op.UPDATE, (1, ABSENT, ABSENT), (ABSENT, ABSENT, "x")))
    assert found == {KEY: (Fate.DELETE, None)}


def test_keyless_changes_keep_their_order_and_are_not_folded() -> None:
    table = make_table("log", "a int,b text", key=())
    segment = Segment(no_lookup)
    row = (b"1", b"x")
    for op, before, after in ((Op.INSERT, None, row), (Op.INSERT, None, row), (Op.DELETE, row, None)):
        for target in Router([make_plan(table)]).route(RowChange(op, table.id, before, after)):
            segment.add(target)
    (part,) = segment
    assert [target.op for target in part.ordered] == [Op.INSERT, Op.INSERT, Op.DELETE]
