"""The daemon's proofs of what a store computes by itself: looked-up columns and read models, round by round."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from pydantic import SecretStr

import validators.recent
import validators.rolling
from config.settings import VerifySettings
from stores.control import verify_proof
from stores.postgres import connect_store
from sync.postgres import lookups, read_models
from tests.support.loading import Loaded, loaded
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import Follower, following
from validators.rolling import Ports, Rolling
from validators.run import Scope

PERIOD_S = 3600.0
TABLES = (
    "CREATE TABLE countries (id INT PRIMARY KEY, code VARCHAR(2) NOT NULL UNIQUE, name VARCHAR(30))",
    "CREATE TABLE people (id INT PRIMARY KEY, country_id INT, code VARCHAR(5))",
    "INSERT INTO countries VALUES (1, 'DE', 'Germany'), (2, 'FR', 'France'), (3, 'IT', 'Italy')",
    "INSERT INTO people VALUES (1, 1, 'FR'), (2, 2, NULL), (3, 9, 'DE'), (4, 1, 'FR')",
)
RULES: dict[str, Any] = {
    "tables": {
        "people": {
            "lookup": {
                "country": {"table": "countries", "by": "country_id", "column": "name", "otherwise": "unknown"},
                "number": {"table": "countries", "by": "code", "key": "code", "column": "id"},
            }
        }
    },
    "read_models": {
        "homes": {
            "store": "main",
            "sql": "SELECT country_id, count(*) AS people FROM people GROUP BY country_id",
            "key": ["country_id"],
            "from": {"people": "country_id"},
        }
    },
}
ARMED = """DO $$ DECLARE one record; BEGIN
FOR one IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'people'::regclass AND NOT tgisinternal LOOP
EXECUTE format('ALTER TABLE people ENABLE ALWAYS TRIGGER %I', one.tgname);
END LOOP; END $$"""
COUNTRY, NUMBER, HOMES = "people.country", "people.number", "homes"


@dataclass
class Bed:
    """A pair of databases that stream as far as the store knows, and one verification over them."""

    pair: Loaded
    follower: Follower
    work: Rolling

    def turn(self) -> dict[str, tuple[int, int]]:
        """One round; computed thing → proven and differing chunks."""
        self.work.once(PERIOD_S, Event())
        with self.pair.store_db.connect() as control:
            proofs = verify_proof.coverage(control, self.pair.settings.name)
        return {
            plan_id.partition("public.")[2]: (one.chunks_proven, one.chunks_differing)
            for plan_id, one in proofs.items()
            if plan_id.startswith(("lookup>", "read model>"))
        }

    def plant(self, *statements: str) -> None:
        """Write into `people` and `homes` so that no trigger sees it."""
        self.pair.store_db.execute("ALTER TABLE people DISABLE TRIGGER USER", *statements, ARMED)

    def stream(self, *statements: str) -> None:
        """The same in the source and in the store, which has it by its checkpoint then."""
        self.pair.source_db.execute(*statements)
        self.pair.store_db.execute(*statements)
        self.follower.catch_up()
        tail = self.follower.writer.tail
        assert tail is not None
        self.pair.mark(tail.seq)

    def findings(self) -> list[tuple[Any, ...]]:
        """Key and state of every finding."""
        return self.pair.store_db.rows("SELECT key, state FROM crossfade.verify_finding ORDER BY id")

    def age(self, seconds: float) -> None:
        """Let all looks be so much older."""
        self.pair.store_db.execute(
            f"UPDATE crossfade.verify_proof SET checked_at = checked_at - interval '{seconds} s',"
            f" proven_at = proven_at - interval '{seconds} s'"
        )


@pytest.fixture
def bed(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bed]:
    """Everything is kept, and nothing has been looked at."""
    # A round goes on until nothing is due, and looks at changes whenever it comes round.
    monkeypatch.setattr(validators.rolling, "WORK_S", 600.0)
    monkeypatch.setattr(validators.recent, "LOOK_S", 600.0)
    monkeypatch.setattr(validators.recent, "CHANGED_S", 0.0)
    monkeypatch.setattr(validators.recent, "SHARE", float("inf"))
    source_db.execute(*TABLES)
    with (
        loaded(source_db, store_db, tmp_path, RULES) as pair,
        following(pair.settings.source, pair.settings.relay.directory) as follower,
    ):
        pair.mark(0)
        with closing(connect_store(SecretStr(store_db.dsn))) as connection:
            for lookup in pair.planned.plan.lookups:
                assert lookups.install(connection, lookup)
            for model in pair.planned.plan.read_models:
                assert read_models.install(connection, model)
        for plan in pair.planned.plan.plans:
            store_db.execute(
                "INSERT INTO crossfade.table_state (stream, plan_id, phase) "
                f"VALUES ('{pair.settings.name}', '{plan.id}', 'streaming')"
            )
        pair.settings = pair.settings.model_copy(update={"verify": VerifySettings(settle_s=3.0)})
        scope = Scope(pair.planned.info, pair.planned.tables, pair.planned.plan)
        work = Rolling(pair.settings, Ports(lambda: scope, lambda: None, lambda: ()))
        yield Bed(pair, follower, work)
        work.close()


CLEAN = {COUNTRY: (1, 0), NUMBER: (1, 0), HOMES: (1, 0)}


def test_each_is_proven_whole_and_what_goes_wrong_is_found_and_closed(bed: Bed) -> None:
    assert bed.turn() == CLEAN
    assert {one["plan"] for one in bed.work.document()["tables"]} >= {"lookup>main:public.people.country"}
    bed.plant("UPDATE people SET country = 'planted' WHERE id = 2", "UPDATE homes SET people = 7 WHERE country_id = 9")
    # Nothing is due, so nothing is looked at.
    assert bed.turn() == CLEAN
    bed.age(0.9 * PERIOD_S)
    assert bed.turn() == {COUNTRY: (0, 1), NUMBER: (1, 0), HOMES: (0, 1)}
    assert sorted(bed.findings(), key=str) == [({"country_id": "9"}, "open"), ({"id": "2"}, "open")]
    bed.plant("UPDATE people SET country = 'France' WHERE id = 2", "UPDATE homes SET people = 1 WHERE country_id = 9")
    bed.age(90)
    assert bed.turn() == CLEAN
    assert {state for _, state in bed.findings()} == {"gone"}


def test_rows_that_a_change_means_are_compared_at_once(bed: Bed) -> None:
    assert bed.turn() == CLEAN
    # Of the changed row itself, and of one that refers to the changed row.
    bed.stream("UPDATE people SET country_id = 3 WHERE id = 3")
    bed.plant("UPDATE people SET country = 'unknown' WHERE id IN (2, 3)")
    bed.turn()
    assert bed.findings() == [({"id": "3"}, "open")], "what no change means waits for its turn"
    bed.stream("UPDATE countries SET name = 'Deutschland' WHERE id = 1")
    bed.plant("UPDATE people SET country = 'Germany' WHERE id = 4")
    bed.turn()
    assert [key["id"] for key, _ in bed.findings()] == ["3", "4"]
    # A row that is gone is known by its key still.
    bed.stream("DELETE FROM countries WHERE id = 1")
    bed.plant("UPDATE people SET country = 'Deutschland' WHERE id = 1")
    bed.turn()
    assert [key["id"] for key, _ in bed.findings()] == ["3", "4", "1"]
    # All that is wrong is found by then, for a part that is known to differ is due sooner.
    bed.age(0.3 * PERIOD_S)
    assert bed.turn()[COUNTRY] == (0, 1)
    assert [key["id"] for key, _ in bed.findings()] == ["3", "4", "1", "2"]


def test_what_cannot_be_told_row_by_row_is_due_sooner(bed: Bed) -> None:
    assert bed.turn() == CLEAN
    # By a unique index: the key of a row that is gone does not tell who has referred to it.
    bed.stream("DELETE FROM countries WHERE id = 2")
    bed.plant("UPDATE people SET number = 2 WHERE id = 1")
    bed.stream("INSERT INTO people VALUES (5, 3, 'IT')")
    bed.plant("DELETE FROM homes WHERE country_id = 3")
    assert bed.turn() == CLEAN
    bed.age(0.3 * PERIOD_S)
    assert bed.turn() == {COUNTRY: (1, 0), NUMBER: (0, 1), HOMES: (0, 1)}
    assert sorted(bed.findings(), key=str) == [({"country_id": "3"}, "open"), ({"id": "1"}, "open")]


def test_one_that_is_not_kept_is_undecided_and_says_so(bed: Bed) -> None:
    bed.pair.store_db.execute("ALTER TABLE people DISABLE TRIGGER USER")
    assert bed.turn() == {COUNTRY: (0, 0), NUMBER: (0, 0), HOMES: (0, 0)}
    with bed.pair.store_db.connect() as control:
        proofs = verify_proof.coverage(control, bed.pair.settings.name)
    assert "not kept as it is declared" in proofs["lookup>main:public.people.country"].why
