"""Routing by value: every row has exactly one store, moves are a delete and an insert, strangers are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from model.errors import ConfigError, ValueRefused
from model.rows import Op, RowChange
from sync.routing import PlanRouter
from tests.support.plans import column, compile_tables, table
from transforms.plan import TablePlan

STORES = {name: {"dsn": f"postgresql://localhost/{name}"} for name in ("eu", "us", "rest")}
TENANT = table("tenant", column("id", "int"), column("country", "char(2)", nullable=True), column("n", "int"))
TO = {"DE": "eu", "FR": "eu", "US": "us"}


def routed(route: dict[str, Any], **more: Any) -> dict[str, TablePlan]:
    """The plan of each store."""
    plans = compile_tables(TENANT, stores=STORES, tables={"tenant": {"route": route, **more}}).plans
    return {plan.target.store: plan for plan in plans}


@given(country=st.one_of(st.none(), st.sampled_from(["DE", "FR", "US", "de", "XX", ""])))
def test_every_row_has_exactly_one_store(country: str | None) -> None:
    plans = routed({"by": "country", "to": TO, "otherwise": "rest"})
    row = (b"1", None if country is None else country.encode(), b"0")
    assert [store for store, plan in plans.items() if plan.accepts(row)] == [TO.get(country or "", "rest")]


def test_a_row_whose_value_changes_moves() -> None:
    plans = routed({"by": "country", "to": TO, "otherwise": "rest"})
    change = RowChange(Op.UPDATE, TENANT.id, (b"1", b"DE", b"0"), (b"1", b"US", b"5"))
    done = {store: PlanRouter(plan).route(change) for store, plan in plans.items()}
    assert done["rest"] is None
    assert done["eu"] is not None and done["eu"].op is Op.DELETE and done["eu"].key_before == (b"1",)
    assert done["us"] is not None and done["us"].op is Op.INSERT and done["us"].row == (b"1", b"US", b"5")
    change = RowChange(Op.UPDATE, TENANT.id, (b"1", b"DE", b"0"), (b"1", b"FR", b"5"))
    done = {store: PlanRouter(plan).route(change) for store, plan in plans.items()}
    assert done["us"] is None and done["eu"] is not None and done["eu"].op is Op.UPDATE


@pytest.mark.parametrize("country", [b"XX", None])
def test_without_otherwise_one_store_refuses_strangers(country: bytes | None) -> None:
    plans = routed({"by": "country", "to": TO})
    with pytest.raises(ValueRefused, match="no store is named for country"):
        PlanRouter(plans["eu"]).route(RowChange(Op.INSERT, TENANT.id, None, (b"1", country, b"0")))
    assert PlanRouter(plans["us"]).route(RowChange(Op.INSERT, TENANT.id, None, (b"1", country, b"0"))) is None


def test_rows_that_are_filtered_out_need_no_store() -> None:
    plans = routed({"by": "country", "to": TO}, where="n > 0", delete_when="n = 9")
    for number in (b"0", b"9"):
        assert not any(plan.accepts((b"1", b"XX", number)) for plan in plans.values())
    with pytest.raises(ValueRefused):
        plans["eu"].accepts((b"1", b"XX", b"5"))


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ({"by": "land", "to": TO}, "does not have"),
        ({"by": "n", "to": TO}, "Write whole numbers"),
    ],
)
def test_impossible_routes_are_refused(route: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        routed(route)
    assert words in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "rule",
    [
        {"route": {"by": "country", "to": TO}, "store": "eu"},
        {"route": {"by": "country", "to": {"DE": "eu"}}},
        {"route": {"by": "country", "to": {}}},
    ],
)
def test_a_route_that_is_none_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        compile_tables(TENANT, stores=STORES, tables={"tenant": rule})


def test_the_store_of_strangers_lets_go_of_what_it_may_still_hold() -> None:
    router = PlanRouter(routed({"by": "country", "to": TO})["eu"])
    gone = router.route(RowChange(Op.UPDATE, TENANT.id, (b"1", b"XX", b"0"), (b"1", b"US", b"5")))
    assert gone is not None and gone.op is Op.DELETE
    gone = router.route(RowChange(Op.DELETE, TENANT.id, (b"1", b"XX", b"0"), None))
    assert gone is not None and gone.op is Op.DELETE
    back = router.route(RowChange(Op.UPDATE, TENANT.id, (b"1", b"XX", b"0"), (b"1", b"DE", b"5")))
    assert back is not None and back.row == (b"1", b"DE", b"5")
