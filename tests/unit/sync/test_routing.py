"""Routing: where-filters, key changes, several plans, partial images, refused values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.errors import ApplyError, ValueRefused
from model.rows import ABSENT, Field, Op, Row, RowChange
from sync.routing import Router, TargetChange
from tests.support.changes import as_row, make_plan, make_table
from transforms.plan import Cast, CompiledExpression, TablePlan

TABLE = make_table("t", "id int,kind text,note text", uniques=(("note",),))
PLAN = make_plan(TABLE)


def filtered(plan: TablePlan = PLAN) -> TablePlan:
    """Only rows whose kind is `ours`."""
    where = CompiledExpression("kind = 'ours'", lambda row: b"1" if row[1] == b"ours" else b"0", "", "", (1,))
    return replace(plan, where=where)


def route(
    plan: TablePlan, op: Op, before: tuple[object, ...] | None, after: tuple[object, ...] | None
) -> TargetChange | None:
    def row(fields: tuple[object, ...] | None) -> Row | None:
        return None if fields is None else tuple(ABSENT if f is ABSENT else as_row((f,))[0] for f in fields)

    found = Router([plan]).route(RowChange(op, plan.source.id, row(before), row(after)))
    return found[0] if found else None


def test_a_row_that_enters_the_filter_is_inserted() -> None:
    change = route(filtered(), Op.UPDATE, (1, "theirs", "x"), (1, "ours", "x"))
    assert change is not None and change.op is Op.INSERT and change.row == as_row((1, "ours", "x"))


def test_a_row_that_leaves_the_filter_is_deleted_by_its_old_key() -> None:
    change = route(filtered(), Op.UPDATE, (1, "ours", "x"), (2, "theirs", "x"))
    assert change is not None and change.op is Op.DELETE and change.key_before == (b"1",)


def test_rows_outside_the_filter_are_nobodys_business() -> None:
    assert route(filtered(), Op.INSERT, None, (1, "theirs", "x")) is None
    assert route(filtered(), Op.DELETE, (1, "theirs", "x"), None) is None
    assert route(filtered(), Op.UPDATE, (1, "theirs", "x"), (1, "theirs", "y")) is None


def test_a_row_that_stays_in_the_filter_is_updated() -> None:
    change = route(filtered(), Op.UPDATE, (1, "ours", "x"), (1, "ours", "y"))
    assert change is not None and change.op is Op.UPDATE and change.unique_changed


def test_a_partial_update_outside_the_filters_columns_stays_partial() -> None:
    change = route(filtered(), Op.UPDATE, (1, ABSENT, ABSENT), (ABSENT, ABSENT, "y"))
    assert change is not None and change.op is Op.UPDATE and change.partial
    assert change.row == (b"1", ABSENT, b"y")


def test_a_partial_update_that_may_enter_the_filter_is_refused() -> None:
    with pytest.raises(ApplyError, match="partial row image"):
        route(filtered(), Op.UPDATE, (1, ABSENT, ABSENT), (ABSENT, "ours", ABSENT))


def test_a_partial_update_that_leaves_the_filter_is_a_delete() -> None:
    change = route(filtered(), Op.UPDATE, (1, ABSENT, ABSENT), (ABSENT, "theirs", ABSENT))
    assert change is not None and change.op is Op.DELETE


def test_a_delete_whose_filter_cannot_be_judged_deletes() -> None:
    change = route(filtered(), Op.DELETE, (1, ABSENT, ABSENT), None)
    assert change is not None and change.op is Op.DELETE


def test_a_changed_key_has_both_keys() -> None:
    change = route(PLAN, Op.UPDATE, (1, "a", "x"), (2, "a", "x"))
    assert change is not None and (change.key_before, change.key_after) == ((b"1",), (b"2",))
    assert not change.unique_changed


def test_an_image_without_the_key_is_refused() -> None:
    with pytest.raises(ApplyError, match="lacks the key"):
        route(PLAN, Op.DELETE, (ABSENT, "a", "x"), None)


def test_every_plan_of_a_table_gets_the_change() -> None:
    other = make_plan(TABLE, store="other")
    found = Router([filtered(), other]).route(RowChange(Op.INSERT, TABLE.id, None, as_row((1, "theirs", "x"))))
    assert [target.plan.target.store for target in found] == ["other"]


def test_a_keyless_table_keeps_the_whole_old_row() -> None:
    plan = make_plan(make_table("log", "a int,b text", key=()))
    change = route(plan, Op.UPDATE, (1, "x"), (ABSENT, "y"))
    assert change is not None and (change.before, change.row) == (as_row((1, "x")), as_row((1, "y")))
    with pytest.raises(ApplyError, match="whole old row"):
        route(plan, Op.DELETE, (1, ABSENT), None)


def refusing(field: Field) -> Field:
    if field == b"bad":
        raise ValueRefused("no such value", hint="mend it")
    return field


def test_a_refused_value_names_plan_and_key_but_never_stops_a_delete() -> None:
    columns = (*PLAN.columns[:1], replace(PLAN.columns[1], casts=(Cast("picky", refusing),)), *PLAN.columns[2:])
    plan = replace(PLAN, columns=columns)
    with pytest.raises(ValueRefused) as caught:
        route(plan, Op.INSERT, None, (7, "bad", "x"))
    assert caught.value.where["plan"] == plan.id
    assert caught.value.where["key"] == "7"
    assert caught.value.where["column"] == "kind"
    change = route(plan, Op.DELETE, (7, "bad", "x"), None)
    assert change is not None and change.key_before == (b"7",)


def test_columns_in_another_order_and_fewer_of_them() -> None:
    plan = replace(PLAN, columns=(PLAN.columns[2], PLAN.columns[0]), key=(1,), uniques=((0,),))
    change = route(plan, Op.UPDATE, (1, "a", "x"), (1, "b", "x"))
    assert change is not None and change.row == (b"x", b"1") and change.key_after == (b"1",)
    assert not change.unique_changed
