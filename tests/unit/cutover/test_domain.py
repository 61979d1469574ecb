"""A domain as the plan has it, and what makes it unfit to be cut over."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from config.settings import Settings
from cutover.domain import domain_plan
from model.errors import ConfigError, UsageError
from model.position import Flavour
from model.tables import ColumnDef, ForeignKeyDef, TableDef, TableId
from transforms.compile import compile_plan


def _table(name: str, *keys: ForeignKeyDef, **changes: Any) -> TableDef:
    columns = (
        ColumnDef("id", "int", "int(11)", nullable=False, auto_increment=True),
        ColumnDef("other", "int", "int(11)"),
    )
    table = TableDef(TableId("shop", name), columns, ("id",), foreign_keys=keys)
    return dataclasses.replace(table, **changes)


def _domain(*tables: TableDef, name: str = "sales", rules: dict[str, Any] | None = None, **domains: Any) -> Any:
    settings = Settings.model_validate(
        {
            "name": "test",
            "source": {"engine": "mysql", "user": "u", "databases": ["shop"]},
            "stores": {"main": {"dsn": "postgresql://h/a"}, "elsewhere": {"dsn": "postgresql://h/b"}},
            "defaults": {"store": "main"},
            "tables": rules or {},
            "domains": domains or {"sales": {"tables": ["orders", "shop.line*"]}},
        }
    )
    known = {table.id: table for table in tables}
    return domain_plan(settings, name, compile_plan(settings, known, Flavour.MYSQL), known)


def _key(parent: str, **actions: str) -> ForeignKeyDef:
    return ForeignKeyDef(f"fk_{parent}", ("other",), TableId("shop", parent), ("id",), **actions)


def test_tables_are_found_by_both_names() -> None:
    domain = _domain(_table("orders"), _table("lines", _key("orders", on_delete="CASCADE")), _table("users"))
    assert [str(table) for table in domain.table_ids] == ["shop.lines", "shop.orders"]
    assert domain.stores == ("main",)
    assert len(domain.targets("main")) == len(domain.backs_of("main")) == 2
    assert domain.problems == ()


def test_a_cascade_from_outside_would_pass_the_gate() -> None:
    users = _table("users")
    (problem,) = _domain(_table("orders", _key("users", on_delete="SET NULL")), users).problems
    assert "fk_users" in problem and "SET NULL" in problem and "shop.users" in problem
    assert _domain(_table("orders", _key("users")), users).problems == ()


def test_a_table_in_two_domains() -> None:
    (problem,) = _domain(_table("orders"), sales={"tables": ["orders"]}, other={"tables": ["ord*"]}).problems
    assert "domain other" in problem


def test_only_row_locks_make_a_barrier() -> None:
    assert any("MyISAM" in problem for problem in _domain(_table("orders", engine="MyISAM")).problems)


def test_the_configured_stores_must_be_those_of_the_tables() -> None:
    sales = {"tables": ["orders"], "stores": ["elsewhere", "main"]}
    assert "main" in _domain(_table("orders"), sales=sales).problems[0]


def test_names_that_nothing_has() -> None:
    with pytest.raises(UsageError, match="no domain 'nope'"):
        _domain(_table("orders"), name="nope")
    with pytest.raises(ConfigError, match="no migrated table"):
        _domain(_table("orders"), sales={"tables": ["zzz*"]})


def test_tables_that_share_the_ids_of_a_source_table_count_in_shares() -> None:
    rules = {"orders": {"route": {"by": "other", "to": {"1": "main", "2": "elsewhere"}}}}
    domain = _domain(_table("orders"), _table("lines"), rules=rules, sales={"tables": ["orders", "lines"]})
    least = {TableId("shop", "orders"): 7, TableId("shop", "lines"): 3}
    shares = {
        (one.table.store, one.table.name): (one.least, one.share, one.shares)
        for store in domain.stores
        for one in domain.aheads(store, least)
    }
    assert not any(back.shared for back in domain.backs), "no store's row completes that of another"
    assert shares == {("main", "orders"): (7, 0, 2), ("elsewhere", "orders"): (7, 1, 2), ("main", "lines"): (3, 0, 1)}


def test_columns_that_only_the_reverse_stream_can_judge() -> None:
    rules = {"orders": {"types": {"other": "text"}}}
    assert _domain(_table("orders"), rules=rules).unlimited("main") == ("public.orders.other",)
    declared = {
        "orders": {
            "exclude": ["other"],
            "expr": {"more": {"sql": "other + 2", "type": "bigint", "reverse": "other = more - 2"}},
        }
    }
    assert _domain(_table("orders"), rules=declared).unlimited("main") == ("public.orders.more",)
    assert _domain(_table("orders")).unlimited("main") == ()
