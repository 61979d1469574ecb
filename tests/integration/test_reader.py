"""The reader on real servers: every transaction and every row is in the relay exactly once, whatever happens."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from model.errors import PositionPurged, SourceError
from model.position import BinlogCoordinate, Position
from servers import RunningServer
from sync.mysql.event_types import WRITE_ROWS
from sync.relay.values import RelayTail
from tests.support.proxy import Proxy
from tests.support.servers import SourceDatabase, source_database
from tests.support.streaming import (
    TABLE,
    following,
    position_now,
    row_ids,
    settings_of,
    through,
    wait_until,
)


def test_everything_is_in_the_relay_once(source_db: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(source_db.server)
    source_db.execute(TABLE.format("t"))
    with following(settings, tmp_path) as follower:
        for number in range(50):
            source_db.execute(f"INSERT INTO t VALUES ({number}, REPEAT('x', 100))")
        connection = source_db.connect(autocommit=False)
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO t VALUES (%s, %s)", [(number, b"y" * 10) for number in range(50, 250)])
        connection.commit()
        source_db.execute(
            "CREATE TABLE u (id INT NOT NULL PRIMARY KEY, v LONGBLOB NOT NULL)", "INSERT INTO u VALUES (1, '')"
        )
        follower.catch_up()
        transactions = follower.transactions()
        assert [t.seq for t in transactions] == list(range(1, 54))
        assert follower.rows() == (
            [("t", n, 100) for n in range(50)] + [("t", n, 10) for n in range(50, 250)] + [("u", 1, 0)]
        )
        if follower.writer.gtids_known:
            assert len({t.gtid for t in transactions}) == 53


def test_idle_position_moves_to_the_end_of_the_binlog(source_db: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(source_db.server)
    with following(settings, tmp_path) as follower:
        follower.catch_up()
        before = follower.writer.tail
        source_db.execute("FLUSH BINARY LOGS")
        follower.catch_up()
        after = follower.writer.tail
        assert before is not None and after is not None
        assert after.seq == before.seq == 0
        assert after.position.coordinate.index == before.position.coordinate.index + 1
    with following(settings, tmp_path) as follower:
        # The new file is remembered: the old one may be purged without harm.
        assert follower.writer.tail is not None
        assert follower.writer.tail.position.coordinate.file == after.position.coordinate.file
        follower.catch_up()


def test_resume_after_connections_cut_anywhere(source_db: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(source_db.server)
    source_db.execute(TABLE.format("t"))
    start = position_now(settings)
    connection = source_db.connect(autocommit=False)
    expected = []
    with connection.cursor() as cursor:
        for number in range(300):
            rows = [(number * 10 + k, b"z" * (number * k % 999)) for k in range(7)]
            cursor.executemany("INSERT INTO t VALUES (%s, %s)", rows)
            connection.commit()
            expected += [("t", key, len(value)) for key, value in rows]
    with Proxy(source_db.server.host, source_db.server.port) as proxy:
        proxied = through(settings, proxy.port)
        # Every cut meets the stream: it has more than a megabyte, the last cut comes within 900 kB, and what a reader
        # asks before it streams is far smaller than the smallest of them.
        proxy.cut_after(*(40_000 + cut * 5_777 for cut in range(12)))
        with following(proxied, tmp_path, start, segment_bytes=1 << 17) as follower:
            follower.catch_up()
            assert follower.rows() == expected
            assert [t.seq for t in follower.transactions()] == list(range(1, 301))
            assert follower.reader.state.reconnects == 12
            assert follower.writer.tail == RelayTail(300, follower.transactions()[-1].position)


def test_half_open_connection_is_noticed(source_db: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(source_db.server, heartbeat_s=0.3, connect_timeout_s=2)
    source_db.execute(TABLE.format("t"))
    with (
        Proxy(source_db.server.host, source_db.server.port) as proxy,
        following(through(settings, proxy.port), tmp_path, position_now(settings)) as follower,
    ):
        source_db.execute("INSERT INTO t VALUES (1, 'a')")
        follower.catch_up()
        proxy.drop_silently()
        source_db.execute("INSERT INTO t VALUES (2, 'b')")
        wait_until(lambda: not follower.reader.state.connected)
        assert "silent" in (follower.reader.state.error or "")
        proxy.resume()
        source_db.execute("INSERT INTO t VALUES (3, 'c')")
        follower.catch_up()
        assert [row[1] for row in follower.rows()] == [1, 2, 3]


def test_heartbeats_keep_a_quiet_stream_alive(source_db: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(source_db.server, heartbeat_s=0.2)
    with following(settings, tmp_path) as follower:
        follower.catch_up()
        first = follower.reader.state.last_packet_at
        wait_until(lambda: follower.reader.state.last_packet_at > first + 1.5)
        assert follower.reader.state.reconnects == 0


def test_source_killed_amid_transactions_and_restarted(
    start_private: Callable[..., RunningServer], source: RunningServer, tmp_path: Path
) -> None:
    server = start_private(source.flavour.name)
    settings = settings_of(server)
    with source_database(server) as database:
        database.execute(TABLE.format("t"))
        with following(settings, tmp_path) as follower:
            for kill in range(3):
                open_connection = database.connect(autocommit=False)
                with open_connection.cursor() as cursor:
                    cursor.execute("INSERT INTO t VALUES (%s, REPEAT('o', 300000))", (-1 - kill,))
                    for number in range(20):
                        database.execute(f"INSERT INTO t VALUES ({kill * 100 + number}, 'x')")
                server.kill()
                wait_until(lambda: not follower.reader.state.connected)
                server.restart()
            database.execute("INSERT INTO t VALUES (999, 'last')")
            follower.catch_up()
            committed = sorted(key for (key,) in database.rows("SELECT id FROM t"))
            assert sorted(row[1] for row in follower.rows()) == committed
            assert [t.seq for t in follower.transactions()] == list(range(1, len(committed) + 1))


def test_files_rotate_in_the_middle(source_db: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(source_db.server)
    source_db.execute(TABLE.format("t"))
    with following(settings, tmp_path) as follower:
        for number in range(6):
            source_db.execute(f"INSERT INTO t VALUES ({number}, 'x')", "FLUSH BINARY LOGS")
        follower.catch_up()
        files = [t.coordinate.file for t in follower.transactions()]
        assert len(set(files)) == 6 and files == sorted(files)
        assert [row[1] for row in follower.rows()] == list(range(6))


def test_checksum_switched_live(source_db: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(source_db.server)
    source_db.execute(TABLE.format("t"))
    try:
        with following(settings, tmp_path) as follower:
            for number, algorithm in enumerate(("NONE", "CRC32", "NONE", "CRC32")):
                source_db.execute(f"SET GLOBAL binlog_checksum = {algorithm}", f"INSERT INTO t VALUES ({number}, 'x')")
            follower.catch_up()
            assert follower.rows() == [("t", number, 1) for number in range(4)]
    finally:
        source_db.execute("SET GLOBAL binlog_checksum = CRC32")


def test_row_larger_than_a_packet(source_db: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(source_db.server)
    # InnoDB of 5.6 refuses a BLOB of more than a tenth of its log.
    engine = "MyISAM" if source_db.server.flavour.name == "mysql-5.6" else "InnoDB"
    source_db.execute(TABLE.format("t").replace("InnoDB", engine))
    with following(settings, tmp_path, segment_bytes=4 << 20) as follower:
        source_db.execute(
            "INSERT INTO t VALUES (1, 'before')",
            "INSERT INTO t VALUES (2, REPEAT('b', 37000000))",
            "INSERT INTO t VALUES (3, 'after')",
        )
        follower.catch_up()
        assert follower.rows() == [("t", 1, 6), ("t", 2, 37_000_000), ("t", 3, 5)]


def test_lowered_packet_limit_does_not_stop_the_stream(
    start_private: Callable[..., RunningServer], source: RunningServer, tmp_path: Path
) -> None:
    server = start_private(source.flavour.name)
    with source_database(server) as database:
        database.execute(TABLE.format("t"))
        settings = settings_of(server)
        start = position_now(settings)
        database.execute("INSERT INTO t VALUES (1, REPEAT('b', 4000000))")
        server.restart({"max_allowed_packet": "1M", "slave_max_allowed_packet": "1M"})
        with following(settings, tmp_path, start) as follower:
            follower.catch_up()
            assert [row[2] for row in follower.rows()] == [4_000_000]


@pytest.mark.parametrize("shift", [1, 30, 1_000_000])
def test_position_that_is_no_boundary_stops_the_reader(source_db: SourceDatabase, tmp_path: Path, shift: int) -> None:
    settings = settings_of(source_db.server, position="file")
    source_db.execute(TABLE.format("t"))
    start = position_now(settings)
    source_db.execute("INSERT INTO t VALUES (1, REPEAT('b', 1000))")
    wrong = BinlogCoordinate(start.coordinate.file, start.coordinate.offset + shift)
    with following(settings, tmp_path, Position(start.flavour, wrong)) as follower:
        error = follower.wait_stopped()
        assert isinstance(error, SourceError) and error.hint
    assert follower.transactions() == []


def test_start_from_file_and_offset_with_old_history(source_db: SourceDatabase, tmp_path: Path) -> None:
    """The start is known by file and offset only: the GTIDs before it are found, and only what follows is read."""
    settings = settings_of(source_db.server)
    source_db.execute(TABLE.format("t"), "INSERT INTO t VALUES (1, 'old')")
    start = position_now(settings)
    source_db.execute("INSERT INTO t VALUES (2, 'new')")
    with following(settings, tmp_path, Position(start.flavour, start.coordinate)) as follower:
        follower.catch_up()
        assert [row[1] for row in follower.rows()] == [2]
        assert follower.writer.tail is not None
        now, there = follower.writer.tail.position, position_now(settings)
        assert now.reached(there) and there.reached(now)  # tagged GTIDs are written in more than one way


@pytest.mark.parametrize("mode", ["file", "auto"])
def test_either_way_of_resuming_gives_the_same_relay(source_db: SourceDatabase, tmp_path: Path, mode: str) -> None:
    settings = settings_of(source_db.server, position=mode)
    source_db.execute(TABLE.format("t"))
    start = position_now(settings)
    for number in range(5):
        source_db.execute(f"INSERT INTO t VALUES ({number}, 'x')")
        with following(settings, tmp_path, start) as follower:
            follower.catch_up()
            assert [row[1] for row in follower.rows()] == list(range(number + 1))
            assert follower.writer.tail is not None
            assert follower.writer.tail.seq == number + 1
            if mode == "file":
                assert follower.reader.state.mode == "file"


def test_purged_binlog_is_said_at_start(
    start_private: Callable[..., RunningServer], source: RunningServer, tmp_path: Path
) -> None:
    server = start_private(source.flavour.name)
    with source_database(server) as database:
        settings = settings_of(server)
        start = position_now(settings)
        database.execute(TABLE.format("t"), "FLUSH BINARY LOGS", "INSERT INTO t VALUES (1, 'x')", "FLUSH BINARY LOGS")
        (newest,) = database.rows("SHOW BINARY LOGS")[-1:]
        database.execute(f"PURGE BINARY LOGS TO '{newest[0]}'")
        for number, position in enumerate((start, Position(start.flavour, start.coordinate))):
            with following(settings, tmp_path / str(number), position) as follower:
                assert isinstance(follower.wait_stopped(), PositionPurged)
            assert follower.transactions() == []


def test_large_transaction_takes_little_memory(source_db: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(source_db.server)
    source_db.execute(TABLE.format("t"), TABLE.format("u"))
    connection = source_db.connect(autocommit=False)
    with connection.cursor() as cursor:
        for number in range(160):
            cursor.execute("INSERT INTO t VALUES (%s, REPEAT('m', 500000))", (number,))
    with following(settings, tmp_path, segment_bytes=8 << 20) as follower:
        tracemalloc.start()
        connection.commit()
        source_db.execute("INSERT INTO u VALUES (1, 'x')")
        follower.catch_up()
        transactions = list(follower.relay.transactions(0))
        rows = 0
        for header, _ in transactions[0].events():
            rows += header.type in WRITE_ROWS
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert rows == 160 and transactions[0].bytes > 80_000_000
        assert peak < 16_000_000
        assert [t.seq for t in transactions] == [1, 2]


def test_two_with_one_server_id_stop_with_a_clear_error(source_db: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(source_db.server)
    with (
        following(settings, tmp_path / "one", server_id=77_001) as one,
        following(settings, tmp_path / "two", server_id=77_001) as two,
    ):
        wait_until(lambda: one.error or two.error)
        error = one.error or two.error
        assert isinstance(error, SourceError) and "server id" in str(error)
        assert "source.server_id" in error.hint


def test_full_relay_waits_and_goes_on(source_db: SourceDatabase, tmp_path: Path) -> None:
    settings = settings_of(source_db.server)
    source_db.execute(TABLE.format("t"))
    with following(settings, tmp_path, segment_bytes=1 << 17, budget_bytes=1 << 20) as follower:
        for number in range(30):
            source_db.execute(f"INSERT INTO t VALUES ({number}, REPEAT('f', 100000))")
        wait_until(lambda: follower.reader.state.over_budget)
        assert follower.writer.size_bytes < (1 << 20) + (1 << 18)
        seen: list[int] = []
        while len(seen) < 30:
            done = len(seen)
            assert follower.relay.wait(done, 20)
            seen += [row[1] for transaction in follower.relay.transactions(done) for row in row_ids(transaction)]
            follower.writer.purge(len(seen) + 1)
        assert seen == list(range(30))
        assert follower.writer.first_seq > 1


def test_statements_of_every_kind_are_counted(source_db: SourceDatabase, tmp_path: Path) -> None:
    """DDL, CREATE … SELECT, savepoints, MyISAM in a rolled-back transaction, statement format, XA: one number each."""
    settings = settings_of(source_db.server)
    source_db.execute(TABLE.format("t"), TABLE.format("m").replace("InnoDB", "MyISAM"))
    with following(settings, tmp_path) as follower:
        connection = source_db.connect(autocommit=False)
        with connection.cursor() as cursor:

            def run(*statements: str) -> None:
                for statement in statements:
                    cursor.execute(statement)

            run("INSERT INTO t VALUES (1, 'a')", "COMMIT")
            run("INSERT INTO t VALUES (2, 'a')", "SAVEPOINT s", "INSERT INTO t VALUES (3, 'a')")
            run("ROLLBACK TO s", "INSERT INTO t VALUES (4, 'a')", "COMMIT")
            run("CREATE TABLE c AS SELECT * FROM t")
            run("INSERT INTO m VALUES (5, 'a')", "COMMIT")
            run("SET SESSION binlog_format = STATEMENT", "INSERT INTO t VALUES (6, UUID_SHORT())", "COMMIT")
            run("SET SESSION binlog_format = ROW", "TRUNCATE TABLE c", "DROP TABLE c")
            run("XA START 'x'", "INSERT INTO t VALUES (7, 'a')", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'")
            run("XA START 'y'", "INSERT INTO t VALUES (8, 'a')", "XA END 'y'", "XA PREPARE 'y'", "XA ROLLBACK 'y'")
            run("CREATE VIEW v AS SELECT 1 AS one", "DROP VIEW v", "INSERT INTO t VALUES (9, 'a')", "COMMIT")
        follower.catch_up()
        transactions = follower.transactions()
        if follower.writer.gtids_known:
            # The server counts its transactions too.
            gtids = [t.gtid for t in transactions]
            assert all(gtids) and len(set(gtids)) == len(gtids)
        last = [row_ids(t) for t in transactions][-1]
        assert last == [("t", 9, 1)]
        ids = [row[1] for row in follower.rows() if row[0] == "t"]
        assert [n for n in ids if n not in (6, 7, 8)] == [1, 2, 4, 9]
