"""Masks: what the store gets, what may be masked, and that the key stays with us."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ConfigError
from model.rows import ABSENT
from tests.support.plans import column, compile_one, compile_tables, make_settings, table
from transforms.describe import describe
from transforms.plan import TablePlan
from transforms.reverse import Reversibility, reverse_plan
from validators.canonical.record import RecordForm

KEY = "a key of the tests"
PERSON = table(
    "person",
    column("id", "int", auto_increment=True),
    column("email", "varchar(120)"),
    column("card", "varchar(30)", nullable=True),
    column("pin", "int"),
    column("born", "date"),
    column("iban", "varchar(34)"),
)
MASKS: dict[str, Any] = {"email": "hmac", "card": "last4", "pin": "last4", "born": "year", "iban": None}


def masked(masks: dict[str, Any] = MASKS, **more: Any) -> TablePlan:
    """The plan of PERSON with these masks."""
    return compile_one(PERSON, defaults={"mask_key": KEY}, tables={"person": {"mask": masks, **more}})


def test_each_mask_gives_what_it_says() -> None:
    row = (b"7", "zoë@x.org".encode(), b"4111111111111111", b"-123456", b"1984-02-03", b"DE00")
    digest = hmac.new(KEY.encode(), row[1], hashlib.sha256).hexdigest().encode()
    assert masked().project(row) == (b"7", digest, b"****1111", b"****3456", b"1984", None)
    short = (b"7", b"", b"1234", b"1", b"0000-00-00", b"DE00")
    assert masked().project(short)[2:] == (b"****", b"****", b"0", None)
    assert masked().project((b"7", b"", None, b"1", b"0000-00-00", b""))[2] is None
    assert masked().project((b"7", ABSENT, b"", b"1", b"2000-01-01", b""))[1] is ABSENT
    assert [item.type for item in masked().target.columns] == [
        "integer", "text", "text", "text", "smallint", "character varying(34)",
    ]  # fmt: skip


@given(one=st.text(max_size=20), other=st.text(max_size=20))
def test_equal_values_and_only_they_stay_equal(one: str, other: str) -> None:
    plan = masked({"email": "hmac"})
    rows = [(b"1", text.encode(), None, b"1", b"2000-01-01", b"") for text in (one, other)]
    assert (plan.project(rows[0]) == plan.project(rows[1])) == (one == other)


def test_each_store_has_its_own_key_or_the_common_one() -> None:
    stores = {
        "a": {"dsn": "postgresql://localhost/a"},
        "b": {"dsn": "postgresql://localhost/b", "mask_key": "another key of the tests"},
    }
    rule = {"to": [{"store": "a"}, {"store": "b"}], "mask": {"email": "hmac"}}
    plans = compile_tables(PERSON, stores=stores, defaults={"mask_key": KEY}, tables={"person": rule}).plans
    a, b = (plan.project((b"1", b"x", None, b"1", b"2000-01-01", b""))[1] for plan in plans)
    assert a != b and a == hmac.new(KEY.encode(), b"x", hashlib.sha256).hexdigest().encode()


def test_the_key_is_in_no_statement_and_no_text_and_what_can_be_is_pushed_down() -> None:
    plan = masked()
    form = RecordForm.of(plan)
    assert form.reasons == (("email", "the key of the mask does not leave crossfade"),)
    assert KEY not in describe(plan, reverse_plan(plan)) + repr(plan) + repr(make_settings(defaults={"mask_key": KEY}))
    assert RecordForm.of(masked({"card": "last4", "born": "year", "iban": "null"})).pushable


def test_the_way_back_of_a_mask_is_lossy_and_of_a_masked_key_there_is_none() -> None:
    back = reverse_plan(masked())
    assert {one.column: one.way for one in back.verdicts if one.column in MASKS} == dict.fromkeys(
        MASKS, Reversibility.LOSSY
    )
    keyed = table("k", column("id", "varchar(9)"), column("v", "int"))
    plan = compile_one(keyed, defaults={"mask_key": KEY}, tables={"k": {"mask": {"id": "hmac"}}})
    assert plan.key == (0,) and plan.target.columns[0].type == "text"
    assert reverse_plan(plan).way is Reversibility.ONE_WAY


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"mask": {"emial": "hmac"}}, "email"),
        ({"mask": {"email": "year"}}, "needs a date"),
        ({"mask": {"born": "last4"}}, "needs text or a number"),
        ({"mask": {"id": "null"}}, "would not be unique"),
        ({"mask": {"id": "last4"}}, "would not be unique"),
        ({"mask": {"email": "hmac"}, "map": {"email": {"a": "b"}}}, "both a map and a mask"),
        ({"mask": {"email": "hmac"}, "types": {"email": "varchar(20)"}}, "masked value cannot be"),
        ({"mask": {"email": "hmac"}, "types": {"email": "integer"}}, "masked value cannot be"),
    ],
)
def test_what_cannot_be_masked_is_refused(rule: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_one(PERSON, defaults={"mask_key": KEY}, tables={"person": rule})
    assert words in f"{caught.value} {caught.value.hint}"


def test_without_a_key_the_hint_says_how_to_make_one() -> None:
    with pytest.raises(ConfigError) as caught:
        compile_one(PERSON, tables={"person": {"mask": {"email": "hmac"}}})
    assert "openssl rand -hex 32" in (caught.value.hint or "")
