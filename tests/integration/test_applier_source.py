"""From a real source through reader, relay, decoder and applier into a real store: what it holds, and what stops it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest
from psycopg import sql
from pydantic import SecretStr

from config.settings import ApplySettings, RetrySettings
from stores.control import checkpoints, ddl_log, migrations, schema_history, table_states
from stores.control.schema_history import SchemaVersion
from stores.mysql import connect_source, probe, variables
from stores.postgres import connect_store
from sync.applier import StoreApplier
from sync.applier_ports import StorePlan
from sync.applier_state import ApplierState, Mode
from sync.cascades import CascadeGraph, build_graph, cascades_are_logged
from sync.changes import ChangeReader
from sync.mysql.catalog import read_catalog
from sync.mysql.decode import TableDecoder
from sync.relay.reader import RelayReader
from sync.table_phase import Phase, TablePhases, TableState
from tests.support.applying import STREAM, Steps, running, wait_for
from tests.support.copying import create_target, text_plan
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import Follower, following, position_now, settings_of, wait_until
from transforms.plan import TablePlan

SHOP = (
    "CREATE TABLE a (id int PRIMARY KEY, note varchar(40) UNIQUE, more varchar(40))",
    (
        "CREATE TABLE b (id int PRIMARY KEY, a_id int, note varchar(40), "
        "FOREIGN KEY (a_id) REFERENCES a (id) ON DELETE CASCADE ON UPDATE CASCADE)"
    ),
    (
        "CREATE TABLE c (id int PRIMARY KEY, b_id int, a_id int, "
        "FOREIGN KEY (b_id) REFERENCES b (id) ON DELETE CASCADE ON UPDATE CASCADE, "
        "FOREIGN KEY (a_id) REFERENCES a (id) ON DELETE SET NULL ON UPDATE SET NULL)"
    ),
    (
        "CREATE TABLE tree (id int PRIMARY KEY, parent int, note varchar(40), "
        "FOREIGN KEY (parent) REFERENCES tree (id) ON DELETE CASCADE)"
    ),
    "CREATE TABLE log (a int, b varchar(40))",
)


@dataclass
class Following:
    """A source that is followed into a store."""

    source_db: SourceDatabase
    store_db: StoreDatabase
    follower: Follower
    plans: tuple[TablePlan, ...]
    applier: StoreApplier

    def settle(self) -> ApplierState:
        """Wait until everything of now is in the store."""
        self.follower.catch_up()
        tail = self.follower.writer.tail
        assert tail is not None
        self.applier.flush()
        return wait_for(self.applier, lambda state: state.seq >= tail.seq)

    def halted(self) -> str:
        """The message with which the applier stopped."""
        state = wait_for(self.applier, lambda state: state.mode is Mode.HALTED, halted=True)
        assert state.error is not None
        return state.error

    def differences(self) -> dict[str, tuple[list[object], list[object]]]:
        """Tables whose rows differ: (of the source, of the store)."""
        found: dict[str, tuple[list[object], list[object]]] = {}
        for plan in self.plans:
            name = plan.source.id.name
            theirs = sorted(
                (
                    tuple(None if f is None else str(f) for f in row)
                    for row in self.source_db.rows(f"SELECT * FROM {name}")
                ),
                key=repr,
            )
            with self.store_db.connect() as connection:
                columns = sql.SQL(", ").join(
                    sql.SQL("{}::text").format(sql.Identifier(column.target.name)) for column in plan.columns
                )
                query = sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(plan.target.name))
                ours = sorted(connection.execute(query).fetchall(), key=repr)
            if ours != theirs:
                found[name] = (list(theirs), list(ours))
        return found


@contextmanager
def follow(
    source_db: SourceDatabase, store_db: StoreDatabase, directory: Path, *, only: tuple[str, ...] | None = None
) -> Iterator[Following]:
    """Follow the (empty) tables of the source from now on; `only`: tables that the store has."""
    settings = settings_of(source_db.server, databases=(source_db.database,))
    connection = connect_source(settings)
    try:
        info = probe(connection)
        native = variables(connection, "innodb_native_foreign_keys").get("innodb_native_foreign_keys")
        tables = read_catalog(connection, info, (source_db.database,))
    finally:
        connection.close()
    types = {"id": "integer", "a_id": "integer", "b_id": "integer", "parent": "integer", "a": "integer"}
    plans = tuple(text_plan(table, types=types) for table in tables.values() if only is None or table.id.name in only)
    graph = CascadeGraph() if cascades_are_logged(info, native) else build_graph(tables, plans)
    start = position_now(settings)
    with connect_store(SecretStr(store_db.dsn)) as store:
        for plan in plans:
            create_target(store, plan)
        migrations.prepare_store(store)
        checkpoints.create(store, STREAM, start)
        fence = checkpoints.take_over(store, STREAM)
        schema_history.append(store, STREAM, [SchemaVersion(table.id, 1, table) for table in tables.values()])
        for plan in plans:
            table_states.save(store, STREAM, TableState(plan.id, Phase.STREAMING))
    with following(settings, directory, start) as follower:
        applier = StoreApplier(
            StorePlan("main", STREAM, plans, graph),
            RelayReader(directory),
            lambda: connect_store(SecretStr(store_db.dsn)),
            fence=fence,
            phases=TablePhases(),
            steps=Steps(),
            read_changes=lambda history: ChangeReader(tables, history, TableDecoder, mariadb=info.mariadb),
            settings=ApplySettings(max_rows=50),
            retry=RetrySettings(attempts=5, first_wait_s=0.01, max_wait_s=0.1),
        )
        with running(applier):
            yield Following(source_db, store_db, follower, plans, applier)


def one_statement(dice: random.Random) -> str:
    """A random statement; many fail on keys, which is part of the game."""
    a, b, c = dice.randrange(9), dice.randrange(14), dice.randrange(20)
    text = dice.choice(["x", "tab\\there", "back\\\\slash", "é€𝄞", "", "n"]) + str(dice.randrange(10**6))
    return dice.choice(
        [
            f"INSERT INTO a VALUES ({a}, '{text}', NULL)",
            f"INSERT INTO a VALUES ({a}, '{text}', 'm') ON DUPLICATE KEY UPDATE more = '{text}'",
            f"REPLACE INTO a VALUES ({a}, '{text}', 'replaced')",
            f"INSERT INTO b VALUES ({b}, {a}, '{text}'), ({b + 1}, NULL, '')",
            f"INSERT INTO c VALUES ({c}, {b}, {a})",
            f"INSERT INTO tree VALUES ({b}, {dice.choice(['NULL', str(c)])}, '{text}')",
            f"INSERT INTO log VALUES ({a}, '{text}'), ({a}, NULL), ({a}, NULL)",
            f"UPDATE a SET id = {dice.randrange(9)} WHERE id = {a}",
            f"UPDATE a SET more = '{text}' WHERE id > {a}",
            f"UPDATE a SET note = CONCAT('{text}', id) WHERE id < {a}",
            f"UPDATE b SET id = id + 100 WHERE id = {b}",
            "UPDATE b SET id = id - 100 WHERE id > 100 ORDER BY id LIMIT 1",
            f"UPDATE c SET a_id = NULL WHERE id = {c}",
            f"UPDATE log SET b = '{text}' WHERE a = {a} LIMIT 2",
            f"DELETE FROM log WHERE a = {a} LIMIT 1",
            f"DELETE FROM a WHERE id = {a}",
            f"DELETE FROM b WHERE id BETWEEN {b} AND {b + 2}",
            f"DELETE FROM tree WHERE id = {b}",
            f"DELETE a, b FROM a JOIN b ON b.a_id = a.id WHERE a.id = {a}",
        ]
    )


@pytest.mark.parametrize("image", ["FULL", "MINIMAL"])
def test_a_random_workload_arrives_whole(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path, image: str
) -> None:
    source_db.execute(*SHOP)
    dice = random.Random(11)
    with follow(source_db, store_db, tmp_path) as following_it:
        connection = source_db.connect(autocommit=False)
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SET SESSION binlog_row_image = {image}")
                for part in range(4):
                    for _ in range(60):
                        for _ in range(dice.randrange(1, 9)):
                            try:
                                cursor.execute(one_statement(dice))
                            except (pymysql.err.IntegrityError, pymysql.err.OperationalError):
                                continue
                            if dice.random() < 0.1:
                                cursor.execute("SAVEPOINT s")
                                cursor.execute("INSERT INTO log VALUES (1, 'undone')")
                                cursor.execute("ROLLBACK TO s")
                        connection.rollback() if dice.random() < 0.1 else connection.commit()
                    following_it.settle()
                    assert following_it.differences() == {}, f"part {part}"
        finally:
            connection.close()


def test_a_child_follows_a_parent_that_lives_elsewhere(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    source_db.execute(*SHOP[:2])
    with follow(source_db, store_db, tmp_path, only=("b",)) as following_it:
        source_db.execute(
            "INSERT INTO a VALUES (1, 'x', ''), (2, 'y', ''), (3, 'z', '')",
            "INSERT INTO b VALUES (1, 1, ''), (2, 2, ''), (3, 3, '')",
            "DELETE FROM a WHERE id = 1",
            "UPDATE a SET id = 20 WHERE id = 2",
        )
        following_it.settle()
        assert following_it.differences() == {}
        assert len(source_db.rows("SELECT * FROM b")) == 2


def test_without_foreign_key_checks_nothing_cascades(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    source_db.execute(*SHOP[:2])
    with follow(source_db, store_db, tmp_path) as following_it:
        source_db.execute("INSERT INTO a VALUES (1, 'x', '')", "INSERT INTO b VALUES (1, 1, '')")
        connection = source_db.connect()
        with connection.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0")
            cursor.execute("DELETE FROM a WHERE id = 1")
        connection.close()
        following_it.settle()
        assert source_db.rows("SELECT id FROM b") == [(1,)]
        assert following_it.differences() == {}


def test_a_large_transaction_arrives_whole(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> None:
    source_db.execute(SHOP[0], SHOP[4])
    with follow(source_db, store_db, tmp_path) as following_it:
        connection = source_db.connect(autocommit=False)
        with connection.cursor() as cursor:
            for start in range(0, 3000, 500):
                rows = ", ".join(f"({n}, 'n{n}', 'm')" for n in range(start, start + 500))
                cursor.execute(f"INSERT INTO a VALUES {rows}")
                cursor.execute("UPDATE a SET more = 'changed' WHERE id % 3 = 0")
                cursor.execute("INSERT INTO log SELECT id, note FROM a WHERE id % 50 = 0")
        connection.commit()
        connection.close()
        state = following_it.settle()
        assert following_it.differences() == {}
        assert state.applied_transactions >= 1


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ALTER TABLE a ADD extra int", "ALTER TABLE a ADD extra int"),
        ("TRUNCATE TABLE log", "TRUNCATE TABLE log"),
        ("RENAME TABLE log TO old_log", "RENAME TABLE log"),
    ],
)
def test_a_change_of_a_migrated_table_holds_that_table_only(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path, statement: str, said: str
) -> None:
    source_db.execute(SHOP[0], SHOP[4])
    with follow(source_db, store_db, tmp_path) as following_it:
        source_db.execute(
            "CREATE TABLE unrelated (id int)",
            "INSERT INTO unrelated VALUES (1)",
            "ALTER TABLE unrelated ADD x int",
            "CREATE VIEW v AS SELECT * FROM a",
            "INSERT INTO a VALUES (1, 'kept', '')",
        )
        following_it.settle()
        assert following_it.differences() == {}
        held, other = ("a", "log") if "TABLE a " in statement else ("log", "a")
        source_db.execute("INSERT INTO log VALUES (1, 'before')", statement)
        source_db.execute("INSERT INTO a (id) VALUES (2)")
        if held == "a":
            source_db.execute("INSERT INTO log VALUES (2, 'after')")
        following_it.settle()
        states = {plan.source.id.name: following_it.applier.phases.get(plan.id) for plan in following_it.plans}
        assert states[held].phase is Phase.HELD and said in (states[held].reason or "")
        assert states[other].phase is Phase.STREAMING
        expected = {"a": [(1,)], "log": [(1,), (2,)]} if held == "a" else {"a": [(1,), (2,)], "log": [(1,)]}
        found = {
            "a": following_it.store_db.rows("SELECT id FROM a ORDER BY 1"),
            "log": following_it.store_db.rows("SELECT a FROM log ORDER BY 1"),
        }
        assert found == expected
        with connect_store(SecretStr(store_db.dsn)) as store:
            entries = ddl_log.load(store, STREAM)
        assert [entry.verdict.partition(":")[0] for entry in entries] == ["passed", "held"]
        assert entries[-1].statement == statement
        # Released, it meets the statement again and is held where it was.
        phases = following_it.applier.phases
        version = phases.version
        following_it.applier.release(next(plan.id for plan in following_it.plans if plan.source.id.name == held))
        wait_for(following_it.applier, lambda state: phases.version > version + 1 and state.phases.get("held", 0) == 1)


def test_statements_that_leave_the_rows_go_on_and_are_recorded(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    source_db.execute(SHOP[0], SHOP[4])
    statements = [
        "CREATE INDEX i ON a (more)",
        "ALTER TABLE a DROP INDEX i, ADD UNIQUE KEY u (more), COMMENT='it, now'",
        "ALTER TABLE log ADD KEY k (a), ENGINE=InnoDB",
        "ANALYZE TABLE a",
        "CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET NEW.more = CONCAT('t', NEW.id)",
        "CREATE VIEW v AS SELECT * FROM log",
    ]
    with follow(source_db, store_db, tmp_path) as following_it:
        for number, statement in enumerate(statements):
            source_db.execute(f"INSERT INTO a VALUES ({number}, 'n{number}', NULL)", statement)
            source_db.execute(f"INSERT INTO log VALUES ({number}, NULL)")
        following_it.settle()
        assert following_it.differences() == {}
        assert all(following_it.applier.phases.get(plan.id).phase is Phase.STREAMING for plan in following_it.plans)
    with connect_store(SecretStr(store_db.dsn)) as store:
        entries = ddl_log.load(store, STREAM)
    assert [entry.statement for entry in entries if not entry.statement.startswith(("CREATE DEF", "CREATE ALG"))] == [
        *statements[:4]
    ]
    assert len(entries) == len(statements) and {entry.verdict for entry in entries} == {ddl_log.PASSED}


def test_statement_format_stops_by_name(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> None:
    source_db.execute(SHOP[0])
    with follow(source_db, store_db, tmp_path) as following_it:
        connection = source_db.connect()
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION binlog_format = STATEMENT")
            cursor.execute("INSERT INTO a VALUES (1, 'x', '')")
        connection.close()
        assert "not by row events" in following_it.halted()


def xa(connection: Any, name: str, *statements: str) -> None:
    """Prepare a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(f"XA START '{name}', 'b''r', 7")
        for statement in statements:
            cursor.execute(statement)
        cursor.execute(f"XA END '{name}', 'b''r', 7")
        cursor.execute(f"XA PREPARE '{name}', 'b''r', 7")


def test_rows_of_a_prepared_xa_transaction_come_with_its_verdict(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    source_db.execute(SHOP[0])
    name = source_db.database
    with follow(source_db, store_db, tmp_path) as following_it, ExitStack() as stack:
        source_db.execute("INSERT INTO a VALUES (1, 'x', ''), (2, 'y', ''), (3, 'z', '')")
        one, two, three = (stack.enter_context(closing(source_db.connect())) for _ in range(3))
        xa(one, f"{name}1", "INSERT INTO a VALUES (10, 'ten', '')", "UPDATE a SET more = 'xa' WHERE id = 2")
        xa(two, f"{name}2", "INSERT INTO a VALUES (20, 'twenty', '')", "DELETE FROM a WHERE id = 3")
        xa(three, f"{name}3", "INSERT INTO a VALUES (30, REPEAT('n', 9), '')")
        source_db.execute("INSERT INTO a VALUES (11, 'between', '')")
        following_it.settle()
        assert store_db.rows("SELECT id FROM a ORDER BY id") == [(1,), (2,), (3,), (11,)]
        # Whoever reads the stream dies, and another goes on: what was prepared is on disk.
        before = following_it.follower
        before.close()
        assert before.writer.tail is not None
        again = Follower(before.settings, tmp_path, before.writer.tail.position)
        following_it.follower = stack.enter_context(closing(again))
        with one.cursor() as cursor:
            cursor.execute(f"XA COMMIT '{name}1', 'b''r', 7")
        with two.cursor() as cursor:
            cursor.execute(f"XA ROLLBACK '{name}2', 'b''r', 7")
        source_db.execute("INSERT INTO a VALUES (12, 'after', '')")
        following_it.settle()
        assert following_it.differences() == {}
        with three.cursor() as cursor:
            cursor.execute(f"XA COMMIT '{name}3', 'b''r', 7")
            # Once more under the same name, and in one phase.
            xa(three, f"{name}3", "UPDATE a SET more = 'again' WHERE id = 30")
            cursor.execute(f"XA COMMIT '{name}3', 'b''r', 7")
            cursor.execute(f"XA START '{name}4'")
            cursor.execute("INSERT INTO a VALUES (40, 'forty', '')")
            cursor.execute(f"XA END '{name}4'")
            cursor.execute(f"XA COMMIT '{name}4' ONE PHASE")
        following_it.settle()
        assert following_it.differences() == {}
        wait_until(lambda: not list(tmp_path.glob("prepared*")))


def test_a_verdict_over_a_transaction_that_was_prepared_before_stops_by_name(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    source_db.execute(SHOP[0])
    name = source_db.database
    if source_db.rows("SELECT version()")[0][0].startswith("5.6"):
        pytest.skip("MySQL 5.6 writes the changes when they are committed, not when they are prepared")
    with closing(source_db.connect()) as connection:
        xa(connection, f"{name}1", "INSERT INTO a VALUES (1, 'x', '')")
        with follow(source_db, store_db, tmp_path) as following_it, connection.cursor() as cursor:
            cursor.execute(f"XA COMMIT '{name}1', 'b''r', 7")
            assert "prepared before the stream" in following_it.halted()


def test_partial_json_stops_by_name(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> None:
    if source_db.server.flavour.name == "mysql-5.6":
        pytest.skip("MySQL 5.6 has no JSON")
    source_db.execute("CREATE TABLE a (id INT PRIMARY KEY, doc JSON)")
    if not source_db.rows("SHOW VARIABLES LIKE 'binlog_row_value_options'"):
        pytest.skip("the server has no binlog_row_value_options")
    with follow(source_db, store_db, tmp_path) as following_it, closing(source_db.connect()) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION binlog_row_value_options = PARTIAL_JSON")
            cursor.execute("INSERT INTO a VALUES (1, JSON_OBJECT('x', JSON_ARRAY(1, 2), 'long', REPEAT('l', 200)))")
            cursor.execute("UPDATE a SET doc = JSON_SET(doc, '$.x[0]', 9) WHERE id = 1")
        connection.commit()
        assert "changed parts of JSON documents" in following_it.halted()
        assert "SET GLOBAL binlog_row_value_options = ''" in (following_it.applier.state.hint or "")
