"""The three implementations of every expression agree: Python, the source's server, PostgreSQL's server.

Random expressions run over one table of awkward rows. Text goes beyond ASCII, with trailing spaces and case; numbers to
their types' ends; dates to zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.settings import Settings, SourceSettings, StoreSettings
from model.errors import ConfigError
from model.rows import Field, Row
from model.tables import TableDef, TableId
from servers import Engine, RunningServer
from stores.mysql import connect_source, probe
from stores.postgres import PostgresConnection, connect_store
from sync.mysql.catalog import read_catalog
from sync.postgres.schema_apply import apply_schema
from tests.support.servers import source_database, store_database
from transforms.compile import compile_plan
from transforms.ddl import Phase, qualified
from transforms.expressions import compile_expression
from transforms.names import quoted

CREATE = """
CREATE TABLE t (
  id INT NOT NULL PRIMARY KEY,
  small TINYINT NULL,
  number INT NULL,
  big BIGINT UNSIGNED NULL,
  price DECIMAL(10,3) NULL,
  plain VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NULL,
  latin VARCHAR(20) CHARACTER SET latin1 NULL,
  kind ENUM('new','Used','') CHARACTER SET latin1 NULL,
  flags BIT(10) NULL,
  made YEAR NULL,
  born DATE NULL,
  seen DATETIME(3) NULL,
  stamp TIMESTAMP NULL,
  ratio DOUBLE NULL
)
"""
POOLS: dict[str, list[str | None]] = {
    "small": ["0", "1", "-128", "127", None],
    "number": ["0", "1", "-2147483648", "2147483647", "42", None, "-7"],
    "big": ["0", "18446744073709551615", "9223372036854775808", None, "5"],
    "price": ["0.000", "-0.001", "9999999.999", "-9999999.999", "1.500", "2.500", "-2.500", None, "0.125"],
    "plain": [
        "",
        "a",
        "A",
        "a ",
        " a",
        "é",
        "É",
        "ß",
        "ss",
        "日本語",
        "a%b_c",
        None,
        "😀x😀",
        "straße",
        "x'y\"z",
        "ABC def",
        "i̇",
        "0",
    ],
    "latin": ["", "Käse", "käse", "KÄSE ", None, "€uro", "abc"],
    "kind": ["new", "Used", "", None],
    "flags": ["0000000000", "1111111111", "0000000101", None],
    "made": ["0", "1901", "2155", None],
    "born": ["0000-00-00", "2024-02-29", "1000-01-01", "9999-12-31", None, "1969-07-20"],
    "seen": [
        "0000-00-00 00:00:00.000",
        "2024-02-29 23:59:59.999",
        None,
        "1969-07-20 20:17:40.500",
        "2024-01-01 00:00:00.000",
    ],
    "stamp": ["1970-01-01 00:00:01+00", "2038-01-19 03:14:07+00", None, "2024-02-29 00:00:00+00"],
    "ratio": ["0.1", "-2.5", "1e+22", "2.5e-05", None, "123456.789", "1.005", "-0.0"],
}
ROWS = 57


def rows() -> list[Row]:
    """Rows in the text form; pools have lengths that do not divide each other, so that values meet in many pairs."""
    made: list[Row] = []
    for number in range(ROWS):
        row: list[Field] = [str(number).encode()]
        for place, pool in enumerate(POOLS.values()):
            value = pool[(number * (place % 3 + 1) + place) % len(pool)]
            row.append(None if value is None else value.encode())
        made.append(tuple(row))
    return made


class Ground:
    """The same rows in Python, in the source and in the store."""

    def __init__(self, table: TableDef, rows: list[Row], source: Any, store: PostgresConnection) -> None:
        self.table, self.rows, self.source, self.store = table, rows, source, store

    def __repr__(self) -> str:
        return f"Ground({self.table.id})"

    def everywhere(self, text: str) -> tuple[list[Field], list[Field], list[Field]]:
        """The expression's values, row by row, of the three implementations."""
        compiled = compile_expression(text, self.table).compiled
        with self.source.cursor() as cursor:
            cursor.execute("SELECT " + compiled.mysql.replace("%", "%%") + " FROM t ORDER BY id", ())
            mysql = [_field(row[0]) for row in cursor.fetchall()]
        query = f"SELECT {compiled.postgres} FROM {qualified('public', 't')} ORDER BY id"
        postgres = [_field(row[0]) for row in self.store.execute(query.encode()).fetchall()]
        return [compiled.evaluate(row) for row in self.rows], mysql, postgres


def _field(value: object) -> Field:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"1" if value else b"0"
    return (format(value, "f") if isinstance(value, Decimal) else str(value)).encode()


@pytest.fixture(scope="module")
def ground(source: RunningServer, store: RunningServer) -> Iterator[Ground]:
    """The table with its rows on one pair of servers."""
    with source_database(source) as source_db, store_database(store) as store_db:
        engine = "mariadb" if source.flavour.engine is Engine.MARIADB else "mysql"
        chosen = Settings(
            name="t",
            source=SourceSettings(
                engine=engine, host=source.host, port=source.port, user=source.user,
                password=SecretStr(source.password), databases=(source_db.database,),
            ),
            stores={"main": StoreSettings(dsn=SecretStr(store_db.dsn))},
        )  # fmt: skip
        connection = connect_source(chosen.source, database=source_db.database)
        postgres = connect_store(SecretStr(store_db.dsn))
        data = rows()
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_mode = ''")
            cursor.execute(CREATE)
            spots = ["%s"] * (len(POOLS) + 1)
            spots[list(POOLS).index("flags") + 1] = "CONV(%s, 2, 10) + 0"
            spots[list(POOLS).index("made") + 1] = "CAST(%s AS UNSIGNED)"  # as text, 0 would be the year 2000
            for row in data:
                values = [None if field is None else str(field, "utf-8").removesuffix("+00") for field in row]
                cursor.execute(f"INSERT INTO t VALUES ({', '.join(spots)})", values)
        info = probe(connection)
        tables = read_catalog(connection, info, [source_db.database])
        plan = compile_plan(chosen, tables, info.flavour).plans[0]
        apply_schema(postgres, [plan.target], Phase.BEFORE_COPY)
        columns = ", ".join(quoted(column.target.name) for column in plan.columns)
        insert = f"INSERT INTO t ({columns}) VALUES ({', '.join(['%s'] * len(plan.columns))})".encode()
        for row in data:
            fields = [None if field is None else field.decode() for field in plan.project(row)]
            postgres.execute(insert, fields)
        yield Ground(tables[TableId(source_db.database, "t")], data, connection, postgres)
        postgres.close()
        connection.close()


# ---------------------------------------------------------------- what the language can say

TEXTS = st.sampled_from(["''", "'a'", "'A'", "'a '", "'é'", "'日本'", "'😀'", "' '", "'x''y'", "'new'", "'0'"])
PATTERNS = st.sampled_from(["'%'", "'a%'", "'_'", "'%é%'", "'%%'", "'a_b%'", "'%😀'", "''", "'%x''%'", "'日__'"])
NUMBERS = st.sampled_from(["0", "1", "2", "0.5", "1.005", "100", "2147483647", "0.001"])
DATES = st.sampled_from(["'2024-02-29'", "'1969-07-20 20:17:40'", "'0000-00-00'", "'2024-02-29 23:59:59.999'"])
SIZES = st.integers(1, 4)


def numbers(depth: int) -> st.SearchStrategy[str]:
    """Expressions that give numbers."""
    leaf = st.one_of(st.sampled_from(["small", "number", "big", "price", "flags", "made"]), NUMBERS)
    floats = st.just("CAST(ratio AS DECIMAL(40,6))")
    if depth == 0:
        return st.one_of(leaf, leaf, floats)
    inner, text, condition = numbers(depth - 1), texts(depth - 1), conditions(depth - 1)
    return st.one_of(
        leaf,
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*%"), inner),
        st.builds("-{}".format, leaf),
        st.builds("{}({})".format, st.sampled_from(["ABS", "FLOOR", "CEIL", "ROUND"]), inner),
        st.builds("ROUND({}, {})".format, inner, SIZES),
        st.builds("CAST({} AS DECIMAL(60,{}))".format, leaf, SIZES),
        st.builds("CAST({} AS SIGNED)".format, leaf),
        st.builds("{}({})".format, st.sampled_from(["LENGTH", "CHAR_LENGTH"]), text),
        st.builds("{}({})".format, st.sampled_from(["YEAR", "MONTH"]), dates(depth - 1)),
        st.builds("COALESCE({}, {})".format, inner, inner),
        st.builds("NULLIF({}, {})".format, inner, inner),
        st.builds("IF({}, {}, {})".format, condition, inner, inner),
        st.builds("CASE WHEN {} THEN {} END".format, condition, inner),
    )


def texts(depth: int) -> st.SearchStrategy[str]:
    """Expressions that give text."""
    leaf = st.one_of(st.sampled_from(["plain", "latin", "kind"]), TEXTS)
    if depth == 0:
        return leaf
    inner = texts(depth - 1)
    return st.one_of(
        leaf,
        st.builds("CONCAT({}, {})".format, inner, st.one_of(inner, numbers(depth - 1), dates(depth - 1))),
        st.builds("{}({})".format, st.sampled_from(["LOWER", "UPPER", "TRIM"]), inner),
        st.builds("SUBSTRING({}, {}, {})".format, inner, SIZES, st.integers(0, 3)),
        st.builds("SUBSTRING({}, {})".format, inner, SIZES),
        st.builds("{}({}, {})".format, st.sampled_from(["LEFT", "RIGHT"]), inner, st.integers(0, 3)),
        st.builds("REPLACE({}, {}, {})".format, inner, TEXTS, TEXTS),
        st.builds("CAST({} AS CHAR)".format, st.one_of(numbers(depth - 1), conditions(depth - 1), dates(0))),
        st.builds("IFNULL({}, {})".format, inner, inner),
        st.builds("NULLIF({}, {})".format, inner, inner),
        st.builds("CASE {} WHEN {} THEN {} ELSE {} END".format, inner, inner, inner, inner),
    )


def dates(depth: int) -> st.SearchStrategy[str]:
    """Expressions that give dates."""
    leaf = st.sampled_from(["born", "seen", "stamp"])
    return leaf if depth == 0 else st.one_of(leaf, st.builds("DATE({})".format, leaf), st.just("COALESCE(born, seen)"))


def conditions(depth: int) -> st.SearchStrategy[str]:
    """Expressions that are true, false or NULL."""
    compare = st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "<=>"])
    number, text = numbers(max(depth - 1, 0)), texts(max(depth - 1, 0))
    leaf = st.one_of(
        st.builds("({} {} {})".format, number, compare, number),
        st.builds("({} {} {})".format, text, compare, text),
        st.builds("({} {} {})".format, dates(1), compare, st.one_of(DATES, dates(1))),
        st.builds("({} IS NULL)".format, st.one_of(number, text)),
        st.builds("({} IN ({}, {}))".format, text, text, text),
        st.builds("({} NOT IN ({}, {}, NULL))".format, number, number, number),
        st.builds("({} BETWEEN {} AND {})".format, number, number, number),
        st.builds("({} {} {})".format, text, st.sampled_from(["LIKE", "NOT LIKE"]), PATTERNS),
        st.just("(ratio IS NOT NULL)"),
        st.sampled_from(["TRUE", "FALSE", "small"]),
    )
    if depth == 0:
        return leaf
    inner = conditions(depth - 1)
    return st.one_of(
        leaf,
        st.builds("({} {} {})".format, inner, st.sampled_from(["AND", "OR"]), inner),
        st.builds("(NOT {})".format, inner),
        st.builds("({} IS {})".format, inner, st.sampled_from(["TRUE", "FALSE"])),
    )


@example("COALESCE(small, (CAST(ratio AS DECIMAL(40,6)) % CAST(ratio AS DECIMAL(40,6))))")  # -0.000000
@example("LENGTH(CAST(CAST(ratio AS DECIMAL(40,6)) AS CHAR))")  # the same, on MySQL 5.6
@example("FLOOR(FLOOR(CAST(ratio AS DECIMAL(40,6))))")  # saturates at BIGINT
@example("NULLIF('é', SUBSTRING('é', 1, 1))")  # MySQL 5.6 marks the literal as binary after the first row
@given(text=st.one_of(numbers(2), texts(2), conditions(2)))
@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_python_source_and_store_agree(ground: Ground, text: str) -> None:
    """Every expression that compiles gives the same bytes three times, for every row."""
    try:
        python, mysql, postgres = ground.everywhere(text)
    except ConfigError:
        return  # too many digits for a DECIMAL: refused, as it should be
    for one, two, three in zip(python, mysql, postgres, strict=True):
        assert one == two == three, text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LOWER('ÀB')", b"\xc3\x80b"),
        ("'a' = 'A'", b"0"),
        ("'a' = 'a '", b"0"),
        ("NULL <=> NULL", b"1"),
        ("1 NOT IN (2, NULL)", None),
        ("0 = 1 AND NULL", b"0"),
        ("ROUND(2.5)", b"3"),
        ("ROUND(-2.5)", b"-3"),
        ("ROUND(-0.001, 2)", b"0.00"),
        ("-7 % 3", b"-1"),
        ("5 % 0", None),
        ("CONCAT('a', NULL)", None),
        ("CONCAT(1.50, '|', TRUE)", b"1.50|1"),
        ("REPLACE('abc', '', 'x')", b"abc"),
        ("LENGTH('日本')", b"2"),
        ("COALESCE(1, 2.50)", b"1.00"),
    ],
)
def test_meanings_that_servers_are_known_to_differ_in(ground: Ground, text: str, expected: Field) -> None:
    for found in ground.everywhere(text):
        assert found == [expected] * ROWS
