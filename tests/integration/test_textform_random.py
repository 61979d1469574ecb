"""Random values of every type, inserted into real servers: the stream and the snapshot give the same bytes."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.binlog import binlog_position, decoded, row_events, selected, table_defs
from tests.support.servers import SourceDatabase, source_database

COLUMNS = """
    id INT PRIMARY KEY AUTO_INCREMENT,
    f FLOAT, d DOUBLE, de DECIMAL(40,17), bi BIGINT, ub BIGINT UNSIGNED, mi MEDIUMINT, bits BIT(37), y YEAR,
    da DATE, dt DATETIME(5), ts TIMESTAMP(3) NULL, ti TIME(4), c CHAR(12) CHARACTER SET utf8mb4,
    v VARCHAR(90) CHARACTER SET utf8mb4, l VARCHAR(60) CHARACTER SET latin1, g TEXT CHARACTER SET gbk, b BINARY(9),
    vb VARBINARY(300), bl MEDIUMBLOB, e ENUM('x','','z\\\\"') , s SET('a','b','c"','d\\\\\\\\')
"""
NAMES = (
    "f", "d", "de", "bi", "ub", "mi", "bits", "y", "da", "dt",
    "ts", "ti", "c", "v", "l", "g", "b", "vb", "bl", "e", "s",
)  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LATIN = st.text(st.sampled_from("aé ÿ€\u0081\\\t\n'\"0"), max_size=20)
CHINESE = st.text(st.sampled_from("垄啊丂狛a~\\ \t"), max_size=20)
# No shrinking: every example costs the server a round of statements, and the failing row is shown as it is.
QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate))
DOUBLES = st.floats(allow_nan=False, allow_infinity=False)


def fraction(digits: int) -> st.SearchStrategy[str]:
    return st.integers(0, 10**digits - 1).map(lambda number: f"{number:0{digits}d}")


def clock(digits: int) -> st.SearchStrategy[str]:
    return st.builds(
        "{:02d}:{:02d}:{:02d}.{}".format, st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), fraction(digits)
    )


DAYS = st.one_of(
    st.just("0000-00-00"),
    st.builds("{:04d}-{:02d}-{:02d}".format, st.integers(1, 9999), st.integers(0, 12), st.integers(0, 31)),
)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


ROWS = st.tuples(
    DOUBLES.filter(lambda number: abs(number) < 3e38),
    maybe(DOUBLES),
    st.decimals(min_value=-(10**22), max_value=10**22, places=17, allow_nan=False).map(str),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(-(2**23), 2**23 - 1),
    st.integers(0, 2**37 - 1),
    st.one_of(st.just(0), st.integers(1901, 2155)),
    DAYS,
    st.builds("{} {}".format, DAYS, clock(5)),
    st.one_of(
        st.none(),
        st.just("0000-00-00 00:00:00"),
        st.builds(
            "{:04d}-{:02d}-{:02d} {}".format, st.integers(1971, 2037), st.integers(1, 12), st.integers(1, 28), clock(3)
        ),
    ),
    st.builds(
        "{}{:02d}:{:02d}:{:02d}.{}".format,
        st.sampled_from(["", "-"]),
        st.integers(0, 837),
        st.integers(0, 59),
        st.integers(0, 59),
        fraction(4),
    ),
    TEXT,
    maybe(TEXT),
    LATIN,
    CHINESE,
    st.binary(max_size=9),
    st.binary(max_size=300),
    maybe(st.binary(max_size=2000)),
    st.integers(0, 3),
    maybe(st.integers(0, 15)),
)


def same_both_ways(database: SourceDatabase, table: str, statements: list[tuple[str, tuple[Any, ...]]]) -> int:
    """Run the statements on the emptied table and compare; returns how many rows there were."""
    database.execute(f"DELETE FROM `{table}`")
    start = binlog_position(database)
    connection = database.connect(
        init_command="SET time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION'"
    )
    try:
        with connection.cursor() as cursor:
            for statement, values in statements:
                cursor.execute(statement, values)
    finally:
        connection.close()
    definition = table_defs(database)[table]
    stream = [after for _, after in decoded(definition, row_events(database, start))]
    snapshot = selected(database, definition, "id")
    names = [column.name for column in definition.columns]
    for streamed, copied in zip(stream, snapshot, strict=True):
        assert streamed is not None
        differing = [pair for pair in zip(names, streamed, copied, strict=True) if pair[1] != pair[2]]
        assert not differing, f"column, stream, snapshot: {differing}"
    return len(stream)


@pytest.mark.parametrize("server_name", ["mariadb", "mysql97", pytest.param("mysql56", marks=pytest.mark.matrix)])
def test_stream_and_snapshot_agree_on_random_rows(server_name: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(server_name)
    insert = f"INSERT INTO everything ({', '.join(NAMES)}) VALUES ({', '.join(['%s'] * len(NAMES))})"
    with source_database(server) as database:
        database.execute(f"CREATE TABLE everything ({COLUMNS})")

        @settings(QUICK, max_examples=8)
        @given(st.lists(ROWS, min_size=20, max_size=60))
        def check(rows: list[tuple[Any, ...]]) -> None:
            assert same_both_ways(database, "everything", [(insert, row) for row in rows]) == len(rows)

        check()


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    DOUBLES.filter(lambda number: number == 0 or abs(number) > 2.3e-308),
    st.sampled_from([1e15, 1e14, 123456789012345.6, 1e-14, 1e-15, 1.5e-15, 1e16, 1.7976931348623157e308, -0.0]),
    TEXT,
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(TEXT, inner, max_size=5)),
    max_leaves=20,
)


def test_documents_print_as_select_prints_them(mysql97: Any) -> None:
    with source_database(mysql97) as database:
        database.execute("CREATE TABLE documents (id INT PRIMARY KEY AUTO_INCREMENT, v JSON)")

        @settings(QUICK, max_examples=12)
        @given(st.lists(DOCUMENTS, min_size=30, max_size=80))
        def check(documents: list[Any]) -> None:
            insert = "INSERT INTO documents (v) VALUES (%s)"
            texts = [json.dumps(document, ensure_ascii=False) for document in documents]
            assert same_both_ways(database, "documents", [(insert, (text,)) for text in texts]) == len(documents)

        check()


def test_numbers_in_documents_at_every_magnitude(mysql97: Any) -> None:
    with source_database(mysql97) as database:
        database.execute("CREATE TABLE numbers (id INT PRIMARY KEY AUTO_INCREMENT, v JSON)")
        mantissas = (1, 1.5, 1.234567890123456, 9.999999999999999)
        numbers = [digits * 10.0**power for power in range(-40, 41) for digits in mantissas]
        numbers += [math.nextafter(10.0**power, 0) for power in range(-20, 21)]
        insert = "INSERT INTO numbers (v) VALUES (%s)"
        rows = [(insert, (json.dumps([number, -number]),)) for number in numbers]
        assert same_both_ways(database, "numbers", rows) == len(numbers)


def test_large_documents_use_wide_offsets(mysql97: Any) -> None:
    with source_database(mysql97) as database:
        database.execute("CREATE TABLE large (id INT PRIMARY KEY AUTO_INCREMENT, v JSON)")
        documents: list[Any] = [
            {f"key{number}": [number, str(number) * 7, -number, number * 1.5] for number in range(4000)},
            ["x" * length for length in (0, 1, 127, 128, 16383, 16384, 70000)],
            [70000, -70000, 1, None, True, {"a": [2**40]}, "y" * 66000],
            {"k" * 60000: 1},
        ]
        insert = "INSERT INTO large (v) VALUES (%s)"
        rows = [(insert, (json.dumps(document),)) for document in documents]
        assert same_both_ways(database, "large", rows) == len(documents)
