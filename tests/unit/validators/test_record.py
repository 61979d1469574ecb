"""The canonical record: one text per value, no two rows with one record, and hashes that any change changes."""

from __future__ import annotations

import dataclasses
import math
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.tables import ColumnDef, TableDef, TableId
from transforms.plan import Cast, ColumnKind, ColumnPlan, TablePlan
from transforms.target import TargetColumn, TargetTable
from validators.canonical.record import RecordForm
from validators.canonical.source_forms import NotPushable, source_sql
from validators.canonical.target_forms import target_form
from validators.control import detects_flips
from validators.row_check import finding
from validators.transform_hash import transform_hash


def canonical(type_name: str, text: bytes) -> bytes:
    return target_form(TargetColumn("c", type_name)).canonical(text)


def plan_of(*types: str, key: tuple[int, ...] = (0,)) -> TablePlan:
    """A plan that copies columns of these types."""
    source = TableDef(TableId("db", "t"), tuple(ColumnDef(f"c{n}", "int", "int") for n in range(len(types))))
    columns = tuple(TargetColumn(f"c{n}", name) for n, name in enumerate(types))
    target = TargetTable("main", "public", "t", columns, tuple(f"c{n}" for n in key))
    return TablePlan(
        source, target, tuple(ColumnPlan(column, ColumnKind.COPY, n) for n, column in enumerate(columns)), key
    )


TEXTS = RecordForm.of(plan_of("text", "integer", "text"))
VALUE = st.none() | st.binary(max_size=8) | st.sampled_from([b"N", b"\x1f", b"1:N", b"1:\x1f", b""])
NUMBER = st.none() | st.integers(0, 99).map(lambda number: b"%d" % number)
ROW = st.tuples(VALUE, NUMBER, VALUE)


@given(ROW, ROW)
def test_two_rows_never_have_one_record(one: tuple[bytes | None, ...], other: tuple[bytes | None, ...]) -> None:
    assert (TEXTS.record(one) == TEXTS.record(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((None, b"1", b"a"), (b"N", b"1", b"a")),
        ((None, b"1", b"a"), (b"", b"1", b"a")),
        ((b"a\x1f1\x1fb", b"1", b"c"), (b"a", b"1", b"b\x1f1\x1fc")),
        ((b"ab", b"1", b"c"), (b"a", b"1", b"bc")),
        ((b"a ", b"1", b"c"), (b"a", b"1", b"c")),
        (("é".encode(), b"1", b"c"), ("e\u0301".encode(), b"1", b"c")),
        ((b"A", b"1", b"c"), (b"a", b"1", b"c")),
    ],
)
def test_traps_of_text_change_the_hash(one: tuple[bytes | None, ...], other: tuple[bytes | None, ...]) -> None:
    assert TEXTS.hash(one) != TEXTS.hash(other)
    assert not TEXTS.same(one, other)


@given(st.floats(allow_nan=False))
def test_floats_keep_every_bit_however_they_are_spelled(value: float) -> None:
    spellings = {canonical("double precision", text) for text in (repr(value).encode(), b"%.17g" % value)}
    assert len(spellings) == 1
    text = spellings.pop().decode()
    if math.isfinite(value):
        sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
        back = float(sign + (digits if not digits.startswith("e") else "0" + digits))
        assert struct.pack(">d", back) == struct.pack(">d", value)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_real_is_the_double_that_it_widens_to(value: float) -> None:
    assert canonical("real", repr(value).encode()) == canonical("double precision", repr(value).encode())


def test_zero_and_minus_zero_differ() -> None:
    assert canonical("double precision", b"-0") == canonical("double precision", b"-0.0") != canonical("real", b"0")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9))
def test_numerics_are_compared_by_value(value: Decimal) -> None:
    plain = f"{value:.5f}" if value else "0.00000"
    assert canonical("numeric(15,5)", str(value).encode()) == canonical("numeric(15,5)", plain.encode())
    assert Decimal(canonical("numeric", f"{value}000".encode()).decode()) == value


def test_digits_beyond_the_type_are_not_rounded_away() -> None:
    assert canonical("numeric(10,2)", b"1.005") != canonical("numeric(10,2)", b"1.01")
    assert canonical("numeric(10,2)", b"1.005") != canonical("numeric(10,2)", b"1.00")


@pytest.mark.parametrize(
    ("type_name", "texts"),
    [
        ("integer", [b"7", b"007", b"+7"]),
        ("boolean", [b"t", b"1", b"true"]),
        ("bytea", [b"\\x00ff", b"00ff", b"\\x00FF"]),
        ("uuid", [b"00112233-4455-6677-8899-aabbccddeeff", b"00112233445566778899AABBCCDDEEFF"]),
        ("timestamp(6) without time zone", [b"2024-01-01 00:00:00.100000", b"2024-01-01 00:00:00.1"]),
        ("timestamp(0) with time zone", [b"2024-01-01 00:00:00+00", b"2024-01-01 00:00:00"]),
        ("interval(2)", [b"-838:59:59.50", b"-838:59:59.5"]),
        ("text[]", [b'{"a","b c"}', b'["a","b c"]']),
        ("real[]", [b"{1.0,2.5}", b"[1,2.5]"]),
        ("inet", [b"::ffff:1.2.3.4", b"::ffff:102:304"]),
        ("point", [b"(1.0,2.5)", b"(1,2.5)"]),
    ],
)
def test_spellings_of_one_value_are_one_text(type_name: str, texts: list[bytes]) -> None:
    assert len({canonical(type_name, text) for text in texts}) == 1


def test_documents_are_equal_by_value() -> None:
    form = target_form(TargetColumn("c", "jsonb"))

    def same(one: bytes, other: bytes) -> bool:
        return form.same(form.canonical(one), form.canonical(other))

    assert same(b'{"b": 1e2, "a": [1.10]}', b'{"a": [1.1], "b": 100}')
    assert form.canonical(b'{"bb":1,"a":"\xc3\xa9"}') == '{"a": "é", "bb": 1}'.encode()
    assert not same(b'{"a": 1}', b'{"a": true}')
    assert not same(b'{"a": 1}', b'{"a": "1"}')
    assert not same(b'{"a": null}', b"{}")
    assert not same(b"[0.1]", b"[0.10000000000000001]")


@given(ROW)
def test_the_control_detects_every_flip(row: tuple[bytes | None, ...]) -> None:
    assert detects_flips(TEXTS, row, (3, 12345 + TEXTS.hash(row)))


def test_the_control_notices_a_comparison_that_is_blind() -> None:
    blind = dataclasses.replace(TEXTS.targets[2], same=lambda one, other: True)
    form = dataclasses.replace(TEXTS, targets=(*TEXTS.targets[:2], blind))
    assert not detects_flips(form, (b"a", b"1", b"b"), (1, form.hash((b"a", b"1", b"b"))))


def test_a_finding_names_key_columns_and_values() -> None:
    found = finding(TEXTS, (b"k",), [(b"k", b"1", None)], [(b"k", b"2", None)])
    assert found.key == (("c0", "k"),)
    assert [(column.column, column.source, column.target) for column in found.columns] == [("c1", "1", "2")]


def test_an_unknown_cast_is_not_pushed_down_and_the_transform_hash_sees_it() -> None:
    plan = plan_of("integer")
    odd = dataclasses.replace(plan.columns[0], casts=(Cast("shuffle", lambda value: value),))
    with pytest.raises(NotPushable, match="shuffle"):
        source_sql(odd, plan.source)
    changed = dataclasses.replace(plan, columns=(odd,))
    assert RecordForm.of(changed).reasons == (("c0", "the cast shuffle has no form in the source's SQL"),)
    assert not RecordForm.of(changed).pushable
    assert transform_hash(changed) != transform_hash(plan)


def test_masked_values_are_not_shown() -> None:
    plan = plan_of("integer", "text", "text")
    columns = (plan.columns[0], dataclasses.replace(plan.columns[1], masked=True), plan.columns[2])
    form = RecordForm.of(dataclasses.replace(plan, columns=columns))
    one, other = (b"1", b"ada@example.org", b"x"), (b"1", None, b"y")
    shown = finding(form, (b"1",), [one], [other])
    assert [(c.column, c.source, c.target) for c in shown.columns] == [("c1", "‹masked›", None), ("c2", "x", "y")]
    keyless = dataclasses.replace(form, key=())
    assert finding(keyless, one, [one], []).key == (("c0", "1"), ("c1", "‹masked›"), ("c2", "x"))
