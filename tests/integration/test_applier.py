"""The applier on a real store: phases, exactly once through crashes and lost connections, pause, hold, fences."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from model.errors import UnsupportedChange
from model.position import BinlogCoordinate
from model.rows import Op, Row, RowChange
from stores.control import checkpoints, table_states
from stores.postgres import PostgresConnection
from sync.applier_state import Mode
from sync.cascades import CascadeGraph
from sync.changes import RowsBatch
from sync.table_phase import Phase, TableState
from tests.support import points
from tests.support.applying import STREAM, Applying, running, wait_for
from tests.support.changes import SourceModel, as_row, make_plan, make_table
from tests.support.servers import StoreDatabase

PLAIN = make_table("t", "id int,note text,slot int", uniques=(("slot",),))
LOG = make_table("log", "a int,b text", key=())
FAMILY = {
    "a": make_table("a", "id int,note text"),
    "b": make_table("b", "id int,a_id int", parents=(("a_id", "a", "CASCADE", "CASCADE"),)),
    "c": make_table("c", "id int,b_id int", parents=(("b_id", "b", "CASCADE", "CASCADE"),)),
}


def fill(applying: Applying, source: SourceModel, count: int, first: int = 0) -> None:
    """Transactions that insert, change and delete rows of `t`, and grow `log`."""
    for number in range(first, first + count):
        source.insert("t", number, f"n{number}", number)
        if number % 3 == 0:
            row = source.find("t", number)
            source.update("t", row, (row[0], b"changed", row[2]))
        if number % 7 == 6:
            source.delete("t", source.find("t", number - 1))
        source.insert("log", number % 2, "x")
        applying.relay.add(source.commit())


def test_it_follows_the_relay_and_counts(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": PLAIN, "log": LOG})
    applying = Applying.prepare(store_db, source)
    with running(applying.applier()) as applier:
        fill(applying, source, 50)
        state = wait_for(applier, lambda state: state.seq == 50)
        assert applying.differences() == {}
        assert state.applied_transactions == 50
        assert sum(state.tables.values()) == state.applied_rows
        fill(applying, source, 1, first=50)
        wait_for(applier, lambda state: state.seq == 51 and state.lag_s == 0)
        assert applying.steps.foreign_keys == 1
    assert applying.differences() == {}
    assert applier.state.mode is Mode.STOPPED
    assert applying.checkpoint().position.coordinate == BinlogCoordinate("binlog.000001", 5100)


def test_transactions_without_our_tables_move_the_checkpoint(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": PLAIN})
    applying = Applying.prepare(store_db, source)
    with running(applying.applier()) as applier:
        for _ in range(5):
            applying.relay.add([])
        applier.flush()
        wait_for(applier, lambda state: state.seq == 5)
        applying.relay.add([])
        wait_for(applier, lambda state: state.seq == 6)
    assert applying.checkpoint().applied_rows == 0


def test_small_groups_and_one_huge_transaction(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": PLAIN, "log": LOG})
    applying = Applying.prepare(store_db, source)
    fill(applying, source, 20)
    for number in range(1000, 4000):
        source.load("t", number, "big", number)
    applying.relay.add(source.commit())
    fill(applying, source, 20, first=20)
    with running(applying.applier(max_rows=40)) as applier:
        wait_for(applier, lambda state: state.seq == 41)
    assert applying.differences() == {}


def copy_rows(applying: Applying, name: str) -> None:
    """Put the source's rows of a table into the store as they are now, as the snapshot would."""
    plan = next(plan for plan in applying.plans if plan.source.id.name == name)
    with applying.connect() as connection, connection.cursor() as cursor:
        for row in applying.source.rows[name]:
            values = sql.SQL(", ").join(sql.Literal(None if f is None else f.decode()) for f in row)  # type: ignore[union-attr]
            cursor.execute(sql.SQL("INSERT INTO {} VALUES ({})").format(sql.Identifier(plan.target.name), values))


def set_state(applying: Applying, state: TableState) -> None:
    with applying.connect() as connection:
        table_states.save(connection, STREAM, state)
    applying.phases.set(state)


def test_a_copied_table_replays_converges_gets_its_uniques_and_streams(store_db: StoreDatabase) -> None:
    """The copy sees a later state than its gate; the main stream is beyond the gate when it ends."""
    source = SourceModel({"t": PLAIN, "log": LOG})
    applying = Applying.prepare(store_db, source, phase=Phase.PENDING)
    keyed, keyless = applying.plans
    fill(applying, source, 10)
    with running(applying.applier(max_rows=5)) as applier:
        wait_for(applier, lambda state: state.seq == 10)
        assert applying.table(keyed) == []
        set_state(applying, TableState(keyed.id, Phase.COPYING, gate_seq=10))
        # A keyless table is copied exactly at its gate.
        copy_rows(applying, "log")
        gate = BinlogCoordinate("binlog.000001", 1000)
        set_state(applying, TableState(keyless.id, Phase.COPIED, gate_seq=10, high=gate))
        wait_for(applier, lambda state: state.phases.get("streaming") == 1)
        fill(applying, source, 30, first=10)
        wait_for(applier, lambda state: state.seq == 40)
        assert applying.table(keyed) == []
        one, two = source.find("t", 30), source.find("t", 31)
        source.update("t", one, (one[0], one[1], None))
        source.update("t", two, (two[0], two[1], one[2]))
        source.update("t", (one[0], one[1], None), (one[0], one[1], two[2]))
        seen_by_the_copy = source.commit()
        copy_rows(applying, "t")
        # H is beyond what the relay has: the table stays unsettled until then, without uniques.
        high = BinlogCoordinate("binlog.000001", 4100)
        set_state(applying, TableState(keyed.id, Phase.COPIED, gate_seq=10, high=high, rows_copied=26))
        wait_for(applier, lambda state: state.phases.get("converging") == 1)
        assert not store_db.rows("SELECT 1 FROM pg_indexes WHERE tablename = 't' AND indexname = 't_u0'")
        applying.relay.add(seen_by_the_copy)
        wait_for(applier, lambda state: state.phases.get("streaming") == 2)
        assert store_db.rows("SELECT 1 FROM pg_indexes WHERE tablename = 't' AND indexname = 't_u0'")
        fill(applying, source, 5, first=40)
        wait_for(applier, lambda state: state.seq == 46)
    assert applying.differences() == {}
    assert applying.steps.foreign_keys == 1
    with applying.connect() as connection:
        states = table_states.load(connection, STREAM)
    assert {state.phase for state in states.values()} == {Phase.STREAMING}
    assert states[keyed.id].applied_seq == 40


def test_a_gate_ahead_of_the_checkpoint_is_waited_for(store_db: StoreDatabase) -> None:
    source = SourceModel({"log": LOG})
    applying = Applying.prepare(store_db, source, phase=Phase.PENDING)
    for number in range(10):
        source.insert("log", number, "x")
        applying.relay.add(source.commit())
    copy_rows(applying, "log")
    gate = BinlogCoordinate("binlog.000001", 1000)
    set_state(applying, TableState(applying.plans[0].id, Phase.COPIED, gate_seq=10, high=gate))
    source.insert("log", 99, "after")
    applying.relay.add(source.commit())
    with running(applying.applier()) as applier:
        wait_for(applier, lambda state: state.seq == 11 and state.phases.get("streaming") == 1)
    assert applying.differences() == {}


@pytest.mark.parametrize("child_first", [True, False])
def test_cascades_during_the_copy_leave_no_orphans(store_db: StoreDatabase, child_first: bool) -> None:
    """The middle table is copied after its rows have cascaded away, the child's rows before."""
    source = SourceModel(FAMILY)
    applying = Applying.prepare(store_db, source, phase=Phase.PENDING)
    for number in range(4):
        source.insert("a", number, "x")
        source.insert("b", number, number)
        source.insert("c", number, number)
    applying.relay.add(source.commit())
    order = ["c", "a", "b"] if child_first else ["b", "a", "c"]
    with running(applying.applier()) as applier:
        applier.flush()
        wait_for(applier, lambda state: state.seq == 1)
        copy_rows(applying, order[0])
        source.delete("a", source.find("a", 1))
        source.update("a", source.find("a", 2), as_row((20, "x")))
        applying.relay.add(source.commit())
        for name in order[1:]:
            copy_rows(applying, name)
        high = BinlogCoordinate("binlog.000001", 200)
        for plan in applying.plans:
            set_state(applying, TableState(plan.id, Phase.COPIED, gate_seq=1, high=high))
            if child_first:
                applier.flush()
        wait_for(applier, lambda state: state.seq == 2 and state.phases.get("streaming") == 3)
        source.delete("a", source.find("a", 3))
        applying.relay.add(source.commit())
        wait_for(applier, lambda state: state.seq == 3)
    assert applying.differences() == {}
    assert source.rows["c"] == [as_row((0, 0)), as_row((2, 2))]


def test_hold_and_release(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": PLAIN, "log": LOG})
    applying = Applying.prepare(store_db, source)
    keyed, _ = applying.plans
    with running(applying.applier(max_rows=3)) as applier:
        fill(applying, source, 10)
        wait_for(applier, lambda state: state.seq == 10)
        applier.hold(keyed.id, "somebody looks at it")
        wait_for(applier, lambda state: state.phases.get("held") == 1)
        before = applying.table(keyed)
        fill(applying, source, 10, first=10)
        wait_for(applier, lambda state: state.seq == 20)
        applier.hold(keyed.id, "twice is once")
        applier.release(applying.plans[1].id)
        assert applying.table(keyed) == before
        assert set(applying.differences()) == {keyed.id}
        applier.release(keyed.id)
        wait_for(applier, lambda state: state.phases.get("streaming") == 2)
        fill(applying, source, 3, first=20)
        wait_for(applier, lambda state: state.seq == 23)
    assert applying.differences() == {}


def test_a_held_middle_of_a_chain_misses_no_cascade(store_db: StoreDatabase) -> None:
    source = SourceModel(FAMILY)
    applying = Applying.prepare(store_db, source)
    middle = applying.plans[1]
    with running(applying.applier()) as applier:
        for number in range(4):
            source.insert("a", number, "x")
            source.insert("b", number, number)
            source.insert("c", number, number)
        applying.relay.add(source.commit())
        wait_for(applier, lambda state: state.seq == 1)
        applier.hold(middle.id, "somebody looks at it")
        wait_for(applier, lambda state: state.phases.get("held") == 1)
        source.delete("a", source.find("a", 1))
        source.delete("b", source.find("b", 2))
        applying.relay.add(source.commit())
        wait_for(applier, lambda state: state.seq == 2)
        applier.release(middle.id)
        wait_for(applier, lambda state: state.phases.get("streaming") == 3)
    assert applying.differences() == {}


def test_pause_and_resume(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": PLAIN, "log": LOG})
    applying = Applying.prepare(store_db, source)
    with running(applying.applier()) as applier:
        fill(applying, source, 3)
        wait_for(applier, lambda state: state.seq == 3)
        applier.pause()
        wait_for(applier, lambda state: state.mode is Mode.PAUSED)
        fill(applying, source, 3, first=3)
        state = wait_for(applier, lambda state: state.behind == 3)
        assert state.seq == 3 and state.lag_s is not None
        applier.resume()
        wait_for(applier, lambda state: state.seq == 6)
    assert applying.differences() == {}


def test_a_lost_fence_halts(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": PLAIN, "log": LOG})
    applying = Applying.prepare(store_db, source)
    with running(applying.applier()) as applier:
        fill(applying, source, 2)
        wait_for(applier, lambda state: state.seq == 2)
        with applying.connect() as other:
            checkpoints.take_over(other, STREAM)
        fill(applying, source, 2, first=2)
        state = wait_for(applier, lambda state: state.mode is Mode.HALTED, halted=True)
        assert state.error and "taken over" in state.error
    assert applying.checkpoint().seq == 2


def test_an_error_that_retries_cannot_mend_halts_with_its_place(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": PLAIN})
    applying = Applying.prepare(store_db, source)
    with applying.connect() as connection:
        connection.execute("ALTER TABLE t DROP COLUMN slot")
    row: Row = (b"1", b"x", b"1")
    applying.relay.add([RowsBatch(PLAIN.id, [RowChange(Op.INSERT, PLAIN.id, None, row)], True, 10)])
    with running(applying.applier()) as applier:
        state = wait_for(applier, lambda state: state.mode is Mode.HALTED, halted=True)
    assert state.error and "slot" in state.error and "seq 1" in state.error
    assert applying.checkpoint().seq == 0


def test_a_stop_by_name_halts_and_keeps_what_came_before(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": PLAIN, "log": LOG})
    applying = Applying.prepare(store_db, source)
    fill(applying, source, 3)

    class Refusing:
        def batches(self, transaction, wanted):  # type: ignore[no-untyped-def]
            if transaction.seq == 3:
                raise UnsupportedChange("the source changed a migrated table by a statement: ALTER TABLE t")
            return iter(transaction.changes)

    applier = applying.applier(max_rows=1)
    applier._read_changes = lambda history: Refusing()
    with running(applier):
        state = wait_for(applier, lambda state: state.mode is Mode.HALTED, halted=True)
    assert state.error and "ALTER TABLE" in state.error and "seq 3" in state.error
    assert applying.checkpoint().seq == 2


def test_killed_connections_cost_nothing(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": PLAIN, "log": LOG})
    applying = Applying.prepare(store_db, source)
    with running(applying.applier(max_rows=7)) as applier, applying.connect() as killer:
        for part in range(6):
            fill(applying, source, 30, first=part * 30)
            wait_for(applier, lambda state, part=part: state.seq > part * 30)
            killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        wait_for(applier, lambda state: state.seq == 180)
        assert applier.state.retries > 0
    assert applying.differences() == {}
    assert applying.checkpoint().applied_transactions == 180


@pytest.mark.parametrize("reached_the_server", [True, False])
def test_a_connection_lost_during_commit_is_judged_by_the_row(
    store_db: StoreDatabase, reached_the_server: bool
) -> None:
    source = SourceModel({"t": PLAIN, "log": LOG})
    applying = Applying.prepare(store_db, source)
    lost = 0

    class Doubtful(psycopg.Connection[tuple[object, ...]]):
        """Every third COMMIT is answered by silence, after or before it took effect."""

        commits = 0

        def execute(self, query, *arguments, **options):  # type: ignore[no-untyped-def]
            nonlocal lost
            if query == "COMMIT":
                Doubtful.commits += 1
                if Doubtful.commits % 3 == 0:
                    lost += 1
                    if reached_the_server:
                        super().execute(query)
                    self.close()
                    raise psycopg.OperationalError("server closed the connection unexpectedly")
            return super().execute(query, *arguments, **options)

    def connect() -> PostgresConnection:
        return Doubtful.connect(store_db.dsn, autocommit=True)  # type: ignore[return-value]

    fill(applying, source, 60)
    with running(applying.applier(connect=connect, max_rows=10)) as applier:
        wait_for(applier, lambda state: state.seq == 60)
    assert lost > 2
    assert applying.differences() == {}
    assert applying.checkpoint().applied_transactions == 60


CRASHER = """
import sys
from tests.support import points
from tests.integration.test_applier import crash_scene
points.arm(sys.argv[2], times=int(sys.argv[3]))
crash_scene(sys.argv[1])
"""


def crash_scene(dsn: str) -> None:
    """Runs in a process that is to die: applies the scene's relay to the store behind `dsn` until all is done."""
    _, applying = scene(dsn)
    applying.fence = applying.checkpoint().fence
    stop = threading.Event()
    applier = applying.applier(max_rows=6)
    thread = threading.Thread(target=applier.run, args=(stop,), daemon=True)
    thread.start()
    wait_for(applier, lambda state: state.seq == 41 and state.phases.get("streaming") == 2)
    stop.set()
    thread.join()


class _Dsn:
    """Stands for a StoreDatabase in another process."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn


def scene(dsn: str) -> tuple[SourceModel, Applying]:
    """The same history in every process: 10 transactions before the copy, 30 after it, and one huge one."""
    source = SourceModel({"t": PLAIN, "log": LOG})
    plans = tuple(make_plan(table) for table in source.tables.values())
    applying = Applying(_Dsn(dsn), source, plans, CascadeGraph())  # type: ignore[arg-type]
    fill(applying, source, 40)
    for number in range(1000, 1100):
        source.load("t", number, "big", number)
    applying.relay.add(source.commit())
    return source, applying


@pytest.mark.parametrize("store", ["postgres-15"], indirect=True)
@pytest.mark.parametrize(
    ("point", "times"),
    [*((point, 1) for point in sorted(points.POINTS)), ("apply.before_commit", 5), ("apply.after_commit", 5)],
)
def test_a_crash_at_any_point_applies_exactly_once(store_db: StoreDatabase, point: str, times: int) -> None:
    source, _ = scene(store_db.dsn)
    prepared = Applying.prepare(store_db, SourceModel({"t": PLAIN, "log": LOG}), phase=Phase.PENDING)
    early = SourceModel({"t": PLAIN, "log": LOG})
    fill(prepared, early, 10)
    prepared.source = early
    for plan in prepared.plans:
        copy_rows(prepared, plan.source.id.name)
        gate = BinlogCoordinate("binlog.000001", 1000)
        with prepared.connect() as connection:
            table_states.save(connection, STREAM, TableState(plan.id, Phase.COPIED, gate_seq=10, high=gate))
            connection.execute("UPDATE crossfade.checkpoint SET seq = 20, binlog_offset = 2000")

    def start(*arguments: str) -> int:
        command = [sys.executable, "-c", CRASHER, store_db.dsn, *arguments]
        return subprocess.run(command, cwd=Path(__file__).parents[2], timeout=120, check=False).returncode

    died = start(point, str(times))
    assert died == points.EXIT_STATUS
    assert start(point, "1000000") == 0
    prepared.source = source
    assert prepared.differences() == {}
    checkpoint = prepared.checkpoint()
    assert checkpoint.seq == 41
    assert checkpoint.applied_transactions == 21


def test_random_stops_and_starts(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": PLAIN, "log": LOG})
    applying = Applying.prepare(store_db, source)
    dice = random.Random(5)
    fill(applying, source, 200)
    for target in [*sorted(dice.sample(range(1, 200), 6)), 200]:
        with running(applying.applier(max_rows=dice.choice([1, 5, 50]))) as applier:
            wait_for(applier, lambda state, target=target: state.seq >= target)
    assert applying.differences() == {}
    assert applying.checkpoint().applied_transactions == 200
