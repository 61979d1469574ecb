"""The reader on MySQL: compressed transactions, tagged GTIDs, TLS with caching_sha2, changes of server."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import Tls
from model.errors import SourceError
from model.gtid import GtidSet
from servers import RunningServer
from sync.mysql.event_types import WRITE_ROWS, EventType
from sync.mysql.events import parse_table_map
from sync.relay.records import RecordKind, read_records, segment_path
from tests.support.proxy import Proxy
from tests.support.servers import SourceDatabase, source_database
from tests.support.streaming import TABLE, Follower, following, position_now, settings_of, through


@pytest.fixture
def database(mysql97: RunningServer):
    """A fresh database on MySQL 9.7."""
    with source_database(mysql97) as found:
        yield found


def raw_types(directory: Path) -> set[int]:
    """Types of the events as they stand in the relay's first segment."""
    with segment_path(directory, 1).open("rb") as file:
        return {payload[4] for kind, payload, _ in read_records(file, 8) if kind == RecordKind.EVENT}


def test_compressed_transactions(database: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(database.server)
    database.execute(TABLE.format("t"))
    with following(settings, tmp_path) as follower:
        connection = database.connect(autocommit=False)
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION binlog_transaction_compression = ON")
            cursor.executemany("INSERT INTO t VALUES (%s, %s)", [(n, b"c" * 500) for n in range(100)])
            connection.commit()
            cursor.execute("SET SESSION binlog_transaction_compression = OFF")
            cursor.execute("INSERT INTO t VALUES (100, 'plain')")
            connection.commit()
        follower.catch_up()
        assert follower.rows() == [("t", n, 500) for n in range(100)] + [("t", 100, 5)]
        first, second = follower.transactions()
        kinds = [header.type for header, _ in first.events()]
        assert kinds[0] == EventType.GTID and kinds[-1] == EventType.XID
        assert EventType.TRANSACTION_PAYLOAD not in kinds
        assert (first.seq, second.seq) == (1, 2)
    assert EventType.TRANSACTION_PAYLOAD in raw_types(tmp_path)


def test_large_compressed_transaction_takes_little_memory(database: SourceDatabase, tmp_path: Path) -> None:
    """50 MB of rows that do not compress well: the payload itself is longer than a packet."""
    settings = settings_of(database.server)
    database.execute(TABLE.format("t"))
    connection = database.connect(autocommit=False)
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION binlog_transaction_compression = ON")
        noise = os.urandom(300_000)
        for number in range(100):
            cursor.execute("INSERT INTO t VALUES (%s, %s)", (number, noise[number:] + os.urandom(200_000)))
    with following(settings, tmp_path, segment_bytes=8 << 20) as follower:
        tracemalloc.start()
        connection.commit()
        follower.catch_up()
        (transaction,) = follower.relay.transactions(0)
        written = sum(header.type in WRITE_ROWS for header, _ in transaction.events())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert written == 100 and transaction.bytes > 17_000_000
        assert peak < 12_000_000


def test_tagged_gtids(database: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(database.server)
    database.execute(TABLE.format("t"))
    start = position_now(settings)
    connection = database.connect()
    with connection.cursor() as cursor:
        for number in range(3):
            cursor.execute("SET gtid_next = 'AUTOMATIC:blue'")
            cursor.execute("INSERT INTO t VALUES (%s, 'x')", (number,))
            cursor.execute("SET gtid_next = 'AUTOMATIC'")
            cursor.execute("INSERT INTO t VALUES (%s, 'x')", (number + 10,))
    for _ in range(2):  # the second time resumes from a set with tags
        with following(settings, tmp_path, start) as follower:
            follower.catch_up()
            assert [row[1] for row in follower.rows()] == [0, 10, 1, 11, 2, 12]
            gtids = [t.gtid for t in follower.transactions()]
            assert [":blue:" in gtid for gtid in gtids] == [True, False] * 3
            assert follower.writer.tail is not None
            assert GtidSet.parse(follower.writer.tail.position.gtids) == GtidSet.parse(position_now(settings).gtids)
            assert all(t.commit_time % 1 for t in follower.transactions())
    # A start by file and offset finds them too.
    database.execute("INSERT INTO t VALUES (20, 'x')")
    bare = type(start)(start.flavour, position_now(settings).coordinate)
    with following(settings, tmp_path / "bare", bare) as follower:
        database.execute("INSERT INTO t VALUES (21, 'x')")
        follower.catch_up()
        assert [row[1] for row in follower.rows()] == [21]
        assert follower.writer.tail is not None
        assert GtidSet.parse(follower.writer.tail.position.gtids) == GtidSet.parse(position_now(settings).gtids)


@pytest.mark.parametrize("tls", [Tls.REQUIRED, Tls.OFF])
def test_caching_sha2_with_and_without_tls(database: SourceDatabase, tmp_path: Path, tls: Tls) -> None:
    user = f"r_{database.database[-8:]}_{tls.value[:3]}"
    database.execute(
        f"CREATE USER {user}@'%' IDENTIFIED WITH caching_sha2_password BY 'pä55 word'",
        f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}@'%'",
        TABLE.format("t"),
    )
    try:
        settings = settings_of(database.server, user=user, password=SecretStr("pä55 word"), tls=tls)
        with following(settings, tmp_path, position_now(settings_of(database.server))) as follower:
            database.execute("INSERT INTO t VALUES (1, REPEAT('t', 20000000))", "INSERT INTO t VALUES (2, 'x')")
            follower.catch_up()
            assert follower.rows() == [("t", 1, 20_000_000), ("t", 2, 1)]
    finally:
        database.execute(f"DROP USER {user}@'%'")


def test_table_map_metadata(database: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(database.server)
    with following(settings, tmp_path) as follower:
        database.execute(
            "CREATE TABLE w (a INT UNSIGNED, y YEAR, b BIGINT UNSIGNED NOT NULL, c VARCHAR(10) CHARACTER SET latin1,"
            " e ENUM('p','q') CHARACTER SET latin1, f DECIMAL(5,2), s SET('k','l','m'), j JSON, g GEOMETRY, t TEXT,"
            " h INT INVISIBLE, PRIMARY KEY (b, c(3)))",
            "INSERT INTO w (b, c) VALUES (1, 'x')",
        )
        follower.catch_up()
        (table,) = (
            parse_table_map(body)
            for transaction in follower.transactions()
            for header, body in transaction.events()
            if header.type == EventType.TABLE_MAP
        )
    optional = table.optional
    assert (table.schema, table.table, table.column_count) == (database.database, "w", 11)
    assert optional.names == ("a", "y", "b", "c", "e", "f", "s", "j", "g", "t", "h")
    assert optional.unsigned == (True, True, True, *(False,) * 8)
    assert optional.labels == ((), (), (), (), (b"p", b"q"), (), (b"k", b"l", b"m"), (), (), (), ())
    assert optional.collations is not None and optional.collations[3] == 8 and optional.collations[9] == 255
    assert optional.label_collations is not None and optional.label_collations[4] == 8
    assert optional.primary_key == ((2, 0), (3, 3))
    assert optional.visible == (*(True,) * 10, False)
    assert optional.unknown == ()
    assert [table.is_nullable(index) for index in range(4)] == [True, True, False, False]


def reader_error(follower: Follower) -> SourceError:
    """The reader's last words."""
    error = follower.wait_stopped()
    assert isinstance(error, SourceError)
    return error


def test_another_server_takes_over(start_private: Callable[..., RunningServer], tmp_path: Path) -> None:
    """With GTIDs the stream goes on there when its history holds ours; otherwise the difference is named."""
    old, new = start_private("mysql-9.7"), start_private("mysql-9.7")
    with source_database(old) as first:
        settings = settings_of(old)
        first.execute(TABLE.format("t"))
        start = position_now(settings)
        with following(settings, tmp_path, start) as follower:
            first.execute("INSERT INTO t VALUES (1, 'old')")
            follower.catch_up()
        with following(settings_of(new), tmp_path, start) as follower:
            error = reader_error(follower)
            assert "lacks transactions" in str(error) and str(GtidSet.parse(str(error.where["missing_there"])))
        with following(settings_of(new, position="file"), tmp_path, start) as follower:
            assert "another server" in str(reader_error(follower))
        ours = position_now(settings).gtids
        admin = SourceDatabase(new, "mysql")
        admin.execute("RESET BINARY LOGS AND GTIDS", f"SET GLOBAL gtid_purged = '{ours}'")
        with source_database(new) as second, following(settings_of(new), tmp_path, start) as follower:
            second.execute(TABLE.format("t"), "INSERT INTO t VALUES (2, 'new')")
            follower.catch_up()
            assert [row[1] for row in follower.rows()] == [1, 2]
            assert [t.seq for t in follower.transactions()] == [1, 2, 3, 4]
            assert follower.writer.source != ""


def test_dump_connection_killed_over_and_over(mysql97: RunningServer, database: SourceDatabase, tmp_path: Path) -> None:
    """While a writer writes, the proxy resets connections: with and without compression nothing is lost or doubled."""
    settings = settings_of(mysql97)
    database.execute(TABLE.format("t"))
    start = position_now(settings)
    done, written = threading.Event(), [0]

    def write() -> None:
        connection = database.connect()
        with connection.cursor() as cursor:
            while follower.reader.state.reconnects < 8:
                number = written[0]
                cursor.execute(f"SET SESSION binlog_transaction_compression = {'ON' if number % 3 else 'OFF'}")
                cursor.execute("INSERT INTO t VALUES (%s, REPEAT('w', %s))", (number, number * 11 % 5000))
                written[0] += 1
        done.set()

    with (
        Proxy(mysql97.host, mysql97.port) as proxy,
        following(through(settings, proxy.port), tmp_path, start) as follower,
    ):
        writer = threading.Thread(target=write)
        writer.start()
        while not done.wait(0.05):
            if follower.reader.state.connected:
                proxy.cut()
        writer.join()
        follower.catch_up()
        assert follower.rows() == [("t", number, number * 11 % 5000) for number in range(written[0])]
