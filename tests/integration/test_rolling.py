"""The daemon's verification, round by round, without a daemon: what is proven, what is found, what is closed again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

import validators.rolling
from config.settings import VerifySettings
from stores.control import verify_proof
from tests.support.loading import Loaded, loaded
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import following
from validators.rolling import Ports, Rolling
from validators.run import Scope

PERIOD_S = 3600.0


@pytest.fixture
def pair(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Loaded]:
    """A table of three chunks and one without a key, streaming as far as the store knows."""
    # A round goes on until nothing is due, however slow the machine is.
    monkeypatch.setattr(validators.rolling, "WORK_S", 600.0)
    source_db.execute("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "CREATE TABLE loose (v INT)")
    with source_db.connect() as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO t VALUES (%s, 1)", [(n,) for n in range(1, 61)])
        cursor.execute("INSERT INTO loose VALUES (1), (1)")
        cursor.execute("ANALYZE TABLE t")
    with (
        loaded(source_db, store_db, tmp_path) as found,
        following(found.settings.source, found.settings.relay.directory),
    ):
        found.mark(0)
        for plan in found.planned.plan.plans:
            store_db.execute(
                "INSERT INTO crossfade.table_state (stream, plan_id, phase) "
                f"VALUES ('{found.settings.name}', '{plan.id}', 'streaming')"
            )
        found.settings = found.settings.model_copy(
            update={"verify": VerifySettings(leaf_rows=5, chunk_rows=20, settle_s=3.0)}
        )
        yield found


def rolling(pair: Loaded, busy: str | None = None, elsewhere: tuple[str, ...] = ()) -> Rolling:
    scope = Scope(pair.planned.info, pair.planned.tables, pair.planned.plan)
    return Rolling(pair.settings, Ports(lambda: scope, lambda: busy, lambda: elsewhere))


def turn(pair: Loaded, work: Rolling) -> dict[str, tuple[int, int, int]]:
    """One round; gives chunks, proven and differing ones per table."""
    try:
        work.once(PERIOD_S, Event())
    finally:
        work.close()
    with pair.store_db.connect() as control:
        proofs = verify_proof.coverage(control, pair.settings.name)
    return {
        plan_id.partition(">")[0].rpartition(".")[2]: (one.chunks, one.chunks_proven, one.chunks_differing)
        for plan_id, one in proofs.items()
    }


def age(pair: Loaded, seconds: float) -> None:
    """Let all looks be so much older."""
    pair.store_db.execute(
        f"UPDATE crossfade.verify_proof SET checked_at = checked_at - interval '{seconds} s', "
        f"proven_at = proven_at - interval '{seconds} s'"
    )


def findings(pair: Loaded) -> list[tuple[object, object]]:
    return pair.store_db.rows("SELECT key, state FROM crossfade.verify_finding ORDER BY id")  # type: ignore[return-value]


def test_every_chunk_is_proven_and_what_goes_wrong_is_found_and_closed(pair: Loaded) -> None:
    assert turn(pair, rolling(pair)) == {"t": (3, 3, 0), "loose": (1, 1, 0)}
    # Nothing is due, so nothing is looked at.
    pair.store_db.execute("UPDATE t SET v = 2 WHERE id = 30")
    assert turn(pair, rolling(pair)) == {"t": (3, 3, 0), "loose": (1, 1, 0)}
    age(pair, 0.9 * PERIOD_S)
    assert turn(pair, rolling(pair)) == {"t": (3, 2, 1), "loose": (1, 1, 0)}
    assert findings(pair) == [({"id": "30"}, "open")]
    # Looked at again at once, for the row is known to differ; the chunk after a minute.
    pair.store_db.execute("UPDATE t SET v = 1 WHERE id = 30")
    assert turn(pair, rolling(pair)) == {"t": (3, 2, 1), "loose": (1, 1, 0)}
    assert findings(pair) == [({"id": "30"}, "gone")]
    pair.store_db.execute("UPDATE crossfade.verify_finding SET state = 'repaired'")
    age(pair, 90)
    assert turn(pair, rolling(pair)) == {"t": (3, 3, 0), "loose": (1, 1, 0)}
    assert findings(pair) == [({"id": "30"}, "confirmed")]
    runs = pair.store_db.rows("SELECT mode, state FROM crossfade.verify_run")
    assert runs == [("continuous", "continuous")]


def test_it_keeps_away_from_what_it_must_not_touch(pair: Loaded) -> None:
    work = rolling(pair, busy="store main lags")
    assert turn(pair, work) == {}
    assert work.document()["reason"] == "store main lags"
    assert turn(pair, rolling(pair, elsewhere=("t",))) == {"loose": (1, 1, 0)}
    pair.store_db.execute("UPDATE crossfade.table_state SET phase = 'held'")
    assert turn(pair, rolling(pair)) == {"loose": (1, 1, 0)}


def test_a_table_that_is_gone_is_undecided_and_the_others_are_proven(pair: Loaded) -> None:
    turn(pair, rolling(pair))
    age(pair, 2 * PERIOD_S)
    pair.store_db.execute("ALTER TABLE loose RENAME TO away")
    assert turn(pair, rolling(pair))["t"] == (3, 3, 0)
    with pair.store_db.connect() as control:
        (loose,) = [one for one in verify_proof.chunks_of(control, pair.settings.name) if ".loose>" in one.plan_id]
    # Its proof is as old as it is, and the reason is there to be read.
    assert "does not exist" in loose.why
    assert loose.proven_age_s is not None and loose.proven_age_s > PERIOD_S
