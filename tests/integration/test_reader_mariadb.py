"""The reader on MariaDB: GTID domains, compressed events, START by file and offset, optional metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model.gtid import MariadbGtidSet
from servers import RunningServer
from sync.mysql.event_types import EventType
from sync.mysql.events import parse_query, parse_table_map
from tests.integration.test_reader_mysql import raw_types
from tests.support.servers import SourceDatabase, source_database
from tests.support.streaming import TABLE, following, position_now, settings_of


@pytest.fixture
def database(mariadb: RunningServer) -> Iterator[SourceDatabase]:
    """A fresh database on MariaDB 10.11."""
    with source_database(mariadb) as found:
        yield found


def test_two_domains_interleaved(database: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(database.server)
    database.execute(TABLE.format("t"))
    start = position_now(settings)
    for number in range(12):
        connection = database.connect()
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION gtid_domain_id = %s", (number % 2 * 5,))
            cursor.execute("INSERT INTO t VALUES (%s, 'x')", (number,))
        with following(settings, tmp_path, start) as follower:  # resumes between the domains every time
            follower.catch_up()
            assert [row[1] for row in follower.rows()] == list(range(number + 1))
            assert follower.writer.tail is not None
            ours = MariadbGtidSet.parse(follower.writer.tail.position.gtids)
            assert ours == MariadbGtidSet.parse(position_now(settings).gtids)


def test_compressed_events(start_private: Callable[..., RunningServer], tmp_path: Path) -> None:
    server = start_private("mariadb-10.11", log_bin_compress=True, log_bin_compress_min_len=10)
    settings = settings_of(server)
    with source_database(server) as database, following(settings, tmp_path) as follower:
        database.execute(
            TABLE.format("t"),
            "INSERT INTO t VALUES (1, REPEAT('x', 1000)), (2, REPEAT('y', 100))",
            "UPDATE t SET v = REPEAT('z', 70000) WHERE id = 1",
            "DELETE FROM t WHERE id = 1",
        )
        follower.catch_up()
        assert follower.rows() == [("t", 1, 1000), ("t", 2, 100)]
        kinds = [header.type for transaction in follower.transactions() for header, _ in transaction.events()]
        assert {EventType.WRITE_ROWS_V1, EventType.UPDATE_ROWS_V1, EventType.DELETE_ROWS_V1} <= set(kinds)
        assert max(kinds) <= EventType.MARIADB_GTID
        ddl = follower.transactions()[0]
        texts = [parse_query(body).text for header, body in ddl.events() if header.type == EventType.QUERY]
        assert texts == [TABLE.format("t")]
    assert {EventType.MARIADB_QUERY_COMPRESSED, EventType.MARIADB_WRITE_ROWS_COMPRESSED_V1} <= raw_types(tmp_path)


def test_table_map_metadata(database: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(database.server)
    with following(settings, tmp_path) as follower:
        database.execute(
            "CREATE TABLE w (a INT UNSIGNED, y YEAR, b BIGINT UNSIGNED NOT NULL PRIMARY KEY,"
            " g GEOMETRY, c VARCHAR(10) CHARACTER SET latin1, e ENUM('p','q'), z TEXT COMPRESSED CHARACTER SET latin1,"
            " u UUID, i INET6, n SMALLINT UNSIGNED)",
            "INSERT INTO w (b) VALUES (1)",
        )
        follower.catch_up()
        (table,) = (
            parse_table_map(body, mariadb=True)
            for transaction in follower.transactions()
            for header, body in transaction.events()
            if header.type == EventType.TABLE_MAP
        )
    optional = table.optional
    assert optional.names == ("a", "y", "b", "g", "c", "e", "z", "u", "i", "n")
    assert optional.unsigned == (True, True, True, False, False, False, False, False, False, True)
    assert optional.labels is not None and optional.labels[5] == (b"p", b"q")
    assert optional.collations is not None
    assert (optional.collations[3], optional.collations[4], optional.collations[6]) == (63, 8, 8)
    assert optional.primary_key == ((2, 0),)


def test_start_by_file_and_offset_in_file_mode(database: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(database.server, position="file")
    database.execute(TABLE.format("t"), "INSERT INTO t VALUES (1, 'old')")
    start = position_now(settings)
    database.execute("INSERT INTO t VALUES (2, 'new')")
    with following(settings, tmp_path, type(start)(start.flavour, start.coordinate)) as follower:
        follower.catch_up()
        assert follower.reader.state.mode == "file"
        assert [row[1] for row in follower.rows()] == [2]
