"""Array literals of rows, read back by a reader of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ValueRefused
from model.rows import ABSENT, Field, Row
from sync.fold import Fate, Folded, PlanFold
from sync.fresh_rows import FreshRows
from sync.line_fold import LineFold
from sync.postgres.row_array import arrays_of_lines, arrays_of_values, row_array
from sync.postgres.staging import copy_line
from tests.support.changes import make_plan, make_table

PLAN = make_plan(make_table("t", "note text,id int,slot int", key=("id",)))
FIELDS = st.none() | st.text(st.sampled_from('ab"\\\t\n\r N,(){}ü'), max_size=6).map(str.encode)


def unquoted(text: bytes, start: int) -> tuple[bytes, int]:
    """What stands between the quote at `start` and its end; a backslash, or a quote before a quote, is not meant."""
    out, at = bytearray(), start + 1
    while text[at] != ord('"') or text[at + 1] == ord('"'):
        at += text[at] in b'\\"'
        out.append(text[at])
        at += 1
    return bytes(out), at + 1


def parsed(text: bytes) -> list[Row]:
    """Array and composite syntax as PostgreSQL's manual tells them, as far as every element is quoted."""
    rows: list[Row] = []
    at = 0
    while text[at] != ord("}"):
        element, at = unquoted(text, at + 1)
        fields: list[Field] = []
        place = 0
        while element[place] != ord(")"):
            place += 1
            if element[place] == ord('"'):
                field, place = unquoted(element, place)
                fields.append(field)
            else:
                fields.append(None)
        rows.append(tuple(fields))
    return rows


@given(st.lists(st.lists(FIELDS, min_size=3, max_size=3).map(tuple), min_size=1, max_size=6))
def test_what_is_written_is_read_back(rows: list[Row]) -> None:
    assert parsed(row_array([copy_line(row)[:-1] for row in rows])) == rows


def test_lines_and_values_give_the_same_arrays() -> None:
    moved, kept = (b"m\t", b"1", None), (None, b"2", b"2")
    lines = LineFold(PLAN, {b"3": None}, {b"1": copy_line(moved)[:-1]}, {}, FreshRows({b"2": copy_line(kept)[:-1]}))
    values = PlanFold(
        PLAN,
        {
            (b"3",): Folded(Fate.DELETE, None),
            (b"1",): Folded(Fate.MOVE, moved),
            (b"2",): Folded(Fate.UPSERT, kept),
            (b"4",): Folded(Fate.PATCH, (b"x", ABSENT, ABSENT)),
            (b"5",): Folded(Fate.UPSERT, (ABSENT, b"5", b"5")),
        },
        [],
    )
    made = arrays_of_lines(lines)
    assert made == arrays_of_values(values)
    assert parsed(made.gone) == [(None, b"3", None), (None, b"1", None)]
    assert parsed(made.written) == [moved, kept]
    assert arrays_of_lines(lines, with_fresh=False).written == row_array([copy_line(moved)[:-1]])
    assert arrays_of_lines(LineFold(PLAN)).gone == b""


def test_a_nul_is_refused_and_never_taken_for_a_backslash() -> None:
    with pytest.raises(ValueRefused, match="NUL"):
        arrays_of_lines(LineFold(PLAN, kept={b"1": b"a\0b\t1\t2"}))
