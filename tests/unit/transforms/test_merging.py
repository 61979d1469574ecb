"""Merging: several source tables in one target table, told apart by a constant of the key."""

from __future__ import annotations

import re
from typing import Any

import pytest

from model.errors import ConfigError
from model.tables import ForeignKeyDef, IndexDef, IndexPart, TableDef
from sync.postgres.own_rows import own_rows
from tests.support.plans import column, compile_tables, table
from transforms.ddl import Phase, statements
from transforms.plan import TablePlan
from transforms.reverse import Reversibility, reverse_plans

MAKER = table("maker", column("id", "int"))


def products(region: str, *more: Any, **rest: Any) -> TableDef:
    """A table of products."""
    indexes = (
        IndexDef("sku", (IndexPart("sku"),), unique=True),
        IndexDef("by_name", (IndexPart("name"),)),
    )
    keys = (ForeignKeyDef("fk_maker", ("maker_id",), MAKER.id, ("id",), "CASCADE"),)
    columns = (
        column("id", "int", auto_increment=True),
        column("sku", "varchar(20)"),
        column("name", "varchar(40)"),
        column("maker_id", "int", nullable=True),
    )
    settled = {"indexes": indexes, "foreign_keys": keys, **rest}
    return table(f"products_{region}", *columns, *more, **settled)


def rule(region: str, **more: Any) -> dict[str, Any]:
    """Its rule."""
    return {"table": "products", "add": {"region": {"value": region}}, "key": ["region", "id"], **more}


def merged(*tables: TableDef, **rules: Any) -> tuple[TablePlan, ...]:
    """The plans of the tables that share a target."""
    settled = {f"products_{name}": rule(name) for name in ("eu", "us")[: len(tables)]} | rules
    plan = compile_tables(MAKER, *tables, tables=settled)
    return tuple(one for one in plan.plans if one.target.name == "products")


def test_two_tables_share_one_shape() -> None:
    eu, us = merged(products("eu"), products("us", column("tax", "decimal(4,2)")))
    assert eu.target == us.target
    names = [item.name for item in eu.target.columns]
    assert names == ["id", "sku", "name", "maker_id", "region", "tax"]
    assert [item.target.name for item in eu.columns] == [item.target.name for item in us.columns] == names
    assert eu.target.key == ("region", "id") and eu.key == us.key == (4, 0) and eu.told_by == us.told_by == (4,)
    assert eu.project((b"7", b"s", b"n", None)) == (b"7", b"s", b"n", None, b"eu", None)
    assert us.project((b"7", b"s", b"n", None, b"1.50")) == (b"7", b"s", b"n", None, b"us", b"1.50")
    assert eu.target.column("tax").nullable and not any(item.identity for item in eu.target.columns)
    assert (own_rows(eu), own_rows(us, "c")) == ("\"region\" = 'eu'::text", "c.\"region\" = 'us'::text")
    unique, plain = sorted(eu.target.indexes, key=lambda index: not index.unique)
    assert unique.parts == ('"region"', '"sku"') and unique.columns == ("region", "sku") and plain.parts == ('"name"',)
    assert eu.uniques == ((4, 1),)
    assert [key.name for key in eu.target.foreign_keys] == ["fk_maker"]


def test_the_table_is_made_once() -> None:
    plans = merged(products("eu"), products("us"))
    made = [one for one in statements(plan.target for plan in plans) if one.phase is Phase.BEFORE_COPY]
    assert [str(one.object) for one in made] == ["schema public", "table public.products"]
    assert len(statements(plan.target for plan in plans)) == 6


def test_what_only_one_table_has_is_dropped_with_a_note() -> None:
    eu, us = merged(products("eu"), products("us", foreign_keys=(), indexes=()))
    assert eu.target.foreign_keys == () == us.target.foreign_keys
    assert [index.unique for index in eu.target.indexes] == [False]
    notes = " ".join(eu.notes)
    assert "index products_sku: dropped" in notes and "foreign key fk_maker: dropped" in notes


def test_each_source_gets_its_own_columns_back() -> None:
    plans = compile_tables(
        products("eu", foreign_keys=()), products("us", column("tax", "decimal(4,2)", nullable=True), foreign_keys=()),
        tables={"products_eu": rule("eu"), "products_us": rule("us")},
    ).plans  # fmt: skip
    for back in reverse_plans(plans):
        assert back.way is Reversibility.EXACT, back.verdicts
        assert [item.column.name for item in back.columns] == [item.name for item in back.source.columns]
    assert [back.told_by for back in reverse_plans(plans)] == [(("region", b"eu"),), (("region", b"us"),)]


@pytest.mark.parametrize(
    ("tables", "rules", "words"),
    [
        ((products("eu"), products("us")), {"products_us": rule("eu")}, "nothing tells their rows apart"),
        ((products("eu"), products("us")), {"products_us": {"table": "products"}}, "different keys"),
        (
            (products("eu"), products("us")),
            {"products_eu": {"table": "products"}, "products_us": {"table": "products"}},
            "nothing tells their rows apart",
        ),
        (
            (products("eu"), products("us")),
            {"products_us": rule("us", types={"name": "text"})},
            "its column name would be character varying(40) and text",
        ),
        (
            (products("eu"),),
            {"products_eu": {"to": [{"table": "products"}, {"table": "products"}]}},
            "two outputs of shop.products_eu",
        ),
        (
            (products("eu"), products("us", key=(), indexes=())),
            {"products_us": {"table": "products"}},
            "different keys",
        ),
    ],
)
def test_tables_whose_rows_could_meet_are_refused(tables: Any, rules: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        merged(*tables, **rules)
    assert caught.value.hint
