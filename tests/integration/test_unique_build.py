"""Unique indexes that are built while others write: which tables, what failures leave, and who waits for whom."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from model.errors import Busy, ValueRefused
from model.tables import IndexDef, IndexPart
from stores.postgres import PostgresConnection, connect_store
from sync.postgres import unique_build
from sync.postgres.drift import differences, render
from sync.postgres.schema_apply import apply_schema
from sync.postgres.schema_lock import alone, locks_of
from sync.postgres.store_catalog import read_store
from sync.postgres.unique_build import build_uniques, drop_unfinished, is_slow
from tests.support.plans import column, compile_tables, table
from tests.support.servers import StoreDatabase
from tests.support.streaming import wait_until
from transforms.ddl import Phase
from transforms.target import TargetTable

VALID = """SELECT c.relname, x.indisvalid FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
    WHERE x.indrelid = 't'::regclass AND NOT x.indisprimary"""
ROWS = "INSERT INTO t VALUES (1, 1), (2, 2)"


@pytest.fixture
def connect(store_db: StoreDatabase) -> Iterator[Callable[[], PostgresConnection]]:
    """New sessions of a database of its own; all are closed at the end."""
    opened: list[PostgresConnection] = []

    def one() -> PostgresConnection:
        opened.append(connect_store(SecretStr(store_db.dsn)))
        return opened[-1]

    yield one
    for connection in opened:
        connection.close()


@pytest.fixture
def target(connect: Callable[[], PostgresConnection]) -> TargetTable:
    """A table `t` with a unique column, made and without its index."""
    unique = IndexDef("n", (IndexPart("n"),), unique=True)
    (plan,) = compile_tables(table("t", column("id", "int"), column("n", "int"), indexes=(unique,))).plans
    apply_schema(connect(), [plan.target], Phase.BEFORE_COPY)
    return plan.target


def leave_unfinished(connection: PostgresConnection, target: TargetTable) -> None:
    """An index of the table as a build leaves it that fails, or is stopped."""
    connection.execute("INSERT INTO t VALUES (8, 8), (9, 8)")
    (index,) = target.indexes
    with pytest.raises(Exception, match="could not create unique index"):
        connection.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {index.name} ON t (n)".encode())
    connection.execute("DELETE FROM t WHERE id = 9")
    assert connection.execute(VALID).fetchall() == [(index.name, False)]


def test_only_large_tables_that_lack_an_index_are_slow(
    connect: Callable[[], PostgresConnection], target: TargetTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect()
    connection.execute(ROWS)
    assert not is_slow(connection, target)
    monkeypatch.setattr(unique_build, "IN_PLACE_BYTES", 0)
    assert is_slow(connection, target)
    leave_unfinished(connection, target)
    assert is_slow(connection, target)
    build_uniques(connection, target, threading.Event(), lambda name: None)
    assert not is_slow(connection, target)
    # PostgreSQL cannot build an index of a partitioned table beside its writers.
    connection.execute("DROP TABLE t")
    connection.execute("CREATE TABLE t (id int PRIMARY KEY, n int) PARTITION BY RANGE (id)")
    connection.execute("CREATE TABLE t1 PARTITION OF t DEFAULT")
    connection.execute(ROWS)
    assert not is_slow(connection, target)


def test_equal_rows_fail_the_build_and_leave_nothing(
    connect: Callable[[], PostgresConnection], target: TargetTable
) -> None:
    connection, said = connect(), list[str]()
    connection.execute("INSERT INTO t VALUES (1, 5), (2, 5)")
    with pytest.raises(ValueRefused) as caught:
        build_uniques(connection, target, threading.Event(), said.append)
    assert "(n)=(5)" in str(caught.value) and said == [target.indexes[0].name]
    assert connection.execute(VALID).fetchall() == []
    assert connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)


@pytest.mark.parametrize("beside", [True, False])
def test_what_a_build_has_left_is_built_anew(
    connect: Callable[[], PostgresConnection], target: TargetTable, beside: bool
) -> None:
    connection = connect()
    leave_unfinished(connection, target)
    assert "not valid" in render(differences(read_store(connection, ["public"]), [target]))
    if beside:
        build_uniques(connection, target, threading.Event(), lambda name: None)
    else:
        assert len(apply_schema(connection, [target], Phase.AFTER_CONSISTENT)) == 1
    assert connection.execute(VALID).fetchall() == [(target.indexes[0].name, True)]
    assert differences(read_store(connection, ["public"]), [target]) == ()


def test_what_a_build_has_left_goes_with_a_statement_that_alters_the_table(
    connect: Callable[[], PostgresConnection], target: TargetTable
) -> None:
    connection = connect()
    leave_unfinished(connection, target)
    connection.execute("CREATE UNIQUE INDEX of_somebody ON t (id, n)")
    with connection.transaction():
        drop_unfinished(connection, target)
    assert connection.execute(VALID).fetchall() == [("of_somebody", True)]


def test_who_waits_for_a_build_does_not_hold_it_up(
    connect: Callable[[], PostgresConnection], target: TargetTable
) -> None:
    """A build waits for snapshots that are older than it is; who waits for the build must have none."""
    writer, builder, other, watcher = (connect() for _ in range(4))
    writer.execute("BEGIN")
    writer.execute("INSERT INTO t VALUES (1, 1)")
    phase = "SELECT phase FROM pg_stat_progress_create_index"
    asked = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND query LIKE '%%advisory%%'"
    with ThreadPoolExecutor() as threads:
        building = threads.submit(build_uniques, builder, target, threading.Event(), lambda name: None)
        try:
            wait_until(lambda: watcher.execute(phase).fetchone() == ("waiting for writers before build",))
            waiting = threads.submit(apply_schema, other, [target], Phase.AFTER_CONSISTENT)
            wait_until(lambda: watcher.execute(asked, (other.info.backend_pid,)).fetchone())
        finally:
            writer.execute("COMMIT")
        building.result(30)
        assert waiting.result(30) == []
    assert watcher.execute(VALID).fetchall() == [(target.indexes[0].name, True)]


def test_a_lock_is_waited_for_as_long_as_the_session_waits_for_locks(
    connect: Callable[[], PostgresConnection], target: TargetTable
) -> None:
    one, other = connect(), connect()
    other.execute("SET lock_timeout = '200ms'")
    locks = (1, *locks_of([target]))
    with alone(one, "main", locks_of([target])):
        with pytest.raises(Busy, match="somebody else"), alone(other, "main", locks):
            raise AssertionError("nobody is alone twice")
        # Who does not get all has none.
        with alone(one, "main", (1,)):
            pass
        stop = threading.Event()
        stop.set()
        with pytest.raises(Busy), alone(connect(), "main", locks, stop):
            raise AssertionError("nobody is alone twice")
    with alone(other, "main", locks):
        pass
