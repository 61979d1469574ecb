"""The fast way to COPY lines gives what the slow way gives, whatever the values and casts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import ZeroDates
from model.errors import ValueRefused
from model.rows import ABSENT, Row
from model.tables import ColumnDef
from sync.mysql.decode import TableDecoder
from sync.mysql.event_types import EventType as E
from sync.mysql.lines import LineDecoder, RowLines, is_direct
from sync.mysql.long_values import LONG_BYTES, PIECE_BYTES, LongLine
from tests.support.row_images import (
    BLOB,
    DATETIME2,
    DECIMAL,
    INT,
    VARCHAR,
    blob,
    datetime6,
    decimal102,
    event,
    int4,
    short,
    table,
    table_map,
)
from transforms import casts
from transforms.plan import Cast, ColumnKind, ColumnPlan, CompiledExpression, TablePlan
from transforms.target import TargetColumn, TargetTable

TABLE = table(
    ColumnDef("id", "int", "int", nullable=False),
    ColumnDef("name", "varchar", "varchar(20)", charset="utf8mb4", length=20),
    ColumnDef("made", "datetime", "datetime(6)", scale=6),
    ColumnDef("price", "decimal", "decimal(10,2)", precision=10, scale=2),
    ColumnDef("data", "blob", "blob", length=65535),
    ColumnDef("old", "text", "text", charset="latin1", length=65535),
)
MAP = table_map([INT, VARCHAR, DATETIME2, DECIMAL, BLOB, BLOB], [0, 80, 6, 10 | 2 << 8, 2, 2])
TEXT = st.text(st.sampled_from("ab\\\t\n\r\0é😀N."), max_size=9).map(str.encode)
ROW = st.tuples(
    st.integers(-(2**31), 2**31 - 1).map(int4),
    st.one_of(st.none(), TEXT.map(short)),
    st.one_of(
        st.none(),
        st.builds(
            datetime6,
            st.sampled_from([0, 1, 9, 10, 99, 999, 1000, 2023, 2024, 9999]),
            st.integers(0, 12),
            st.integers(0, 31),
            st.integers(0, 23),
            st.integers(0, 59),
            st.integers(0, 59),
            st.integers(0, 999_999),
        ),
    ),
    st.one_of(st.none(), st.integers(-(10**10) + 1, 10**10 - 1).map(decimal102)),
    st.one_of(st.none(), st.binary(max_size=20).map(blob)),
    st.one_of(
        st.none(), st.text(st.sampled_from("xé€\\\t\0"), max_size=5).map(lambda text: blob(text.encode("cp1252")))
    ),
)
ROWS = st.lists(ROW, min_size=1, max_size=6)


def plan(chosen: dict[str, Sequence[Cast]], key: Sequence[int] = (0,), constant: bytes | None = b"c\t\\") -> TablePlan:
    columns = [
        ColumnPlan(TargetColumn(name, "text"), ColumnKind.COPY, source=TABLE.index_of(name), casts=tuple(listed))
        for name, listed in chosen.items()
    ]
    columns.append(ColumnPlan(TargetColumn("fixed", "text"), ColumnKind.CONSTANT, constant=constant))
    targets = tuple(column.target for column in columns)
    return TablePlan(TABLE, TargetTable("store", "public", "t", targets), tuple(columns), tuple(key))


NOTHING: dict[str, Sequence[Cast]] = {"id": (), "name": (), "made": (), "price": (), "data": (), "old": ()}
USUAL: dict[str, Sequence[Cast]] = {
    "old": [casts.nul_quarantine(), casts.max_characters(3)],
    "made": [casts.zero_date(ZeroDates.INFINITY)],
    "name": [casts.nul_quarantine()],
    "id": (),
    "data": (),
}
LENIENT: dict[str, Sequence[Cast]] = {
    "made": [casts.zero_date(ZeroDates.NULL)],
    "name": [casts.nul_strip(), casts.max_characters(4)],
    "old": [casts.nul_strip()],
    "price": [casts.round_numeric(None, 1, loss="rounded")],
    "id": [casts.integer_range(-(2**31), 2**31 - 1, "integer")],
}


def escaped(value: object) -> bytes:
    if value is None:
        return rb"\N"
    assert isinstance(value, bytes)
    return b"".join({0x5C: rb"\\", 9: rb"\t", 10: rb"\n", 13: rb"\r"}.get(octet, bytes((octet,))) for octet in value)


def line(row: Row) -> bytes:
    return b"\t".join(escaped(value) for value in row)


@pytest.mark.parametrize("chosen", [NOTHING, USUAL, LENIENT], ids=["no casts", "usual casts", "lenient casts"])
@pytest.mark.parametrize("key", [(0,), (2, 1), ()], ids=["one column", "two columns", "keyless"])
@given(rows=ROWS)
def test_lines_equal_projected_rows(
    chosen: dict[str, Sequence[Cast]], key: tuple[int, ...], rows: list[tuple[bytes, ...]]
) -> None:
    copied = plan(chosen, key)
    body = event(6, rows, present=[[True] * 6])
    expected_lines, expected_keys = [], []
    refused = False
    for _, after in TableDecoder(TABLE, MAP).decode(E.WRITE_ROWS_V2, body):
        assert after is not None
        try:
            target = copied.project(after)
        except ValueRefused:
            refused = True
            continue
        text = [value for value, column in zip(target, copied.columns, strict=True) if column.target.name != "data"]
        refused = refused or any(value is not None and value is not ABSENT and b"\0" in value for value in text)
        expected_lines.append(line(target))
        expected_keys.append(line(tuple(target[index] for index in key)) if key else line(target))
    decoder = LineDecoder(copied, MAP)
    if refused:
        with pytest.raises(ValueRefused) as caught:
            decoder.decode(E.WRITE_ROWS_V2, body)
        assert caught.value.where["table"] == "shop.t"
        return
    found = decoder.decode(E.WRITE_ROWS_V2, body)
    assert found is not None
    assert found.lines == expected_lines
    assert found.new_keys == expected_keys
    assert (found.old_keys, found.moved, found.rows) == ([], [], len(rows))


@pytest.mark.parametrize("chosen", [NOTHING, USUAL, LENIENT], ids=["no casts", "usual casts", "lenient casts"])
@settings(max_examples=40)
@given(rows=ROWS, long_bytes=st.integers(1, 12))
def test_long_values_left_in_the_event_give_the_same_lines(
    chosen: dict[str, Sequence[Cast]], rows: list[tuple[bytes, ...]], long_bytes: int
) -> None:
    body = event(6, rows, present=[[True] * 6])

    def lines(limit: int) -> list[bytes] | str:
        try:
            found = LineDecoder(plan(chosen), MAP, limit).decode(E.WRITE_ROWS_V2, body)
        except ValueRefused as error:
            return str(error)
        assert found is not None
        return [line if isinstance(line, bytes) else b"".join(line.blocks()) for line in found.lines]

    assert lines(long_bytes) == lines(LONG_BYTES)


def test_a_long_value_is_not_copied() -> None:
    text, octets = b"long \t\t " * 400_000, bytes(range(256)) * 15_000
    rows = [[int4(1), None, None, None, blob(octets, 4), blob(text, 4)]]
    wide = table_map([INT, VARCHAR, DATETIME2, DECIMAL, BLOB, BLOB], [0, 80, 6, 10 | 2 << 8, 4, 4])
    definition = dataclasses.replace(
        TABLE,
        columns=(
            *TABLE.columns[:4],
            ColumnDef("data", "longblob", "longblob", length=(1 << 32) - 1),
            ColumnDef("old", "longtext", "longtext", charset="utf8mb4", length=(1 << 32) - 1),
        ),
    )
    copied = dataclasses.replace(plan({"data": (), "id": (), "old": ()}, (1,)), source=definition)
    body = event(6, rows, present=[[True] * 6])
    found = LineDecoder(copied, wide, 1 << 20).decode(E.WRITE_ROWS_V2, body)
    assert found is not None
    assert isinstance(found.lines[0], LongLine) and len(found.lines[0].text) < 100
    assert {value.body is body for value in found.lines[0].values} == {True}
    blocks = list(found.lines[0].blocks())
    assert b"".join(blocks) == rb"\\x" + octets.hex().encode() + b"\t1\t" + text.replace(b"\t", rb"\t") + b"\tc\\t\\\\"
    assert max(map(len, blocks)) <= 2 * PIECE_BYTES
    assert found.new_keys == [b"1"]


def one(number: int, name: bytes | None) -> list[bytes | None]:
    return [int4(number), short(name) if name is not None else None, None, None, None, None]


def test_updates_and_deletes_have_keys_of_the_old_row() -> None:
    decoder = LineDecoder(plan({"name": (), "id": ()}, (1, 0), None), MAP)
    body = event(6, [one(1, b"a\\"), one(2, None)], present=[[True] * 6, [True] * 6])
    assert decoder.decode(E.UPDATE_ROWS_V2, body) == RowLines([rb"1" + b"\t" + rb"a\\"], [b"2\t\\N"], [b"\\N\t2\t\\N"])
    body = event(6, [one(3, b"x"), one(4, b"")])
    assert decoder.decode(E.DELETE_ROWS_V2, body) == RowLines([b"3\tx", b"4\t"], [], [])


@given(old=ROW, new=ROW)
def test_changes_of_unique_values_are_told(old: tuple[bytes, ...], new: tuple[bytes, ...]) -> None:
    watched = dataclasses.replace(plan({"id": (), "price": (), "data": ()}), uniques=((1, 2),))
    body = event(6, [old, new, new, new], present=[[True] * 6, [True] * 6])
    found = LineDecoder(watched, MAP).decode(E.UPDATE_ROWS_V2, body)
    assert found is not None
    assert found.moved == [any(old[index] != new[index] for index in (3, 4)), False]


def test_a_unique_value_that_the_old_image_lacks_counts_as_changed() -> None:
    decoder = LineDecoder(dataclasses.replace(plan({"name": (), "id": ()}, (1,)), uniques=((0,),)), MAP)
    only_id = [True, False, False, False, False, False]
    body = event(6, [[int4(1)], one(1, b"x")], present=[only_id, [True] * 6])
    found = decoder.decode(E.UPDATE_ROWS_V2, body)
    assert found is not None and found.moved == [True]


def test_minimal_images_are_left_to_the_slow_way_unless_the_key_is_enough() -> None:
    decoder = LineDecoder(plan({"name": (), "id": ()}, (1,)), MAP)
    only_id = [True, False, False, False, False, False]
    assert decoder.decode(E.UPDATE_ROWS_V2, event(6, [[int4(1)], [int4(2)]], present=[only_id, only_id])) is None
    assert decoder.decode(E.DELETE_ROWS_V2, event(6, [[int4(1)]], present=[only_id])) == RowLines([b"1"], [], [])


def test_plans_that_compute_are_not_direct() -> None:
    copied = plan(NOTHING)
    always = CompiledExpression("1", lambda row: b"1", "1", "1", ())
    assert is_direct(copied)
    assert not is_direct(TablePlan(TABLE, copied.target, copied.columns, copied.key, where=always))
    mapped = ColumnPlan(TargetColumn("m", "text"), ColumnKind.MAP, source=1, mapping={})
    with pytest.raises(ValueError, match="copied"):
        LineDecoder(TablePlan(TABLE, copied.target, (mapped,), ()), MAP)
