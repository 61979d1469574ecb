"""Random mappings, there through a real PostgreSQL and back: what the plan calls exact comes back byte for byte."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.position import Flavour
from model.rows import Row
from model.tables import ColumnDef
from stores.postgres import PostgresConnection
from sync.postgres.printed_values import printed
from tests.support.neutral_values import CASES, Values, datetimes, integers, text
from tests.support.plans import column, compile_one, table
from tests.support.servers import StoreDatabase
from transforms.preview import preview, returned
from transforms.reverse import Reversibility, reverse_plan

CODES = ("N", "P", "S", "")
WORDS = ("new", "paid", "sent", "it's", "10", "t")


@dataclass(frozen=True)
class Mapped:
    """A source column, its values, and the parts of the rule that are about it."""

    source: ColumnDef
    values: Values
    rule: dict[str, Any] = field(default_factory=dict)


def _copied(name: str) -> st.SearchStrategy[Mapped]:
    cases = [case for case in CASES if case.flavour in ("", "mysql") and case.column.type != "float"]

    def mapped(chosen: tuple[Any, int, bool]) -> Mapped:
        case, number, renamed = chosen
        choices = (None, *case.overrides)
        rule: dict[str, Any] = {}
        if (override := choices[number % len(choices)]) is not None:
            rule["types"] = {name: override}
        if renamed:
            rule["rename"] = {name: f"new {name}"}
        return Mapped(dataclasses.replace(case.column, name=name, nullable=False), case.values, rule)

    return st.tuples(st.sampled_from(cases), st.integers(0, 9), st.booleans()).map(mapped)


def _by_map(name: str) -> st.SearchStrategy[Mapped]:
    def mapped(words: list[str]) -> Mapped:
        source = column(name, "varchar(4)")
        values = st.sampled_from([code.encode() for code in CODES])
        return Mapped(source, values, {"map": {name: dict(zip(CODES, words, strict=True))}})

    return st.permutations(WORDS).map(lambda words: mapped(list(words[: len(CODES)])))


def _by_expression(name: str) -> st.SearchStrategy[Mapped]:
    def declared(source: ColumnDef, values: Values, sql: str, kind: str, back: str) -> Mapped:
        expr = {f"{name}_made": {"sql": sql, "type": kind, "reverse": f"{name} = {back}"}}
        return Mapped(source, values, {"expr": expr, "exclude": [name]})

    made = f"{name}_made"
    plain = text(12).filter(lambda value: b"|" not in value and value != b"")
    moments = datetimes(6).filter(lambda value: b"1970" <= value[:4] <= b"2037")
    return st.sampled_from(
        [
            declared(column(name, "int"), integers(-9, 9), f"{name} * 100 + 7", "bigint",
                     f"CAST(({made} - 7) * 0.01 AS SIGNED)"),
            declared(column(name, "varchar(12)"), plain, f"STRING_TO_ARRAY({name}, '|')", "text[]",
                     f"ARRAY_TO_STRING({made}, '|')"),
            declared(column(name, "varchar(12)"), text(12), f"JSON_OBJECT('v', {name})", "jsonb",
                     f"JSON_VALUE({made}, '$.v')"),
            declared(column(name, "datetime(6)"), moments, f"CONVERT_TZ({name}, '+05:30', 'UTC')", "timestamptz",
                     f"CONVERT_TZ({made}, 'UTC', '+05:30')"),
        ]
    )  # fmt: skip


@st.composite
def mappings(draw: st.DrawFn) -> tuple[list[Mapped], list[Row]]:
    """Some columns with their rules, and rows for them."""
    kinds = (_copied, _by_map, _by_expression)
    width = draw(st.integers(min_value=1, max_value=4))
    parts = [draw(draw(st.sampled_from(kinds))(f"c{number}")) for number in range(width)]
    rows: list[Row] = []
    for number in range(draw(st.integers(min_value=1, max_value=3))):
        rows.append((str(number).encode(), *(draw(part.values) for part in parts)))
    return parts, rows


@pytest.fixture
def session(store_db: StoreDatabase) -> Iterator[PostgresConnection]:
    """A session in the store."""
    with store_db.connect() as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        yield connection


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(mapping=mappings())
def test_every_exact_mapping_comes_back(session: PostgresConnection, mapping: tuple[list[Mapped], list[Row]]) -> None:
    parts, rows = mapping
    rule: dict[str, Any] = {}
    for part in parts:
        for key, value in part.rule.items():
            rule[key] = [*rule.get(key, []), *value] if isinstance(value, list) else {**rule.get(key, {}), **value}
    source = table("t", column("id", "int"), *(part.source for part in parts))
    plan = compile_one(source, Flavour.MYSQL, tables={"t": rule})
    back = reverse_plan(plan)
    for row in rows:
        seen = preview(plan, row)
        if not seen.taken:
            continue  # a value that the chosen type refuses is set aside, not sent
        values = [item.value for item in seen.columns]
        texts = printed(session, [item.target.type for item in plan.columns], values, "main")
        names = [item.target.name for item in plan.columns]
        for one in returned(back, row, dict(zip(names, texts, strict=True))):
            if one.way is Reversibility.EXACT:
                assert one.same, (one, rule)
            else:
                assert one.reason, one
