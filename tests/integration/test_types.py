"""The type map on real PostgreSQL: text forms go in through their casts and come out as the values they should be."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from pydantic import SecretStr

from config.settings import ZeroDates
from model.errors import ValueRefused
from model.position import Flavour
from model.rows import Field
from model.tables import ColumnDef
from servers import RunningServer
from stores.postgres import PostgresConnection, connect_store
from tests.support.servers import store_database
from transforms.names import quoted
from transforms.types import TypePolicy, choose_type


def column(declared: str, **more: object) -> ColumnDef:
    """A column as the catalogue would describe it."""
    base = declared.partition("(")[0].partition(" ")[0]
    return ColumnDef("c", base, declared, unsigned="unsigned" in declared, **more)  # type: ignore[arg-type]


TEXT = {"charset": "utf8mb4", "collation": "utf8mb4_general_ci"}

VALUES: list[tuple[ColumnDef, str | None, bytes, str]] = [
    (column("tinyint(4)"), None, b"-128", "-128"),
    (column("tinyint unsigned"), None, b"255", "255"),
    (column("smallint unsigned"), None, b"65535", "65535"),
    (column("mediumint(8) unsigned"), None, b"16777215", "16777215"),
    (column("int"), None, b"-2147483648", "-2147483648"),
    (column("int unsigned"), None, b"4294967295", "4294967295"),
    (column("bigint"), None, b"-9223372036854775808", "-9223372036854775808"),
    (column("bigint unsigned"), None, b"18446744073709551615", "18446744073709551615"),
    (column("bigint unsigned"), "bigint", b"9223372036854775807", "9223372036854775807"),
    (column("year"), None, b"0", "0"),
    (column("year"), None, b"2155", "2155"),
    (column("tinyint(1)"), "boolean", b"1", "t"),
    (column("bit(1)", length=1), "boolean", b"0", "f"),
    (column("bit(64)", length=64), None, b"1" * 64, "1" * 64),
    (column("bit(10)", length=10), "integer", b"0000000101", "5"),
    (
        column("decimal(65,30)", precision=65, scale=30),
        None, b"-" + b"9" * 35 + b"." + b"9" * 30, "-" + "9" * 35 + "." + "9" * 30,
    ),
    (column("decimal(10,2)", precision=10, scale=2), "numeric(10,1)", b"-0.05", "-0.1"),
    (column("float"), None, b"0.10000000149011612", "0.1"),
    (column("float"), None, b"1.401298464324817e-45", "1e-45"),
    (column("float"), "numeric(12,2)", b"19.989999771118164", "19.99"),
    (column("float"), "numeric(12,2)", b"0.125", "0.13"),
    (column("float"), "numeric(12,2)", b"-0.001", "0.00"),
    (column("float"), "double precision", b"123456.7890625", "123456.7890625"),
    (column("double"), None, b"5e-324", "5e-324"),
    (column("double"), None, b"-0.0", "-0"),
    (column("double"), "numeric", b"1e+22", "10000000000000000000000"),
    (column("char(3)", length=3, **TEXT), None, "é😀x".encode(), "é😀x"),
    (column("char(0)", length=0, **TEXT), None, b"", ""),
    (column("varchar(20)", length=20, **TEXT), None, b"\\N NULL \\.", "\\N NULL \\."),
    (
        column("varchar(36)", length=36, **TEXT),
        "uuid", b"00000000-0000-0000-0000-00000000000A", "00000000-0000-0000-0000-00000000000a",
    ),
    (column("varchar(45)", length=45, **TEXT), "inet", b"::FFFF", "::ffff"),
    (column("varchar(10)", length=10, **TEXT), "date", b"2024-02-29", "2024-02-29"),
    (column("longtext", **TEXT), None, b"x" * 70_000, "x" * 70_000),
    (column("binary(4)", length=4), None, b"\\x61000000", "\\x61000000"),
    (column("binary(16)", length=16), "uuid", b"\\x" + b"ab" * 16, "abababab-abab-abab-abab-abababababab"),
    (column("varbinary(16)", length=16), "inet", b"\\x7f000001", "127.0.0.1"),
    (column("varbinary(16)", length=16), "inet", b"\\x" + b"00" * 15 + b"01", "::1"),
    (column("blob"), None, b"\\x", "\\x"),
    (column("blob"), "text", b"\\xc3a9", "é"),
    (column("enum('a','b''c')", labels=("a", "b'c")), None, b"b'c", "b'c"),
    (column("enum('a','b')", labels=("a", "b")), None, b"", ""),
    (column("enum('a','b')", labels=("a", "b")), "smallint", b"b", "2"),
    (column("set('a','b\"{}')", labels=("a", 'b"{}')), None, b'{"a","b\\"{}"}', '{a,"b\\"{}"}'),
    (column("set('a')", labels=("a",)), None, b"{}", "{}"),
    (column("set('a','b\"\\')", labels=("a", 'b"\\')), "text", b'{"a","b\\"\\\\"}', 'a,b"\\'),
    (column("json"), None, b'{"a": 1.10}', '{"a": 1.10}'),
    (column("json"), "json", b'{"a": "\\u0000"}', '{"a": "\\u0000"}'),
    (column("date"), None, b"9999-12-31", "9999-12-31"),
    (column("date"), None, b"0000-00-00", "-infinity"),
    (column("date"), "text", b"2024-02-31", "2024-02-31"),
    (column("datetime(6)", scale=6), None, b"1000-01-01 00:00:00.000001", "1000-01-01 00:00:00.000001"),
    (column("datetime", scale=0), None, b"0000-00-00 00:00:00", "-infinity"),
    (column("datetime(3)", scale=3), None, b"0000-00-00 00:00:00.000", "-infinity"),
    (
        column("datetime", scale=0),
        "timestamptz(0) at time zone 'Europe/Berlin'", b"2024-07-01 12:00:00", "2024-07-01 10:00:00+00",
    ),
    (column("datetime", scale=0), "date", b"2024-07-01 00:00:00", "2024-07-01"),
    (column("datetime(3)", scale=3), "timestamp(0)", b"2024-07-01 00:00:00.999", "2024-07-01 00:00:00"),
    (column("timestamp", scale=0), None, b"2038-01-19 03:14:07+00", "2038-01-19 03:14:07+00"),
    (column("timestamp(2)", scale=2), None, b"0000-00-00 00:00:00.00+00", "-infinity"),
    (column("timestamp", scale=0), "timestamp", b"2024-07-01 12:00:00+00", "2024-07-01 12:00:00"),
    (
        column("timestamp", scale=0),
        "timestamp(0) at time zone 'Europe/Berlin'", b"2024-07-01 12:00:00+00", "2024-07-01 14:00:00",
    ),
    (column("time", scale=0), None, b"838:59:59", "838:59:59"),
    (column("time(6)", scale=6), None, b"-00:00:00.000001", "-00:00:00.000001"),
    (column("time", scale=0), None, b"-838:59:59", "-838:59:59"),
    (column("time", scale=0), "time", b"23:59:59", "23:59:59"),
    (column("point"), "point", b"\\x00000000" + b"0101000000" + b"000000000000f03f" + b"0000000000000040", "(1,2)"),
    (column("vector(2)"), None, b"{1.0,-0.0}", "{1,-0}"),
    (column("uuid"), None, b"00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"),
    (column("uuid"), "bytea", b"ab000000-0000-0000-0000-000000000001", "\\xab000000000000000000000000000001"),
    (column("inet4"), None, b"1.2.3.4", "1.2.3.4"),
]  # fmt: skip

REFUSED: list[tuple[ColumnDef, str | None, bytes]] = [
    (column("bigint unsigned"), "bigint", b"9223372036854775808"),
    (column("int"), "smallint", b"32768"),
    (column("tinyint(1)"), "boolean", b"2"),
    (column("bit(64)", length=64), "bigint", b"1" * 64),
    (column("float"), "numeric(3,1)", b"100.0"),
    (column("decimal(10,2)", precision=10, scale=2), "integer", b"1.50"),
    (column("varchar(20)", length=20, **TEXT), None, b"a\0b"),
    (column("varchar(20)", length=20, **TEXT), "varchar(1)", "éé".encode()),
    (column("varchar(20)", length=20, **TEXT), "uuid", b"no"),
    (column("varchar(20)", length=20, **TEXT), "integer", b"1.5"),
    (column("varchar(20)", length=20, **TEXT), "boolean", b"yes"),
    (column("varbinary(16)", length=16), "uuid", b"\\xab"),
    (column("varbinary(16)", length=16), "inet", b"\\xab"),
    (column("blob"), "text", b"\\xff"),
    (column("json"), None, b'{"a": "\\u0000"}'),
    (column("longtext", json_check=True), "jsonb", b"[NaN]"),
    (column("date"), None, b"2024-02-31"),
    (column("date"), None, b"2024-00-10"),
    (column("date"), None, b"0000-05-01"),
    (column("date"), None, b"1900-02-29"),
    (column("datetime", scale=0), None, b"0000-00-00 12:34:56"),
    (column("datetime", scale=0), "timestamptz at time zone 'Europe/Berlin'", b"2024-03-31 02:30:00"),
    (column("datetime", scale=0), "date", b"2024-03-31 02:30:00"),
    (column("time", scale=0), "time", b"24:00:00"),
    (column("time", scale=0), "time", b"-01:00:00"),
]  # fmt: skip


@pytest.fixture(scope="module")
def database(store: RunningServer) -> Iterator[PostgresConnection]:
    """A session as appliers have it."""
    with store_database(store) as fresh, connect_store(SecretStr(fresh.dsn)) as connection:
        yield connection


def _policy() -> TypePolicy:
    return TypePolicy(Flavour.MYSQL)


@pytest.mark.parametrize(("source", "override", "field", "expected"), VALUES)
def test_values_come_out_as_they_are(
    database: PostgresConnection, source: ColumnDef, override: str | None, field: Field, expected: str
) -> None:
    choice = choose_type(source, "c", _policy(), override)
    for cast in choice.casts:
        field = cast.convert(field)
    assert isinstance(field, bytes)
    checks = "".join(f", CHECK ({check})" for check in choice.checks)
    database.execute(f"CREATE TEMP TABLE v (c {choice.type} NOT NULL{checks})".encode())
    try:
        with database.cursor().copy(b"COPY v FROM STDIN") as copy:
            copy.write_row([field.decode()])
        found = database.execute("SELECT concat(c) FROM v").fetchone()
        spelled = database.execute(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'v'::regclass AND attnum = 1"
        ).fetchone()
    finally:
        database.execute("DROP TABLE v")
    assert found == (expected,)
    assert spelled == (choice.type,)


@pytest.mark.parametrize(("source", "override", "field"), REFUSED)
def test_what_the_target_cannot_hold_is_refused_before_it_is_sent(
    source: ColumnDef, override: str | None, field: bytes
) -> None:
    choice = choose_type(source, "c", _policy(), override)
    with pytest.raises(ValueRefused) as caught:
        value: Field = field
        for cast in choice.casts:
            value = cast.convert(value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("source", "bad"),
    [
        (column("int unsigned"), "-1"),
        (column("enum('a')", labels=("a",)), "x"),
        (column("set('a')", labels=("a",)), "{b}"),
        (column("char(0)", length=0, **TEXT), "x"),
    ],
)
def test_checks_keep_the_meaning_of_the_source_type(database: PostgresConnection, source: ColumnDef, bad: str) -> None:
    choice = choose_type(source, "c", _policy())
    checks = "".join(f", CHECK ({check})" for check in choice.checks)
    database.execute(f"CREATE TEMP TABLE v (c {choice.type}{checks})".encode())
    try:
        database.execute("INSERT INTO v VALUES (NULL)")
        with pytest.raises(psycopg.errors.CheckViolation):
            database.execute(f"INSERT INTO v VALUES (%s::{choice.type})".encode(), [bad])
    finally:
        database.execute("DROP TABLE v")


def test_zero_date_policies(database: PostgresConnection) -> None:
    expected: dict[ZeroDates, dict[bytes, Field]] = {
        ZeroDates.INFINITY: {b"0000-00-00": b"-infinity"},
        ZeroDates.NULL: {b"0000-00-00": None, b"2024-02-31": None, b"0009-01-01": b"0009-01-01"},
        ZeroDates.QUARANTINE: {b"2024-02-29": b"2024-02-29"},
    }
    for policy, answers in expected.items():
        choice = choose_type(column("date"), "c", TypePolicy(Flavour.MYSQL, zero_dates=policy))
        for value, answer in answers.items():
            assert choice.casts[0].convert(value) == answer, (policy, value)
    quarantine = choose_type(column("date"), "c", TypePolicy(Flavour.MYSQL, zero_dates=ZeroDates.QUARANTINE))
    with pytest.raises(ValueRefused):
        quarantine.casts[0].convert(b"0000-00-00")


def test_every_real_day_passes_and_every_other_one_does_not(database: PostgresConnection) -> None:
    """The date test agrees with PostgreSQL's own calendar for every text of the form."""
    cast = choose_type(column("date"), "c", TypePolicy(Flavour.MYSQL, zero_dates=ZeroDates.NULL)).casts[0]
    for year in ("0000", "0001", "1582", "1900", "2000", "2023", "2024", "9999"):
        days = [f"{year}-{month:02}-{day:02}" for month in range(13) for day in range(32)]
        real = {
            row[0]
            for row in database.execute(
                "SELECT to_char(d, 'YYYY-MM-DD') FROM generate_series(make_date(%(y)s, 1, 1),"
                " make_date(%(y)s, 12, 31), interval '1 day') d",
                {"y": max(int(year), 1)},
            )
        } if int(year) else set()  # fmt: skip
        for day in days:
            assert (cast.convert(day.encode()) is not None) == (day in real), day


def test_quoting_survives_awkward_names(database: PostgresConnection) -> None:
    name = 'order "by" select'
    database.execute(f"CREATE TEMP TABLE v ({quoted(name)} int)".encode())
    database.execute("DROP TABLE v")
