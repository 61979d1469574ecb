"""The daemon's life as its user sees it: least privileges, pauses, servers that go away and come back, ends."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from model.errors import ExitCode
from servers import RunningServer
from tests.support.migration import Migration
from tests.support.servers import SourceDatabase, StoreDatabase, store_database


@pytest.fixture
def migration(tmp_path: Path) -> Iterator[Migration]:
    migration = Migration(tmp_path)
    yield migration
    migration.close()


def statements(script: str) -> list[str]:
    """The statements of a script of ours, without its comments."""
    bare = "\n".join(line for line in script.splitlines() if not line.startswith("--"))
    return [part.strip() for part in bare.split(";") if part.strip()]


def test_the_granted_users_can_do_it_all(
    mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration
) -> None:
    """`assess --grants`, nothing more: copy, stream with a cascade (whose rules MariaDB hides from them), verify."""
    mariadb_db.execute(
        "CREATE TABLE p (id int PRIMARY KEY)",
        "CREATE TABLE c (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)",
        "CREATE TABLE keyless (v varchar(20))",
        "INSERT INTO p VALUES (1), (2)",
        "INSERT INTO c VALUES (1, 1), (2, 2)",
        "INSERT INTO keyless VALUES ('r'), ('r')",
    )
    user = f"u{mariadb_db.database[-8:]}"
    migration.ok("init", "--source", mariadb_db.dsn, "--store", f"main={store15.dsn}")
    text = migration.config.read_text()
    migration.config.write_text(re.sub(r"user: \S+", f"user: {user}", text, count=1))
    secrets = migration.folder / "crossfade.secrets"
    (secrets / "source_password").write_text("pw-of-u")
    dsn = f"postgresql://{user}:pw-of-u@{store15.server.host}:{store15.server.port}/{store15.database}"
    (secrets / "store_main.dsn").write_text(dsn)
    script = migration.ok("assess", "--grants").out.replace("<choose a password>", "pw-of-u")
    source_part, store_part = script.split("-- store main")
    try:
        mariadb_db.execute(*statements(source_part))
        store15.execute(*statements("--" + store_part))
        migration.ok("assess")
        migration.ok("schema", "apply")
        migration.start()
        migration.wait_caught_up()
        mariadb_db.execute("DELETE FROM p WHERE id = 1", "INSERT INTO keyless VALUES ('z')", "UPDATE c SET id = 9")
        migration.ok("verify", "--mode", "checksum")
        assert store15.rows("SELECT id, p FROM c") == [(9, 2)]
        assert migration.terminate() == ExitCode.CLEAN
    finally:
        migration.close()
        mariadb_db.execute(f"DROP USER IF EXISTS {user}@'%'")
        with psycopg.connect(store15.dsn, autocommit=True) as connection:
            connection.execute(f'REVOKE ALL ON PARAMETER session_replication_role FROM "{user}"')
            connection.execute(f'DROP OWNED BY "{user}" CASCADE')
            connection.execute(f'DROP ROLE "{user}"')


def test_catches_up_with_a_binlog_that_ends_in_a_rotation(
    source_db: SourceDatabase, store_db: StoreDatabase, migration: Migration
) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    migration.ok("init", "--source", source_db.dsn, "--store", f"main={store_db.dsn}")
    migration.ok("schema", "apply")
    migration.ok("start", "--until", "caught-up")
    source_db.execute("INSERT INTO t VALUES (2)", "FLUSH BINARY LOGS")
    migration.ok("start", "--until", "caught-up", timeout_s=60)
    assert store_db.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


def test_goes_on_when_servers_come_back(
    mariadb_db: SourceDatabase, start_private: Callable[..., RunningServer], migration: Migration
) -> None:
    """The store that is the control store too is killed under the daemon; so it stands still, says so, and goes on."""
    server = start_private("postgres-15")
    with store_database(server) as store:
        mariadb_db.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
        migration.ok("init", "--source", mariadb_db.dsn, "--store", f"main={store.dsn}")
        migration.ok("schema", "apply")
        migration.start()
        migration.wait_caught_up()
        migration.ok("pause", "--reason", "moving house")
        paused = migration.wait(lambda document: document["state"] == "PAUSED")
        assert [(reason["code"], reason["next"]) for reason in paused["reasons"]] == [
            ("PAUSED", "crossfade resume main")
        ]
        assert "moving house" in paused["reasons"][0]["message"]
        migration.ok("resume")
        assert "apply.max_rows                77   (file: 20000)" in migration.ok("tune", "apply.max_rows=77").out
        assert migration.run("tune", "apply.max_rows=0").code == ExitCode.USAGE
        tuned = migration.ok("-o", "json", "tune").document()["settings"]
        assert next(one["value"] for one in tuned if one["key"] == "apply.max_rows") == "77"
        assert "t>main" in migration.ok("top").out
        server.kill()
        mariadb_db.execute("INSERT INTO t VALUES (2)")
        assert migration.run("status").code == ExitCode.UNREACHABLE
        server.restart()
        migration.wait(lambda document: document["state"] == "SYNCING" and document["health"] == "healthy")
        migration.wait_caught_up()
        assert store.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,)]
        # The lock was taken again: no second daemon while this one runs.
        assert migration.run("start").code == ExitCode.LOCKED
        assert migration.daemon is not None
        migration.kill()
        lost = migration.ok("-o", "json", "status").document()
        assert (lost["state"], [reason["code"] for reason in lost["reasons"]]) == ("STOPPED", ["DAEMON_LOST"])
        migration.start()
        migration.wait_caught_up()
        migration.daemon.send_signal(signal.SIGINT)
        assert migration.daemon.wait(timeout=40) == ExitCode.INTERRUPTED


def test_a_halted_store_says_what_to_do_and_the_others_go_on(
    mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration
) -> None:
    with store_database(store15.server) as other:
        mariadb_db.execute("CREATE TABLE t (id int PRIMARY KEY, v int)", "CREATE TABLE u (id int PRIMARY KEY, v int)")
        migration.ok("init", "--source", mariadb_db.dsn, "--store", f"one={store15.dsn}", "--store", f"two={other.dsn}")
        migration.config.write_text(migration.config.read_text().replace("  u: {}", "  u: {store: two}"))
        migration.ok("schema", "apply")
        migration.start()
        migration.wait_caught_up()
        other.execute("ALTER TABLE u DROP COLUMN v")
        mariadb_db.execute("INSERT INTO u VALUES (1, 1)", "INSERT INTO t VALUES (1, 1)")

        def halted(document: dict[str, Any]) -> bool:
            (one, two) = document["stores"]
            return (two["state"], one["waiting_transactions"], one["rows_applied"]) == ("halted", 0, 1)

        document = migration.wait(halted)
        assert document["health"] == "failed"
        assert any("crossfade schema plan --diff" in step for step in document["next_steps"])
        assert store15.rows("SELECT id FROM t") == [(1,)]
        assert migration.terminate() == ExitCode.CLEAN
        ended = migration.ok("-o", "json", "status").document()
        assert [reason["code"] for reason in ended["reasons"]] == ["STORE_HALTED", "DAEMON_STOPPED"]
