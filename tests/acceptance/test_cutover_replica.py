"""A replica that may take the source's place: nothing moves before it has what the move rests on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pymysql
import pytest

from model.errors import ExitCode
from servers import RunningServer
from tests.support import dying_steps
from tests.support.migration import Finished
from tests.support.replicas import PASSWORD, USER, follow, session
from tests.support.servers import SourceDatabase, StoreDatabase, source_database
from tests.support.small import Small, small_domain


def name_it(migration: Small, source: RunningServer, replica: RunningServer) -> None:
    """The daemon is told of the replica."""
    assert migration.terminate() == 0
    text = migration.config.read_text().replace(f'user: "{source.user}"', f'user: "{USER}"')
    listed = f'replicas: ["{replica.host}:{replica.port}"], databases:'
    migration.config.write_text(text.replace("databases:", listed, 1))
    migration.environment["SMALL_PASSWORD"] = PASSWORD
    migration.start()
    migration.wait_streaming()


@contextmanager
def held_up(replica: RunningServer, table: str) -> Iterator[None]:
    """The replica cannot apply changes of one of our tables."""
    with session(replica) as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT * FROM crossfade_control.{table} FOR UPDATE")
        yield
        cursor.execute("ROLLBACK")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_moves_before_the_replica_has_it(
    start_private: Callable[..., RunningServer], store15: StoreDatabase, tmp_path: Path
) -> None:
    source, replica = start_private("mariadb-10.11"), start_private("mariadb-10.11")
    with source_database(source) as source_db, small_domain(source_db, store15, tmp_path) as migration:
        assert migration.gates()["streaming"]["passed"]
        follow(source, replica, "crossfade_control")
        trap = dying_steps.Trap(tmp_path / "trap")
        migration.environment |= trap.environment
        name_it(migration, source, replica)
        migration.ok("cutover", "rehearse", "stock")
        assert migration.gates()["replicas_follow"]["value"].startswith("1 within")

        with session(replica) as cursor:
            cursor.execute("STOP SLAVE SQL_THREAD")
        gate = migration.gates()["replicas_follow"]
        assert not gate["passed"] and f"{replica.host}:{replica.port} has not got the marker" in gate["value"]
        assert migration.run("cutover", "run", "stock", "--confirm", "stock").code == ExitCode.REFUSED
        assert migration.domain()["phase"] == "prepared"
        with session(replica) as cursor:
            cursor.execute("START SLAVE SQL_THREAD")

        # It falls behind during the move: undone, and the source takes writes again.
        undone_when_held_up(migration, source_db, replica)
        undone_when_a_failover_loses_the_closing(migration, trap, replica)
        over_when_the_replica_has_the_closing(migration, trap, replica)
        with session(replica) as cursor:
            cursor.execute("SELECT closed, expires_s FROM crossfade_control.gate")
            assert cursor.fetchall() == ((1, None),)

        # What the stores have written must be there before the source opens.
        store15.execute("UPDATE items SET name = 'back' WHERE id = 1")
        migration.light("GREEN")
        with held_up(replica, "reverse_progress"):
            back = migration.run("rollback", "run", "stock", "--confirm", "stock")
        assert back.code in (ExitCode.REFUSED, ExitCode.ABORTED) and "has not got" in back.err, back
        assert migration.domain()["phase"] == "live"
        migration.until(lambda _: migration.gates()["replicas_follow"]["passed"])
        migration.move("rollback")
        with session(replica) as cursor:
            cursor.execute("SELECT closed FROM crossfade_control.gate")
            assert cursor.fetchall() == ((0,),)
        assert source_db.rows("SELECT name FROM items WHERE id = 1") == [("back",)]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_cutover_waits_for_a_replica_of_mysql(
    start_private: Callable[..., RunningServer], store15: StoreDatabase, tmp_path: Path
) -> None:
    """The same on the other kind of source: until the replica has the closing, nobody writes."""
    source, replica = start_private("mysql-9.7"), start_private("mysql-9.7")
    with source_database(source) as source_db, small_domain(source_db, store15, tmp_path) as migration:
        with session(replica) as cursor:
            cursor.execute("CHANGE REPLICATION FILTER REPLICATE_WILD_DO_TABLE = ('crossfade_control.%')")
        follow(source, replica, "crossfade_control")
        trap = dying_steps.Trap(tmp_path / "trap")
        migration.environment |= trap.environment
        name_it(migration, source, replica)
        over_when_the_replica_has_the_closing(migration, trap, replica)
        with session(replica) as cursor:
            cursor.execute("SELECT closed, expires_s FROM crossfade_control.gate")
            assert cursor.fetchall() == ((1, None),)


def undone_when_held_up(migration: Small, source_db: SourceDatabase, replica: RunningServer) -> None:
    """The replica shows markers, but not the closing of the gate."""
    with held_up(replica, "gate"):
        aborted = migration.run("cutover", "run", "stock", "--confirm", "stock")
        assert aborted.code == ExitCode.ABORTED and "has not got the marker" in aborted.err, aborted
        assert migration.domain()["phase"] == "prepared"
        source_db.execute("INSERT INTO items (sku, price) VALUES ('still open', 1)")
    migration.until(lambda _: migration.gates()["replicas_follow"]["passed"])


@contextmanager
def at_the_point(migration: Small, trap: dying_steps.Trap) -> Iterator[Future[Finished]]:
    """A cutover that waits right before its point of no return."""
    trap.set("cutover.no_return.before", "wait")
    with ThreadPoolExecutor(1) as executor:
        asked = executor.submit(migration.run, "cutover", "run", "stock", "--confirm", "stock")
        deadline = time.monotonic() + 120
        while not trap.sprung:
            assert time.monotonic() < deadline and not asked.done(), migration.log_tail()
            time.sleep(0.1)
        yield asked


def nobody_writes_before_it_is_there(migration: Small) -> None:
    """Closed for good on the source, the replica lacks it: both sides refuse, and the status names the replica."""
    found = migration.until(lambda found: "has not got the closing of the gate" in found["problem"])
    assert (found["phase"], found["side"]) == ("cutting_over", "source")
    with pytest.raises(pymysql.err.MySQLError, match="closed for writes"):
        migration.source_db.execute("INSERT INTO items (sku, price) VALUES ('nowhere', 1)")
    assert refused_in_the_store(migration)


def refused_in_the_store(migration: Small) -> bool:
    """Whether an application is turned away there."""
    try:
        migration.store_db.execute("UPDATE items SET name = 'nowhere' WHERE id = 1")
    except psycopg.errors.ReadOnlySqlTransaction:
        return True
    return False


def over_when_the_replica_has_the_closing(migration: Small, trap: dying_steps.Trap, replica: RunningServer) -> None:
    """Then the daemon goes on by itself."""
    with at_the_point(migration, trap) as asked:
        with held_up(replica, "gate"):
            trap.go()
            nobody_writes_before_it_is_there(migration)
        done = asked.result()
    assert done.code == 0, done
    assert migration.domain()["phase"] == "live" and not refused_in_the_store(migration)


def undone_when_a_failover_loses_the_closing(migration: Small, trap: dying_steps.Trap, replica: RunningServer) -> None:
    """The replica takes the source's place with the row that it has, and its time is over: it was never final."""
    with at_the_point(migration, trap) as asked:
        with session(replica) as cursor:
            cursor.execute("STOP SLAVE SQL_THREAD")
        trap.go()
        nobody_writes_before_it_is_there(migration)
        migration.source_db.execute("UPDATE crossfade_control.gate SET expires_s = 1 WHERE domain = 'stock'")
        done = asked.result()
    assert done.code == ExitCode.ABORTED, done
    found = migration.domain()
    assert (found["phase"], found["side"]) == ("prepared", "source")
    migration.source_db.execute("INSERT INTO items (sku, price) VALUES ('open again', 1)")
    assert refused_in_the_store(migration)
    with session(replica) as cursor:
        cursor.execute("START SLAVE SQL_THREAD")
    migration.until(lambda _: migration.gates()["replicas_follow"]["passed"])
