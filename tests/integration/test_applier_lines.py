"""Row events that go into the store as lines of COPY: new rows, changed keys and uniques, what a store refuses."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import ApplySettings
from sync import applier, decoded_ahead, group_pace
from sync.applier_state import Mode
from sync.fold import Segment
from sync.postgres import apply
from sync.postgres.apply import StoreWriter
from tests.integration.test_applier_source import Following, follow
from tests.support.applying import wait_for
from tests.support.servers import SourceDatabase, StoreDatabase

TABLE = "CREATE TABLE t (id int PRIMARY KEY, slot int UNIQUE, note varchar(60))"
COUNT = 600


def insert(source_db: SourceDatabase, first: int, count: int, note: str = "it\\'s\\tü\\\\n") -> None:
    rows = ", ".join(f"({number}, {number}, '{note} {number}')" for number in range(first, first + count))
    source_db.execute(f"INSERT INTO t VALUES {rows}")


def parked(applying: Following) -> int:
    return sum(applying.applier.state.parked.values())


@pytest.fixture(autouse=True)
def _small_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows suffice for staging and straight COPY."""
    monkeypatch.setattr(apply, "STAGE_ROWS", 5)
    monkeypatch.setattr(apply, "FRESH_ROWS", 5)


def test_what_is_not_new_after_all_is_updated(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    source_db.execute(TABLE)
    with follow(source_db, store_db, tmp_path) as following:
        with store_db.connect() as connection:
            connection.execute("INSERT INTO t VALUES (7, 7, 'somebody wrote this here')")
        insert(source_db, 1, 50)
        following.settle()
        assert following.differences() == {}


def test_a_refused_row_is_parked_alone_and_the_others_of_its_event_are_in(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    source_db.execute(TABLE)
    with follow(source_db, store_db, tmp_path) as following:
        with store_db.connect() as connection:
            connection.execute("ALTER TABLE t ADD CHECK (slot NOT IN ('33', '48'))")
        insert(source_db, 1, 60)
        following.settle()
        assert parked(following) == 2
        # What follows for a parked key waits; all else goes on.
        source_db.execute("UPDATE t SET note = 'again' WHERE id BETWEEN 30 AND 40")
        following.settle()
        assert parked(following) == 3
        source_db.execute("DELETE FROM t WHERE id IN (33, 48)")
        following.settle()
        assert following.differences() == {}
        assert following.applier.state.mode is Mode.RUNNING
        assert parked(following) == 5


@pytest.mark.parametrize(("seed", "max_rows"), [(3, 20_000), (4, 60)], ids=["at once", "behind"])
def test_keys_and_unique_values_that_wander_end_where_the_source_has_them(
    source_db: SourceDatabase,
    store_db: StoreDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    max_rows: int,
) -> None:
    """In small groups the applier is behind, and decodes ahead what is neither large nor a statement."""
    ahead: list[int] = []

    def noted(*arguments: Any) -> Iterator[decoded_ahead.Decoded]:
        for one in decoded_ahead.decoded_ahead(*arguments):
            ahead.append(one.transaction.seq)
            yield one

    monkeypatch.setattr(applier, "decoded_ahead", noted)
    monkeypatch.setattr(decoded_ahead, "WHOLE_BYTES", 8_000)
    monkeypatch.setattr(decoded_ahead, "CHUNK_BYTES", 3_000)
    # Groups end by their size alone, however slow the machine is.
    monkeypatch.setattr(group_pace, "SHORTEST_S", 600.0)
    monkeypatch.setattr(group_pace, "LONGEST_S", 600.0)
    dice = random.Random(seed)
    source_db.execute(TABLE)
    with follow(source_db, store_db, tmp_path) as following:
        with store_db.connect() as connection:
            connection.execute("CREATE UNIQUE INDEX t_slot ON t (slot)")
        following.applier.tune(ApplySettings(max_rows=max_rows))
        following.applier.pause()
        wait_for(following.applier, lambda state: state.mode is Mode.PAUSED)
        insert(source_db, 1, 200)
        for step in range(60):
            if step == 30:
                source_db.execute("CREATE TABLE unknown (id int PRIMARY KEY)", "DROP TABLE unknown")
            low = dice.randrange(1, 1000)
            source_db.execute(
                dice.choice(
                    (
                        f"UPDATE IGNORE t SET id = id + 1000, note = 'moved' WHERE id BETWEEN {low} AND {low + 9}",
                        f"UPDATE IGNORE t SET slot = -slot WHERE id BETWEEN {low} AND {low + 30} ORDER BY id DESC",
                        f"DELETE FROM t WHERE id BETWEEN {low} AND {low + 5}",
                        f"INSERT IGNORE INTO t SELECT id + 5000, slot + 7000, 'copy' FROM t LIMIT {low % 20}",
                        f"REPLACE INTO t VALUES ({low}, {low + 1}, 'replaced')",
                        f"UPDATE IGNORE t SET note = 'all' WHERE id > {low}",
                    )
                )
            )
        following.follower.catch_up()
        following.applier.resume()
        following.settle()
        assert following.differences() == {}
        assert following.applier.state.error is None
        assert ahead == sorted(set(ahead))
        assert len(ahead) > 20 if max_rows == 60 else not ahead


def test_everything_arrives_when_the_applier_starts_over_in_the_middle(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    source_db.execute(TABLE)
    with follow(source_db, store_db, tmp_path) as following:
        insert(source_db, 1, COUNT)
        with store_db.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        insert(source_db, 1 + COUNT, COUNT)
        source_db.execute("DELETE FROM t WHERE id % 2 = 0")
        wait_for(following.applier, lambda state: state.mode is Mode.RUNNING)
        following.settle()
        assert following.differences() == {}


def test_a_parent_that_is_inserted_and_updated_in_turn_is_written_in_few_steps(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its updates are looked at for cascades, its inserts are not: that must not cost a statement for every row."""
    steps: list[int] = []
    write = StoreWriter.apply

    def counted(self: StoreWriter, segment: Segment, *rest: object) -> None:
        steps.append(segment.changes)
        write(self, segment, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(StoreWriter, "apply", counted)
    source_db.execute(
        "CREATE TABLE p (id int PRIMARY KEY, note varchar(60))",
        "CREATE TABLE c (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)",
    )
    with follow(source_db, store_db, tmp_path) as following:
        following.applier.pause()
        source_db.execute("BEGIN", *(
            statement
            for number in range(1, 101)
            for statement in (
                f"INSERT INTO p VALUES ({number}, 'new')",
                f"UPDATE p SET note = 'seen' WHERE id = {number}",
                f"INSERT INTO c VALUES ({number}, {number})",
            )
        ), "DELETE FROM p WHERE id = 7", "COMMIT")  # fmt: skip
        following.applier.resume()
        following.settle()
        assert following.differences() == {}
        assert sum(steps) >= 200 and len(steps) <= 8, steps
