from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.tables import ColumnDef, IndexDef, IndexPart, TableDef, TableId
from stores.control.chunks import Chunk
from sync.mysql.chunks import (
    MAX_ROWS,
    MIN_ROWS,
    ChunkKey,
    Span,
    cut,
    even_values,
    mean_row_bytes,
    missing,
    rows_per_chunk,
)


def table(*columns: ColumnDef, key: tuple[str, ...] = ("id",), indexes: tuple[IndexDef, ...] = ()) -> TableDef:
    return TableDef(TableId("db", "t"), columns, primary_key=key, indexes=indexes)


def column(name: str, kind: str, **facts: object) -> ColumnDef:
    return ColumnDef(name, kind, kind, nullable=False, **facts)  # type: ignore[arg-type]


def chunk(number: int, low: tuple[str, ...] | None, high: tuple[str, ...] | None) -> Chunk:
    return Chunk("p", number, low, high, 1, 1)


class TestKey:
    def test_a_string_bound_is_a_literal_of_its_stored_bytes(self) -> None:
        key = ChunkKey.of(table(column("id", "varchar", charset="latin1", collation="latin1_swedish_ci")))
        assert key is not None
        assert key.condition(Span(("\\xE4",), None)) == "(`id` > _latin1 X'e4' COLLATE latin1_swedish_ci)"

    def test_composite_keys_are_expanded_with_an_index_range_first(self) -> None:
        key = ChunkKey.of(table(column("a", "int"), column("b", "int"), key=("a", "b")))
        assert key is not None
        assert key.after(("1", "2")) == "`a` >= 1 AND ((`a` > 1) OR (`a` = 1 AND `b` > 2))"
        assert key.up_to(("1", "2")) == "`a` <= 1 AND ((`a` < 1) OR (`a` = 1 AND `b` <= 2))"

    def test_an_open_span_has_no_bound(self) -> None:
        key = ChunkKey.of(table(column("id", "int")))
        assert key is not None
        assert key.condition(Span()) == "1 = 1"

    @pytest.mark.parametrize("bound", ["1; DROP TABLE t", "1 OR 1=1", "", "x"])
    def test_a_bound_that_is_no_number_is_refused(self, bound: str) -> None:
        key = ChunkKey.of(table(column("id", "int")))
        assert key is not None
        with pytest.raises(ValueError):
            key.after((bound,))

    def test_a_quote_in_a_temporal_bound_is_refused(self) -> None:
        key = ChunkKey.of(table(column("id", "datetime")))
        assert key is not None
        with pytest.raises(ValueError, match="not a bound"):
            key.after(("2024-01-01' OR '1",))

    def test_a_double_bound_is_never_a_decimal_literal(self) -> None:
        key = ChunkKey.of(table(column("id", "double")))
        assert key is not None
        assert key.after(("0.1",)) == "`id` > 0.1e0"
        assert key.after(("1e22",)) == "`id` > 1e22"

    def test_the_unique_index_stands_in_for_a_primary_key(self) -> None:
        unique = IndexDef("u", (IndexPart("id"),), unique=True)
        key = ChunkKey.of(table(column("id", "int"), key=(), indexes=(unique,)))
        assert key is not None and key.index == "u"

    def test_no_key_no_chunks(self) -> None:
        assert ChunkKey.of(table(column("id", "int"), key=())) is None
        assert ChunkKey.of(table(column("id", "json"))) is None


class TestSizes:
    def test_rows_follow_the_budget_within_limits(self) -> None:
        assert rows_per_chunk(1 << 20, 1024.0) == 1024
        assert rows_per_chunk(1, 1e9) == MIN_ROWS
        assert rows_per_chunk(1 << 40, 0.0) == MAX_ROWS

    def test_without_an_estimate_a_mean_is_assumed(self) -> None:
        assert mean_row_bytes(table(column("id", "int"))) == 256.0


def inside(span: Span, key: int) -> bool:
    low = int(span.low[0] or "0") if span.low else None
    high = int(span.high[0] or "0") if span.high else None
    return (low is None or key > low) and (high is None or key <= high)


class TestRanges:
    @given(st.lists(st.integers(-50, 50)), st.integers(-60, 60))
    def test_a_cut_holds_every_key_once(self, bounds: list[int], key: int) -> None:
        spans = cut([(str(bound),) for bound in bounds])
        assert sum(inside(span, key) for span in spans) == 1

    @given(st.lists(st.integers(-50, 50)), st.integers(-50, 49), st.integers(1, 100), st.integers(-60, 60))
    def test_a_cut_span_holds_its_own_keys_once(self, bounds: list[int], low: int, width: int, key: int) -> None:
        for span in (Span((str(low),), (str(low + width),)), Span((str(low),), None), Span(None, (str(low),))):
            spans = cut([(str(bound),) for bound in bounds], span)
            assert sum(inside(part, key) for part in spans) == inside(span, key)
            assert (spans[0].low, spans[-1].high) == (span.low, span.high)

    @given(st.lists(st.integers(-20, 20), max_size=8), st.data(), st.integers(-25, 25))
    def test_what_is_missing_is_what_no_chunk_has(self, bounds: list[int], data: st.DataObject, key: int) -> None:
        spans = cut([(str(bound),) for bound in bounds])
        done = [span for span in spans if data.draw(st.booleans())]
        chunks = [chunk(number, span.low, span.high) for number, span in enumerate(data.draw(st.permutations(done)))]
        covered = any(inside(span, key) for span in done)
        gaps = missing(chunks, integer=True)
        assert sum(inside(span, key) for span in gaps) == (0 if covered else 1)

    def test_composite_integers_order_as_numbers(self) -> None:
        assert missing([chunk(1, None, ("9", "1")), chunk(2, ("10", "0"), None)], integer=True) == (
            Span(("9", "1"), ("10", "0")),
        )

    def test_other_keys_go_on_after_the_last_chunk(self) -> None:
        chunks = [chunk(2, ("\\x62",), ("\\x63",)), chunk(1, None, ("\\x62",))]
        assert missing(chunks, integer=False) == (Span(("\\x63",), None),)
        assert missing([*chunks, chunk(3, ("\\x63",), None)], integer=False) == ()

    @given(st.integers(-(2**63), 2**63), st.integers(0, 2**64), st.integers(2, 16))
    def test_even_values_lie_inside(self, first: int, width: int, parts: int) -> None:
        values = even_values(first, first + width, parts)
        assert all(first <= value <= first + width for value in values)
        assert len(values) <= parts - 1
