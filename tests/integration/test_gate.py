"""The source's gate on real servers: closing waits for open writers, refuses everybody after, and opens by itself."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pymysql
import pytest

from config.settings import SourceSettings
from model.errors import Busy, Fenced, Refused
from model.tables import TableId
from servers import RunningServer
from stores.mysql import MysqlConnection, connect_source, probe
from sync.mysql.gate import SourceGate
from sync.mysql.gate_ddl import PASS_VARIABLE
from tests.support.servers import SourceDatabase, source_database
from tests.support.streaming import settings_of, wait_until

SOURCES = ("mariadb-10.11", "mysql-9.7", "mysql-5.6")


@dataclass
class Gated:
    """A database with a gate before its tables."""

    db: SourceDatabase
    gate: SourceGate
    connection: MysqlConnection[Any]
    settings: SourceSettings

    @property
    def table(self) -> TableId:
        """A table of the domain."""
        return TableId(self.db.database, "t")

    def write(self, statement: str = "INSERT INTO t (v) VALUES (1)") -> int:
        """An application's write: 0, or the error's number."""
        try:
            self.db.execute(statement)
        except pymysql.err.MySQLError as error:
            return int(error.args[0])
        return 0


@pytest.fixture(params=SOURCES)
def gated(request: pytest.FixtureRequest, servers: object) -> Iterator[Gated]:
    """Two tables of the domain `shop` behind an open gate, and one that is not in it."""
    server: RunningServer = servers.shared(request.param)  # type: ignore[attr-defined]
    with source_database(server) as db:
        db.execute(
            "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL) ENGINE=InnoDB",
            "CREATE TABLE child (id INT NOT NULL PRIMARY KEY, t INT NOT NULL, FOREIGN KEY (t) REFERENCES t (id))"
            " ENGINE=InnoDB",
            "CREATE TABLE free (id INT PRIMARY KEY) ENGINE=InnoDB",
            "INSERT INTO t (v) VALUES (1), (2)",
        )
        settings = settings_of(server, databases=(db.database,))
        with closing(connect_source(settings)) as connection:
            gate = SourceGate(connection, "shop", f"{db.database}_cf")
            gate.prepare(probe(connection), [TableId(db.database, "t"), TableId(db.database, "child")])
            yield Gated(db, gate, connection, settings)
            db.execute(f"DROP DATABASE `{db.database}_cf`")


def test_an_open_gate_refuses_nobody_and_preparing_is_idempotent(gated: Gated) -> None:
    tables = [gated.table, TableId(gated.db.database, "child")]
    assert gated.gate.missing(tables) == []
    assert gated.gate.prepare(probe(gated.connection), tables) == []
    assert gated.write() == 0
    assert gated.gate.refused(gated.table) is False
    assert gated.db.rows("SELECT count(*) FROM t") == [(3,)]


def test_a_closed_gate_refuses_every_kind_of_write(gated: Gated) -> None:
    row = gated.gate.close(0, 1, 30)
    assert (row.epoch, row.closed, row.final) == (1, True, False)
    assert row.left_s is not None and 25 < row.left_s <= 30
    for statement in (
        "INSERT INTO t (v) VALUES (1)",
        "UPDATE t SET v = 9",
        "DELETE FROM t WHERE id = 1",
        "REPLACE INTO t (id, v) VALUES (1, 5)",
        "INSERT IGNORE INTO t (id, v) VALUES (77, 5)",
        "INSERT INTO t (id, v) VALUES (1, 1) ON DUPLICATE KEY UPDATE v = 3",
        "INSERT INTO child VALUES (1, 1)",
    ):
        assert gated.write(statement) == 1644, statement
    assert gated.write("INSERT INTO free VALUES (1)") == 0
    assert gated.gate.refused(gated.table)
    assert gated.gate.refused(TableId(gated.db.database, "child"))
    assert gated.gate.refused(TableId(gated.db.database, "free")) is False
    assert gated.db.rows("SELECT id, v FROM t ORDER BY id") == [(1, 1), (2, 2)]
    assert gated.gate.abandon(1, 2)
    assert gated.write() == 0


def test_closing_waits_for_an_open_writer_and_new_ones_queue_behind_it(gated: Gated) -> None:
    closed = threading.Event()

    def close() -> None:
        with closing(connect_source(gated.settings)) as connection:
            SourceGate(connection, "shop", f"{gated.db.database}_cf").close(0, 1, 30)
        closed.set()

    with closing(gated.db.connect(autocommit=False)) as writer, closing(gated.db.connect(autocommit=False)) as old:
        with old.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM t")  # an older snapshot than the closing
        with writer.cursor() as cursor:
            cursor.execute("UPDATE t SET v = v + 1 WHERE id = 1")
        thread = threading.Thread(target=close)
        thread.start()
        assert not closed.wait(0.4)
        results: list[int] = []
        late = threading.Thread(target=lambda: results.append(gated.write()))
        late.start()
        late.join(0.3)
        assert late.is_alive() and not results
        writer.commit()
        thread.join(10)
        late.join(10)
        assert closed.is_set()
        assert results == [1644]
        with pytest.raises(pymysql.err.MySQLError) as caught, old.cursor() as cursor:
            cursor.execute("UPDATE t SET v = 0 WHERE id = 2")
        assert caught.value.args[0] == 1644
    assert gated.db.rows("SELECT v FROM t ORDER BY id") == [(2,), (2,)]


def test_a_writer_that_does_not_end_leaves_the_gate_open(gated: Gated) -> None:
    with closing(gated.db.connect(autocommit=False)) as writer:
        with writer.cursor() as cursor:
            cursor.execute("UPDATE t SET v = v + 1 WHERE id = 1")
        with pytest.raises(Busy):
            gated.gate.close(0, 1, 30)
        assert gated.gate.abandon(1, 2), "there is nothing to undo, and nothing to wait for"
        writer.commit()
    row = gated.gate.must_read()
    assert (row.epoch, row.closed) == (0, False)
    assert gated.write() == 0


def test_it_opens_by_itself_and_then_nothing_makes_it_final(gated: Gated) -> None:
    gated.gate.close(0, 1, 0.6)
    assert gated.write() == 1644
    assert gated.gate.extend_for_good(1) is False, "less than the margin is left"
    wait_until(lambda: gated.write() == 0)
    assert gated.gate.extend_for_good(1, margin_s=0) is False
    assert gated.gate.must_read().refuses is False
    # A later attempt takes it over.
    gated.gate.close(1, 2, 30)
    assert gated.gate.extend_for_good(1) is False
    assert gated.gate.extend_for_good(2) is True
    assert gated.gate.extend_for_good(2) is True, "asked again after a lost answer it says the same"
    assert gated.gate.must_read().final
    assert gated.write() == 1644


def test_neither_a_forged_clock_nor_a_time_zone_opens_it(gated: Gated) -> None:
    gated.gate.close(0, 1, 60)
    for setting in ("timestamp = UNIX_TIMESTAMP() + 7200", "time_zone = '+13:00'", "time_zone = '-12:00'"):
        with closing(gated.db.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"SET SESSION {setting}")
            with pytest.raises(pymysql.err.MySQLError) as caught:
                cursor.execute("INSERT INTO t (v) VALUES (1)")
            assert caught.value.args[0] == 1644


def test_only_the_present_pass_goes_through(gated: Gated) -> None:
    old, new = secrets.token_hex(16), secrets.token_hex(16)
    gated.gate.set_pass(old)
    gated.gate.set_pass(new)
    gated.gate.close(0, 1, 60)
    assert gated.gate.extend_for_good(1)
    for shown, allowed in ((new, True), (old, False), (hashlib.sha256(new.encode()).hexdigest(), False)):
        with closing(gated.db.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"SET {PASS_VARIABLE} = %s", (shown,))
            if allowed:
                cursor.execute("INSERT INTO t (v) VALUES (8)")
            else:
                with pytest.raises(pymysql.err.MySQLError):
                    cursor.execute("INSERT INTO t (v) VALUES (8)")
    assert gated.db.rows("SELECT count(*) FROM t WHERE v = 8") == [(1,)]
    with closing(connect_source(gated.settings.with_gate_pass(new), database=gated.db.database)) as ours:
        assert gated.gate.__class__(ours, "shop", f"{gated.db.database}_cf").refused(gated.table) is False


def test_epochs_keep_a_displaced_daemon_out(gated: Gated) -> None:
    gated.gate.close(0, 1, 60)
    assert gated.gate.abandon(1, 2)
    assert gated.gate.abandon(1, 2), "again after a lost answer"
    assert gated.gate.extend_for_good(1) is False
    with pytest.raises(Fenced):
        gated.gate.close(1, 3, 60)
    gated.gate.close(2, 3, 60)
    assert gated.gate.extend_for_good(3)
    assert gated.gate.abandon(3, 4) is False, "the point of no return was passed"
    assert gated.gate.must_read().final
    assert gated.gate.renumber(3, 5)
    assert gated.gate.reopen(3, 4) is False
    assert gated.gate.reopen(5, 6)
    assert gated.write() == 0


def test_a_lost_gate_row_is_closed(gated: Gated) -> None:
    gated.db.execute(f"DELETE FROM `{gated.db.database}_cf`.gate")
    assert gated.write() == 1644


def test_a_trigger_of_the_application(gated: Gated) -> None:
    """Beside ours where the server allows it, else it takes our gate in: refused with what to put there until then."""
    gated.db.execute(
        "CREATE TABLE own (id INT PRIMARY KEY, n INT) ENGINE=InnoDB",
        "CREATE TRIGGER own_trigger BEFORE INSERT ON own FOR EACH ROW SET NEW.n = 7",
    )
    own = TableId(gated.db.database, "own")
    info = probe(gated.connection)
    if info.version < (5, 7, 2):
        with pytest.raises(Refused, match="own_trigger") as refused:
            gated.gate.prepare(info, [own])
        assert gated.write("INSERT INTO own (id) VALUES (0)") == 0
        begin = str(refused.value.hint).index("BEGIN DECLARE")
        block = str(refused.value.hint)[begin:].partition("; its definer")[0]
        gated.db.execute(
            "DROP TRIGGER own_trigger",
            f"CREATE TRIGGER own_trigger BEFORE INSERT ON own FOR EACH ROW BEGIN {block}; SET NEW.n = 7; END",
        )
        gated.db.execute("DELETE FROM own")
    gated.gate.prepare(info, [own])
    assert gated.gate.missing([own]) == []
    assert gated.gate.hosts([own]) == (["own_trigger"] if info.version < (5, 7, 2) else [])
    gated.gate.close(0, 1, 60)
    assert gated.write("INSERT INTO own (id) VALUES (1)") == 1644
    gated.gate.abandon(1, 2)
    assert gated.write("INSERT INTO own (id) VALUES (1)") == 0
    assert gated.db.rows("SELECT n FROM own") == [(7,)]


def test_a_changed_trigger_is_seen_and_mended(gated: Gated) -> None:
    (name,) = next(
        iter(gated.db.rows("SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"))
    )
    gated.db.execute(f"DROP TRIGGER `{name}`")
    tables = [gated.table, TableId(gated.db.database, "child")]
    assert len(gated.gate.missing(tables)) == 1
    gated.gate.prepare(probe(gated.connection), tables)
    assert gated.gate.missing(tables) == []


def test_a_refused_writer_that_stays_idle_is_in_nobodys_way(gated: Gated) -> None:
    gated.gate.close(0, 1, 30)
    with closing(gated.db.connect(autocommit=False)) as idle:
        with idle.cursor() as cursor, pytest.raises(pymysql.err.MySQLError) as caught:
            cursor.execute("INSERT INTO t (v) VALUES (1)")
        assert caught.value.args[0] == 1644
        gated.gate.set_pass("the next daemon's")
        assert gated.gate.extend_for_good(1)
        assert gated.gate.reopen(1, 2)
        idle.rollback()
    assert gated.write() == 0


def test_a_snapshot_from_before_the_gate_is_not_refused_by_it(gated: Gated) -> None:
    with closing(gated.db.connect(autocommit=False)) as old:
        with old.cursor() as cursor:
            gated.db.execute(f"DELETE FROM {gated.db.database}_cf.gate")
            cursor.execute("SELECT count(*) FROM t")
            gated.db.execute(f"INSERT INTO {gated.db.database}_cf.gate (domain) VALUES ('shop')")
            cursor.execute("INSERT INTO t (v) VALUES (1)")
        old.commit()
