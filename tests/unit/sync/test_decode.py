"""Row events made by hand: framing, bitmaps, mismatches, damage. The types themselves are proven on real servers."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import Refused, UndecodableRow, UnsupportedChange, ValueRefused
from model.rows import ABSENT
from model.tables import ColumnDef
from sync.mysql.decode import TableDecoder
from sync.mysql.event_types import EventType as E
from sync.mysql.table_map import OptionalMetadata, TableMap
from tests.support.row_images import INT, JSON, VARCHAR, event, int4, short, table, table_map

ID = ColumnDef("id", "int", "int", nullable=False)
NAME = ColumnDef("name", "varchar", "varchar(20)", charset="utf8mb4", length=20)
TABLE = table(ID, NAME)
MAP = table_map([INT, VARCHAR], [0, 80])


def test_an_update_has_before_and_after() -> None:
    body = event(2, [[int4(1), short(b"a")], [int4(-1), None]], present=[[True, True], [True, True]])
    assert TableDecoder(TABLE, MAP).decode(E.UPDATE_ROWS_V2, body) == [((b"1", b"a"), (b"-1", None))]


def test_extra_header_bytes_are_passed_over() -> None:
    body = event(2, [[int4(7), short("é".encode())]], extra=b"\x01\x02\x03\x04\x05")
    assert TableDecoder(TABLE, MAP).decode(E.DELETE_ROWS_V2, body) == [((b"7", "é".encode()), None)]


def test_version_1_has_no_extra_header() -> None:
    body = event(2, [[int4(7), short(b"x")]])
    assert TableDecoder(TABLE, MAP).decode(E.WRITE_ROWS_V1, body[:8] + body[10:]) == [(None, (b"7", b"x"))]


def test_absent_is_not_null() -> None:
    body = event(2, [[int4(1)], [None]], present=[[True, False], [False, True]])
    assert TableDecoder(TABLE, MAP).decode(E.UPDATE_ROWS_V2, body) == [((b"1", ABSENT), (ABSENT, None))]


def test_a_row_of_nothing_but_defaults_is_one_row() -> None:
    body = event(2, [[]], present=[[False, False]])
    assert TableDecoder(TABLE, MAP).decode(E.WRITE_ROWS_V2, body) == [(None, (ABSENT, ABSENT))]


def test_a_count_of_columns_that_differs_is_refused() -> None:
    with pytest.raises(UndecodableRow, match="3 columns, not 2"):
        TableDecoder(TABLE, MAP).decode(E.WRITE_ROWS_V2, event(3, [[int4(1), short(b"a"), int4(1)]]))
    with pytest.raises(UndecodableRow, match="1 columns"):
        TableDecoder(TABLE, table_map([INT], [0]))


@pytest.mark.parametrize(
    ("types", "metadata", "column"),
    [([VARCHAR, VARCHAR], [80, 80], "id"), ([INT, JSON], [0, 4], "name"), ([INT, 254], [0, 0x50FE], "name")],
)
def test_a_type_that_differs_is_refused(types: list[int], metadata: list[int], column: str) -> None:
    with pytest.raises(UndecodableRow) as caught:
        TableDecoder(TABLE, table_map(types, metadata))
    assert caught.value.where == {"table": "shop.t", "column": column}


@pytest.mark.parametrize(
    ("optional", "column"),
    [
        (OptionalMetadata(names=("id", "title")), "name"),
        (OptionalMetadata(unsigned=(True, False)), "id"),
    ],
)
def test_names_and_signs_of_the_binlog_are_checked(optional: OptionalMetadata, column: str) -> None:
    with pytest.raises(UndecodableRow) as caught:
        TableDecoder(TABLE, TableMap(7, 1, "shop", "t", MAP.types, MAP.metadata, MAP.nullable, optional))
    assert caught.value.where["column"] == column


def test_sizes_come_from_both_sides() -> None:
    decimal = ColumnDef("v", "decimal", "decimal(10,2)", precision=10, scale=2)
    with pytest.raises(UndecodableRow, match=r"12,2"):
        TableDecoder(table(ID, decimal), table_map([INT, 246], [0, 12 | 2 << 8]))
    moment = ColumnDef("v", "datetime", "datetime(3)", scale=3)
    with pytest.raises(UndecodableRow):
        TableDecoder(table(ID, moment), table_map([INT, 18], [0, 6]))
    label = ColumnDef("v", "enum", "enum(…)", labels=tuple(f"m{number}" for number in range(300)))
    with pytest.raises(UndecodableRow, match="300 labels"):
        TableDecoder(table(ID, label), table_map([INT, 254], [0, 247 | 1 << 8]))


def test_an_enum_index_beyond_the_labels_is_refused() -> None:
    label = ColumnDef("v", "enum", "enum('a')", labels=("a",))
    decoder = TableDecoder(table(ID, label), table_map([INT, 254], [0, 247 | 1 << 8]))
    assert decoder.decode(E.WRITE_ROWS_V2, event(2, [[int4(1), b"\0"]])) == [(None, (b"1", b""))]
    with pytest.raises(ValueRefused, match="ENUM index 2"):
        decoder.decode(E.WRITE_ROWS_V2, event(2, [[int4(1), b"\x02"]]))


def test_text_that_is_not_utf8_is_refused_with_row_and_column() -> None:
    body = event(2, [[int4(1), short(b"ok")], [int4(2), short(b"\xed\xa0\x80")]])
    with pytest.raises(ValueRefused, match="ed a0 80") as caught:
        TableDecoder(TABLE, MAP).decode(E.WRITE_ROWS_V2, body)
    assert caught.value.where == {"table": "shop.t", "column": "name", "row": 1}


@given(st.binary(max_size=12))
def test_utf8_is_judged_as_python_judges_it(text: bytes) -> None:
    body = event(2, [[int4(1), short(text)]])
    try:
        text.decode()
    except UnicodeDecodeError:
        with pytest.raises(ValueRefused):
            TableDecoder(TABLE, MAP).decode(E.WRITE_ROWS_V2, body)
    else:
        assert TableDecoder(TABLE, MAP).decode(E.WRITE_ROWS_V2, body) == [(None, (b"1", text))]


def test_ascii_columns_hold_ascii_only() -> None:
    column = ColumnDef("name", "varchar", "varchar(20)", charset="ascii", length=20)
    decoder = TableDecoder(table(ID, column), table_map([INT, VARCHAR], [0, 20]))
    with pytest.raises(ValueRefused, match="ascii"):
        decoder.decode(E.WRITE_ROWS_V2, event(2, [[int4(1), short("é".encode())]]))


def test_an_unknown_character_set_is_refused_at_once() -> None:
    column = ColumnDef("name", "varchar", "varchar(20)", charset="klingon", length=20)
    with pytest.raises(Refused, match="klingon") as caught:
        TableDecoder(table(ID, column), MAP)
    assert caught.value.where["column"] == "name"


def test_partial_updates_name_the_variable() -> None:
    with pytest.raises(UnsupportedChange) as caught:
        TableDecoder(TABLE, MAP).decode(E.PARTIAL_UPDATE_ROWS, b"")
    assert "binlog_row_value_options" in caught.value.hint


def test_an_event_that_is_no_row_event_is_refused() -> None:
    with pytest.raises(UndecodableRow, match="QUERY"):
        TableDecoder(TABLE, MAP).decode(E.QUERY, b"")


WHOLE = event(2, [[int4(1), short(b"abc")], [int4(2), short(b"defghij")]])


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_an_event_cut_anywhere_is_refused_or_ends_between_rows(length: int) -> None:
    boundary = len(event(2, [[int4(1), short(b"abc")]]))
    if length == boundary:
        assert len(TableDecoder(TABLE, MAP).decode(E.WRITE_ROWS_V2, WHOLE[:length])) == 1
        return
    with pytest.raises(UndecodableRow):
        TableDecoder(TABLE, MAP).decode(E.WRITE_ROWS_V2, WHOLE[:length])


@given(st.binary(max_size=60), st.sampled_from([E.WRITE_ROWS_V2, E.UPDATE_ROWS_V2, E.DELETE_ROWS_V1]))
def test_rubbish_raises_our_errors_only(body: bytes, kind: E) -> None:
    with suppress(UndecodableRow, ValueRefused):
        TableDecoder(TABLE, MAP).decode(kind, body)
