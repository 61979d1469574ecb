"""Lookups: what is declared, what the target table gets, what cannot work, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest

from model.errors import ConfigError
from model.tables import IndexDef, IndexPart
from tests.support.plans import column, compile_tables, table
from transforms.describe import describe
from transforms.plan import TablePlan
from transforms.reverse import Reversibility, reverse_plan

COUNTRIES = table(
    "countries", column("id", "int"), column("code", "varchar(2)"), column("name", "varchar(30)"),
    column("kind", "enum('a','b')"), column("size", "double"),
    indexes=(IndexDef("code", (IndexPart("code"),), unique=True),),
)  # fmt: skip
PEOPLE = table(
    "people", column("id", "int"), column("country_id", "bigint", nullable=True), column("code", "varchar(8)"),
    column("size", "double"), column("name", "varchar(30)"),
)  # fmt: skip
RULE: dict[str, Any] = {"table": "countries", "by": "country_id", "column": "name"}


def people(rule: dict[str, Any], *, name: str = "country", **more: Any) -> TablePlan:
    """The plan of a table that looks up."""
    more.setdefault("tables", {})
    more["tables"] = {**more["tables"], "people": {**more["tables"].get("people", {}), "lookup": {name: rule}}}
    return next(p for p in compile_tables(COUNTRIES, PEOPLE, **more).plans if p.source.id.name == "people")


def test_the_table_has_the_column_and_copy_and_stream_do_not_write_it() -> None:
    plan = people(RULE)
    target = plan.target.column("country")
    lookup = target.lookup
    assert lookup is not None and (target.type, target.nullable) == ("character varying(30)", True)
    assert (lookup.by, lookup.other, lookup.key, lookup.value) == (("country_id",), "countries", ("id",), "name")
    assert [item.target.name for item in plan.columns] == ["id", "country_id", "code", "size", "name"]
    assert plan.project((b"1", b"7", b"x", b"1.0", b"n")) == (b"1", b"7", b"x", b"1.0", b"n")
    # By it the rows of a changed value are found.
    assert [index.parts for index in plan.target.indexes] == [('"country_id"',)]


def test_it_is_explained_and_does_not_come_back() -> None:
    plan = people({**RULE, "otherwise": "unknown"})
    back = reverse_plan(plan)
    text = " ".join(describe(plan, back).split())
    assert "countries.name of the row with id = country_id; 'unknown' where there is none" in text
    assert back.way is Reversibility.EXACT and "country: looked up in countries; not sent back" in text


def test_by_another_unique_key_and_an_enum_becomes_text() -> None:
    lookup = people({"table": "countries", "by": ["code"], "key": ["code"], "column": "kind"}).target.column("country")
    assert lookup.type == "text" and lookup.lookup is not None and lookup.lookup.key_types == ("text",)


def test_a_type_of_an_extension_becomes_text() -> None:
    """The store's functions could not name it: `citext` may be in any schema."""
    lookup = people(RULE, tables={"countries": {"types": {"name": "citext"}}}).target.column("country")
    assert lookup.type == "text" and lookup.lookup is not None and lookup.lookup.type == "text"


def test_a_masked_value_stays_masked() -> None:
    plan = people(RULE, tables={"countries": {"mask": {"name": "last4"}}})
    lookup = plan.target.column("country").lookup
    assert lookup is not None and lookup.masked and not people(RULE).target.column("country").lookup.masked  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({**RULE, "table": "contries"}, "gets no table 'contries'"),
        ({**RULE, "column": "nmae"}, "has no column 'nmae'"),
        ({**RULE, "by": "country"}, "has no written column 'country'"),
        ({**RULE, "by": ["country_id", "code"]}, "`by` names 2 columns"),
        ({**RULE, "key": "name", "by": "name"}, r"nothing makes \(name\) unique"),
        ({**RULE, "by": "code"}, "code is character varying"),
        ({**RULE, "by": "size", "table": "sizes"}, "nothing can be looked up by size"),
        ({**RULE, "column": "size", "otherwise": "many"}, "many"),
    ],
)
def test_what_cannot_work_is_refused(rule: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        sizes = table("sizes", column("size", "double"), column("name", "text"), key=["size"])
        compile_tables(COUNTRIES, PEOPLE, sizes, tables={"people": {"lookup": {"country": rule}}})
    assert caught.value.where["column"] == "country" and caught.value.hint


def test_a_name_that_is_taken_a_lookup_of_a_lookup_and_shared_tables_are_refused() -> None:
    with pytest.raises(ConfigError, match="both become 'name'"):
        people(RULE, name="name")
    with pytest.raises(ConfigError, match="no column 'country'"):
        chained = {"countries": {"lookup": {"of": {"table": "people", "by": "id", "column": "country"}}}}
        people(RULE, tables=chained)
    with pytest.raises(ConfigError, match="several tables share"):
        rule = {"table": "all", "key": ["kind", "id"]}
        both = {
            "countries": {**rule, "only": ["id"], "add": {"kind": {"value": "c"}}},
            "people": {**rule, "add": {"kind": {"value": "p"}}},
        }
        people(RULE, tables=both)


def test_the_other_table_must_be_in_the_same_store() -> None:
    stores = {"main": {"dsn": "postgresql://h/a"}, "other": {"dsn": "postgresql://h/b"}}
    tables: dict[str, Any] = {"people": {"store": "main"}, "countries": {"store": "other"}}
    with pytest.raises(ConfigError, match="store main gets no table 'countries'") as caught:
        people(RULE, tables=tables, stores=stores)
    assert "Bring it there too" in caught.value.hint
    tables["countries"] = {"to": [{"store": "main", "only": ["id", "name"]}, {"store": "other"}]}
    assert people(RULE, tables=tables, stores=stores).target.column("country").lookup
