"""Plans: what becomes of columns, keys, indexes and foreign keys, and everything that is refused."""

from __future__ import annotations

from typing import Any

import pytest

from model.errors import ConfigError, ValueRefused
from model.position import Flavour
from model.rows import ABSENT
from model.tables import CheckDef, ColumnDef, ForeignKeyDef, IndexDef, IndexPart, TableDef, TableId
from tests.support.plans import column, compile_one, compile_tables, sakila, table
from transforms.plan import ColumnKind

PARENT = table("parent", column("id", "bigint unsigned", auto_increment=True), column("code", "varchar(9)"))
CHILD = table(
    "child",
    column("id", "int"),
    column("parent_id", "bigint unsigned", nullable=True),
    foreign_keys=(ForeignKeyDef("fk", ("parent_id",), PARENT.id, ("id",), "CASCADE"),),
)


def users(**more: Any) -> TableDef:
    """A table with a bit of everything."""
    return table(
        "users",
        column("id", "int unsigned", auto_increment=True),
        column("email", "varchar(120)"),
        column("status", "char(1)", default="A"),
        column("note", "text", nullable=True),
        column("born", "date"),
        indexes=(
            IndexDef("email", (IndexPart("email"),), unique=True),
            IndexDef("status", (IndexPart("status"), IndexPart("note", prefix=10, descending=True))),
        ),
        **more,
    )


def test_an_untransformed_table() -> None:
    plan = compile_one(users())
    assert plan.id == "shop.users>main:public.users"
    assert plan.plain and plan.key == (0,) and plan.uniques == ((1,),)
    assert [c.type for c in plan.target.columns] == [
        "bigint", "character varying(120)", "character varying(1)", "text", "date",
    ]  # fmt: skip
    assert plan.target.columns[0].identity and not plan.target.columns[1].nullable
    assert plan.target.columns[2].default == "'A'::character varying(1)"
    assert [(i.name, i.parts, i.unique, i.columns) for i in plan.target.indexes] == [
        ("users_email", ('"email"',), True, ("email",)),
        ("users_status", ('"status"', '(left("note", 10)) DESC'), False, ()),
    ]
    assert [check.expression for check in plan.target.checks] == ['"id" >= 0']
    assert plan.project((b"1", b"a@b", b"A", None, b"0000-00-00")) == (b"1", b"a@b", b"A", None, b"-infinity")


def test_all_of_sakila_compiles_and_keeps_every_foreign_key() -> None:
    plan = compile_tables(*sakila())
    kept = sum(len(table_plan.target.foreign_keys) for table_plan in plan.plans)
    assert (len(plan.plans), kept) == (16, sum(len(source.foreign_keys) for source in sakila()))
    assert all(column.kind is ColumnKind.COPY for table_plan in plan.plans for column in table_plan.columns)


RULE: dict[str, Any] = {
    "table": "customers",
    "rename": {"id": "customer_id"},
    "exclude": ["note"],
    "types": {"born": "text"},
    "map": {"status": {"A": "active", "X": None, "*": "other"}},
    "expr": {"domain": {"sql": "RIGHT(email, 3)"}, "initial": {"sql": "LENGTH(email)", "type": "smallint"}},
    "add": {
        "region": {"value": "eu"},
        "empty": {"value": None, "type": "int"},
        "live": {"value": True, "type": "boolean"},
    },
    "where": "status <> 'X'",
}


def test_a_rule_with_everything() -> None:
    plan = compile_one(users(), tables={"users": RULE})
    names = ["customer_id", "email", "status", "born", "domain", "initial", "region", "empty", "live"]
    assert [c.name for c in plan.target.columns] == names
    assert not plan.plain and plan.target.name == "customers"
    row = (b"7", b"x@y.de", b"A", None, b"2024-02-31")
    assert plan.project(row) == (b"7", b"x@y.de", b"active", b"2024-02-31", b".de", b"6", b"eu", None, b"true")
    assert plan.accepts(row) and not plan.accepts((b"7", b"", b"X", None, b""))
    assert plan.project((b"7", ABSENT, b"?", None, ABSENT))[1:6] == (ABSENT, b"other", ABSENT, ABSENT, ABSENT)
    status = plan.target.column("status")
    assert status.nullable and status.default == "'active'::text"


def test_a_map_without_a_star_refuses_what_it_does_not_hold() -> None:
    plan = compile_one(users(), tables={"users": {"map": {"status": {"A": "active"}}}})
    with pytest.raises(ValueRefused) as caught:
        plan.project((b"1", b"", b"B", None, b"2024-01-01"))
    assert caught.value.where == {"column": "status", "table": "shop.users"}


def test_types_follow_rules_and_foreign_keys_follow_types() -> None:
    plan = compile_tables(PARENT, CHILD, types=[{"match": "parent.id", "to": "bigint"}])
    child, parent = plan.plans
    assert (parent.target.columns[0].type, child.target.columns[1].type) == ("bigint", "bigint")
    assert child.target.foreign_keys[0].on_delete == "CASCADE"
    assert [cast.name for cast in child.columns[1].casts] == ["range(bigint)"]


@pytest.mark.parametrize(
    ("match", "wanted"),
    [
        ("bigint unsigned", "bigint"),
        ("bigint*", "bigint"),
        ("parent.*", "bigint"),
        ("shop.parent.id", "bigint"),
        ("BIGINT UNSIGNED", "bigint"),
        ("int unsigned", "numeric(20,0)"),
        ("parent.code", "numeric(20,0)"),
    ],
)
def test_type_rules_match_types_and_names(match: str, wanted: str) -> None:
    source = table("parent", column("id", "bigint(20) unsigned"), column("code", "varchar(9)"))
    plan = compile_one(source, types=[{"match": match, "to": "bigint" if "code" not in match else "text"}])
    assert plan.target.columns[0].type == wanted


def test_bigint_unsigned_is_one_type_over_the_graph() -> None:
    child, parent = compile_tables(PARENT, CHILD).plans
    assert parent.target.columns[0].type == child.target.columns[1].type == "numeric(20,0)"
    assert parent.target.columns[0].identity


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"tables": {"parent": {"skip": True}}}, "not in the store"),
        ({"tables": {"parent": {"where": "id > 5"}}}, "only some rows"),
        ({"tables": {"child": {"map": {"parent_id": {"1": "2"}}}}}, "not copied as it is"),
        (
            {"tables": {"child": {"types": {"parent_id": "text"}}, "parent": {"types": {"id": "bigint"}}}},
            "parent_id is text",
        ),
        ({"defaults": {"foreign_keys": False}}, "left out"),
    ],
)
def test_a_foreign_key_that_cannot_live_is_dropped_with_a_note(more: dict[str, Any], why: str) -> None:
    child = compile_tables(PARENT, CHILD, **more).plans[0]
    assert child.target.foreign_keys == ()
    assert why in " ".join(child.notes)


def test_a_foreign_key_to_something_not_unique_is_dropped() -> None:
    child = table(
        "child", column("id", "int"), column("code", "varchar(9)"),
        foreign_keys=(ForeignKeyDef("fk", ("code",), PARENT.id, ("code",)),),
    )  # fmt: skip
    plan = compile_tables(PARENT, child).plans[0]
    assert plan.target.foreign_keys == () and "unique" in " ".join(plan.notes)


def test_a_unique_index_serves_as_key_and_is_not_made_twice() -> None:
    source = table(
        "t", column("a", "int"), column("b", "int"), key=(),
        indexes=(IndexDef("ab", (IndexPart("b"), IndexPart("a")), unique=True),),
    )  # fmt: skip
    plan = compile_one(source)
    assert plan.target.key == ("b", "a") and plan.key == (1, 0)
    assert plan.target.indexes == () and plan.uniques == ()


def test_a_keyless_table_says_so() -> None:
    plan = compile_one(table("t", column("a", "int"), key=()))
    assert plan.key == () and plan.target.key == () and "no key" in " ".join(plan.notes)


def test_a_stated_key() -> None:
    plan = compile_one(users(), tables={"users": {"key": ["email"]}})
    assert plan.target.key == ("email",) and plan.key == (1,) and plan.uniques == ()
    more = compile_one(users(), tables={"users": {"add": {"region": {"value": "eu"}}, "key": ["region", "id"]}})
    assert more.target.key == ("region", "id") and more.key == (5, 0)


def test_zero_dates_as_null_make_the_column_nullable_and_say_so() -> None:
    plan = compile_one(users(), tables={"users": {"zero_dates": "null"}})
    assert plan.target.column("born").nullable
    assert "zero dates become NULL" in " ".join(plan.notes)


def test_generated_columns_and_checks_are_kept_when_they_mean_the_same() -> None:
    source = table(
        "t",
        column("id", "int"),
        column("price", "decimal(8,2)"),
        column("double", "decimal(9,2)", nullable=True, generated="stored", expression="`price` * 2"),
        column("low", "varchar(9)", nullable=True, generated="stored", expression="lower(`code`)"),
        column("code", "varchar(9)"),
        checks=(
            CheckDef("positive", "`price` > 0"),
            CheckDef("folded", "`code` in ('a','b')"),
            CheckDef("asleep", "`id` > 0", enforced=False),
        ),
    )
    plan = compile_one(source)
    generated = plan.target.column("double").generated
    assert generated is not None and '"price"' in generated
    assert "double" not in [c.target.name for c in plan.columns]
    assert plan.target.column("low").generated is None
    assert [check.name for check in plan.target.checks] == ["positive"]
    notes = " ".join(plan.notes)
    assert "column low: generated in the source" in notes and "check folded: dropped" in notes
    changed = compile_one(source, tables={"t": {"types": {"price": "text"}}})
    assert changed.target.column("double").generated is None and changed.target.checks == ()


def test_a_generated_column_is_cast_only_where_both_servers_make_the_same_of_it() -> None:
    def computed(name: str, declared: str, expression: str) -> ColumnDef:
        return column(name, declared, nullable=True, generated="virtual", expression=expression)

    source = table(
        "t",
        column("id", "int"),
        column("name", "varchar(9)"),
        computed("much", "tinyint", "`id` > 5"),
        computed("known", "decimal(3,1)", "`name` is not null"),
        computed("spelled", "varchar(5)", "`id` > 5"),
        computed("counted", "varchar(9)", "`id` + 1"),
        computed("padded", "char(3)", "left(`name`, 3)"),
        computed("start", "varchar(3)", "left(`name`, 3)"),
    )
    plan = compile_one(source)
    generated = {one.name: one.generated for one in plan.target.columns if one.generated}
    assert set(generated) == {"much", "known", "start"}
    # PostgreSQL makes neither a smallint nor a numeric of a boolean, and "true" of it as a text.
    assert str(generated["much"]).endswith("::integer::smallint")
    assert str(generated["known"]).endswith("::integer::numeric(3,1)")
    notes = " ".join(plan.notes)
    assert "column padded: generated in the source, a plain column in the store (its type is char" in notes
    assert "column spelled: generated in the source, a plain column in the store (its type is varchar(5)" in notes


def test_json_follows_the_family() -> None:
    mysql = compile_one(table("t", column("id", "int"), column("j", "json")))
    mariadb = compile_one(table("t", column("id", "int"), column("j", "longtext", json_check=True)), Flavour.MARIADB)
    assert (mysql.target.columns[1].type, mariadb.target.columns[1].type) == ("jsonb", "json")
    both = compile_one(table("t", column("id", "int"), column("j", "json")), defaults={"json": "text"})
    assert both.target.columns[1].type == "text"


def test_wide_keys_and_folded_uniques_are_noted() -> None:
    source = table(
        "t", column("id", "int"), column("a", "varchar(768)"),
        indexes=(IndexDef("a", (IndexPart("a"),), unique=True), IndexDef("s", (IndexPart("a"),), kind="spatial")),
    )  # fmt: skip
    notes = " ".join(compile_one(source).notes)
    assert "3072 bytes" in notes and "case counts" in notes and "PostGIS" in notes


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"rename": {"emial": "mail"}}, "the column 'emial'"),
    ({"exclude": ["nope"]}, "the column 'nope'"),
    ({"only": ["nope"]}, "the column 'nope'"),
    ({"types": {"nope": "text"}}, "the column 'nope'"),
    ({"map": {"nope": {}}}, "the column 'nope'"),
    ({"where": "nope = 1"}, "the column 'nope'"),
    ({"rename": {"email": "note"}}, "'email' and 'note' both become 'note'"),
    ({"add": {"email": {"value": "x"}}}, "both become 'email'"),
    ({"expr": {"email": {"sql": "LOWER(email)"}}}, "both become 'email'"),
    ({"rename": {"email": "xmin"}}, "keeps the column name 'xmin'"),
    ({"rename": {"email": "x" * 64}}, "limit is 63"),
    ({"exclude": ["id"]}, "column of the key is left out"),
    ({"only": ["email"]}, "column of the key is left out"),
    ({"map": {"id": {"1": "a", "*": "b"}}}, "key would not be unique"),
    ({"types": {"id": "real"}}, "key would not be unique"),
    ({"key": ["status"]}, r"nothing makes \(status\) unique"),
    ({"key": ["nope"]}, "not a written column"),
    ({"key": ["note"]}, "can be NULL"),
    ({"key": ["email", "email"]}, "twice"),
    ({"types": {"email": "interval"}}, "cannot become interval"),
    ({"types": {"email": "varchar2(5)"}}, "not a target type"),
    ({"types": {"born": "date at time zone 'UTC'"}}, "no time zone"),
    ({"add": {"n": {"value": "x", "type": "int"}}}, "not an integer"),
    ({"add": {"n": {"value": "x", "type": "bytea"}}}, "cannot be of the type"),
    ({"map": {"status": {"A": "x"}}, "types": {"status": "int"}}, "not an integer"),
    ({"expr": {"n": {"sql": "email", "type": "interval"}}}, "cannot become interval"),
    ({"expr": {"n": {"sql": "SLEEP(9)"}}}, "SLEEP is not allowed"),
    ({"only": []}, "column of the key is left out"),
]


@pytest.mark.parametrize(("rule", "message"), REFUSALS)
def test_refusals_name_the_table_and_say_what_to_do(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        compile_one(users(), tables={"users": rule})
    assert str(caught.value.where["table"]) == "shop.users"
    assert caught.value.hint


def test_a_misspelt_column_is_met_with_the_right_one() -> None:
    with pytest.raises(ConfigError) as caught:
        compile_one(users(), tables={"users": {"rename": {"emial": "mail"}}})
    assert caught.value.hint == "Did you mean email?"


def test_key_that_could_become_null_is_refused() -> None:
    source = table("t", column("id", "date"))
    with pytest.raises(ConfigError, match="key"):
        compile_one(source, defaults={"zero_dates": "null"})


def test_two_tables_to_one_target() -> None:
    one, two = table("A", column("id", "int")), table("a", column("id", "int"))
    with pytest.raises(ConfigError, match=r"shop\.A and shop\.a both become public\.a"):
        compile_tables(one, two, defaults={"naming": "lower"})
    other = table("A", column("id", "int"), database="blog")
    with pytest.raises(ConfigError, match=r"blog\.A and shop\.A"):
        compile_tables(one, other)


def test_a_versioned_table_is_refused_unless_it_is_skipped() -> None:
    source = table("t", column("id", "int"), kind="versioned")
    with pytest.raises(ConfigError, match="system-versioned"):
        compile_one(source)
    assert compile_tables(source, tables={"t": {"skip": True}}).skipped == {TableId("shop", "t"): "skipped by a rule"}


def test_a_glob_rule_may_name_columns_that_only_some_tables_have() -> None:
    one, two = users(), table("user_notes", column("id", "int"))
    plan = compile_tables(one, two, tables={"user*": {"exclude": ["note"]}})
    assert [len(table_plan.columns) for table_plan in plan.plans] == [1, 4]
    with pytest.raises(ConfigError, match="'nope'"):
        compile_tables(one, two, tables={"user*": {"exclude": ["nope"]}})


def test_column_names_in_rules_ignore_case_as_mysql_does() -> None:
    plan = compile_one(users(), tables={"users": {"rename": {"EMAIL": "mail"}, "types": {"NOTE": "varchar(5)"}}})
    assert [c.name for c in plan.target.columns][1] == "mail"
    assert plan.target.columns[3].type == "character varying(5)"


def test_the_same_input_gives_the_same_plan() -> None:
    assert compile_tables(*sakila()) == compile_tables(*reversed(sakila()))
