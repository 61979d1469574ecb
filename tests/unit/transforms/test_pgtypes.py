"""Type names: what people write becomes what format_type() prints."""

from __future__ import annotations

import pytest

from model.errors import ConfigError
from transforms.pgtypes import parse_type


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("int", "integer"),
        ("INT8", "bigint"),
        ("numeric", "numeric"),
        ("decimal(12, 2)", "numeric(12,2)"),
        ("numeric(5)", "numeric(5,0)"),
        ("varchar(20)", "character varying(20)"),
        ("character  varying", "character varying"),
        ("float8", "double precision"),
        ("double precision[]", "double precision[]"),
        ("text[]", "text[]"),
        ("bit", "bit(1)"),
        ("timestamp", "timestamp without time zone"),
        ("timestamp(3)", "timestamp(3) without time zone"),
        ("timestamptz(6)", "timestamp(6) with time zone"),
        ("timestamp(0) with time zone", "timestamp(0) with time zone"),
        ("time(2)", "time(2) without time zone"),
        ("interval(6)", "interval(6)"),
    ],
)
def test_spellings(text: str, spelled: str) -> None:
    assert str(parse_type(text)) == spelled
    assert parse_type(spelled) == parse_type(text)


def test_a_zone_keeps_its_case() -> None:
    found = parse_type("TIMESTAMPTZ(0) AT TIME  ZONE 'Europe/Berlin'")
    assert (str(found), found.zone) == ("timestamp(0) with time zone", "Europe/Berlin")


@pytest.mark.parametrize(
    "text", ["", "varchar2(5)", "text(5)", "int; drop table x", "timestamp(7)", "money", "numeric(1,2,3)"]
)
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_type(text, column="c")
    assert caught.value.where["column"] == "c"
