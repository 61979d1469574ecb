"""The copy on real servers: complete, resumable, exact for keyless tables, and honest about what it cannot load."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pymysql
import pytest
from pydantic import SecretStr

from model.errors import ConnectionLost, Fenced, Refused
from model.tables import TableDef
from stores.control import checkpoints
from stores.postgres import PostgresConnection
from sync.copy_board import Board
from sync.relay.transaction import RelayTransaction
from sync.relay.values import RelayTail
from sync.table_phase import Phase
from tests.support.copying import STREAM, Copying, copying, text_plan
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import TABLE, row_ids
from transforms.plan import TablePlan

ROWS = 3000
KEYED = "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, v VARCHAR(100)) ENGINE=InnoDB"
KEYLESS = TABLE.replace(" PRIMARY KEY", "")


def fill(source_db: SourceDatabase, table: str, count: int = ROWS) -> None:
    connection = source_db.connect(autocommit=False)
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", [(n, f"value {n}") for n in range(count)])
    connection.commit()
    connection.close()


@pytest.fixture
def copy(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> Iterator[Copying]:
    """A source with `t`, `ROWS` rows, and a copy of it in small chunks."""
    source_db.execute(KEYED)
    fill(source_db, "t")
    with copying(source_db, store_db, tmp_path, chunk_bytes=1 << 12) as made:
        yield made


def on_chunk(number: int, act: Callable[[], object]) -> Callable[[], str | None]:
    """A pause hook that acts once, before the given task, and never pauses."""
    lock, count = threading.Lock(), [0]

    def hook() -> str | None:
        with lock:
            count[0] += 1
            now = count[0]
        if now == number:
            act()
        return None

    return hook


def whole(copy: Copying, table: str = "t") -> bool:
    """Whether the target has exactly the source's rows."""
    ours = sorted((int(row[0]), row[1]) for row in copy.rows(table))
    theirs = sorted(copy.source_db.rows(f"SELECT * FROM {table}"))
    return ours == theirs


def test_all_tables_are_copied_by_several_workers(copy: Copying) -> None:
    copy.source_db.execute(
        "CREATE TABLE pair (a VARCHAR(10), b INT, PRIMARY KEY (a, b)) ENGINE=InnoDB",
        "INSERT INTO pair VALUES ('x', 1), ('x', 2), ('y', 1)",
        "CREATE TABLE nothing (id INT PRIMARY KEY, v INT) ENGINE=InnoDB",
        "CREATE TABLE heap (v INT, w TEXT) ENGINE=InnoDB",
        "INSERT INTO heap VALUES (1, 'a'), (1, 'a'), (NULL, NULL)",
        "CREATE TABLE old (v INT, w TEXT) ENGINE=MyISAM",
        "INSERT INTO old VALUES (7, 'q'), (7, 'q')",
    )
    built: list[str] = []
    copy.build_indexes = lambda connection, plan: built.append(plan.source.id.name)
    copy.plan("t", "pair", "nothing", "heap", "old")
    copy.estimate("t", rows=ROWS, size=1 << 20)
    before = copy.follower.writer.tail
    backfill = copy.backfill()
    backfill.run(threading.Event())
    assert whole(copy)
    assert copy.rows("pair", order="1, 2") == [("x", "1"), ("x", "2"), ("y", "1")]
    assert copy.rows("nothing") == []
    assert copy.rows("heap") == [("1", "a"), ("1", "a"), (None, None)]
    assert copy.rows("old") == [("7", "q"), ("7", "q")]
    assert sorted(built) == ["heap", "nothing", "old", "pair", "t"]
    for table in ("t", "pair", "nothing", "heap", "old"):
        state = copy.state(table)
        assert state.phase is Phase.COPIED and state.high is not None and state.gate_seq is not None
        assert before is None or state.gate_seq >= before.seq
        assert copy.phases.get(state.plan_id) == state
    assert copy.state("t").rows_copied == ROWS
    # The ranges of the integer key were cut up front: several of them begin with the lowest numbers.
    chunks = copy.chunks("t")
    assert len(chunks) > 8
    assert sum(chunk.rows for chunk in chunks) == ROWS
    ends = {chunk.high for chunk in chunks}
    assert all(chunk.low is None or chunk.low in ends for chunk in chunks)
    progress = backfill.progress()
    assert progress.done and progress.rows_done == ROWS + 8


@pytest.mark.parametrize("key", ["id", "kind, id"])
def test_a_worker_without_work_gets_a_part_of_what_another_one_reads(
    copy: Copying, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is cut up front, as with an estimate that is far too low."""
    monkeypatch.setattr("sync.table_copy.LANES_PER_WORKER", 0)
    copy.source_db.execute(
        f"CREATE TABLE grown (id INT, kind INT, v VARCHAR(100), PRIMARY KEY ({key})) ENGINE=InnoDB",
        "INSERT INTO grown SELECT id, id % 3, v FROM t",
    )
    copy.plan("grown")
    copy.run()
    assert sorted(copy.rows("grown")) == sorted(
        tuple(map(str, row)) for row in copy.source_db.rows("SELECT * FROM grown")
    )
    chunks = copy.chunks("grown")
    assert sum(chunk.rows for chunk in chunks) == ROWS
    ends = [(int(chunk.high[0] or 0), int(chunk.high[-1] or 0)) for chunk in chunks if chunk.high]
    assert ends != sorted(ends), "one worker has read all, in key order"


def test_a_table_is_cut_as_large_as_it_is_when_its_copy_begins(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was empty when its plan was made, and no rest is shared."""
    monkeypatch.setattr(Board, "idle", 0)
    source_db.execute(KEYED)
    with copying(source_db, store_db, tmp_path, chunk_bytes=1 << 15) as copy:
        copy.plan("t")
        fill(source_db, "t")
        source_db.execute("ANALYZE TABLE t")
        copy.run()
        assert whole(copy)
        ends = [int(chunk.high[0] or 0) for chunk in copy.chunks("t") if chunk.high]
        assert ends != sorted(ends), "one worker has read all, in key order"


def test_a_stopped_copy_goes_on_where_it_stopped_with_the_same_s(copy: Copying) -> None:
    copy.plan("t")
    copy.estimate("t", rows=ROWS, size=1 << 20)
    stop = threading.Event()
    copy.run(stop, pause_reason=on_chunk(8, stop.set))
    before = copy.chunks("t")
    assert copy.state("t").phase is Phase.COPYING
    assert 0 < sum(chunk.rows for chunk in before) < ROWS
    gate = copy.state("t").gate_seq
    copy.source_db.execute("UPDATE t SET v = 'later' WHERE id = 2999")
    copy.follower.catch_up()
    copy.run()
    assert copy.state("t").phase is Phase.COPIED
    assert copy.state("t").gate_seq == gate
    assert copy.chunks("t")[: len(before)] == before
    assert sum(chunk.rows for chunk in copy.chunks("t")) == ROWS == len(copy.rows("t"))


def test_a_commit_of_unknown_outcome_loads_nothing_twice(copy: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunk is committed, the worker does not learn of it and does the chunk again."""
    copied, failed = Board.copied, [0]

    def unsure(self: Board, *arguments: object) -> None:
        if failed[0] < 5:
            failed[0] += 1
            raise ConnectionLost("gone while waiting for COMMIT")
        copied(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Board, "copied", unsure)
    copy.plan("t")
    copy.run()
    assert failed[0] == 5
    assert whole(copy)


def test_lost_source_connections_are_opened_again(copy: Copying) -> None:
    copy.plan("t")
    killed: list[int] = []

    def kill() -> None:
        for thread, command in copy.source_db.rows(
            "SELECT id, command FROM information_schema.processlist WHERE id <> CONNECTION_ID()"
        ):
            if command == "Sleep":
                with suppress(pymysql.err.OperationalError):  # it went by itself
                    copy.source_db.execute(f"KILL {thread}")
                    killed.append(thread)

    copy.run(pause_reason=on_chunk(6, kill))
    assert killed
    assert whole(copy)


def test_a_target_with_rows_is_refused_and_nothing_is_changed(copy: Copying) -> None:
    copy.plan("t")
    copy.store_db.execute("INSERT INTO t VALUES ('1', 'mine')")
    with pytest.raises(Refused) as caught:
        copy.run()
    assert "public.t" in str(caught.value) and "TRUNCATE" in caught.value.hint
    assert copy.rows("t") == [("1", "mine")]
    assert copy.state("t").phase is Phase.PENDING if copy.phases.all() else True


class ShortRelay:
    """A relay that no longer has what is before `first_seq`."""

    def __init__(self, copy: Copying, first_seq: int) -> None:
        self._relay = copy.follower.relay
        self._least = first_seq

    @property
    def tail(self) -> RelayTail | None:
        return self._relay.tail

    @property
    def first_seq(self) -> int:
        return max(self._least, self._relay.first_seq)

    def transactions(self, after_seq: int) -> Iterator[RelayTransaction]:
        return self._relay.transactions(after_seq)


def test_without_s_in_the_relay_the_table_is_copied_anew(copy: Copying) -> None:
    copy.plan("t")
    stop = threading.Event()
    copy.run(stop, pause_reason=on_chunk(6, stop.set))
    gate = copy.state("t").gate_seq
    assert gate is not None and copy.chunks("t")
    copy.source_db.execute("DELETE FROM t WHERE id = 0", "INSERT INTO t VALUES (-5, 'new')")
    copy.follower.catch_up()
    copy.run(relay=ShortRelay(copy, gate + 2))
    state = copy.state("t")
    assert state.phase is Phase.COPIED and state.gate_seq is not None and state.gate_seq > gate
    assert whole(copy)


def test_a_table_dropped_half_way_is_held_and_the_others_go_on(copy: Copying) -> None:
    copy.source_db.execute("CREATE TABLE u (id INT NOT NULL PRIMARY KEY, v VARCHAR(100)) ENGINE=InnoDB")
    fill(copy.source_db, "u", 500)
    copy.plan("t", "u")
    copy.estimate("t", rows=ROWS, size=1 << 20)
    copy.run(pause_reason=on_chunk(8, lambda: copy.source_db.execute("DROP TABLE t")))
    state = copy.state("t")
    assert state.phase is Phase.HELD and state.reason is not None and "does not exist" in state.reason
    assert copy.state("u").phase is Phase.COPIED
    assert whole(copy, "u")


ALTERED = "ALTER TABLE t ADD COLUMN w INT NOT NULL DEFAULT 5"


def test_a_definition_changed_half_way_holds_the_table_without_a_new_plan(copy: Copying) -> None:
    copy.plan("t")
    copy.run(pause_reason=on_chunk(8, lambda: copy.source_db.execute(ALTERED)))
    state = copy.state("t")
    assert state.phase is Phase.HELD and state.reason is not None and "plan" in state.reason
    # Rows of two definitions side by side would be worse than none.
    assert copy.rows("t") == [] and copy.chunks("t") == ()


def test_a_definition_changed_half_way_is_copied_anew_by_a_new_plan(copy: Copying) -> None:
    copy.plan("t")

    def replan(_: PostgresConnection, plan: TablePlan, definition: TableDef, seq: int) -> TablePlan:
        copy.store_db.execute("ALTER TABLE t ADD COLUMN IF NOT EXISTS w text")
        return text_plan(definition)

    copy.run(pause_reason=on_chunk(8, lambda: copy.source_db.execute(ALTERED)), replan=replan)
    state = copy.state("t")
    assert state.phase is Phase.COPIED
    copy.follower.catch_up()
    # S is not before the ALTER: nothing of the old definition is left to replay.
    assert state.gate_seq == copy.follower.transactions()[-1].seq
    assert {row[2] for row in copy.rows("t")} == {"5"} and len(copy.rows("t")) == ROWS


class LateRelay(ShortRelay):
    """A relay whose reader is behind: from `freeze` on the tail stands still for some looks."""

    def __init__(self, copy: Copying) -> None:
        super().__init__(copy, 0)
        self._frozen: RelayTail | None = None
        self._looks = 0

    def freeze(self) -> None:
        self._frozen, self._looks = self.tail, 10

    @property
    def tail(self) -> RelayTail | None:
        self._looks -= 1
        return self._frozen if self._looks > 0 else self._relay.tail


def test_s_is_not_before_a_change_of_the_definition_that_the_reader_has_not_seen(copy: Copying) -> None:
    copy.plan("t")
    relay = LateRelay(copy)

    def alter() -> None:
        relay.freeze()
        copy.source_db.execute(ALTERED)

    def replan(_: PostgresConnection, plan: TablePlan, definition: TableDef, seq: int) -> TablePlan:
        copy.store_db.execute("ALTER TABLE t ADD COLUMN IF NOT EXISTS w text")
        return text_plan(definition)

    copy.run(relay=relay, pause_reason=on_chunk(8, alter), replan=replan)
    copy.follower.catch_up()
    assert copy.state("t").gate_seq == copy.follower.transactions()[-1].seq


def test_refused_rows_are_in_quarantine_and_all_others_load(copy: Copying) -> None:
    copy.source_db.execute(
        "UPDATE t SET v = 'not a number' WHERE id IN (7, 2500)",
        "UPDATE t SET v = '12' WHERE id NOT IN (7, 2500)",
        "UPDATE t SET v = NULL WHERE id = 9",
    )
    (plan,) = copy.plan("t", types={"v": "integer"})
    copy.run()
    assert copy.state("t").phase is Phase.COPIED
    parked = copy.parked
    assert sorted(tuple(row.key) for row in parked) == [("2500",), ("7",)]
    first = min(parked, key=lambda row: row.id)
    assert first.plan_id == plan.id and first.op == "insert" and first.seq == copy.state("t").gate_seq
    assert json.loads(first.payload) == {"id": first.key[0], "v": "not a number"}
    assert "integer" in first.error and "column v" in first.error
    assert len(copy.rows("t")) == ROWS - 2
    assert copy.state("t").rows_copied == ROWS - 2


def test_a_displaced_daemon_writes_nothing_more(copy: Copying) -> None:
    copy.plan("t")

    def take_over() -> None:
        with copy.store() as connection:
            checkpoints.take_over(connection, STREAM)

    with pytest.raises(Fenced):
        copy.run(pause_reason=on_chunk(8, take_over))
    assert len(copy.rows("t")) == sum(chunk.rows for chunk in copy.chunks("t")) < ROWS
    assert copy.state("t").phase is Phase.COPYING


@contextmanager
def writing(source_db: SourceDatabase, table: str, first: int) -> Iterator[None]:
    """Two clients insert rows of their own, one transaction each or several rows, as fast as they can."""
    stop = threading.Event()

    def write(start: int) -> None:
        connection = source_db.connect(autocommit=False)
        number = start
        with connection.cursor() as cursor:
            while not stop.is_set():
                for _ in range(1 + number % 3):
                    cursor.execute(f"INSERT INTO {table} VALUES ({number}, 'x')")
                    number += 2
                connection.commit()
                stop.wait(0.002)
        connection.close()

    writers = [threading.Thread(target=write, args=(first + offset,), daemon=True) for offset in (0, 1)]
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        stop.set()
        for writer in writers:
            writer.join(30)


def ids(transactions: Iterator[RelayTransaction] | list[RelayTransaction]) -> list[int]:
    return [number for transaction in transactions for _, number, _ in row_ids(transaction)]


@pytest.mark.parametrize("ddl", [TABLE, KEYLESS], ids=["keyed", "keyless"])
def test_under_writes_every_row_is_in_the_copy_or_after_s(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path, ddl: str
) -> None:
    source_db.execute(ddl.format("w"))
    with copying(source_db, store_db, tmp_path, chunk_bytes=1 << 12) as copy:
        fill(source_db, "w", 1000)
        copy.plan("w")
        with writing(source_db, "w", 10_000):
            copy.run()
        copy.follower.catch_up()
        state = copy.state("w")
        assert state.phase is Phase.COPIED and state.gate_seq is not None
        everything = sorted(row[0] for row in source_db.rows("SELECT id FROM w"))
        copied = sorted(int(row[0]) for row in copy.rows("w"))
        after = ids([entry for entry in copy.follower.transactions() if entry.seq > (state.gate_seq or 0)])
        assert set(copied) | set(after) == set(everything)
        assert len(set(copied)) == len(copied)
        if ddl is KEYLESS:
            # Exact at S: what is replayed after it must not be there yet.
            assert sorted(copied + after) == everything


def test_without_the_right_to_lock_a_keyless_table_is_held_with_the_grant(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    source_db.execute("CREATE TABLE heap (v INT) ENGINE=MyISAM", "INSERT INTO heap VALUES (1)", KEYED)
    name = f"reader_{source_db.database[-6:]}"
    monitor = "BINLOG MONITOR" if source_db.server.flavour.name.startswith("mariadb") else "REPLICATION CLIENT"
    source_db.execute(
        f"CREATE USER {name}@'%' IDENTIFIED BY 'secret-1'",
        f"GRANT REPLICATION SLAVE, {monitor} ON *.* TO {name}@'%'",
        f"GRANT SELECT ON `{source_db.database}`.* TO {name}@'%'",
    )
    try:
        with copying(source_db, store_db, tmp_path) as copy:
            copy.plan("heap", "t")
            source = copy.settings.source.model_copy(update={"user": name, "password": SecretStr("secret-1")})
            copy.settings = copy.settings.model_copy(update={"source": source})
            copy.run()
            state = copy.state("heap")
            assert state.phase is Phase.HELD and state.reason is not None
            assert f"GRANT LOCK TABLES ON `{source_db.database}`.*" in state.reason
            assert copy.state("t").phase is Phase.COPIED
    finally:
        source_db.execute(f"DROP USER {name}@'%'")
