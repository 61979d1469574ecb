"""Statements that change a migrated table while it is written: the store follows, asks, or holds that table alone."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pymysql
import pytest

from config.load import load_settings
from daemon.client import ask
from model.errors import ExitCode
from tests.support.ddl_list import BASE, BURST, ENDS, LIST, MARIADB, MYSQL, SOME, Ddl, End
from tests.support.migration import Migration
from tests.support.servers import SourceDatabase, StoreDatabase

LOOSE = "SET SESSION sql_mode = '', time_zone = '+00:00'"


@pytest.fixture
def migration(tmp_path: Path) -> Iterator[Migration]:
    migration = Migration(tmp_path)
    yield migration
    migration.close()


class Traffic:
    """Writes to the tables until it is stopped; their columns may change meanwhile."""

    def __init__(self, source: SourceDatabase, tables: tuple[str, ...]) -> None:
        self._source = source
        self._tables = tables
        self._stop = threading.Event()
        self.written = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        connection = self._source.connect(init_command=LOOSE)
        number = 0
        while not self._stop.wait(0.05):
            number += 1
            for table in self._tables:
                for statement in (
                    f"INSERT INTO `{table}` (name, note) VALUES ('n{number}', 'é{number}')",
                    f"UPDATE `{table}` SET note = CONCAT('u', {number}) WHERE id % 7 = {number % 7}",
                    f"DELETE FROM `{table}` WHERE id % 50 = {number % 50}",
                ):
                    try:
                        with connection.cursor() as cursor:
                            cursor.execute(statement)
                        self.written += 1
                    except pymysql.err.MySQLError:
                        # The table is away for the moment, or for ever.
                        continue
        connection.close()

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive() and self.written


def store_type(store: StoreDatabase, column: str) -> str | None:
    rows = store.rows(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0"
        " AND NOT attisdropped AND attname = %s",
        [column],
    )
    return rows[0][0] if rows else None


class Marks:
    """Rows of a table that nothing else writes: one that is in the store shows that all before it is done."""

    def __init__(self, source: SourceDatabase, store: StoreDatabase) -> None:
        self._source = source
        self._store = store
        self._last = 0
        source.execute("CREATE TABLE mark (id INT PRIMARY KEY)")

    def passed(self, held: Sequence[str] = ()) -> str:
        """Write one and wait until it is in the store and no other table is behind; "" or what is the matter."""
        self._last += 1
        self._source.execute(f"INSERT INTO mark VALUES ({self._last})")
        for _ in range(900):
            late = [table for table, phase in states(self._store).items() if phase != "streaming" and table not in held]
            if self._store.rows("SELECT 1 FROM mark WHERE id = %s", [self._last]) and not late:
                return ""
            time.sleep(0.1)
        return str(self._store.rows("SELECT plan_id, phase, reason FROM crossfade.table_state"))


def states(store: StoreDatabase) -> dict[str, str]:
    """Table → phase, as the store has it."""
    rows = store.rows("SELECT plan_id, phase FROM crossfade.table_state")
    return {plan.partition(">")[0].rpartition(".")[2]: phase for plan, phase in rows}


def wait_held(store: StoreDatabase, *tables: str) -> None:
    for _ in range(900):
        now = states(store)
        if all(now[table] == "held" for table in tables):
            return
        time.sleep(0.1)
    raise AssertionError(states(store))


@contextmanager
def migrating(source: SourceDatabase, store: StoreDatabase, migration: Migration, *tables: str) -> Iterator[Marks]:
    marks = Marks(source, store)
    for table in tables:
        source.execute(BASE.replace("TABLE t ", f"TABLE `{table}` "))
        source.execute(f"INSERT INTO `{table}` (name, n, amount) VALUES ('one', 1, 1.5), ('two', 4294967295, -2.25)")
    migration.ok("init", "--source", source.dsn, "--store", f"main={store.dsn}")
    migration.ok("schema", "apply")
    migration.start()
    migration.wait_caught_up()
    with Traffic(source, tables):
        yield marks
    migration.terminate()


def equal(source: SourceDatabase, store: StoreDatabase, table: str = "t") -> None:
    """Plain drivers, no code of ours."""
    for query in (
        f"SELECT count(*), min(id), max(id), sum(id) FROM {table}",
        f"SELECT id, name, note, amount, n FROM {table} ORDER BY id",
    ):
        mine = [tuple(map(str, row)) for row in source.rows(query)]
        theirs = [tuple(map(str, row)) for row in store.rows(query)]
        assert mine == theirs


def run_list(
    source: SourceDatabase, store: StoreDatabase, migration: Migration, marks: Marks, statements: tuple[Ddl, ...]
) -> list[str]:
    """Run the statements that the server knows; what went wrong."""
    settings = load_settings(migration.config)
    connection = source.connect(init_command=LOOSE)
    for ddl in statements:
        if source.server.flavour.name not in ddl.servers:
            continue
        with connection.cursor() as cursor:
            cursor.execute(ddl.statement)
        if ddl.end is End.ASKED:
            wait_held(store, "t")
            (waiting,) = store.rows("SELECT store_statement FROM crossfade.held_ddl WHERE decision IS NULL")
            if not waiting[0]:
                return [f"{ddl.statement}: nothing to approve"]
            ask(settings, "schema_decide", {"table": "t", "accept": True}, timeout_s=60)
        problem = marks.passed()
        if problem:
            return [f"{ddl.statement}: {problem}\n{migration.log_tail()[-1500:]}"]
        if ddl.column and store_type(store, ddl.column) != ddl.type:
            return [f"{ddl.statement}: {ddl.column} is {store_type(store, ddl.column)}, not {ddl.type}"]
    connection.close()
    return []


def follow(source: SourceDatabase, store: StoreDatabase, migration: Migration, statements: tuple[Ddl, ...]) -> None:
    with migrating(source, store, migration, "t", "u") as marks:
        wrong = run_list(source, store, migration, marks, statements)
        assert not wrong, "\n".join(wrong)
    migration.ok("start", "--until", "caught-up")
    equal(source, store)
    migration.ok("verify", "--mode", "rows")
    assert migration.run("schema", "plan", "--diff").code == ExitCode.CLEAN


def test_statements_of_each_kind(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    follow(mariadb_db, store15, migration, SOME)


def back_to_back(source_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    """The daemon is away while all of them run, with rows between: each is followed by what the table was then."""
    with migrating(source_db, store15, migration, "t", "u") as marks:
        migration.terminate()
        connection = source_db.connect(init_command=LOOSE)
        for number, ddl in enumerate(BURST):
            with connection.cursor() as cursor:
                cursor.execute(ddl.statement)
                cursor.execute(f"INSERT INTO t (name, note) VALUES ('between', '{number}')")
            time.sleep(0.1)
        connection.close()
        migration.start()
        settings = load_settings(migration.config)
        for ddl in BURST:
            if ddl.end is End.ASKED:
                wait_held(store15, "t")
                (waiting,) = store15.rows("SELECT source_statement FROM crossfade.held_ddl WHERE decision IS NULL")
                assert waiting[0] == ddl.statement
                ask(settings, "schema_decide", {"table": "t", "accept": True}, timeout_s=60)
        problem = marks.passed()
        assert not problem, problem + migration.log_tail()[-2000:]
        for ddl in BURST:
            assert not ddl.column or store_type(store15, ddl.column) == ddl.type, ddl
    migration.ok("start", "--until", "caught-up")
    equal(source_db, store15)
    migration.ok("verify", "--mode", "rows")
    assert migration.run("schema", "plan", "--diff").code == ExitCode.CLEAN


@pytest.mark.slow
def test_statements_back_to_back(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    back_to_back(mariadb_db, store15, migration)


@pytest.mark.soak
@pytest.mark.parametrize("source", MYSQL, indirect=True)
def test_statements_back_to_back_on_mysql(
    source_db: SourceDatabase, store15: StoreDatabase, migration: Migration
) -> None:
    back_to_back(source_db, store15, migration)


def wait_copying(store: StoreDatabase, table: str) -> dict[str, str]:
    for _ in range(900):
        if store.rows("SELECT to_regclass('crossfade.table_state') IS NOT NULL") == [(True,)]:
            now = states(store)
            if now.get(table) == "copying":
                return now
        time.sleep(0.02)
    raise AssertionError(states(store))


@pytest.mark.slow
@pytest.mark.parametrize("source", MARIADB, indirect=True)
def test_statements_during_the_copy(source_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    """The table that is being copied begins anew, the one that waits is copied as it is then; nothing is held."""
    for table in ("t", "u"):
        source_db.execute(BASE.replace("TABLE t ", f"TABLE {table} "))
    marks = Marks(source_db, store15)
    source_db.execute("INSERT INTO u (name, n, amount) VALUES ('one', 1, 1.5), ('two', 4294967295, -2.25)")
    for _ in range(4):
        source_db.execute("INSERT INTO t (name, note) VALUES " + ", ".join(["('row', REPEAT('é', 60))"] * 1000))
    migration.ok("init", "--source", source_db.dsn, "--store", f"main={store15.dsn}")
    with migration.config.open("a") as config:
        config.write("snapshot: {workers: 1}\n")
    migration.ok("schema", "apply")
    with closing(source_db.connect()) as locking, locking.cursor() as cursor, Traffic(source_db, ("u", "t")):
        # Its first chunk waits for us, and the other tables for it.
        cursor.execute("LOCK TABLES t WRITE")
        migration.start()
        assert wait_copying(store15, "t")["u"] == "pending"
        cursor.execute("ALTER TABLE t CHANGE COLUMN kind sort VARCHAR(5), DROP COLUMN at, ADD KEY by_sort (sort)")
        cursor.execute("ALTER TABLE t MODIFY amount DECIMAL(12,3), ADD c2 DATETIME DEFAULT CURRENT_TIMESTAMP")
        source_db.execute(
            "ALTER TABLE u ADD c1 INT NOT NULL DEFAULT 4 FIRST, MODIFY kind ENUM('a','b','c') DEFAULT 'c'",
            "ALTER TABLE u DROP COLUMN flags",
        )
        assert states(store15)["t"] == "copying"
        cursor.execute("UNLOCK TABLES")
        problem = marks.passed()
        assert not problem, problem + migration.log_tail()[-3000:]
    assert "copied by another definition" in migration.log.read_text()
    assert (store_type(store15, "sort"), store_type(store15, "at")) == ("character varying(5)", None)
    migration.terminate()
    migration.ok("start", "--until", "caught-up")
    for table in ("t", "u"):
        equal(source_db, store15, table)
    migration.ok("verify", "--mode", "rows")
    assert migration.run("schema", "plan", "--diff").code == ExitCode.CLEAN


@pytest.mark.soak
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("source", [*MYSQL, *MARIADB], indirect=True)
def test_every_statement_of_the_list(source_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    assert len(LIST) + len(ENDS) >= 40
    follow(source_db, store15, migration, LIST)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_ends_a_table_holds_only_it(
    source_db: SourceDatabase, store15: StoreDatabase, migration: Migration
) -> None:
    known = [ddl for ddl in ENDS if source_db.server.flavour.name in ddl.servers]
    names = [f"t{number}" for number in range(len(known))]
    with migrating(source_db, store15, migration, *names, "u") as marks:
        connection = source_db.connect(init_command=LOOSE)
        for name, ddl in zip(names, known, strict=True):
            with connection.cursor() as cursor:
                cursor.execute(re.sub(r"\bt\b", name, ddl.statement).replace("elsewhere", f"elsewhere_{name}"))
        connection.close()
        wait_held(store15, *names)
        assert states(store15)["u"] == "streaming"
        before = store15.rows("SELECT count(*), max(id) FROM u")
        marks.passed(held=names)
        # Traffic goes on, but a round of it takes its time.
        migration.wait(lambda _: store15.rows("SELECT count(*), max(id) FROM u") != before)
        pending = migration.run("schema", "pending")
        assert pending.code == ExitCode.DIFFERENCES and ".u>" not in pending.out
        for name, ddl in zip(names, known, strict=True):
            (line,) = [line for line in pending.out.splitlines() if f".{name}>" in line]
            assert ("crossfade schema approve" if ddl.end is End.ASKED else "crossfade schema recopy") in line, line
        (dropped,) = [name for name, ddl in zip(names, known, strict=True) if ddl.statement.startswith("DROP")]
        migration.ok("schema", "reject", dropped)
        assert store15.rows(f"SELECT count(*) >= 2 FROM {dropped}") == [(True,)]
        marks.passed(held=[name for name in names if name != dropped])
        assert dropped not in states(store15)
    # The daemon has ended with `migrating`.
    (again,) = [name for name, ddl in zip(names, known, strict=True) if "MODIFY at DATE" in ddl.statement]
    refused = migration.run("schema", "recopy", again)
    assert refused.code == ExitCode.CONFIRM, refused
    migration.ok("schema", "recopy", again, "--confirm", again)
    migration.ok("schema", "apply")  # the renamed tables are new ones
    migration.start()
    problem = marks.passed(held=[name for name in names if name not in (dropped, again)])
    assert not problem, problem + migration.log_tail()[-2000:]
    equal(source_db, store15, again)
    migration.ok("verify", "--mode", "rows", "--table", again, "--table", "u")


@pytest.mark.slow
def test_swaps_of_schema_change_tools(mariadb_db: SourceDatabase, store15: StoreDatabase, migration: Migration) -> None:
    """What gh-ost and pt-online-schema-change leave in the binlog, with the triggers of the second."""
    for name in ("t", "g"):
        mariadb_db.execute(BASE.replace("TABLE t ", f"TABLE {name} "))
        mariadb_db.execute(f"INSERT INTO {name} (name, n) VALUES ('a', 1), ('b', 2), ('c', 3)")
    with migrating(mariadb_db, store15, migration, "u") as marks:
        mariadb_db.execute(
            "CREATE TABLE _t_new LIKE t",
            "ALTER TABLE _t_new ADD z INT NOT NULL DEFAULT 5, MODIFY name VARCHAR(60) NOT NULL",
            "CREATE TRIGGER pt_ins AFTER INSERT ON t FOR EACH ROW REPLACE INTO _t_new (id, name, n)"
            " VALUES (NEW.id, NEW.name, NEW.n)",
            "INSERT IGNORE INTO _t_new (id, name, n) SELECT id, name, n FROM t",
            "INSERT INTO t (name, n) VALUES ('while', 4)",
            "RENAME TABLE t TO _t_old, _t_new TO t",
            "DROP TABLE _t_old",
            "INSERT INTO t (name, z) VALUES ('after', 6)",
        )
        mariadb_db.execute(
            "create /* gh-ost */ table `_g_gho` like `g`",
            "alter /* gh-ost */ table `_g_gho` add column z bigint default 7, add key by_z (z)",
            "insert /* gh-ost */ ignore into `_g_gho` (id, name, n) select id, name, n from g",
            "rename /* gh-ost */ table `g` to `_g_del`, `_g_gho` to `g`",
            "INSERT INTO g (name, z) VALUES ('after', 8)",
            "drop /* gh-ost */ table `_g_del`",
        )
        assert not marks.passed(), states(store15)
        for name in ("t", "g"):
            query = f"SELECT id, name, n, z FROM {name} ORDER BY id"
            assert [tuple(map(str, row)) for row in store15.rows(query)] == [
                tuple(map(str, row)) for row in mariadb_db.rows(query)
            ]
        assert store15.rows("SELECT count(*) FROM pg_indexes WHERE tablename = 'g' AND indexname LIKE '%%by_z'") == [
            (1,)
        ]
        migration.ok("verify", "--mode", "rows", "--table", "t", "--table", "g")
