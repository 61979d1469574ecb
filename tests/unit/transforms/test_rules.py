"""Which rule a table follows, and which store it goes to."""

from __future__ import annotations

from typing import Any

import pytest

from model.errors import ConfigError
from model.tables import TableId
from tests.support.plans import column, compile_one, compile_tables, make_settings, table
from transforms.rules import rule_of

TWO_STORES = {"main": {"dsn": "postgresql://localhost/m"}, "other": {"dsn": "postgresql://localhost/o", "schema": "o"}}


def small(name: str = "t", **more: Any) -> Any:
    return table(name, column("id", "int"), **more)


@pytest.mark.parametrize(
    ("patterns", "best"),
    [
        (["*", "log_*"], "log_*"),
        (["log_*", "log_2024"], "log_2024"),
        (["log_2024", "shop.log_2024"], "shop.log_2024"),
        (["shop.*", "*"], "shop.*"),
        (["shop.log_*", "log_20*"], "shop.log_*"),
        (["other.*"], None),
    ],
)
def test_the_most_specific_rule_wins(patterns: list[str], best: str | None) -> None:
    settings = make_settings(tables={pattern: {} for pattern in patterns})
    found = rule_of(settings, TableId("shop", "log_2024"))
    assert (found[0] if found else None) == best


def test_views_and_sequences_are_skipped_and_rules_say_why() -> None:
    plan = compile_tables(
        small("a"), small("v", kind="view"), small("s", kind="sequence"), small("log_1"),
        tables={"log_*": {"skip": True, "reason": "cold storage"}},
    )  # fmt: skip
    assert [table_plan.source.id.name for table_plan in plan.plans] == ["a"]
    assert plan.skipped[TableId("shop", "log_1")] == "cold storage"
    assert "view" in plan.skipped[TableId("shop", "v")]
    assert set(plan.skipped) == {TableId("shop", name) for name in ("v", "s", "log_1")}


@pytest.mark.parametrize(
    ("more", "store"),
    [
        ({"tables": {"t": {"store": "other"}}, "defaults": {"store": "main"}}, "other"),
        ({"domains": {"d": {"tables": ["t"], "stores": ["other"]}}, "defaults": {"store": "main"}}, "other"),
        ({"domains": {"d": {"tables": ["t"], "stores": ["other", "main"]}}, "defaults": {"store": "main"}}, "main"),
        ({"domains": {"d": {"tables": ["t"]}}, "defaults": {"store": "other"}}, "other"),
        ({"defaults": {"store": "other"}}, "other"),
    ],
)
def test_the_store_is_of_the_rule_then_of_the_domain_then_the_default(more: dict[str, Any], store: str) -> None:
    plan = compile_one(small(), stores=TWO_STORES, **more)
    assert plan.target.store == store
    assert plan.target.schema == ("o" if store == "other" else "public")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "which store"),
        ({"defaults": {"store": "ohter"}}, "no store called 'ohter'"),
        ({"tables": {"tt": {}}}, "not a table of the source"),
        ({"domains": {"d": {"tables": ["x.t"], "stores": ["main"]}}}, "not a table of the source"),
        ({"domains": {"d": {"tables": ["t"], "stores": ["main", "other"]}}}, "several stores"),
        (
            {"domains": {"d": {"tables": ["*"], "stores": ["main"]}, "e": {"tables": ["?"], "stores": ["main"]}}},
            "domains d and e",
        ),
        ({"tables": {"t": {"store": "main", "table": "x" * 64}}}, "limit is 63"),
    ],
)
def test_what_cannot_be_decided_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        compile_one(small(), stores=TWO_STORES, **more)
    assert caught.value.hint and caught.value.where["table"]


def test_an_exact_domain_wins_over_a_glob() -> None:
    domains = {"rest": {"tables": ["*"], "stores": ["main"]}, "d": {"tables": ["t"], "stores": ["other"]}}
    assert compile_one(small(), stores=TWO_STORES, domains=domains).target.store == "other"


def test_several_outputs_start_from_the_rule() -> None:
    source = table("users", column("id", "int"), column("name", "varchar(9)"), column("hash", "varchar(9)"))
    plan = compile_tables(
        source,
        stores=TWO_STORES,
        defaults={"store": "main"},
        tables={
            "users": {
                "rename": {"id": "user_id"},
                "to": [{"only": ["id", "name"]}, {"store": "other", "table": "auth", "only": ["id", "hash"]}],
            }
        },
    )
    one, two = plan.of_source(source.id)
    assert [str(one.target), str(two.target)] == ["main:public.users", "other:o.auth"]
    assert [c.name for c in one.target.columns] == ["user_id", "name"]
    assert [c.name for c in two.target.columns] == ["user_id", "hash"]
    assert plan.of_store("other") == (two,)
