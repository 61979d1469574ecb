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
from transforms import casts
from transforms.plan import Cast, ColumnKind, ColumnPlan, TablePlan
from transforms.target import TargetColumn, TargetTable

EOF_PACKET = b"\x05\x00\x00\x09\xfe\x00\x00\x02\x00"


def column(kind: str, declared: str = "", **facts: object) -> ColumnDef:
    return ColumnDef(f"c_{kind}_{abs(hash(declared or str(facts)))}", kind, declared or kind, **facts)  # type: ignore[arg-type]


def number(digits: str) -> st.SearchStrategy[bytes]:
    return st.from_regex(digits, fullmatch=True).map(str.encode)


ANY = st.binary(max_size=12)
LONG = st.binary(min_size=240, max_size=300)
TEXT = st.text(st.sampled_from("ab\\\t\n\r\0é😀N. "), max_size=9).map(str.encode)
DATES = st.builds(
    "{:04d}-{:02d}-{:02d}".format,
    st.sampled_from([0, 1, 999, 1000, 2023, 2024]),
    st.integers(0, 12),
    st.integers(0, 31),
).map(str.encode)
TIMES = DATES.map(lambda day: day + b" 12:34:56.789")
LATIN = st.text(st.sampled_from("xé€\\\t\0 "), max_size=5).map(lambda text: text.encode("cp1252"))
CHINESE = st.text(st.sampled_from("垄啊丂狛a~\\ \t"), max_size=9).map(lambda text: text.encode("gbk"))
COLUMNS: list[tuple[ColumnDef, st.SearchStrategy[bytes]]] = [
    (column("bigint"), st.integers(-(2**63), 2**64).map(lambda value: b"%d" % value)),
    (column("int", "int(7) unsigned zerofill"), number("0{0,6}[0-9]{1,4}")),
    (column("decimal"), number(r"-?0{0,3}[0-9]{1,4}(\.[0-9]{1,3})?")),
    (column("decimal", "decimal(9,2) zerofill"), number(r"0{1,5}\.[0-9]{2}")),
    (column("float"), st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda value: b"%r" % value)),
    (column("double"), st.floats(allow_nan=False, allow_infinity=False).map(lambda value: b"%.17g" % value)),
    (column("year", "year(4)"), number("0000|19[0-9]{2}|20[0-9]{2}")),
    (column("bit", length=10), st.integers(0, 1023).map(lambda value: value.to_bytes(2, "big"))),
    (column("bit", length=64), st.integers(0, 2**64 - 1).map(lambda value: value.to_bytes(8, "big"))),
    (column("binary", length=3), st.binary(min_size=3, max_size=3)),
    (column("mediumblob"), st.one_of(ANY, LONG)),
    (column("point"), ANY),
    (column("date"), DATES),
    (column("datetime", scale=3), TIMES),
    (column("timestamp", scale=3), TIMES),
    (column("time"), number(r"-?[0-9]{2,3}:[0-5][0-9]:[0-5][0-9](\.[0-9]{3})?")),
    (column("enum", labels=("a\\", "b\t", "", "\n")), number("[0-5]")),
    (column("set", labels=('a"', "b\\", "c")), number("[0-8]")),
    (column("char", charset="utf8mb4"), st.one_of(TEXT, ANY)),
    (column("varchar", charset="utf8mb4"), st.one_of(TEXT, ANY, LONG)),
    (column("text", charset=None), TEXT),
    (column("text", charset="ascii"), st.one_of(TEXT, ANY)),
    (column("char", charset="latin1"), st.one_of(LATIN, ANY)),
    (column("text", charset="latin1"), st.one_of(LATIN, ANY)),
    (column("text", charset="gbk"), st.one_of(CHINESE, ANY)),
    (column("char", charset="gbk"), CHINESE),
    (column("json"), TEXT),
    (column("uuid"), number("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")),
    (column("inet6"), number("::[0-9a-f]{1,4}")),
    (column("vector"), st.integers(0, 3).map(lambda count: b"\x00\x00\x80?" * count)),
    (column("unheard"), TEXT),
]
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


def length_encoded(value: bytes | None) -> bytes:
    if value is None:
        return b"\xfb"
    if len(value) < 251:
        return bytes([len(value)]) + value
    if len(value) < 1 << 16:
        return b"\xfc" + len(value).to_bytes(2, "little") + value
    return b"\xfd" + len(value).to_bytes(3, "little") + value


def packets(row: Sequence[bytes | None], largest: int = 0xFFFFFF) -> bytes:
    body = b"".join(map(length_encoded, row))
    framed = b""
    while True:
        part, body = body[:largest], body[largest:]
        framed += len(part).to_bytes(3, "little") + b"\x07" + part
        if len(part) < largest:
            return framed


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
