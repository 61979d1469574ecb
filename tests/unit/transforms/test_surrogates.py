"""Surrogate keys: what RFC 9562 says, and that different keys never meet."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ConfigError
from model.rows import ABSENT
from tests.support.plans import column, compile_tables, table
from transforms.describe import describe
from transforms.reverse import Reversibility, reverse_plans
from transforms.surrogates import namespace, surrogate

ORDERS = table("orders", column("id", "int"), column("note", "varchar(9)", nullable=True))
ITEMS = table("items", column("id", "int"), column("order_id", "int", nullable=True), column("f", "float"))


def test_it_is_version_5_of_the_text() -> None:
    made = surrogate("orders", [b"42"])
    assert made.decode() == str(uuid.uuid5(namespace("orders"), "42")) and uuid.UUID(made.decode()).version == 5
    assert surrogate("orders", ["né".encode()]).decode() == str(uuid.uuid5(namespace("orders"), "né"))


KEYS = st.tuples(
    st.sampled_from(["a", "b"]), st.lists(st.text(st.sampled_from("12:é"), max_size=4), min_size=2, max_size=3)
)


@given(st.lists(KEYS, unique_by=lambda key: (key[0], tuple(key[1])), max_size=30))
def test_different_keys_have_different_ones(keys: list[tuple[str, list[str]]]) -> None:
    made = [surrogate(kind, [value.encode() for value in values]) for kind, values in keys]
    assert len(set(made)) == len(keys)


def test_a_reference_gets_that_of_the_row_that_it_refers_to() -> None:
    rules = {
        "orders": {"surrogate": {"uid": {"of": ["id"]}}, "key": ["uid"]},
        "items": {"surrogate": {"order_uid": {"of": ["order_id"], "as": "orders"}}},
    }
    items, orders = compile_tables(ORDERS, ITEMS, tables=rules).plans
    order = orders.project((b"7", None))
    item = items.project((b"1", b"7", b"1.0"))
    assert orders.target.key == ("uid",) and [c.type for c in orders.target.columns][-1] == "uuid"
    assert order[-1] == item[-1] == surrogate("orders", [b"7"])
    assert items.project((b"1", None, b"1.0"))[-1] is None
    assert items.project((b"1", ABSENT, b"1.0"))[-1] is ABSENT
    assert not orders.target.column("uid").nullable and items.target.column("order_uid").nullable
    assert "UUID of orders (id), version 5" in " ".join(describe(orders).split())


def test_the_way_back_goes_by_the_column_that_was_taken_along() -> None:
    rule = {"surrogate": {"uid": {"of": ["id"]}}, "key": ["uid"]}
    (whole,) = reverse_plans(compile_tables(ORDERS, tables={"orders": rule}).plans)
    assert whole.way is Reversibility.EXACT
    (alone,) = reverse_plans(compile_tables(ORDERS, tables={"orders": {**rule, "exclude": ["id"]}}).plans)
    assert alone.way is not Reversibility.EXACT and any("uid" in one.reason for one in alone.verdicts)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"surrogate": {"uid": {"of": ["idd"]}}}, "names the column 'idd'"),
        ({"surrogate": {"uid": {"of": ["f"]}}}, "FLOAT"),
        ({"surrogate": {"uid": {"of": ["order_id"]}}, "key": ["uid"]}, "can be NULL"),
        ({"surrogate": {"id": {"of": ["id"]}}}, "id"),
    ],
)
def test_what_cannot_work_is_refused(rule: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        compile_tables(ITEMS, tables={"items": rule})
