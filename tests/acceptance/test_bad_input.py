"""Bad input: one clear message with the next command, the right exit code, no traceback, nothing changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model.errors import ExitCode
from servers import RunningServer
from tests.support.migration import Finished, Migration
from tests.support.servers import SourceDatabase, StoreDatabase, source_database

TABLE = "CREATE TABLE t (id int PRIMARY KEY, name varchar(50))"


@pytest.fixture
def migration(tmp_path: Path) -> Iterator[Migration]:
    migration = Migration(tmp_path)
    yield migration
    migration.close()


def prepared(migration: Migration, source: SourceDatabase, store: StoreDatabase) -> None:
    """A working configuration over one small table."""
    source.execute(TABLE, "INSERT INTO t VALUES (1, 'one'), (2, 'two')")
    migration.ok("init", "--source", source.dsn, "--store", f"main={store.dsn}")


def edit(migration: Migration, old: str, new: str) -> None:
    """Replace text in the configuration."""
    text = migration.config.read_text()
    assert old in text, text
    migration.config.write_text(text.replace(old, new, 1))


def assert_clear(done: Finished, code: ExitCode, *words: str) -> None:
    """The exit code, one message with each of the words, a next step, and no traceback."""
    assert done.code == code, done
    assert "Traceback" not in done.err, done
    assert done.err.count("error: ") == 1, done
    assert "next: " in done.err, done
    for word in words:
        assert word in done.err, (word, str(done))


def untouched(store: StoreDatabase) -> bool:
    """Whether the store has nothing of ours."""
    return store.rows("SELECT count(*) FROM pg_namespace WHERE nspname = 'crossfade'") == [(0,)]


def test_no_configuration(migration: Migration) -> None:
    assert_clear(migration.run("start"), ExitCode.USAGE, "crossfade.yaml", "init")


def test_unknown_key(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    migration.config.write_text(migration.config.read_text() + "\nrellay: {}\n")
    done = migration.run("start")
    assert done.code == ExitCode.USAGE
    assert "rellay" in done.err and "crossfade.yaml" in done.err and "relay" in done.err
    assert "Traceback" not in done.err
    assert untouched(store15)


def test_wrong_source_port(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    edit(migration, str(mariadb_db.server.port), "1")
    assert_clear(migration.run("start"), ExitCode.UNREACHABLE, "source")
    assert untouched(store15)


def test_wrong_source_password(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    (migration.folder / "crossfade.secrets" / "source_password").write_text("wrong horse")
    done = migration.run("start")
    assert_clear(done, ExitCode.UNREACHABLE, "source", "password")
    assert "wrong horse" not in done.err + done.out
    assert untouched(store15)


def test_wrong_store_password(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    path = migration.folder / "crossfade.secrets" / "store_main.dsn"
    path.write_text(path.read_text().replace(store15.server.password, "wrong-horse"))
    done = migration.run("start")
    assert_clear(done, ExitCode.UNREACHABLE, "store")
    assert "wrong-horse" not in done.err + done.out
    assert untouched(store15)


def test_store_database_missing(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    path = migration.folder / "crossfade.secrets" / "store_main.dsn"
    path.write_text(path.read_text().replace(store15.database, "no_such_database"))
    assert_clear(migration.run("start"), ExitCode.REFUSED, "no_such_database")


def test_source_database_missing(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    edit(migration, f"[{mariadb_db.database}]", "[no_such_database]")
    done = migration.run("start")
    assert_clear(done, ExitCode.REFUSED, "no_such_database")
    assert untouched(store15)


def test_missing_grant(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    user = f"u{mariadb_db.database[-8:]}"
    mariadb_db.execute(
        f"CREATE USER {user}@'%' IDENTIFIED BY 'pw'", f"GRANT SELECT ON `{mariadb_db.database}`.* TO {user}@'%'"
    )
    edit(migration, "user: root", f"user: {user}") if "user: root" in migration.config.read_text() else edit(
        migration, 'user: "root"', f'user: "{user}"'
    )
    (migration.folder / "crossfade.secrets" / "source_password").write_text("pw")
    assessed = migration.run("assess")
    assert assessed.code == ExitCode.REFUSED
    assert "GRANT REPLICATION SLAVE" in assessed.out
    done = migration.run("start")
    assert done.code in (ExitCode.REFUSED, ExitCode.UNREACHABLE)
    assert "REPLICATION" in done.err and "Traceback" not in done.err
    assert untouched(store15)
    mariadb_db.execute(f"DROP USER {user}@'%'")


@pytest.mark.parametrize(
    ("options", "word"), [({"log_bin": None}, "log_bin"), ({"binlog_format": "STATEMENT"}, "binlog_format")]
)
def test_unfit_binlog(
    options: dict[str, str | None],
    word: str,
    start_private: Callable[..., RunningServer],
    store15: StoreDatabase,
    migration: Migration,
) -> None:
    server = start_private("mariadb-10.11", **options)
    with source_database(server) as source:
        prepared(migration, source, store15)
        assessed = migration.run("assess")
        assert assessed.code == ExitCode.REFUSED, assessed
        assert word in assessed.out and "BLOCK" in assessed.out
        assert_clear(migration.run("start"), ExitCode.REFUSED, word)
        assert untouched(store15)


def test_two_mappings_to_one_column(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    edit(migration, "  t: {}", "  t: {rename: {id: name}}")
    done = migration.run("start")
    assert_clear(done, ExitCode.USAGE, "name", "t")
    assert untouched(store15)


def test_tables_not_created(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    assert_clear(migration.run("start"), ExitCode.REFUSED, "crossfade schema apply")
    assert untouched(store15)


def test_store_not_empty(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    migration.ok("schema", "apply")
    store15.execute("INSERT INTO t VALUES (7, 'theirs')")
    assert_clear(migration.run("start"), ExitCode.REFUSED, "t", "TRUNCATE")
    assert store15.rows("SELECT id, name FROM t") == [(7, "theirs")]


def test_table_that_does_not_fit(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    store15.execute("CREATE TABLE t (id integer PRIMARY KEY, name date)")
    assert_clear(migration.run("start"), ExitCode.REFUSED, "name", "date")
    assert_clear(migration.run("schema", "apply"), ExitCode.REFUSED, "name", "date")


def test_purged_position(
    start_private: Callable[..., RunningServer], store15: StoreDatabase, migration: Migration, tmp_path: Path
) -> None:
    server = start_private("mariadb-10.11")
    with source_database(server) as source:
        prepared(migration, source, store15)
        migration.ok("schema", "apply")
        migration.ok("start", "--until", "caught-up")
        # The binlog moves on and is purged while nobody reads it.
        source.execute("INSERT INTO t VALUES (3, 'three')", "FLUSH BINARY LOGS", "INSERT INTO t VALUES (4, 'four')")
        source.execute("FLUSH BINARY LOGS")
        (last, *_) = source.rows("SHOW BINARY LOGS")[-1]
        source.execute(f"PURGE BINARY LOGS TO '{last}'")
        assert_clear(migration.run("start"), ExitCode.REFUSED, "purged", "--fresh")
        # What ended the daemon is still to be seen when it is gone.
        assert "purged" in migration.ok("status").out
        assert store15.rows("SELECT count(*) FROM t") == [(2,)]
        migration.ok("start", "--fresh", "--confirm", store_name(migration), "--until", "caught-up")
        assert store15.rows("SELECT count(*) FROM t") == [(4,)]


def store_name(migration: Migration) -> str:
    """The migration's name as the starter chose it."""
    return next(
        line.split(":")[1].split("#")[0].strip()
        for line in migration.config.read_text().splitlines()
        if line.startswith("name:")
    )


def test_fresh_needs_the_name_typed(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    migration.ok("schema", "apply")
    migration.ok("start", "--until", "caught-up")
    assert_clear(migration.run("start", "--fresh"), ExitCode.CONFIRM, "--confirm")
    assert store15.rows("SELECT count(*) FROM t") == [(2,)]


def test_second_daemon(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    migration.ok("schema", "apply")
    migration.start()
    migration.wait_streaming()
    assert_clear(migration.run("start"), ExitCode.LOCKED, "already runs", "crossfade stop")
    migration.ok("stop")
    assert migration.daemon is not None
    assert migration.daemon.wait(timeout=30) == 0


def test_commands_without_a_daemon(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    assert_clear(migration.run("status"), ExitCode.REFUSED, "never started", "crossfade start")
    assert_clear(migration.run("stop"), ExitCode.LOCKED, "no daemon", "crossfade start")


def test_table_dropped_half_way(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    prepared(migration, mariadb_db, store15)
    mariadb_db.execute("CREATE TABLE other (id int PRIMARY KEY)", "INSERT INTO other VALUES (1)")
    migration.ok("schema", "apply")
    mariadb_db.execute("DROP TABLE other")
    done = migration.run("start", "--until", "caught-up")
    assert "Traceback" not in done.err
    mariadb_db.execute("INSERT INTO t VALUES (9, 'goes on')")
    migration.start()
    migration.wait(lambda document: document["phases"].get("streaming", 0) >= 1)
    assert store15.rows("SELECT count(*) FROM t") >= [(2,)]


def test_unknown_words(migration: Migration) -> None:
    done = migration.run("strat")
    assert done.code == ExitCode.USAGE
    assert "start" in done.err
    assert migration.run("start", "--until", "tomorrow").code == ExitCode.USAGE
