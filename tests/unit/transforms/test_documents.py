"""Expressions over JSON documents, arrays and time zones: values, round trips, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ConfigError, ValueRefused
from model.position import Flavour
from model.rows import Field
from tests.support.plans import column, compile_one, table
from transforms.expressions import compile_expression
from transforms.plan import TablePlan
from transforms.reverse import Reversibility, reverse_plan
from validators.canonical.record import RecordForm

SOURCE = table(
    "t",
    column("id", "int"),
    column("doc", "json", nullable=True),
    column("text", "longtext", nullable=True),
    column("at", "datetime(6)"),
    column("price", "decimal(9,2)", nullable=True),
    column("flags", "set('a','b')"),
)


def value(sql: str, **fields: Field) -> Field:
    """The expression's value in a row with these fields."""
    row = [fields.get(item.name, b"1" if item.name == "id" else None) for item in SOURCE.columns]
    return compile_expression(sql, SOURCE).compiled.evaluate(tuple(row))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("doc->'$.a'", b'{"b":[1.50,"x",null,true]}'),
        ("JSON_EXTRACT(doc, '$.a.b[1]')", b'"x"'),
        ("doc->>'$.a.b[1]'", b"x"),
        ("JSON_UNQUOTE(doc->'$.a.b[0]')", b"1.50"),
        ("doc->>'$.a.b'", b'[1.50,"x",null,true]'),
        ("doc->>'$.a.b[2]'", None),
        ("JSON_VALUE(doc, '$.a.b[3]')", b"true"),
        ("JSON_VALUE(doc, '$.a.b')", None),
        ("JSON_VALUE(doc, '$.big')", b"12345678901234567890.10"),
        ("JSON_VALUE(doc, '$.none')", None),
        ("doc->>'$.a.b[9]'", None),
        ("doc->'$.twice'", b"2"),
        ("doc->>'$.\"a key\"'", "ä".encode()),
        ("COALESCE(JSON_VALUE(doc, '$.none'), 'x')", b"x"),
        ("JSON_VALUE(text, '$.a')", None),
        ("JSON_OBJECT('p', price, 'd', doc->'$.big', 'n', NULL, 't', 'q\"')",
         b'{"p":0.50,"d":12345678901234567890.10,"n":null,"t":"q\\""}'),
        ("JSON_ARRAY(id, flags, JSON_OBJECT('x', id))", b'[1,["a","b"],{"x":1}]'),
        ("ARRAY_TO_STRING(flags, '|')", b"a|b"),
        ("STRING_TO_ARRAY('a,,b', ',')", b'{"a","","b"}'),
        ("STRING_TO_ARRAY('', ',')", b"{}"),
    ],
)  # fmt: skip
def test_values(sql: str, expected: Field) -> None:
    doc = '{"a": {"b": [1.50, "x", null, true]}, "big": 12345678901234567890.10, "twice": 1, "twice": 2, "a key": "ä"}'
    assert value(sql, doc=doc.encode(), price=b"0.50", flags=b'{"a","b"}') == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_every_document_comes_through_as_it_is(document: Any) -> None:
    text = json.dumps({"k": document}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    found = value("doc->'$.k'", doc=text)
    assert isinstance(found, bytes) and json.loads(found) == document


@pytest.mark.parametrize("text", [b"{", b"NaN", b"", b"'x'"])
def test_what_is_no_document_is_refused(text: bytes) -> None:
    with pytest.raises(ValueRefused, match="is not a JSON document"):
        value("JSON_VALUE(text, '$.a')", text=text)


@pytest.mark.parametrize(
    ("moment", "zone", "expected"),
    [
        ("2024-01-15 12:00:00.000000", "Europe/Berlin", "2024-01-15 11:00:00.000000"),
        ("2024-07-15 12:00:00.123456", "Europe/Berlin", "2024-07-15 10:00:00.123456"),
        ("2024-10-27 02:30:00.000000", "Europe/Berlin", "2024-10-27 00:30:00.000000"),  # twice: the first
        ("2024-03-31 02:30:00.000000", "Europe/Berlin", "2024-03-31 01:30:00.000000"),  # skipped
        ("1200-01-01 00:00:00.000000", "+02:00", "1199-12-31 22:00:00.000000"),
        ("9999-12-31 23:59:59.000000", "UTC", "9999-12-31 23:59:59.000000"),
        ("0000-00-00 00:00:00.000000", "Europe/Berlin", "0000-00-00 00:00:00.000000"),
    ],
)
def test_time_zones(moment: str, zone: str, expected: str) -> None:
    assert value(f"CONVERT_TZ(at, '{zone}', 'UTC')", at=moment.encode()) == f"{expected}+00".encode()


@given(st.datetimes(min_value=datetime(1900, 1, 2), max_value=datetime(2200, 1, 1)))
def test_what_leaves_utc_comes_back(moment: datetime) -> None:
    text = moment.strftime("%Y-%m-%d %H:%M:%S.%f").encode()
    there = value("CONVERT_TZ(at, 'UTC', 'America/New_York')", at=text)
    assert isinstance(there, bytes)
    back = value("CONVERT_TZ(at, 'America/New_York', 'UTC')", at=there)
    assert isinstance(back, bytes)
    apart = datetime.fromisoformat(back.decode()) - moment.replace(tzinfo=UTC)
    assert apart.total_seconds() in (0, -3600)  # an hour that New York has twice is read as the first


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("doc->'$.a[*]'", "a plain path"),
        ("JSON_VALUE(price, '$.a')", "a JSON document is needed"),
        ("JSON_OBJECT(text, 1)", "written out"),
        ("JSON_OBJECT('a', 1, 'a', 2)", "names a key twice"),
        ("JSON_OBJECT('a', at + 1)", "a number is needed"),
        ("CONVERT_TZ(at, 'Mars/Olympus', 'UTC')", "no time zone"),
        ("CONVERT_TZ(at, text, 'UTC')", "written out"),
        ("CONVERT_TZ(text, 'UTC', 'UTC')", "needs a date with time"),
        ("STRING_TO_ARRAY(text, '')", "needs a delimiter"),
        ("ARRAY_TO_STRING(text, ',')", "an array is needed"),
        ("SOUNDEX(text)", "not allowed"),
    ],
)
def test_what_has_no_meaning_is_refused(sql: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        value(sql)
    assert words in f"{caught.value} {caught.value.hint}"


RULE: dict[str, Any] = {
    "exclude": ["text", "at"],
    "expr": {
        "tags": {"sql": "STRING_TO_ARRAY(text, ',')", "type": "text[]", "reverse": "text = ARRAY_TO_STRING(tags, ',')"},
        "moment": {
            "sql": "CONVERT_TZ(at, 'Europe/Berlin', 'UTC')",
            "type": "timestamptz",
            "reverse": "at = CONVERT_TZ(moment, 'UTC', 'Europe/Berlin')",
        },
        "city": {"sql": "JSON_VALUE(doc, '$.city')", "type": "text"},
        "whole": {"sql": "JSON_OBJECT('id', id, 'price', price)", "type": "jsonb"},
    },
}


def shaped(flavour: Flavour = Flavour.MYSQL) -> TablePlan:
    """The plan of SOURCE with all of them."""
    return compile_one(SOURCE, flavour, tables={"t": RULE})


def test_they_have_types_inverses_and_no_sql() -> None:
    plan = shaped()
    row = (b"1", b'{"city": "Ulm"}', b"a,b", b"2024-07-15 12:00:00.000000", b"0.50", b"{}")
    found = dict(zip((item.target.name for item in plan.columns), plan.project(row), strict=True))
    assert found["tags"] == b'{"a","b"}' and found["city"] == b"Ulm" and found["whole"] == b'{"id":1,"price":0.50}'
    assert isinstance(found["moment"], bytes) and found["moment"].startswith(b"2024-07-15 10:00:00")
    assert {name for name, _ in RecordForm.of(plan).reasons} == {"tags", "moment", "city", "whole"}
    back = reverse_plan(plan)
    assert back.way is Reversibility.EXACT, back.verdicts
    converts = {item.column.name: item for item in back.columns}
    assert converts["text"].convert((b"{a,b}",)) == b"a,b"
    assert converts["text"].convert((b'{"a b","",c}',)) == b"a b,,c"
    assert converts["at"].convert((b"2024-07-15 10:00:00+00",)) == b"2024-07-15 12:00:00.000000"


def test_a_filter_cannot_use_what_the_servers_cannot_compute() -> None:
    with pytest.raises(ConfigError, match="the servers cannot compute this condition"):
        compile_one(SOURCE, tables={"t": {"where": "JSON_VALUE(doc, '$.a') = 'x'"}})
