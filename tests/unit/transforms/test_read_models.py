"""Read models: what is declared, and everything that would fall behind unseen and is refused."""

from __future__ import annotations

from typing import Any

import pytest

from model.errors import ConfigError
from tests.support.plans import column, compile_tables, table
from transforms.read_model import ReadModel

ORDERS = table("orders", column("id", "int"), column("customer_id", "int"))
ITEMS = table("items", column("id", "int"), column("order_id", "int"), column("amount", "decimal(9,2)"))
CUSTOMERS = table("customers", column("id", "int"), column("name", "varchar(30)"))
SQL = (
    "SELECT o.id, c.name, sum(i.amount) AS total FROM orders AS o JOIN customers AS c ON c.id = o.customer_id"
    " LEFT JOIN items AS i ON i.order_id = o.id GROUP BY o.id, c.name"
)
FROM = {
    "orders": "id",
    "items": "order_id",
    "customers": "SELECT o.id FROM orders AS o JOIN changed AS c ON c.id = o.customer_id",
}
RULE: dict[str, Any] = {"sql": SQL, "key": ["id"], "from": FROM, "indexes": [["name"]]}


def models(rule: dict[str, Any], name: str = "facts", **more: Any) -> tuple[ReadModel, ...]:
    """The read models of a plan with these tables."""
    return compile_tables(ORDERS, ITEMS, CUSTOMERS, read_models={name: rule}, **more).read_models


def test_ways_are_columns_or_a_select() -> None:
    (model,) = models(RULE)
    assert str(model) == "main:public.facts" and model.key == ("id",)
    assert {way.table: way.sql for way in model.ways} == {
        "orders": 'SELECT "id" FROM changed', "items": 'SELECT "order_id" FROM changed', "customers": FROM["customers"],
    }  # fmt: skip
    (other,) = models({**RULE, "indexes": []})
    assert model.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"from": {"orders": "id", "items": "order_id"}}, "reads customers, and `from` has no way"),
        ({"sql": SQL.replace("items AS i", "itmes AS i")}, "itmes is no table"),
        ({"from": {**FROM, "itmes": "id"}}, "itmes is no table"),
        ({"from": {**FROM, "items": "order"}}, "which items does not have"),
        ({"from": {**FROM, "items": "id, order_id"}}, "names 2 columns, the key has 1"),
        ({"from": {**FROM, "items": "SELECT order_id, id FROM changed"}}, "gives 2 columns"),
        ({"from": {**FROM, "items": "SELECT order_id FROM items"}}, "does not read `changed`"),
        ({"from": {**FROM, "items": "SELECT order_id FROM changed, elsewhere"}}, "elsewhere is no table"),
        ({"key": ["order_id"]}, "has no column 'order_id'"),
        ({"indexes": [["nmae"]]}, "has no column 'nmae'"),
        ({"sql": "SELECT id, now() FROM orders", "from": {"orders": "id"}}, "another value at another time"),
        ({"sql": "SELECT id, CURRENT_DATE AS d FROM orders", "from": {"orders": "id"}}, "another value"),
        ({"sql": "DELETE FROM orders"}, "not one SELECT"),
        ({"sql": "SELECT id FROM orders; SELECT 1"}, "not one SELECT"),
        ({"sql": "SELECT id FROM orders FOR UPDATE", "from": {"orders": "id"}}, "does more than read"),
        ({"sql": "SELECT id FROM orders WHERE ("}, "cannot be read"),
    ],
)
def test_what_could_not_be_followed_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        models({**RULE, **change})
    assert words in str(caught.value) and caught.value.hint
    assert caught.value.where["read_model"] == "facts"


def test_the_name_must_be_free() -> None:
    with pytest.raises(ConfigError, match="has a table of that name"):
        models(RULE, name="orders")
