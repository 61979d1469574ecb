"""The source's checks on real servers: good, bad, and good again after the very fix that was offered."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import pymysql
import pytest

from model.errors import AccessDenied, Unreachable, UsageError
from servers import RunningServer
from servers.flavour import MYSQL_5_6
from sync.assess import SOURCE_CHECKS, STORE_CHECKS, assessment_json, assessment_text
from sync.mysql.dump import replica_id
from tests.support.assessing import assess, levels, mend, settings_for, statements, worst
from tests.support.servers import SourceDatabase, StoreDatabase, TestServers, source_database
from tests.support.streaming import wait_until

NOWHERE = "postgresql://nobody:secret-of-nobody@127.0.0.1:1/none"
"""A store that is not there: these tests are about the source."""
GOOD_TABLE = "CREATE TABLE good (id int PRIMARY KEY, name varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin)"
BINLOG = [
    "log_bin",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "binlog_compression",
    "binlog_order_commits",
    "binlog_filters",
    "binlog_retention",
    "gtid_mode",
    "server_id",
    "max_allowed_packet",
    "log_slave_updates",
]


def test_everything_is_well(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    source_db.execute(GOOD_TABLE)
    result = assess(settings_for(source_db.server, source_db.database, store_db.dsn))
    # The old server of the matrix has no GTIDs, which is said; see the next test.
    said = {"gtid_mode"} if source_db.server.flavour is MYSQL_5_6 else set()
    assert {f.check for f in result.findings if f.level != "OK"} == said
    assert not result.blocked
    assert {finding.check for finding in result.findings} == {*SOURCE_CHECKS, *STORE_CHECKS}
    assert all(finding.message and bool(finding.fix) is (finding.check in said) for finding in result.findings)


def test_old_server_without_gtids_is_said(mysql56: RunningServer) -> None:
    with source_database(mysql56) as database:
        database.execute(GOOD_TABLE)
        settings = settings_for(mysql56, database.database, NOWHERE)
        result = assess(settings)
        assert {f.check for f in result.findings if f.level != "OK"} == {"gtid_mode", "store_reachable"}
        assert worst(result, "gtid_mode").level == "WARN"
        demanding = settings_for(mysql56, database.database, NOWHERE, source={"position": "gtid"})
        assert worst(assess(demanding, only={"gtid_mode"}), "gtid_mode").level == "BLOCK"


def test_mysql_5_6_is_not_asked_for_its_replicas(mysql56: RunningServer) -> None:
    """It could end by that statement (signal 11), and it is somebody's shop."""
    asked = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'COM_SHOW_SLAVE_HOSTS'"
    with source_database(mysql56) as database:
        before = database.rows(asked)
        found = worst(assess(settings_for(mysql56, database.database, NOWHERE)), "server_id")
        assert found.level == "OK" and "SHOW SLAVE HOSTS can end MySQL 5.6" in found.message
        assert database.rows(asked) == before


def test_binlog_switched_to_every_wrong_setting_and_mended(start_private: Callable[..., RunningServer]) -> None:
    server = start_private("mysql-9.7", gtid_mode="OFF", enforce_gtid_consistency="OFF")
    database = SourceDatabase(server, "mysql")
    database.execute(
        "CREATE DATABASE shop",
        "CREATE TABLE shop.wide (id int PRIMARY KEY, t longtext)",
        "SET GLOBAL binlog_format = 'STATEMENT'",
        "SET GLOBAL binlog_row_image = 'MINIMAL'",
        "SET GLOBAL binlog_row_metadata = 'MINIMAL'",
        "SET GLOBAL binlog_row_value_options = 'PARTIAL_JSON'",
        "SET GLOBAL binlog_transaction_compression = ON",
        "SET GLOBAL binlog_order_commits = OFF",
        "SET GLOBAL binlog_expire_logs_seconds = 60",
        "SET GLOBAL max_allowed_packet = 1048576",
        "SET GLOBAL server_id = 0",
    )
    settings = settings_for(server, "shop", NOWHERE)
    result = assess(settings)
    assert levels(result, *BINLOG) == {
        "log_bin": "OK",
        "binlog_format": "BLOCK",
        "binlog_row_image": "WARN",
        "binlog_row_metadata": "OK",
        "binlog_row_value_options": "BLOCK",
        "binlog_compression": "OK",
        "binlog_order_commits": "WARN",
        "binlog_filters": "OK",
        "binlog_retention": "BLOCK",
        "gtid_mode": "WARN",
        "server_id": "BLOCK",
        "max_allowed_packet": "WARN",
        "log_slave_updates": "OK",
    }
    assert "reads it as it is" in worst(result, "binlog_compression").message
    assert result.blocked
    ruled = settings_for(server, "shop", NOWHERE, tables={"wide": {"where": "id > 1"}})
    assert worst(assess(ruled, only={"binlog_row_image"}), "binlog_row_image").level == "BLOCK"
    bad = [worst(result, check) for check in BINLOG]
    mend(server, *(finding for finding in bad if finding.fix))
    assert set(levels(assess(settings), *BINLOG).values()) == {"OK"}


def test_filters_and_no_binlog_at_all(start_private: Callable[..., RunningServer]) -> None:
    server = start_private("mariadb-10.11", binlog_do_db=["other"])
    admin = SourceDatabase(server, "mysql")
    admin.execute("CREATE DATABASE shop", "CREATE DATABASE other", "CREATE TABLE shop.t (id int PRIMARY KEY)")
    admin.execute("CREATE TABLE other.t (id int PRIMARY KEY)")
    blocked = worst(assess(settings_for(server, "shop", NOWHERE)), "binlog_filters")
    assert (blocked.level, "shop" in blocked.message) == ("BLOCK", True)
    assert worst(assess(settings_for(server, "other", NOWHERE)), "binlog_filters").level == "WARN"
    # A replica that does not log what it receives (MariaDB's default).
    admin.execute("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_USER='x', MASTER_PASSWORD='y', MASTER_PORT=1")
    finding = worst(assess(settings_for(server, "other", NOWHERE)), "log_slave_updates")
    assert (finding.level, "log_slave_updates = ON" in finding.fix) == ("BLOCK", True)
    server.stop()
    server.restart(options={"log_bin": None, "skip_log_bin": True})
    result = assess(settings_for(server, "other", NOWHERE))
    assert worst(result, "log_bin").level == "BLOCK"
    assert "log_bin = binlog" in worst(result, "log_bin").fix


def test_our_replica_id_is_taken(source_db: SourceDatabase) -> None:
    source_db.execute(GOOD_TABLE)
    server = source_db.server
    settings = settings_for(server, source_db.database, NOWHERE)
    ours = replica_id(settings.source, settings.name)
    connection = source_db.connect()
    register_replica(connection, ours)
    try:
        finding = worst(assess(settings), "server_id")
        # MySQL 5.6 is not asked: what a replica that never read the binlog leaves behind can end it.
        level = "OK" if server.flavour is MYSQL_5_6 else "WARN"
        assert (finding.level, str(ours) in finding.message) == (level, True)
    finally:
        connection.close()
    own = int(source_db.rows("SELECT @@GLOBAL.server_id")[0][0])
    clash = settings_for(server, source_db.database, NOWHERE, source={"server_id": own})
    assert worst(assess(clash), "server_id").level == "BLOCK"


def register_replica(connection: Any, server_id: int) -> None:
    """COM_REGISTER_SLAVE, as a replica sends it."""
    strings = b"".join(bytes([len(text)]) + text for text in (b"elsewhere", b"", b""))
    connection._execute_command(0x15, struct.pack("<I", server_id) + strings + struct.pack("<HII", 0, 0, 0))
    connection._read_ok_packet()


def test_wrong_flavour(source_db: SourceDatabase) -> None:
    source_db.execute(GOOD_TABLE)
    settings = settings_for(source_db.server, source_db.database, NOWHERE)
    other = {"mysql": "mariadb", "mariadb": "mysql"}[settings.source.engine.value]
    wrong = settings_for(source_db.server, source_db.database, NOWHERE, source={"engine": other})
    finding = worst(assess(wrong), "flavour")
    assert (finding.level, finding.fix) == ("BLOCK", f"source: {{engine: {settings.source.engine.value}}}")


def test_nothing_to_migrate_and_nothing_to_see(source_db: SourceDatabase) -> None:
    empty = worst(assess(settings_for(source_db.server, source_db.database, NOWHERE)), "catalogue")
    assert (empty.level, "no table" in empty.message) == ("BLOCK", True)
    absent = worst(assess(settings_for(source_db.server, "absent_db", NOWHERE)), "catalogue")
    assert (absent.level, "absent_db" in absent.message) == ("BLOCK", True)


def test_configuration_that_does_not_fit_the_tables(source_db: SourceDatabase) -> None:
    source_db.execute(GOOD_TABLE)
    settings = settings_for(source_db.server, source_db.database, NOWHERE, tables={"god": {"skip": True}})
    finding = worst(assess(settings), "plan")
    assert (finding.level, "god" in finding.message) == ("BLOCK", True)


def test_source_that_lets_us_in_not_at_all(source_db: SourceDatabase) -> None:
    wrong = settings_for(source_db.server, source_db.database, NOWHERE, source={"password": "wrong-password"})
    with pytest.raises(AccessDenied) as caught:
        assess(wrong)
    assert "wrong-password" not in str(caught.value)
    closed = settings_for(source_db.server, source_db.database, NOWHERE, source={"port": 1})
    with pytest.raises(Unreachable):
        assess(closed)


def test_only_some_checks(source_db: SourceDatabase) -> None:
    source_db.execute(GOOD_TABLE)
    settings = settings_for(source_db.server, source_db.database, NOWHERE)
    assert {f.check for f in assess(settings, only={"log_bin", "store_reachable"}).findings} == {
        "log_bin",
        "store_reachable",
    }
    with pytest.raises(UsageError, match="log_bim"):
        assess(settings, only={"log_bim"})


def test_renderings_hold_every_bad_finding_and_no_secret(source_db: SourceDatabase) -> None:
    source_db.execute("CREATE TABLE keyless (a int)")
    result = assess(settings_for(source_db.server, source_db.database, NOWHERE))
    text, values = assessment_text(result), assessment_json(result)
    for finding in result.findings:
        if finding.level != "OK":
            assert finding.message in text
            assert finding.fix in text
    assert values["blocked"] is True
    assert len(values["findings"]) == len(result.findings)
    for secret in ("secret-of-nobody", source_db.server.password):
        assert secret not in text + str(values)


def test_store_database_is_left_alone(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    """An assessment changes nothing."""
    source_db.execute(GOOD_TABLE)
    before = store_db.rows("SELECT count(*) FROM pg_class")
    assess(settings_for(source_db.server, source_db.database, store_db.dsn))
    assert store_db.rows("SELECT count(*) FROM pg_class") == before
    assert source_db.rows("SHOW TABLES") == [("good",)]


XIDS = ("'plain'", "X'ff0027','branch',7", "X'69742773','two',1")
"""Of words, of bytes that are no text, and with a quote in it."""


@contextmanager
def prepared(database: SourceDatabase, xid: str, number: int) -> Iterator[Any]:
    """A row of `t`, prepared; gives the session. Whatever happens, none is left: it would lock everybody out."""
    session = database.connect()
    with session.cursor() as cursor:
        for statement in (f"XA START {xid}", f"INSERT INTO t VALUES ({number})", f"XA END {xid}", f"XA PREPARE {xid}"):
            cursor.execute(statement)
    try:
        yield session
    finally:
        for connection in (session, database.connect()):
            # Who prepared it may end it, and once that session has gone everybody; the other one is told so.
            with suppress(pymysql.err.Error), closing(connection), connection.cursor() as cursor:
                cursor.execute(f"XA ROLLBACK {xid}")


@pytest.mark.parametrize("flavour", ["mysql-5.6", "mysql-9.7", "mariadb-10.11"])
def test_prepared_xa_transactions_are_named_as_the_server_takes_them(servers: TestServers, flavour: str) -> None:
    with source_database(servers.shared(flavour)) as database, ExitStack() as stack:
        database.execute("CREATE TABLE t (id int PRIMARY KEY)")
        settings = settings_for(database.server, database.database, NOWHERE)
        assert levels(assess(settings), "prepared_xa") == {"prepared_xa": "OK"}
        sessions = {xid: stack.enter_context(prepared(database, xid, number)) for number, xid in enumerate(XIDS)}
        found = worst(assess(settings), "prepared_xa")
        assert found.level == "WARN" and found.message.startswith("3 prepared XA transactions wait for their verdict: ")
        assert all(xid in found.message for xid in XIDS)
        assert sorted(statements(found.fix)) == sorted(f"XA ROLLBACK {xid}" for xid in XIDS)
        for xid, session in sessions.items():
            with session.cursor() as cursor:
                cursor.execute(f"XA ROLLBACK {xid}")
        assert levels(assess(settings), "prepared_xa") == {"prepared_xa": "OK"}
        assert database.rows("SELECT * FROM t") == []


@pytest.mark.parametrize("flavour", ["mysql-9.7", "mariadb-10.11"])
def test_one_whose_session_is_gone_tells_its_age_and_is_ended_by_the_fix(servers: TestServers, flavour: str) -> None:
    """MySQL 5.6 takes it back with its session."""
    server = servers.shared(flavour)
    with source_database(server) as database:
        database.execute("CREATE TABLE t (id int PRIMARY KEY)")
        settings = settings_for(server, database.database, NOWHERE)
        with prepared(database, "'left'", 1) as session:
            session.close()
            wait_until(lambda: "its session has left" in worst(assess(settings), "prepared_xa").message)
            found = worst(assess(settings), "prepared_xa")
            age = re.search(r"transactions wait for their verdict: 'left'; .* began ([0-9,]+) s ago", found.message)
            assert age is not None and int(age[1].replace(",", "")) < 3600  # and not a time zone's worth
            mend(server, found)
        assert levels(assess(settings), "prepared_xa") == {"prepared_xa": "OK"}


@pytest.mark.parametrize("flavour", ["mysql-5.6", "mysql-9.7", "mariadb-10.11"])
def test_who_may_not_ask_for_prepared_xa_transactions_is_told_so(servers: TestServers, flavour: str) -> None:
    server = servers.shared(flavour)
    with source_database(server) as database:
        database.execute(
            "CREATE USER 'curious'@'%' IDENTIFIED BY 'pw-of-user'",
            f"GRANT SELECT ON `{database.database}`.* TO 'curious'@'%'",
        )
        try:
            account = {"user": "curious", "password": "pw-of-user"}
            settings = settings_for(server, database.database, NOWHERE, source=account)
            found = worst(assess(settings), "prepared_xa")
            if flavour == "mysql-9.7":
                assert found.level == "WARN" and "could not be asked" in found.message
                mend(server, found)
                found = worst(assess(settings), "prepared_xa")
            assert found.level == "OK"
        finally:
            database.execute("DROP USER 'curious'@'%'")
