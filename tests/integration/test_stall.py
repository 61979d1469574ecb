"""Rule R1 on real servers: a transaction that hangs between "in the binlog" and "visible" is not lost by a copy.

A semi-synchronous source (AFTER_SYNC) that no replica acknowledges holds one transaction there for seconds: the relay
has it, S includes it, a plain SELECT does not see it. A copy that begins in this window must still contain its row.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pymysql.cursors import Cursor

from model.errors import Busy
from model.position import Position
from model.tables import TableId
from stores.mysql import binlog_end, connect_source, probe
from sync.mysql.catalog import read_tables
from sync.mysql.visibility import Reading, Visibility
from tests.support.copying import Copying, copying
from tests.support.servers import SourceDatabase, StoreDatabase, TestServers, source_database
from tests.support.streaming import settings_of, wait_until

STALL_S = 3
STALLED = 777


@dataclass(frozen=True, slots=True)
class StallingSource:
    """A source that can be told to hold commits before the engine commits them."""

    database: SourceDatabase
    prefix: str
    """Of its semi-synchronous variables."""

    def arm(self) -> None:
        """The next commits hang for STALL_S (or until `release`)."""
        replica = "slave" if "master" in self.prefix else "replica"
        self.database.execute(
            f"SET GLOBAL {self.prefix}_wait_point = 'AFTER_SYNC'",
            f"SET GLOBAL {self.prefix}_wait_no_{replica} = ON",
            f"SET GLOBAL {self.prefix}_timeout = {STALL_S * 1000}",
            f"SET GLOBAL {self.prefix}_enabled = ON",
        )

    def release(self) -> None:
        """Let the commits through."""
        self.database.execute(f"SET GLOBAL {self.prefix}_enabled = OFF")

    @contextmanager
    def stalled(self, *statements: str) -> Iterator[threading.Thread]:
        """The statements, in one transaction, hang in their commit inside the block."""

        def write() -> None:
            connection = self.database.connect(autocommit=False)
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
            connection.commit()
            connection.close()

        before = self.database.rows("SHOW BINARY LOGS")[-1][1]
        self.arm()
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        wait_until(lambda: self.database.rows("SHOW BINARY LOGS")[-1][1] > before)
        try:
            yield writer
        finally:
            self.release()
            writer.join(30)
            assert not writer.is_alive()


@pytest.fixture(scope="module", params=["mariadb-10.11", "mysql-9.7", "mysql-9.7-without-gtids"])
def stalling(request: pytest.FixtureRequest, servers: TestServers) -> Iterator[StallingSource]:
    """A private source of each way to prove S."""
    flavour = request.param.removesuffix("-without-gtids")
    mysql = flavour.startswith("mysql")
    options = {"plugin_load_add": "semisync_source.so"} if mysql else {}
    if request.param.endswith("-without-gtids"):
        options |= {"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}
    server = servers.private(flavour, options)
    try:
        with source_database(server) as database:
            yield StallingSource(database, "rpl_semi_sync_source" if mysql else "rpl_semi_sync_master")
    finally:
        server.remove()


@pytest.fixture
def tables(stalling: StallingSource) -> Iterator[None]:
    """`t` with a key and `keyless` without one, two rows each."""
    stalling.database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))",
        "CREATE TABLE keyless (id INT, v VARCHAR(20))",
        "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
        "INSERT INTO keyless VALUES (1, 'a'), (2, 'b')",
    )
    yield
    stalling.database.execute("DROP TABLE t", "DROP TABLE keyless")


@contextmanager
def copy_in_the_stall(
    stalling: StallingSource, store_db: StoreDatabase, directory: Path, table: str
) -> Iterator[Copying]:
    """A copy of one table whose S includes a transaction that nobody sees yet."""
    with copying(stalling.database, store_db, directory) as copy:
        copy.plan(table)
        copy.follower.catch_up()
        before = copy.follower.writer.tail
        assert before is not None
        with stalling.stalled(f"INSERT INTO {table} VALUES ({STALLED}, 'stalled')") as writer:
            # The relay has it …
            wait_until(lambda: (copy.follower.writer.tail or before).seq == before.seq + 1, 3)
            # … and nobody sees it.
            assert stalling.database.rows(f"SELECT id FROM {table} WHERE id = {STALLED}") == []
            assert writer.is_alive()
            yield copy


@pytest.mark.parametrize("store", ["postgres-15"], indirect=True)
@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("table", ["t", "keyless"])
def test_a_stalled_transaction_is_in_the_copy(
    stalling: StallingSource, store_db: StoreDatabase, tmp_path: Path, table: str
) -> None:
    with copy_in_the_stall(stalling, store_db, tmp_path, table) as copy:
        copy.run()
        ids = {row[0] for row in copy.rows(table)}
        gate = copy.state(table).gate_seq
        assert gate is not None
        # Whatever is not in the copy must be replayed: the row is in one of the two, and by S it cannot be in both.
        stalled_seq = copy.follower.transactions()[-1].seq
        if table == "t":
            assert gate >= stalled_seq
        assert (str(STALLED) in ids) == (gate >= stalled_seq)
        assert {"1", "2"} <= ids


@pytest.mark.parametrize("store", ["postgres-15"], indirect=True)
@pytest.mark.usefixtures("tables")
def test_without_the_proof_the_row_is_lost(
    stalling: StallingSource, store_db: StoreDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: the window of the test above is real."""
    monkeypatch.setattr(Visibility, "prove", lambda *arguments: Reading.PLAIN)
    with copy_in_the_stall(stalling, store_db, tmp_path, "t") as copy:
        copy.run()
        assert [row[0] for row in copy.rows("t")] == ["1", "2"]


@pytest.mark.usefixtures("tables")
class TestMariadbSnapshotPosition:
    """Way A by itself, for a copy never begins it trusting and stalled at once."""

    @pytest.fixture
    def visibility(self, stalling: StallingSource) -> Visibility:
        if "master" not in stalling.prefix:
            pytest.skip("binlog_snapshot_* is MariaDB's")
        connection = connect_source(settings_of(stalling.database.server))
        return Visibility(probe(connection), threading.Event())

    def end(self, stalling: StallingSource) -> Position:
        """End of the binlog, the stalled transaction included."""
        connection = connect_source(settings_of(stalling.database.server))
        return binlog_end(connection, probe(connection))

    def test_a_trusted_position_waits_for_the_stall_to_end(
        self, stalling: StallingSource, visibility: Visibility
    ) -> None:
        connection = connect_source(settings_of(stalling.database.server))
        visibility.open_snapshot(connection)
        for number in range(10, 16):
            stalling.database.execute(f"INSERT INTO t VALUES ({number}, '')")
        with stalling.stalled(f"INSERT INTO t VALUES ({STALLED}, '')") as writer:
            low = self.end(stalling)
            assert visibility.open_snapshot(connection).trusted
            assert writer.is_alive()
            assert visibility.prove(connection, low) is Reading.PLAIN
            assert stalling.database.rows(f"SELECT COUNT(*) FROM t WHERE id = {STALLED}") == [(1,)]

    def test_after_a_rotation_the_position_is_not_believed(
        self, stalling: StallingSource, visibility: Visibility
    ) -> None:
        """FLUSH BINARY LOGS moves the server's mark past the stalled transaction although nobody sees it."""
        connection = connect_source(settings_of(stalling.database.server))
        visibility.open_snapshot(connection)
        for number in range(10, 16):
            stalling.database.execute(f"INSERT INTO t VALUES ({number}, '')")
        with stalling.stalled(f"INSERT INTO t VALUES ({STALLED}, '')"):
            low = self.end(stalling)
            rotation = threading.Thread(target=stalling.database.execute, args=("FLUSH BINARY LOGS",), daemon=True)
            rotation.start()
            # The trap: by its coordinate this snapshot contains S, and it does not.
            wait_until(lambda: visibility.open_snapshot(connection).coordinate > low.coordinate, 3)
            assert not visibility.open_snapshot(connection).trusted
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT id FROM `{stalling.database.database}`.t WHERE id = {STALLED}")
                assert cursor.fetchall() == ()
            assert visibility.prove(connection, low) is Reading.LOCKING
        rotation.join(30)


@pytest.mark.parametrize("name", ["mysql-9.7", "mysql-5.6"])
def test_a_table_without_a_key_is_not_read_under_an_open_writer(servers: TestServers, name: str) -> None:
    """Only when every transaction that wrote the table has ended do a position and a snapshot say the same."""
    if not servers.can_be_had(name):
        pytest.skip(f"{name} is not here")
    with source_database(servers.shared(name)) as source:
        source.execute("CREATE TABLE keyless (id INT) ENGINE=InnoDB")
        settings = settings_of(source.server)
        control = connect_source(settings)
        info = probe(control)
        wanted = TableId(source.database, "keyless")
        table = read_tables(control, info, [wanted])[wanted]
        visibility = Visibility(info, threading.Event())

        def rows() -> list[tuple[object, ...]]:
            low = binlog_end(control, info)
            with (
                visibility.exact(lambda: connect_source(settings), control, table, low) as (reader, _),
                reader.cursor(Cursor) as cursor,
            ):
                # Writers go on as soon as the snapshot is open, and it does not see them.
                source.execute("SET SESSION innodb_lock_wait_timeout = 1", "INSERT INTO keyless VALUES (2)")
                cursor.execute("SELECT count(*) FROM " + f"`{source.database}`.keyless")
                return list(cursor.fetchall())

        writer = source.connect(autocommit=False)
        with writer.cursor() as cursor:
            cursor.execute("INSERT INTO keyless VALUES (1)")
        with pytest.raises(Busy):
            rows()
        writer.commit()
        assert [int(str(row[0])) for row in rows()] == [1]
        writer.close()
        control.close()
