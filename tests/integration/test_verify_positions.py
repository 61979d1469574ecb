"""What a verdict says when the store is behind, when changes are in flight, and when the relay cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import RelaySettings
from stores.control import checkpoints
from stores.postgres import connect_store
from tests.support.loading import Loaded, loaded
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import Follower, following
from validators.findings import FindingKind, Mode, Outcome


@pytest.fixture
def followed(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> Iterator[tuple[Loaded, Follower]]:
    """Two tables, loaded, and a relay that follows the source from there."""
    source_db.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))",
        "CREATE TABLE k (v INT)",
        "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (200, 'd')",
        "INSERT INTO k VALUES (1), (2), (2)",
    )
    with (
        loaded(source_db, store_db, tmp_path) as pair,
        following(pair.settings.source, pair.settings.relay.directory) as follower,
    ):
        pair.mark(0)
        yield pair, follower


def advance(pair: Loaded, follower: Follower) -> None:
    """Move the checkpoint to the relay's tail, whatever the store holds."""
    follower.catch_up()
    tail = follower.relay.tail
    assert tail is not None
    with closing(connect_store(SecretStr(pair.store_db.dsn))) as connection:
        before = checkpoints.read(connection, pair.settings.name)
        assert before is not None
        checkpoints.advance(connection, before, tail.seq, tail.position, None, rows=0, transactions=1)


def test_a_store_that_is_behind_and_does_not_move_is_inconclusive(followed: tuple[Loaded, Follower]) -> None:
    pair, follower = followed
    pair.source_db.execute("UPDATE t SET v = 'new' WHERE id = 2", "INSERT INTO k VALUES (7)")
    follower.catch_up()
    for mode in (Mode.CHECKSUM, Mode.ROWS, Mode.COUNTS):
        verdict = pair.verify(mode=mode)
        undecided = {
            table.source.partition(".")[2] for table in verdict.tables if table.outcome is Outcome.INCONCLUSIVE
        }
        assert undecided == {"k", "t"}
        assert verdict.exit_code == 6
        assert all("no daemon runs" in table.why and table.next_step == "crossfade start" for table in verdict.tables)
        assert not any(table.findings for table in verdict.tables)


def test_a_change_that_the_store_skipped_is_found(followed: tuple[Loaded, Follower]) -> None:
    pair, follower = followed
    pair.source_db.execute("UPDATE t SET v = 'new' WHERE id = 2", "INSERT INTO k VALUES (7)")
    advance(pair, follower)
    verdict = pair.verify()
    assert {
        (table.source.partition(".")[2], finding.kind) for table in verdict.tables for finding in table.findings
    } == {
        ("t", FindingKind.DIFFERS),
        ("k", FindingKind.MISSING),
    }
    assert verdict.exit_code == 5


def test_a_rotated_binlog_alone_does_not_put_the_store_behind(followed: tuple[Loaded, Follower]) -> None:
    pair, _ = followed
    pair.source_db.execute("FLUSH BINARY LOGS")
    pair.store_db.execute("UPDATE t SET v = 'x' WHERE id = 1")
    relay = pair.settings.model_copy(update={"relay": RelaySettings(directory=Path("/nonexistent/relay"))})
    verdict = pair.judged("t", settings=relay)
    assert (verdict.outcome, verdict.different, verdict.why) == (Outcome.FAIL, 1, "")


def test_without_a_checkpoint_differences_are_not_confirmed(followed: tuple[Loaded, Follower]) -> None:
    pair, _ = followed
    pair.store_db.execute("DELETE FROM crossfade.checkpoint", "UPDATE t SET v = 'x' WHERE id = 1")
    verdict = pair.judged("t")
    assert (verdict.outcome, verdict.unresolved, verdict.why) == (
        Outcome.INCONCLUSIVE, 1, "the store has no checkpoint",
    )  # fmt: skip


def test_a_missing_target_table_is_inconclusive_and_the_others_are_judged(followed: tuple[Loaded, Follower]) -> None:
    pair, _ = followed
    pair.store_db.execute("DROP TABLE k")
    judged = {table.source.partition(".")[2]: table for table in pair.verify().tables}
    assert judged["t"].outcome is Outcome.PASS
    assert judged["k"].outcome is Outcome.INCONCLUSIVE
    assert "does not exist" in judged["k"].why
