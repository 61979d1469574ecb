"""Digests made from a result's packets are those of the rows' canonical records, for every type, cast and shape."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import ConnectionLost, ValueRefused
from model.rows import Row
from model.tables import ColumnDef, TableDef, TableId
from sync.mysql.json_text import plain_document
from sync.mysql.textform import from_select
from tests.support.result_packets import COLUMNS, DATES, TIMES, column, number, packets
from transforms import casts
from transforms.plan import Cast, ColumnKind, ColumnPlan, TablePlan
from transforms.target import TargetColumn, TargetTable
from validators.canonical.record import RecordForm
from validators.canonical.target_forms import target_form
from validators.leaves import Leaves
from validators.source_records import result_digests

Raw = Sequence[bytes | None]
BY_HASH = Leaves(None, None, 8)

INTEGERS = st.integers(-(2**63), 2**64).map(lambda value: b"%d" % value)
FLOATS = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: b"%.17g" % value)
DECIMALS = number(r"-?(0|[1-9][0-9]{0,3})\.[0-9]{2}")
VALUES: list[tuple[str, ColumnDef, st.SearchStrategy[bytes]]] = [
    *(("text", *found) for found in COLUMNS if found[0].type != "unheard"),
    ("bigint", column("bigint"), INTEGERS),
    ("numeric(20,0)", column("bigint"), INTEGERS),
    ("numeric(6,2)", column("decimal", scale=2), DECIMALS),
    ("numeric", column("decimal", scale=2), DECIMALS),
    (
        "double precision",
        column("double"),
        FLOATS,
    ),
    ("date", column("date"), DATES),
    ("timestamp(3) without time zone", column("datetime", scale=3), TIMES),
    ("timestamp(3) with time zone", column("timestamp", scale=3), TIMES),
    ("interval(3)", column("time"), number(r"-?[0-9]{2,3}:[0-5][0-9]:[0-5][0-9](\.[0-9]{3})?")),
    ("boolean", column("tinyint"), number("[01]")),
    ("bytea", column("blob"), st.binary(max_size=5)),
]
CASTS: dict[str, tuple[Cast, ...]] = {
    "none": (),
    "nul": (casts.nul_quarantine(),),
    "short": (casts.nul_strip(), casts.max_characters(3)),
}
DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.sampled_from('ab"\\é\n\x7f '), max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.sampled_from("abé\\"), max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)


@dataclass(frozen=True)
class Filter:
    """Stands for a compiled `where`."""

    columns: tuple[int, ...] = (0,)

    def evaluate(self, row: Row) -> bytes | None:
        if row[0] == b"7":
            raise ValueRefused("seven")
        return None if row[0] is None else b"%d" % (len(row[0]) % 2)  # type: ignore[arg-type]


def plan_of(types: Sequence[str], columns: Sequence[ColumnDef], casts_of: Sequence[Cast] = ()) -> TablePlan:
    """All columns copied, the first one mapped as well, and two constants."""
    named = tuple(replace(found, name=f"c{index}") for index, found in enumerate(columns))
    copied = [
        ColumnPlan(TargetColumn(found.name, kind), ColumnKind.COPY, source=index, casts=tuple(casts_of))
        for index, (kind, found) in enumerate(zip(types, named, strict=True))
    ]
    mapped = ColumnPlan(
        TargetColumn("m", "text"),
        ColumnKind.MAP,
        source=0,
        mapping={b"1": b"one", b"0": None},
        otherwise=b"",
        strict=False,
    )
    constants = [
        ColumnPlan(TargetColumn(name, "text"), ColumnKind.CONSTANT, constant=value)
        for name, value in (("k", b"a\x1fb"), ("n", None))
    ]
    targets = (*copied, mapped, *constants)
    return TablePlan(
        TableDef(TableId("shop", "t"), named),
        TargetTable("store", "public", "t", tuple(target.target for target in targets)),
        targets,
        (),
    )


def slow(plan: TablePlan, rows: Sequence[Raw], leaves: Leaves, key: int) -> dict[int, tuple[int, int]]:
    """Row by row, value by value. A row that is refused counts with the hash 1 and the key 0."""
    form = RecordForm.of(plan)
    reads = [from_select(found) for found in plan.source.columns]
    found: dict[int, tuple[int, int]] = {}
    for raw in rows:
        try:
            row: Row = tuple(read(value) for read, value in zip(reads, raw, strict=True))
            try:
                if not plan.accepts(row):
                    continue
            except ValueRefused:
                pass
            canonical = form.canonical(plan.project(row))
            row_hash, value = form.hash(canonical), None if key < 0 else int(canonical[key] or b"0")
        except ValueRefused:
            row_hash, value = 1, None if key < 0 else 0
        leaf = leaves.of(value, row_hash)
        count, total = found.get(leaf, (0, 0))
        found[leaf] = (count + 1, total + row_hash)
    return found


def fast(plan: TablePlan, rows: Sequence[Raw], leaves: Leaves, key: int) -> dict[int, tuple[int, int]]:
    def refused(raw: list[bytes | None]) -> tuple[int, int | None]:
        assert list(raw) in [list(row) for row in rows]
        return 1, None if key < 0 else 0

    digests = result_digests(plan, RecordForm.of(plan), range(len(plan.source.columns)), leaves, key, refused)
    half = len(rows) // 2
    for part in (rows[:half], rows[half:]):
        digests.add(b"".join(map(packets, part)))
    return digests.digests()


@pytest.mark.parametrize(
    ("kind", "definition", "values"), VALUES, ids=[f"{d.column_type}-{d.charset}-{kind}" for kind, d, _ in VALUES]
)
@pytest.mark.parametrize("chosen", CASTS)
@settings(max_examples=15)
@given(data=st.data())
def test_every_type_has_the_slow_ways_digests(
    chosen: str, kind: str, definition: ColumnDef, values: st.SearchStrategy[bytes], data: st.DataObject
) -> None:
    rows = [[value] for value in data.draw(st.lists(st.one_of(st.none(), values), min_size=1, max_size=5))]
    plan = plan_of([kind], [definition], CASTS[chosen])
    assert fast(plan, rows, BY_HASH, -1) == slow(plan, rows, BY_HASH, -1)


@given(
    rows=st.lists(st.tuples(INTEGERS, st.none() | DECIMALS, st.none() | TIMES), max_size=12),
    divisor=st.sampled_from([1, 7, 1000, 2**61, 2**63, 2**65]),
    filtered=st.booleans(),
)
def test_leaves_by_key_and_filters(rows: list[Raw], divisor: int, filtered: bool) -> None:
    plan = plan_of(
        ["bigint", "numeric(6,2)", "timestamp(3) without time zone"],
        [column("bigint"), column("decimal", scale=2), column("datetime", scale=3)],
    )
    if filtered:
        where: Any = Filter()
        plan = replace(plan, where=where)
    leaves = Leaves("c0", "c0", divisor)
    assert fast(plan, rows, leaves, 0) == slow(plan, rows, leaves, 0)


def test_sums_are_those_of_numbers_without_end() -> None:
    rows = [[b"5"]] * 300
    plan = plan_of(["bigint"], [column("bigint")])
    leaves = Leaves("c0", "c0", 10)
    found = fast(plan, rows, leaves, 0)
    assert found == slow(plan, rows, leaves, 0)
    assert found[0][0] == 300 and found[0][1] > 1 << 64


def test_a_row_of_another_width_is_not_taken() -> None:
    plan = plan_of(["bigint"], [column("bigint")])
    with pytest.raises(ConnectionLost):
        fast(plan, [[b"1", b"2"]], BY_HASH, -1)


@given(DOCUMENTS, st.sampled_from([None, 0, 2]), st.booleans())
def test_a_plain_document_is_printed_as_by_the_parser(value: object, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    found = plain_document(text)
    assert found is None or found == target_form(TargetColumn("c", "jsonb")).canonical(text)
    if "\\" not in text.decode() and b"e" not in text.lower().replace(b"true", b"").replace(b"false", b""):
        assert found is not None or b"-0" in text


@pytest.mark.parametrize(
    "text",
    [b"", b" ", b"tru", b"truex", b"nul", b"-", b"01", b"1.", b".5", b"1e3", b"-0", b"-0.00", b'"a', b'"\\n"', b'"\n"',
     b"[1,]", b"[1 2]", b"{", b'{"a"}', b'{"a":1,}', b'{"a":1,"a":2}', b"{1:2}", b'{"a":1}x', b"[" * 300 + b"]" * 300],
)  # fmt: skip
def test_what_is_left_to_the_parser(text: bytes) -> None:
    assert plain_document(text) is None


@given(st.binary(max_size=30) | st.text(st.sampled_from('{}[]",:1-.e tn\\'), max_size=20).map(str.encode))
def test_any_bytes_are_read_to_their_end_and_no_further(text: bytes) -> None:
    found = plain_document(text)
    if found is not None:
        json.loads(text.decode(errors="replace"))
