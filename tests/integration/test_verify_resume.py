"""A run in the chunk ledger: killed anywhere it resumes and says the same; it can be shown, stopped and shared."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stores.postgres import PostgresConnection
from tests.support.loading import Loaded, loaded
from tests.support.migration import Migration
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.verifying import command_line
from tests.support.warm import ROOT

ROWS = 4_000
CHUNK = 50


@pytest.fixture
def pair(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> Iterator[Loaded]:
    """A dense table, one with far-off keys, a composite key, a text key and no key; a few rows differ."""
    source_db.execute(
        "CREATE TABLE dense (id INT PRIMARY KEY, v VARCHAR(40))",
        "CREATE TABLE sparse (id BIGINT PRIMARY KEY, v INT)",
        "CREATE TABLE items (parent INT, line INT, v INT, PRIMARY KEY (parent, line))",
        "CREATE TABLE named (name VARCHAR(40) PRIMARY KEY, v INT)",
        "CREATE TABLE loose (v INT)",
    )
    with source_db.connect() as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO dense VALUES (%s, %s)", [(n, f"row {n}") for n in range(1, ROWS + 1)])
        far = [-(10**15), *range(0, 900, 3), *range(10**12, 10**12 + 200), 2**62]
        cursor.executemany("INSERT INTO sparse VALUES (%s, 1)", [(n,) for n in far])
        cursor.executemany("INSERT INTO items VALUES (%s, %s, 2)", [(n // 7, n % 7) for n in range(700)])
        cursor.executemany("INSERT INTO named VALUES (%s, 3)", [(f"name {n}",) for n in range(300)])
        cursor.executemany("INSERT INTO loose VALUES (%s)", [(n % 50,) for n in range(200)])
        for table in ("dense", "sparse", "items", "named", "loose"):
            cursor.execute(f"ANALYZE TABLE {table}")
    with loaded(source_db, store_db, tmp_path) as found:
        store_db.execute(
            "UPDATE dense SET v = 'other' WHERE id IN (1, 1777, 4000)",
            "INSERT INTO dense VALUES (-5, 'extra'), (99999, 'extra')",
            "DELETE FROM sparse WHERE id = 4611686018427387904",
            "UPDATE sparse SET v = 2 WHERE id = 1000000000007",
            "UPDATE items SET v = 3 WHERE parent = 50 AND line = 3",
            "UPDATE named SET v = 4 WHERE name = 'name 7'",
            "DELETE FROM loose WHERE ctid = (SELECT min(ctid) FROM loose)",
        )
        yield found


@pytest.fixture
def migration(pair: Loaded, tmp_path: Path) -> Migration:
    """Its command line, with small chunks."""
    return command_line(pair, tmp_path, chunk_rows=CHUNK, workers=2)


def said(document: dict[str, Any]) -> list[dict[str, Any]]:
    """What a verdict says, without when, how long, and in how many leaves: a chunk begins with large ones when its
    worker has seen an equal chunk of the table before it."""
    changing = ("duration_s", "compared_at", "window", "leaves", "leaves_compared_again")
    tables = [{name: value for name, value in table.items() if name not in changing} for table in document["tables"]]
    for table in tables:
        table["findings"] = sorted(
            ({name: value for name, value in one.items() if name != "position"} for one in table["findings"]), key=str
        )
    return tables


def begun(migration: Migration, *arguments: str) -> subprocess.Popen[bytes]:
    """The command line in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "crossfade", "-c", str(migration.config), *arguments],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def done_of(watch: PostgresConnection) -> tuple[int, int]:
    """Chunks of the last run and how many are done; (0, 0) before it has any."""
    time.sleep(0.005)
    (ledger,) = watch.execute("SELECT to_regclass('crossfade.verify_chunk') IS NOT NULL").fetchone() or (False,)
    if not ledger:
        return 0, 0
    row = watch.execute(
        "SELECT count(*), count(*) FILTER (WHERE state = 'done') FROM crossfade.verify_chunk "
        "WHERE run_id = (SELECT max(id) FROM crossfade.verify_run)"
    ).fetchone()
    assert row is not None
    return row  # type: ignore[return-value]


@pytest.fixture
def watch(pair: Loaded) -> Iterator[PostgresConnection]:
    """A connection that looks how far a run is."""
    with pair.store_db.connect() as connection:
        yield connection


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_killed_run_resumes_and_reaches_the_same_verdict(
    kills: int, pair: Loaded, migration: Migration, watch: PostgresConnection
) -> None:
    whole = migration.run("-o", "json", "verify")
    expected = whole.document()
    assert whole.code == 5
    assert {t["source"].partition(".")[2]: (t["missing"], t["extra"], t["different"]) for t in expected["tables"]} == {
        "dense": (0, 2, 3), "sparse": (1, 0, 1), "items": (0, 0, 1), "named": (0, 0, 1), "loose": (1, 0, 0),
    }  # fmt: skip
    chunks, _ = done_of(watch)
    assert chunks > 80
    (run,) = pair.store_db.rows("SELECT max(id) FROM crossfade.verify_run")[0]
    rng = random.Random(kills)
    process = begun(migration, "verify")
    while pair.store_db.rows("SELECT max(id) FROM crossfade.verify_run") == [(run,)]:
        time.sleep(0.01)
    killed = 0
    for number in range(kills):
        wanted = round(chunks * (number + rng.random()) / (kills + 1))
        while process.poll() is None and done_of(watch)[1] < wanted:
            pass
        killed += process.poll() is None
        process.kill()
        process.wait()
        if number + 1 < kills:
            process = begun(migration, "verify", "resume")
            while process.poll() is None and done_of(watch)[1] < wanted:
                pass
    assert killed > kills // 2
    listed = migration.run("-o", "json", "verify", "list").document()["runs"]
    assert [(one["run"], one["state"]) for one in listed] == [(run + 1, "interrupted"), (run, "finished")]
    assert migration.run("verify", "show").code == 6
    resumed = migration.run("-o", "json", "verify", "resume")
    assert resumed.code == 5, resumed
    document = resumed.document()
    assert (document["run"], document["finished"]) == (run + 1, True)
    assert said(document) == said(expected)
    shown = migration.run("-o", "json", "verify", "show", str(run + 1))
    assert (shown.code, said(shown.document())) == (5, said(expected))
    again = migration.run("verify", "resume")
    assert again.code == 2 and "is finished" in again.err


@pytest.mark.slow
def test_a_stopped_run_says_how_far_it_came_and_goes_on(
    pair: Loaded, migration: Migration, watch: PostgresConnection
) -> None:
    process = begun(migration, "verify")
    while done_of(watch)[1] < 3:
        pass
    stopped = migration.run("verify", "stop")
    assert process.wait(60) in (5, 6)
    (state,) = pair.store_db.rows("SELECT state FROM crossfade.verify_run ORDER BY id DESC LIMIT 1")[0]
    if state == "stopped":
        assert stopped.code == 0, stopped
        assert "next: crossfade verify resume" in migration.run("verify", "show").out
    helper = begun(migration, "verify", "resume")
    done = migration.run("-o", "json", "verify", "resume")
    assert (done.code, helper.wait(60) in (2, 5)) == (5, True) or "is finished" in done.err
    assert sum(t["different"] for t in migration.run("-o", "json", "verify", "show").document()["tables"]) == 6


@pytest.mark.slow
def test_a_run_is_not_resumed_under_another_mapping(
    pair: Loaded, migration: Migration, watch: PostgresConnection
) -> None:
    process = begun(migration, "verify")
    while done_of(watch)[1] < 3:
        pass
    process.kill()
    process.wait()
    migration.config.write_text(
        migration.config.read_text().replace('"defaults"', '"tables": {"dense": {"exclude": ["v"]}}, "defaults"')
    )
    refused = migration.run("verify", "resume")
    assert refused.code == 2 and "has changed since run" in refused.err
    assert migration.run("verify", "resume", "777").code == 2
    assert "verify list" in migration.run("verify", "resume", "x").err


@pytest.mark.slow
def test_findings_are_accepted_for_a_reason(pair: Loaded, migration: Migration) -> None:
    assert migration.run("verify").code == 5
    found = migration.run("-o", "json", "verify", "findings").document()["findings"]
    (one,) = (finding for finding in found if finding["key"] == {"id": "1777"})
    assert (one["kind"], one["state"], one["leaf"]) == ("differs", "open", "id 1770…1779") and one["position"]
    assert migration.run("verify", "accept", str(one["id"])).code == 2
    assert migration.run("verify", "accept", "99999", "--reason", "x").code == 2
    migration.ok("verify", "accept", str(one["id"]), "--reason", "known since 2019")
    assert migration.run("verify").code == 5
    (kept,) = migration.run("-o", "json", "verify", "findings", "--state", "accepted").document()["findings"]
    assert (kept["id"], kept["reason"]) == (one["id"], "known since 2019")
    assert one["id"] not in {f["id"] for f in migration.run("-o", "json", "verify", "findings").document()["findings"]}


@pytest.mark.slow
def test_repair_by_key_range_and_table(pair: Loaded, migration: Migration) -> None:
    planned = migration.ok("repair", "-t", "dense", "--key", "id=1777", "--key", "id=2", "--dry-run").out
    assert "'row 1777'" in planned and "right already" in planned
    assert pair.store_db.rows("SELECT v FROM dense WHERE id = 1777") == [("other",)]
    assert migration.run("repair", "-t", "dense", "--key", "nr=1777").code == 2
    assert migration.run("repair", "--key", "id=1777").code == 2
    mended = migration.run("-o", "json", "repair", "-t", "dense", "--key", "id=1777").document()
    assert [(row["action"], row["proven"]) for row in mended["rows"]] == [("update", True)]
    ranged = migration.run("-o", "json", "repair", "-t", "dense", "--range", "3900:").document()
    assert {(row["key"]["id"], row["action"]) for row in ranged["rows"]} == {("4000", "update"), ("99999", "delete")}
    assert migration.run("repair", "-t", "dense", "--range", "a:b").code == 2
    migration.ok("repair", "-t", "items", "--key", "parent=50,line=3")
    migration.ok("repair", "-t", "dense", "--whole")
    logged = pair.store_db.rows("SELECT action, count(*) FROM crossfade.repair_log GROUP BY 1 ORDER BY 1")
    assert logged == [("delete", 2), ("update", 4)]
    migration.ok("verify", "-t", "dense", "-t", "items")
