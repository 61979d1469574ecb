"""Every flavour starts, answers, stops, survives a kill, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pymysql
import pytest

from model.errors import UsageError
from servers import FLAVOURS, Engine, RunningServer, ServerFailed, running, start_server
from servers.ports import free_port
from tests.support.servers import MATRIX_SOURCES, MATRIX_STORES, SourceDatabase, StoreDatabase, TestServers, Where

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
ALL = [*MATRIX_SOURCES, *MATRIX_STORES]
Start = Callable[..., RunningServer]


def database(server: RunningServer) -> SourceDatabase | StoreDatabase:
    if server.flavour.engine is Engine.POSTGRES:
        return StoreDatabase(server, "postgres")
    return SourceDatabase(server, "mysql")


def processes_of(server: RunningServer) -> list[int]:
    """Processes that mention the server's data folder in their command or have it as working folder."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            command = (process / "cmdline").read_bytes()
            folder = str((process / "cwd").readlink())
        except OSError:
            continue
        if os.fsencode(server.data_dir) in command or folder == str(server.data_dir):
            found.append(int(process.name))
    return found


def wait_until_gone(pid: int) -> bool:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.05)):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        pause.wait(0.05)
    return False


def test_the_matrix_names_every_flavour() -> None:
    assert sorted(ALL) == sorted(FLAVOURS)


@pytest.mark.parametrize("name", ALL)
def test_life_of_a_server(name: str, start_private: Start) -> None:
    server = start_private(name)
    query = "SHOW server_version" if server.flavour.engine is Engine.POSTGRES else "SELECT version()"
    assert database(server).rows(query)[0][0].startswith(server.flavour.series)
    database(server).execute("CREATE TABLE kept (n int PRIMARY KEY)", "INSERT INTO kept VALUES (1)")
    port, first = server.port, server.pid

    server.stop()
    assert server.pid == 0
    assert not processes_of(server)
    with pytest.raises((psycopg.OperationalError, pymysql.err.OperationalError)):
        database(server).connect()

    server.restart()
    assert server.port == port
    assert server.pid not in (0, first)
    database(server).execute("INSERT INTO kept VALUES (2)")

    server.kill()
    assert server.pid == 0
    assert not processes_of(server), "the kill left processes behind"

    server.restart()
    assert database(server).rows("SELECT n FROM kept ORDER BY n") == [(1,), (2,)]

    server.remove()
    assert not processes_of(server)
    assert not server.data_dir.exists()


def test_source_logs_rows_in_full_and_durably(source_db: SourceDatabase) -> None:
    variables = dict(source_db.rows("SHOW GLOBAL VARIABLES"))
    wanted = {
        "log_bin": "ON",
        "binlog_format": "ROW",
        "binlog_row_image": "FULL",
        "sync_binlog": "1",
        "innodb_flush_log_at_trx_commit": "1",
        "max_allowed_packet": str(2**30),
        "local_infile": "ON",
        "server_id": str(source_db.server.port),
    }
    assert {name: variables[name] for name in wanted} == wanted
    if source_db.server.flavour.name == "mysql-9.7":
        assert variables["gtid_mode"] == variables["enforce_gtid_consistency"] == "ON"


def test_store_is_durable_and_decodes_logically(store_db: StoreDatabase) -> None:
    variables = {name: store_db.rows(f"SHOW {name}")[0][0] for name in ("fsync", "wal_level", "synchronous_commit")}
    assert variables == {"fsync": "on", "wal_level": "logical", "synchronous_commit": "on"}
    store_db.rows("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")


def test_store_wants_the_password(store_db: StoreDatabase) -> None:
    method = store_db.rows("SELECT auth_method FROM pg_hba_file_rules WHERE type = 'host'")
    assert set(method) == {("scram-sha-256",)}
    wrong = store_db.dsn.replace(store_db.server.password, "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_mysql_speaks_tls_with_a_verified_certificate(mysql97: RunningServer) -> None:
    authority = mysql97.data_dir / "ca.pem"
    if not authority.exists():
        pytest.skip("the server's data folder is out of reach")
    with SourceDatabase(mysql97, "mysql").connect(
        ssl={"ca": str(authority), "check_hostname": False, "verify_mode": "required"}
    ) as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        assert cursor.fetchall()[0][1]
        cursor.execute("SELECT plugin FROM mysql.user WHERE user = 'root' AND host = '%'")
        assert cursor.fetchall() == (("caching_sha2_password",),)


def test_mysql_loads_semi_synchronous_replication(start_private: Start) -> None:
    server = start_private(
        "mysql-9.7",
        plugin_load_add="rpl_semi_sync_source=semisync_source.so",
        rpl_semi_sync_source_enabled=True,
        gtid_mode="OFF",
        enforce_gtid_consistency="OFF",
    )
    query = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('rpl_semi_sync_source_enabled', 'gtid_mode')"
    assert dict(database(server).rows(query)) == {"rpl_semi_sync_source_enabled": "ON", "gtid_mode": "OFF"}


def test_mariadb_has_semi_synchronous_replication(start_private: Start) -> None:
    server = start_private("mariadb-10.11", **{"rpl-semi-sync-master-enabled": True})
    assert database(server).rows("SELECT @@rpl_semi_sync_master_enabled") == [(1,)]


def test_options_may_change_with_a_restart(start_private: Start) -> None:
    server = start_private("postgres-15", fsync=False, max_connections=17)
    assert database(server).rows("SHOW fsync") == [("off",)]
    server.restart({"max_connections": 23})
    assert database(server).rows("SHOW max_connections") == [("23",)]
    assert database(server).rows("SHOW fsync") == [("on",)]


def test_a_server_that_does_not_start_shows_its_log(servers: TestServers) -> None:
    for name, word in (("postgres-15", "no_such_variable"), ("mariadb-10.11", "no_such_variable")):
        with pytest.raises(ServerFailed, match=word):
            servers.private(name, {word: 1})


def test_given_data_folder_is_kept_and_started_again(servers: TestServers) -> None:
    with servers.private("postgres-15") as other:
        folder = other.data_dir.with_name("kept")
        with start_server("postgres-15", data_dir=folder) as server:
            database(server).execute("CREATE TABLE kept AS SELECT 42 AS n")
            port = server.port
        assert folder.exists()
        with start_server("postgres-15", data_dir=folder) as server:
            assert server.port == port
            assert database(server).rows("SELECT n FROM kept") == [(42,)]


def run_apart(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


START_AND_WAIT = """
from servers import start_server
servers = [start_server(name) for name in ("mariadb-10.11", "postgres-15")]
print(*(f"{server.pid} {server.port} {server.data_dir}" for server in servers), sep="\\n", flush=True)
input()
"""


def facts_of(process: subprocess.Popen[str]) -> list[tuple[int, int, Path]]:
    assert process.stdout is not None
    lines = [process.stdout.readline().split() for _ in range(2)]
    return [(int(pid), int(port), Path(folder)) for pid, port, folder in lines]


def wait_until_missing(folder: Path) -> bool:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.05)):
        if not folder.exists():
            return True
        pause.wait(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_crashed_run_leaves_nothing(servers: TestServers, number: signal.Signals) -> None:
    for name in ("mariadb-10.11", "postgres-15"):
        servers.shared(name)
    process = run_apart(START_AND_WAIT)
    facts = facts_of(process)
    process.send_signal(number)
    process.wait(PATIENCE)
    for pid, _, folder in facts:
        assert wait_until_gone(pid)
        assert wait_until_missing(folder.parent)


def test_a_shared_server_that_ended_is_started_again_with_its_data() -> None:
    own = TestServers(Where.AUTO)
    try:
        server = own.shared("postgres-15")
        database(server).execute("CREATE TABLE kept (n int PRIMARY KEY)")
        own.revive()  # says nothing: it lives
        server.kill()
        with pytest.warns(UserWarning, match="postgres-15 ended by itself"):
            own.revive()
        assert own.shared("postgres-15") is server
        assert database(server).rows("SELECT n FROM kept") == []
    finally:
        own.close()


def test_two_runs_at_once(servers: TestServers) -> None:
    for name in ("mariadb-10.11", "postgres-15"):
        servers.shared(name)
    runs = [run_apart(START_AND_WAIT) for _ in range(2)]
    facts = [fact for run in runs for fact in facts_of(run)]
    assert len({pid for pid, _, _ in facts}) == 4
    assert len({port for _, port, _ in facts}) == 4
    for run in runs:
        run.communicate("\n", timeout=PATIENCE)
        assert run.returncode == 0
    for pid, _, folder in facts:
        assert wait_until_gone(pid)
        assert not folder.parent.exists()


def test_two_runs_make_one_template(servers: TestServers, tmp_path: Path) -> None:
    servers.shared("postgres-15")
    with servers.private("postgres-15") as neighbour:
        cache = neighbour.data_dir.with_name("cache")
        script = f"""
import os
os.environ["CROSSFADE_SERVERS_CACHE"] = {str(cache)!r}
from servers import start_server
with start_server("postgres-15") as server:
    print(server.password, flush=True)
"""
        cache.mkdir(mode=0o755)
        neighbour.data_dir.parent.chmod(0o711)
        runs = [run_apart(script) for _ in range(3)]
        passwords = {run.communicate(timeout=PATIENCE)[0].strip() for run in runs}
        assert len(passwords) == 1
        assert passwords != {""}
        entries = [entry.name for entry in cache.iterdir() if not entry.name.endswith(".lock")]
        assert len(entries) == 1
        assert entries[0].startswith("template-postgres-15")


def test_command_line_starts_a_server_and_stops_it_on_interrupt(servers: TestServers) -> None:
    servers.shared("postgres-15")
    command = [sys.executable, "-m", "servers", "start", "postgres-15", "--option", "work_mem=7MB"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline().split("process ")[1].split(",")[0])
    with psycopg.connect(process.stdout.readline().strip()) as connection:
        row = connection.execute("SHOW work_mem").fetchone()
        assert row == ("7MB",)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0
    assert wait_until_gone(pid)


def test_fresh_databases_go_with_whatever_uses_them(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    source_db.execute("CREATE TABLE t (n int)")
    source_session = source_db.connect(autocommit=False)
    source_session.cursor().execute("SELECT * FROM t FOR UPDATE")
    store_db.execute("CREATE TABLE t (n int)")
    store_db.rows("SELECT pg_create_logical_replication_slot(current_database() || '_s', 'pgoutput')")
    store_session = store_db.connect(autocommit=False)
    store_session.execute("INSERT INTO t VALUES (1)")
    store_session.execute("PREPARE TRANSACTION 'left-over'")


@pytest.mark.parametrize("name", ["mariadb-10.11", "postgres-15"])
def test_a_port_that_is_taken_meanwhile_is_given_up(
    name: str, servers: TestServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server on the taken port has the same password, being of the same template: it must not be mistaken for ours.
    with servers.private(name) as first:
        offers = iter([first.port, free_port()])
        monkeypatch.setattr(running, "free_port", lambda: next(offers))
        with servers.private(name) as second:
            assert second.port != first.port
            assert second.pid != first.pid
            assert database(second).rows("SELECT 1") == [(1,)]
            assert first.pid


def test_a_foreign_data_folder_is_refused(servers: TestServers, tmp_path: Path) -> None:
    servers.shared("postgres-15")
    with servers.private("postgres-15") as neighbour:
        folder = neighbour.data_dir.with_name("precious")
        folder.mkdir()
        (folder / "file").write_text("theirs")
        with pytest.raises(UsageError, match="not empty"):
            start_server("postgres-15", data_dir=folder)
        assert (folder / "file").read_text() == "theirs"
        with pytest.raises(UsageError, match="is of postgres-15, not mariadb"):
            start_server("mariadb-10.11", data_dir=neighbour.data_dir)
        assert neighbour.pid
