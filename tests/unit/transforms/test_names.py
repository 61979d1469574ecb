"""Names: rules, the 63-byte limit, collisions, system columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Naming
from model.errors import ConfigError
from transforms import names


@pytest.mark.parametrize(
    ("source", "keep", "lower", "snake"),
    [
        ("OrderID", "OrderID", "orderid", "order_id"),
        ("HTTPServerLog2", "HTTPServerLog2", "httpserverlog2", "http_server_log2"),
        ("zip code", "zip code", "zip code", "zip_code"),
        ("a.b-c", "a.b-c", "a.b-c", "a_b_c"),
        ("Größe", "Größe", "größe", "größe"),
        ("__x__", "__x__", "__x__", "x"),
        ("order", "order", "order", "order"),
    ],
)
def test_naming_rules(source: str, keep: str, lower: str, snake: str) -> None:
    assert names.table_name(source, Naming.KEEP) == keep
    assert names.table_name(source, Naming.LOWER) == lower
    assert names.table_name(source, Naming.SNAKE_CASE) == snake


def test_system_columns_are_avoided_for_columns_only() -> None:
    assert names.column_name("ctid", Naming.KEEP) == "ctid_"
    assert names.column_name("CTID", Naming.LOWER) == "ctid_"
    assert names.column_name("CTID", Naming.KEEP) == "CTID"
    assert names.table_name("ctid", Naming.KEEP) == "ctid"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=90))
def test_shortened_names_fit_and_are_stable(name: str) -> None:
    short = names.shorten(name)
    assert len(short.encode()) <= names.NAME_BYTES
    assert names.shorten(short) == short
    assert short == name or len(name.encode()) > names.NAME_BYTES


def test_long_names_with_one_beginning_stay_apart() -> None:
    assert names.shorten("x" * 70 + "a") != names.shorten("x" * 70 + "b")


def test_a_collision_names_both() -> None:
    with pytest.raises(ConfigError) as caught:
        names.refuse_collisions([("UserId", "userid"), ("userID", "userid")], "columns", table="t")
    assert "'UserId'" in str(caught.value) and "'userID'" in str(caught.value)


def test_a_name_that_a_person_gives_is_never_shortened() -> None:
    with pytest.raises(ConfigError, match="limit is 63"):
        names.checked("x" * 64, "the name")
    assert names.checked("x" * 63, "the name") == "x" * 63


def test_index_names_are_unique_in_their_schema() -> None:
    taken = names.RelationNames()
    taken.reserve("a_by_name")
    found = [taken.index("a", "by_name"), taken.index("b", "by_name"), taken.index("users", "uq_users_email")]
    assert found[1:] == ["b_by_name", "uq_users_email"]
    assert found[0].startswith("a_by_name_") and len(set(found)) == 3


def test_quoting() -> None:
    assert names.quoted('a"b') == '"a""b"'
    assert names.quoted_mysql("a`b") == "`a``b`"
    assert names.literal("it's") == "'it''s'"
    assert names.literal("a\\'b") == "E'a\\\\''b'"
