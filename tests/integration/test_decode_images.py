"""Row images as servers write them: MINIMAL and NOBLOB, updates and deletes, changed tables, old temporal formats."""

from __future__ import annotations

import pytest

from model.errors import UndecodableRow, UnsupportedChange, ValueRefused
from model.rows import ABSENT
from servers import RunningServer
from sync.mysql.decode import TableDecoder
from tests.support.binlog import binlog_position, decoded, row_events, selected, table_defs
from tests.support.servers import SourceDatabase, source_database

SERVERS = ["mariadb", "mysql97", pytest.param("mysql56", marks=pytest.mark.matrix)]


@pytest.fixture
def database(request: pytest.FixtureRequest) -> SourceDatabase:
    with source_database(request.getfixturevalue(request.param)) as found:
        yield found


@pytest.mark.parametrize("database", SERVERS, indirect=True)
def test_minimal_images_have_absent_columns_not_nulls(database: SourceDatabase) -> None:
    database.execute("CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(10), c TEXT)")
    start = binlog_position(database)
    connection = database.connect()
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION binlog_row_image = 'MINIMAL'")
        cursor.execute("INSERT INTO t VALUES (1, 5, 'x', 'long'), (2, NULL, NULL, NULL)")
        cursor.execute("UPDATE t SET a = NULL WHERE id = 1")
        cursor.execute("UPDATE t SET id = 3 WHERE id = 2")
        cursor.execute("DELETE FROM t WHERE id = 1")
        cursor.execute("SET SESSION binlog_row_image = 'NOBLOB'")
        cursor.execute("UPDATE t SET b = 'y' WHERE id = 3")
    connection.close()
    got = decoded(table_defs(database)["t"], row_events(database, start))
    assert got == [
        (None, (b"1", b"5", b"x", b"long")),
        (None, (b"2", None, None, None)),
        ((b"1", ABSENT, ABSENT, ABSENT), (ABSENT, None, ABSENT, ABSENT)),
        ((b"2", ABSENT, ABSENT, ABSENT), (b"3", ABSENT, ABSENT, ABSENT)),
        ((b"1", ABSENT, ABSENT, ABSENT), None),
        ((b"3", None, None, ABSENT), (b"3", None, b"y", ABSENT)),
    ]


@pytest.mark.parametrize("database", SERVERS, indirect=True)
def test_a_table_that_changed_is_refused_not_guessed(database: SourceDatabase) -> None:
    database.execute("CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(10))")
    start = binlog_position(database)
    database.execute("INSERT INTO t VALUES (1, 5, 'x')")
    old = table_defs(database)["t"]
    database.execute("ALTER TABLE t ADD c INT", "INSERT INTO t VALUES (2, 5, 'x', 6)")
    database.execute("ALTER TABLE t DROP c", "ALTER TABLE t MODIFY a BIGINT", "INSERT INTO t VALUES (3, 5, 'x')")
    events = row_events(database, start)
    assert TableDecoder(old, events[0].table_map).decode(events[0].type, events[0].body)
    for event, words in ((events[1], "4 columns"), (events[2], "LONGLONG")):
        with pytest.raises(UndecodableRow, match=words) as caught:
            TableDecoder(old, event.table_map)
        assert caught.value.where["table"] == str(old.id)
    assert caught.value.where["column"] == "a"


def test_partial_documents_are_refused_with_the_variable_to_change(mysql97: RunningServer) -> None:
    with source_database(mysql97) as database:
        database.execute("CREATE TABLE t (id INT PRIMARY KEY, v JSON)")
        database.execute(
            """INSERT INTO t VALUES (1, '{"a": 1, "pad": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}')"""
        )
        start = binlog_position(database)
        connection = database.connect()
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION binlog_row_value_options = 'PARTIAL_JSON', binlog_row_image = 'MINIMAL'")
            cursor.execute("UPDATE t SET v = JSON_SET(v, '$.a', 2)")
        connection.close()
        (event,) = row_events(database, start)
        with pytest.raises(UnsupportedChange) as caught:
            TableDecoder(table_defs(database)["t"], event.table_map).decode(event.type, event.body)
        assert "binlog_row_value_options" in caught.value.hint


def test_temporals_of_mariadb_5_3_and_before(mariadb: RunningServer) -> None:
    columns = ", ".join(f"a{n} DATETIME({n}), b{n} TIME({n}), c{n} TIMESTAMP({n}) NULL" for n in range(7))
    values = ("'2024-02-29 23:59:58.123456'", "'-837:59:58.123456'", "'2038-01-19 03:14:07.999999'")
    zeros = ("'0000-00-00 00:00:00'", "'00:00:00'", "'0000-00-00 00:00:00'")
    others = ("'9999-12-31 00:00:01.000001'", "'838:00:00.000001'", "'1970-01-01 00:00:01.000001'")
    with source_database(mariadb) as database:
        connection = database.connect(init_command="SET time_zone = '+00:00', sql_mode = ''")
        start = binlog_position(database)
        with connection.cursor() as cursor:
            cursor.execute("SET GLOBAL mysql56_temporal_format = OFF")
            try:
                cursor.execute(f"CREATE TABLE t (id INT PRIMARY KEY, {columns})")
            finally:
                cursor.execute("SET GLOBAL mysql56_temporal_format = ON")
            for number, three in enumerate((values, zeros, others)):
                cursor.execute(f"INSERT INTO t VALUES ({number}, {', '.join(three * 7)})")
        connection.close()
        definition = table_defs(database)["t"]
        events = row_events(database, start)
        assert {7, 11, 12} <= set(events[0].table_map.types)
        stream = [after for _, after in decoded(definition, events)]
        assert stream == selected(database, definition, "id")
        assert stream[0][1:7] == (
            b"2024-02-29 23:59:58", b"-837:59:58", b"2038-01-19 03:14:07+00",
            b"2024-02-29 23:59:58.1", b"-837:59:58.1", b"2038-01-19 03:14:07.9+00",
        )  # fmt: skip
        assert stream[1][1:4] == (b"0000-00-00 00:00:00", b"00:00:00", b"0000-00-00 00:00:00+00")


@pytest.mark.parametrize("database", SERVERS, indirect=True)
def test_one_bad_value_is_handed_over_and_the_other_rows_are_decoded(database: SourceDatabase) -> None:
    database.execute("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(10) CHARACTER SET cp1251)")
    start = binlog_position(database)
    connection = database.connect(init_command="SET sql_mode = ''")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (1, 0xCF), (2, 0x6198), (3, 'z')")
    connection.close()
    definition = table_defs(database)["t"]
    (event,) = row_events(database, start)
    decoder = TableDecoder(definition, event.table_map)
    with pytest.raises(ValueRefused, match="98") as caught:
        decoder.decode(event.type, event.body)
    assert caught.value.where == {"table": str(definition.id), "column": "v", "row": 1}
    refused: list[ValueRefused] = []

    def keep(error: ValueRefused) -> None:
        refused.append(error)

    rows = decoder.decode(event.type, event.body, keep)
    assert rows == [(None, (b"1", "П".encode())), (None, (b"2", None)), (None, (b"3", b"z"))]
    assert [error.where["row"] for error in refused] == [1]
    with pytest.raises(ValueRefused):
        selected(database, definition, "id")
