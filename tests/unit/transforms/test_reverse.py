"""Inverse plans: verdicts, refusals, and declared ways back. The types themselves are proven on real servers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ConfigError, ValueRefused
from model.rows import ABSENT
from model.tables import ColumnDef, DefaultKind, IndexDef, IndexPart
from tests.support.neutral_values import CASES, Case, times
from tests.support.plans import column, compile_one, compile_tables, table
from transforms.casts import array_literal
from transforms.reverse import Reversibility, reverse_plan, reverse_plans, worst
from transforms.reverse_forms import form_of, implicit_default
from transforms.reverse_printed import array_items, array_text, interval
from transforms.types import family

EXACT, KEPT = Reversibility.EXACT, Reversibility.EXACT_WITH_KEPT_VALUE
LOSSY, ONE_WAY = Reversibility.LOSSY, Reversibility.ONE_WAY
ID = column("id", "int")


def verdict(name: str, *columns: ColumnDef, **rule: Any) -> tuple[Reversibility, str]:
    """What the way back does to one column of a table."""
    back = reverse_plan(compile_one(table("t", ID, *columns), tables={"t": rule}))
    found = [item for item in back.verdicts if item.column == name]
    assert len(found) == 1, back.verdicts
    return found[0].way, found[0].reason


@pytest.mark.parametrize("case", CASES, ids=str)
def test_default_types_come_back_exactly(case: Case) -> None:
    if case.flavour == "mariadb":
        pytest.skip("needs the other flavour's plan")
    assert verdict("c", case.column)[0] is EXACT


def test_verdicts() -> None:
    assert verdict("a", column("a", "varchar(9)", default="x"), exclude=["a"])[0] is KEPT
    assert verdict("a", column("a", "varchar(9)", nullable=True), exclude=["a"])[0] is KEPT
    assert verdict("a", column("a", "varchar(9)"), exclude=["a"]) == (LOSSY, "not in the store; new rows get ''")
    assert verdict("a", column("a", "json"), exclude=["a"])[0] is ONE_WAY
    assert verdict("a", column("a", "decimal(9,4)"), types={"a": "numeric(9,2)"})[0] is LOSSY
    assert verdict("a", column("a", "varchar(9)"), types={"a": "integer"})[0] is LOSSY
    assert verdict("a", column("a", "char(1)"), map={"a": {"x": "one", "y": "two"}})[0] is EXACT
    assert verdict("a", column("a", "char(1)"), map={"a": {"x": "one", "y": "one"}})[0] is LOSSY
    assert verdict("a", column("a", "char(1)"), map={"a": {"x": "one", "*": "two"}})[0] is LOSSY
    assert verdict("a", column("a", "char(1)", nullable=True), map={"a": {"x": None}})[0] is LOSSY
    assert verdict("a", column("a", "date"), zero_dates="null")[0] is LOSSY
    assert verdict("b", column("a", "int"), expr={"b": {"sql": "a + 1", "type": "bigint"}})[0] is EXACT
    summed = {"exclude": ["a"], "expr": {"b": {"sql": "a + 1", "type": "bigint"}}}
    assert verdict("a", column("a", "int"), **summed)[0] is LOSSY


def test_a_table_as_a_whole() -> None:
    unique = table("t", ID, column("a", "int"), indexes=(IndexDef("u", (IndexPart("a"),), unique=True),))
    assert reverse_plan(compile_one(unique, tables={"t": {"exclude": ["id"], "key": ["a"]}})).way is ONE_WAY
    assert reverse_plan(compile_one(table("t", ID, engine="MyISAM"))).way is ONE_WAY
    assert reverse_plan(compile_one(table("t", ID, triggers=("audit",)))).way is LOSSY
    assert reverse_plan(compile_one(table("t", ID, triggers=("crossfade_gate_t",)))).way is EXACT
    keyless = reverse_plan(compile_one(table("t", ID, key=())))
    assert (keyless.way, keyless.key) == (EXACT, ())


def test_the_worst_decides() -> None:
    assert worst([EXACT, LOSSY, KEPT]) is LOSSY
    assert worst([]) is EXACT


def test_shared_rows_are_known() -> None:
    rule = {"to": [{"table": "one", "only": ["id", "a"]}, {"table": "two", "only": ["id", "b"]}]}
    plans = compile_tables(table("t", ID, column("a", "int"), column("b", "int")), tables={"t": rule}).plans
    one, two = reverse_plans(plans)
    assert one.shared and two.shared
    assert {item.column: item.way for item in one.verdicts}["b"] is EXACT
    assert one.kept[0].insert == b"0"


def test_a_masked_side_table_only_follows() -> None:
    source = table("t", ID, column("a", "varchar(9)"), column("b", "int"))
    side = {"table": "side", "mask": {"a": "hmac", "b": "null"}}

    def follow(*outputs: dict[str, Any]) -> list[bool]:
        key = {"defaults": {"mask_key": "a key of sixteen or more"}}
        return [
            back.follows for back in reverse_plans(compile_tables(source, tables={"t": {"to": outputs}}, **key).plans)
        ]

    assert follow({"table": "main"}, side) == [False, True]
    assert follow({"table": "main"}, {**side, "mask": {"a": "hmac"}}) == [False, False]  # b comes back from there, too
    assert follow(side, {**side, "table": "other"}) == [False, False]  # else nothing would go back at all
    assert follow(side) == [False]


@pytest.mark.parametrize(
    ("more", "way"),
    [
        ({}, LOSSY),  # each new row would get ''
        ({"default": "x"}, LOSSY),
        ({"nullable": True}, KEPT),  # any number of rows may be NULL
        ({"default_kind": DefaultKind.EXPRESSION, "default": "uuid()"}, KEPT),
    ],
)
def test_a_unique_column_that_the_store_lacks(more: dict[str, Any], way: Reversibility) -> None:
    unique = (IndexDef("by_a", (IndexPart("A"), IndexPart("b")), unique=True),)
    source = table("t", ID, column("a", "varchar(9)", **more), column("b", "int"), indexes=unique)
    back = reverse_plan(compile_one(source, tables={"t": {"exclude": ["a"]}}))
    (found,) = [item for item in back.verdicts if item.column == "a"]
    assert (found.way, "by_a takes only the first" in found.reason) == (way, way is LOSSY)
    # Another table of the stores has it: there new rows get their own.
    outputs = [{"table": "rest", "exclude": ["a"]}, {"table": "a_only", "exclude": ["b"]}]
    rest, _ = reverse_plans(compile_tables(source, tables={"t": {"to": outputs}}).plans)
    assert [item.way for item in rest.verdicts if item.column == "a"] == [EXACT]


def test_a_guard_only_where_the_filter_reads_what_the_store_lacks() -> None:
    source = table("t", ID, column("a", "int"))
    assert reverse_plan(compile_one(source, tables={"t": {"where": "a = 1"}})).guard is None
    assert reverse_plan(compile_one(source, tables={"t": {"where": "a = 1", "exclude": ["a"]}})).guard is not None


def declared(reverse: str, **more: Any) -> Any:
    """The way back of `cents` in a table whose `price` is excluded."""
    rule = {
        "exclude": ["price"],
        "expr": {"cents": {"sql": "CAST(price * 100 AS SIGNED)", "type": "bigint", "reverse": reverse}},
        **more,
    }
    back = reverse_plan(compile_one(table("t", ID, column("price", "decimal(8,2)")), tables={"t": rule}))
    return next(item for item in back.columns if item.column.name == "price")


def test_a_declared_way_back() -> None:
    price = declared("price = cents * 0.01")
    assert (price.reads, price.convert((b"1234",))) == (("cents",), b"12.34")
    with pytest.raises(ValueRefused, match="NOT NULL"):
        price.convert((None,))
    with pytest.raises(ValueRefused, match="out of range"):
        price.convert((b"99999999999",))


@pytest.mark.parametrize("text", ["cents * 0.01", "prise = cents", "price = nothing", "price = ", "id = cents"])
def test_a_declaration_that_cannot_work(text: str) -> None:
    with pytest.raises(ConfigError):
        declared(text)


@pytest.mark.parametrize(
    ("declaration", "value"),
    [
        ("tinyint", b"128"), ("int unsigned", b"-1"), ("int", b"1.5"), ("year", b"1900"), ("decimal(5,2)", b"1.234"),
        ("decimal(5,2)", b"1000"), ("decimal(5,2)", b"NaN"), ("float", b"1e39"), ("double", b"0.12345678901234567890"),
        ("bit(3)", b"01"), ("varchar(3)", b"abcd"), ("binary(2)", b"\\x000000"), ("enum('a','b')", b"c"),
        ("set('a','b')", b'{"c"}'), ("date", b"infinity"), ("date", b"0044-03-15 BC"),
        ("datetime", b"2024-01-01 00:00:00.5"),
        ("timestamp", b"2038-01-19 03:14:08+00"), ("timestamp", b"1970-01-01 00:00:00+00"), ("time", b"839:00:00"),
        ("time", b"00:00:00.5"), ("time(6)", b"-838:59:59.000001"),
    ],
)  # fmt: skip
def test_what_the_source_cannot_hold_is_refused(declaration: str, value: bytes) -> None:
    with pytest.raises(ValueRefused):
        form_of(column("c", declaration))(value)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_neutral_forms_stay_as_they_are(case: Case) -> None:
    form = form_of(case.column)

    @given(case.values)
    def check(value: bytes) -> None:
        assert form(value) == value

    check()


def test_implicit_defaults_are_legal() -> None:
    for case in CASES:
        value = implicit_default(case.column)
        if value is not None:
            assert form_of(case.column)(value) == value
        else:
            assert family(case.column) in ("json", "uuid", "inet")


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (b"00:00:00", b"00:00:00"), (b"-838:59:59", b"-838:59:59"), (b"1 day", b"24:00:00"),
        (b"34 days 22:59:59.5", b"838:59:59.5"), (b"-1 days +02:00:00", b"-22:00:00"),
        (b"1 day -00:00:01", b"23:59:59"),
        (b"-00:00:00.000001", b"-00:00:00.000001"),
    ],
)  # fmt: skip
def test_intervals(shown: bytes, text: bytes) -> None:
    assert interval(shown) == text


@pytest.mark.parametrize("shown", [b"1 mon", b"1 year 2 days", b"infinity", b"", b"P1D"])
def test_intervals_without_a_length(shown: bytes) -> None:
    with pytest.raises(ValueRefused):
        interval(shown)


@given(times(6))
def test_intervals_as_they_were(value: bytes) -> None:
    form = form_of(ColumnDef("c", "time", "time(6)", scale=6))
    assert form(interval(value.rstrip(b"0").rstrip(b".") if b"." in value else value)) == form(value)


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9), max_size=6))
def test_arrays(items: list[str]) -> None:
    literal = array_literal(items)
    assert array_items(literal) == items
    assert array_text(literal) == literal


def test_arrays_as_the_server_prints_them() -> None:
    assert array_items(b'{a,"b c",NULL,"NULL","q\\"","\\\\"}') == ["a", "b c", None, "NULL", 'q"', "\\"]
    with pytest.raises(ValueRefused):
        array_text(b"{a,NULL}")
    with pytest.raises(ValueRefused):
        array_items(b"{{a},{b}}")


def test_null_goes_back_only_where_the_source_takes_it() -> None:
    back = reverse_plan(compile_one(table("t", ID, column("a", "int", nullable=True), column("z", "date")),
                                    tables={"t": {"zero_dates": "null"}}))  # fmt: skip
    by_name = {item.column.name: item for item in back.columns}
    assert by_name["a"].convert((None,)) is None
    assert by_name["z"].convert((None,)) == b"0000-00-00"
    assert not by_name["z"].compared
    with pytest.raises(ValueRefused):
        by_name["id"].convert((None,))
    assert all(item.insert is ABSENT for item in back.kept)
