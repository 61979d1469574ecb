"""Lines made from a result's packets are those that the slow way makes, for every type, cast and shape of bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import ZeroDates
from model.errors import ConnectionLost, ValueRefused
from model.rows import Row
from model.tables import ColumnDef, TableDef, TableId
from sync.mysql.result_forms import result_lines
from sync.mysql.result_lines import END, ERROR, MORE, whole_rows
from sync.mysql.textform import from_select
from sync.postgres.copy import encode
from tests.support.result_packets import ANY, COLUMNS, TIMES, column, packets
from transforms import casts
from transforms.plan import Cast, ColumnKind, ColumnPlan, TablePlan
from transforms.target import TargetColumn, TargetTable

EOF_PACKET = b"\x05\x00\x00\x09\xfe\x00\x00\x02\x00"


CASTS: dict[str, Sequence[Cast]] = {
    "none": (),
    "nul_quarantine": (casts.nul_quarantine(),),
    "nul_strip": (casts.nul_strip(),),
    "short": (casts.nul_quarantine(), casts.max_characters(3)),
}
DATE_CASTS: dict[str, Sequence[Cast]] = {
    "infinity": (casts.zero_date(ZeroDates.INFINITY),),
    "null": (casts.zero_date(ZeroDates.NULL),),
    "quarantine": (casts.zero_date(ZeroDates.QUARANTINE),),
    "wall": (casts.utc_to_wall(), casts.zero_date(ZeroDates.NULL)),
}


def plan_of(
    columns: Sequence[ColumnDef], casts_of: Sequence[Cast] = (), constant: bytes | None = b"c\t\\"
) -> TablePlan:
    """A plan of all columns in reverse order, and a constant."""
    named = tuple(
        ColumnDef(f"c{index}", found.type, found.column_type, charset=found.charset, labels=found.labels,
                  length=found.length, scale=found.scale)
        for index, found in enumerate(columns)
    )  # fmt: skip
    targets = [
        ColumnPlan(TargetColumn(named[index].name, "text"), ColumnKind.COPY, source=index, casts=tuple(casts_of))
        for index in reversed(range(len(named)))
    ]
    targets.append(ColumnPlan(TargetColumn("fixed", "text"), ColumnKind.CONSTANT, constant=constant))
    return TablePlan(
        TableDef(TableId("shop", "t"), named),
        TargetTable("store", "public", "t", tuple(target.target for target in targets)),
        tuple(targets),
        (),
    )


def slow(plan: TablePlan, rows: Sequence[Sequence[bytes | None]]) -> bytes:
    """What ChunkRows and the loader make of the rows. Raises ValueRefused."""
    converts = [from_select(found) for found in plan.source.columns]
    lines = []
    for raw in rows:
        row: Row = tuple(convert(value) for convert, value in zip(converts, raw, strict=False))
        lines.append(encode(plan.project(row)))
    return b"".join(lines)


def same(plan: TablePlan, rows: Sequence[Sequence[bytes | None]], bounds: int = 0) -> bool:
    """Compare both ways; whether the fast one took the rows."""
    fast = result_lines(plan, bounds)
    assert fast is not None
    block = b"".join(map(packets, rows))
    try:
        found = fast.lines(block)
    except ValueRefused:
        return False
    assert found == slow(plan, rows)
    return True


@pytest.mark.parametrize(("definition", "values"), COLUMNS, ids=[f"{c.column_type}-{c.charset}" for c, _ in COLUMNS])
@pytest.mark.parametrize("chosen", CASTS)
@settings(max_examples=20)
@given(data=st.data())
def test_every_type_gives_the_slow_ways_bytes(
    chosen: str, definition: ColumnDef, values: st.SearchStrategy[bytes], data: st.DataObject
) -> None:
    rows = [[value] for value in data.draw(st.lists(st.one_of(st.none(), values), min_size=1, max_size=5))]
    plan = plan_of([definition], CASTS[chosen])
    if same(plan, rows):
        return
    # The fast way may refuse more than the slow one, but only for NUL characters, which COPY would not take either.
    try:
        text = slow(plan, rows)
    except ValueRefused:
        return
    assert b"\0" in text


@pytest.mark.parametrize("chosen", DATE_CASTS)
@given(rows=st.lists(st.tuples(st.one_of(st.none(), TIMES)), min_size=1, max_size=5))
def test_casts_of_dates(chosen: str, rows: list[tuple[bytes | None]]) -> None:
    plan = plan_of([column("timestamp", scale=3)], DATE_CASTS[chosen])
    if not same(plan, rows):
        with pytest.raises(ValueRefused):
            slow(plan, rows)


@given(st.data())
def test_rows_of_all_types_with_a_key_behind_them(data: st.DataObject) -> None:
    tame = [
        pair for pair in COLUMNS if pair[0].type not in ("char", "varchar", "text", "json", "unheard", "enum", "set")
    ]
    row = st.tuples(*(st.one_of(st.none(), values) for _, values in tame), st.just(b"17"), st.just(b"\\x00"))
    rows = data.draw(st.lists(row, max_size=4))
    assert same(plan_of([definition for definition, _ in tame], constant=None), rows, 2)


def test_a_row_of_several_packets() -> None:
    plan = plan_of([column("mediumtext", charset="utf8mb4"), column("int")])
    value = b"x" * 0xFFFFFF
    assert same(plan, [[b"a", b"1"], [value, b"2"], [b"b\\", None], [value[:-8], b"333"]])


class TestBytesThatAreNoRows:
    WRITER = result_lines(plan_of([column("int"), column("int")]), 0)

    @pytest.mark.parametrize(
        "body",
        [b"", b"\x011", b"\x011\x012\x013", b"\x011\x052", b"\x011\xff2", b"\x011\xfc", b"\xfe" + b"\xff" * 8 + b"1"],
    )
    def test_are_not_taken(self, body: bytes) -> None:
        assert self.WRITER is not None
        with pytest.raises(ConnectionLost):
            self.WRITER.lines(len(body).to_bytes(3, "little") + b"\0" + body)

    @given(st.lists(st.binary(max_size=20), max_size=5))
    def test_never_read_beyond_their_end(self, bodies: list[bytes]) -> None:
        assert self.WRITER is not None
        block = b"".join(len(body).to_bytes(3, "little") + b"\0" + body for body in bodies)
        try:
            lines = self.WRITER.lines(block)
        except ConnectionLost:
            return
        assert lines.count(b"\n") == len(bodies)


@given(st.lists(st.lists(st.one_of(st.none(), ANY), min_size=1, max_size=3), max_size=5), st.integers(0, 8))
def test_whole_rows_end_where_a_packet_does(rows: list[list[bytes | None]], short: int) -> None:
    framed = [packets(row) for row in rows]
    block = b"".join(framed)
    sizes = [len(piece) for piece in framed]
    last = sum(sizes[:-1])
    assert whole_rows(block + EOF_PACKET) == (len(block), last, len(rows), END, 0)
    assert whole_rows(block + b"\x03\x00\x00\x00\xff\x01\x02") == (len(block), last, len(rows), ERROR, 0)
    behind, _, count, state, wanted = whole_rows(block + EOF_PACKET[:short])
    assert (behind, count, state) == (len(block), len(rows), MORE)
    assert wanted == (4 if short < 4 else 9)


def all_prefixes(text: bytes) -> Iterator[bytes]:
    return (text[:size] for size in range(len(text)))


def test_a_row_that_is_not_whole_says_how_much_is_wanted() -> None:
    framed = packets([b"abc", b"d" * 300])
    for piece in all_prefixes(framed):
        assert whole_rows(piece) == (0, 0, 0, MORE, 4 if len(piece) < 4 else len(framed))
