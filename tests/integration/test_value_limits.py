"""The limits that a store's columns get: nothing that the source has is refused, and what is refused cannot go back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from model.errors import ValueRefused
from model.tables import ColumnDef
from servers import RunningServer
from stores.postgres import PostgresConnection, connect_store
from sync.mysql.charset_tables import UPPER
from sync.mysql.charsets import MULTI_BYTE, known_ranges
from sync.mysql.reverse_literals import column_sql
from sync.postgres.value_limits import value_limits
from tests.integration.test_reverse_types import CHOICES, plan_of, printed
from tests.support.neutral_values import Case
from tests.support.servers import store_database
from transforms.reverse import reverse_plan

OTHERS = {
    "smallint": ["-32768", "32767", "-129", "-128", "127", "128", "255", "256", "-1", "1900", "1901", "2156"],
    "integer": ["-2147483648", "2147483647", "65536", "-8388609", "8388608", "16777216", "8192", "-1"],
    "bigint": ["-9223372036854775808", "9223372036854775807", "4294967296", "-1", "1000000000", "-999999999"],
    "numeric": ["NaN", "-1", "18446744073709551616", "0.5", "1e40", "-1e40", "0.005", "9999999999.99"],
    "real": ["NaN", "infinity", "-infinity", "0.1", "16777217"],
    "double precision": ["NaN", "infinity", "-infinity", "3.5e38", "0.1", "1e308", "8388608"],
    "boolean": ["t", "f"],
    "character varying": ["", "x" * 30, "ß", "😀", "ab   "],
    "text": ["", "x" * 70_000, "ß" * 9 + "   ", "ß" * 10, "😀", "nothing that is a label", "{}"],
    "bytea": ["\\x", "\\x" + "00" * 16, "\\x" + "00" * 17, "\\x" + "00" * 21, "\\x" + "00" * 70_000],
    "date": ["infinity", "-infinity", "0044-03-15 BC", "0001-01-01", "9999-12-31", "10000-01-01"],
    "timestamp without time zone": [
        "infinity", "-infinity", "0044-03-15 12:00:00 BC", "0001-01-01", "9999-12-31 23:59:59.999999", "10000-01-01",
        "1970-01-01", "1970-01-01 00:00:01", "2038-01-19 03:14:08", "2000-01-01 00:00:00.5", "2000-01-01 12:00:00",
        "2000-01-01 00:00:00.123456",
    ],
    "timestamp with time zone": [
        "infinity", "-infinity", "1970-01-01+00", "1970-01-01 00:00:01+00", "2038-01-19 03:14:07.999999+00",
        "2038-01-19 03:14:08+00", "1066-10-14+00", "2000-01-01 00:00:00.5+00",
    ],
    "time without time zone": ["24:00:00", "00:00:00.5"],
    "interval": ["838:59:59", "838:59:59.5", "839:00:00", "-839:00:00", "1 mon", "-1 year", "35 days", "0.5 s"],
    "jsonb": ["1e308", "1e309", '{"a": [-1e400]}', '{"a": ["1e400"]}'],
    "uuid": ["00112233-4455-6677-8899-aabbccddee00"],
    "inet": ["10.0.0.0/8", "10.0.0.1", "::1", "2001:db8::/32"],
    "text[]": ["{}", "{a}", "{a,a}", "{NULL}", "{{a,b},{c,d}}"],
}  # fmt: skip
"""Values of every target type around and far beyond what source types hold."""


@pytest.fixture(scope="module")
def session(store: RunningServer) -> Iterator[PostgresConnection]:
    """A session with the settings of the decoding one."""
    with store_database(store) as database, connect_store(SecretStr(database.dsn)) as connection:
        connection.execute("SET bytea_output = hex")
        yield connection


def held(connection: PostgresConnection, case: Case, override: str | None, values: list[str]) -> list[bool]:
    """Whether the limit lets each value of the target type pass."""
    plan = plan_of(case, override)
    (column,) = plan.columns
    conditions = [limit.holds for limit in value_limits(reverse_plan(plan))]
    query = (
        f"SELECT ({' AND '.join(conditions) or 'true'}) IS NOT FALSE "
        f'FROM (SELECT v::{column.target.type} AS "c", n FROM unnest(%s::text[]) WITH ORDINALITY AS u(v, n)) AS new '
        "ORDER BY n"
    )
    return [bool(row[0]) for row in connection.execute(query.encode(), (values,)).fetchall()]


@pytest.mark.parametrize(
    ("case", "override"), CHOICES, ids=[f"{case}-{override or 'default'}" for case, override in CHOICES]
)
def test_what_the_source_has_is_never_refused_and_what_is_refused_cannot_go_back(
    case: Case, override: str | None, session: PostgresConnection
) -> None:
    plan = plan_of(case, override)
    (column,) = plan.columns

    @settings(
        max_examples=8,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(case.values, min_size=1, max_size=30))
    def check(values: list[bytes]) -> None:
        stored = [column.value((value,)) for value in values]
        shown = [value.decode() for value in stored if isinstance(value, bytes)]
        assert all(held(session, case, override, shown)), shown

    check()
    kind = column.target.type.partition("(")[0]
    kind = "timestamp without time zone" if column.target.type.endswith(") without time zone") else kind
    kind = "timestamp with time zone" if column.target.type.endswith(") with time zone") else kind
    tried = [value for value in OTHERS.get(kind, []) if castable(session, column.target.type, value)]
    back = reverse_plan(plan).columns[0]
    for value, passed in zip(tried, held(session, case, override, tried), strict=True):
        if passed or only_the_server_knows(case.column):
            continue
        (output,) = printed(session, column.target.type, [value.encode()])
        with pytest.raises(ValueRefused):
            goes(back, output)


def goes(back: Any, output: bytes) -> None:
    """Bring a value back up to the literal; raises ValueRefused."""
    value = back.convert((output,))
    assert isinstance(value, bytes)
    column_sql(back.column, mariadb=False).literal(value)


def castable(connection: PostgresConnection, type_text: str, value: str) -> bool:
    """Whether the store can hold it at all."""
    try:
        connection.execute(f"SELECT %s::{type_text}".encode(), (value,))
    except psycopg.DataError:
        return False
    return True


def only_the_server_knows(column: ColumnDef) -> bool:
    """Whether nothing of ours looks at what the limit is about: `test_value_guard.py` asks the server."""
    return column.type in ("text", "blob", "json", "inet6")


@pytest.mark.parametrize("charset", sorted({*UPPER, *MULTI_BYTE, "ascii", "utf8mb3", "utf8mb4"}))
def test_every_character_set_knows_its_characters(charset: str, session: PostgresConnection) -> None:
    case = Case(ColumnDef("c", "varchar", "varchar(99)", length=99, charset=charset), st.just(b""))
    ranges = known_ranges(charset)
    inside = [chr(low) + chr(high) for low, high in ranges or ((1, 0xD7FF), (0xE000, 0x10FFFF)) if high < 0xD800]
    assert all(held(session, case, None, inside))
    outside = [chr(high + 1) for _, high in ranges or () if not 0xD7FF <= high < 0xE000]
    known = {code for low, high in ranges or () for code in (low, high)}
    outside = [text for text in outside if ord(text) not in known]
    assert not any(held(session, case, None, outside)), list(outside)
    assert bool(outside) == (ranges is not None)
