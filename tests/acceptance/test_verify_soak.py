"""Full traffic, no false alarm; then every kind of difference is planted into resting rows: exactly these are found."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.retailcore.domains import Domain
from tests.support.migration import Migration
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.shop import open_shop

REST = 500
"""Rows up to this key are not written by the traffic of this test."""
TABLES = [
    (
        "CREATE TABLE traps (id INT PRIMARY KEY, a VARCHAR(40) CHARACTER SET utf8mb4, "
        "b VARCHAR(40) CHARACTER SET utf8mb4, d DOUBLE, f FLOAT, n DECIMAL(12,4), t DATETIME(6))"
    ),
    "CREATE TABLE names (code VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci PRIMARY KEY, v INT)",
    "CREATE TABLE parts (a INT, b VARCHAR(10) CHARACTER SET utf8mb4, v INT, PRIMARY KEY (a, b))",
    "CREATE TABLE loose (v INT, w VARCHAR(20) CHARACTER SET utf8mb4)",
]
RULE = """
  traps: {store: catalog, expr: {twice: {sql: "id * 2", type: bigint}}}
  names: {store: catalog, map: {v: {"7": "70", "*": "0"}}}
  parts: {store: orders, rename: {v: amount}}
  loose: {store: orders}
"""


@dataclass(frozen=True, slots=True)
class Plant:
    """One way of being wrong: what the store does to the row with number `{id}`, in which table."""

    table: str
    statement: str
    kind: str = "differs"


PLANTS = [
    Plant("traps", "UPDATE catalog.traps SET a = 'NULL' WHERE id = {id}"),
    Plant("traps", "UPDATE catalog.traps SET a = '' WHERE id = {id}"),
    Plant("traps", "UPDATE catalog.traps SET b = b || ' ' WHERE id = {id}"),
    Plant("traps", "UPDATE catalog.traps SET b = 'cafe' || U&'\\0301' || {id} WHERE id = {id}"),
    Plant("traps", "UPDATE catalog.traps SET b = E'x\\x1f1:y' WHERE id = {id}"),
    Plant("traps", "UPDATE catalog.traps SET d = '-0' WHERE id = {id}"),
    Plant("traps", "UPDATE catalog.traps SET f = 0.10000002 WHERE id = {id}"),
    Plant("traps", "UPDATE catalog.traps SET n = n + 0.0001 WHERE id = {id}"),
    Plant("traps", "UPDATE catalog.traps SET t = t + interval '5 hours' WHERE id = {id}"),
    Plant("traps", "UPDATE catalog.traps SET twice = twice + 1 WHERE id = {id}"),
    Plant("traps", "DELETE FROM catalog.traps WHERE id = {id}", "missing"),
    Plant("traps", "INSERT INTO catalog.traps (id) VALUES (-{id})", "extra"),
    Plant("names", "UPDATE catalog.names SET v = 71 WHERE code = 'Code {id}é'"),
    Plant("names", "DELETE FROM catalog.names WHERE code = 'Code {id}é'", "missing"),
    Plant("names", "INSERT INTO catalog.names VALUES ('CODE {id}É', 70)", "extra"),
    Plant("parts", "UPDATE orders.parts SET amount = -amount WHERE a = {id}"),
    Plant("parts", "DELETE FROM orders.parts WHERE a = {id}", "missing"),
    Plant("parts", "INSERT INTO orders.parts VALUES ({id}, 'P', 1)", "extra"),
    Plant("loose", "INSERT INTO orders.loose SELECT l.* FROM orders.loose l, generate_series(1, 2) WHERE v = {id}",
          "extra"),
    Plant("loose", "DELETE FROM orders.loose WHERE v = {id}", "missing"),
]  # fmt: skip


def fill(source: SourceDatabase) -> None:
    """The tables of this test, with rows at rest and rows for the traffic."""
    with source.connect() as connection, connection.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)
        ids = range(1, 2 * REST)
        traps = [(n, None, f"b{n}", 0.0, 0.1, n, "2024-05-05 05:05:05.000001") for n in ids]
        cursor.executemany("INSERT INTO traps VALUES (%s, %s, %s, %s, %s, %s, %s)", traps)
        cursor.executemany("INSERT INTO names VALUES (%s, 7)", [(f"Code {n}é",) for n in ids])
        cursor.executemany("INSERT INTO parts VALUES (%s, 'p', %s)", [(n, n) for n in ids])
        cursor.executemany("INSERT INTO loose VALUES (%s, 'w')", [(n,) for n in ids])


@contextmanager
def restless(source: SourceDatabase) -> Iterator[None]:
    """Writes to the tables of this test, but not to the rows at rest, until the end of the block."""
    stop = threading.Event()

    def write() -> None:
        rng = random.Random(1)
        with source.connect() as connection, connection.cursor() as cursor:
            while not stop.wait(0.02):
                n = rng.randrange(REST + 1, 2 * REST)
                cursor.execute("UPDATE traps SET a = %s, d = d + 1 WHERE id = %s", (str(rng.random()), n))
                cursor.execute("UPDATE names SET v = 13 - v WHERE code = %s", (f"Code {n}é",))
                cursor.execute("REPLACE INTO parts VALUES (%s, 'p', %s)", (n, rng.randrange(1000)))
                cursor.execute("DELETE FROM loose WHERE v = %s", (n,))
                cursor.execute("INSERT INTO loose VALUES (%s, 'again')", (n,))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def alarms(migration: Migration, mode: str) -> tuple[int, list[object]]:
    """Rows that a run calls wrong, and its exit code."""
    done = migration.run("-o", "json", "verify", "--mode", mode, timeout_s=600)
    tables = done.document()["tables"]
    return done.code, [(t["plan_id"], t["why"], t["findings"][:3]) for t in tables if t["outcome"] == "fail"]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("seconds", "planted"),
    [pytest.param(20, 20, marks=pytest.mark.slow), pytest.param(600, 100, marks=pytest.mark.soak)],
)
def test_no_false_alarm_and_every_planted_difference_found(
    seconds: int, planted: int, source_db: SourceDatabase, new_store_db: Callable[[], StoreDatabase], tmp_path: Path
) -> None:
    stores = {domain: new_store_db() for domain in Domain}
    shop = open_shop(source_db, stores, tmp_path, 4_000, verify="{period_s: 60, chunk_rows: 400}")
    fill(source_db)
    migration = shop.migration
    text = migration.config.read_text()
    migration.config.write_text(text.replace("\ntables:\n", f"\ntables:{RULE}", 1))
    migration.ok("schema", "apply")
    migration.start()
    try:
        migration.wait_streaming(600)
        with shop.traffic(rate=150 if seconds > 60 else 40), restless(source_db):
            end, runs = time.monotonic() + seconds, 0
            while time.monotonic() < end or runs < 2:
                mode = ("checksum", "rows", "counts", "sample")[runs % 4]
                code, wrong = alarms(migration, mode)
                assert code in (0, 6) and not wrong, (mode, wrong)
                runs += 1
            seen = migration.run(
                "-o", "json", "verify", "findings", *(f"--state={s}" for s in ("open", "gone"))
            ).document()["findings"]
            assert not seen, seen
            expected = set()
            for number in range(planted):
                plant = PLANTS[number % len(PLANTS)]
                store = stores[Domain.CATALOG if plant.table in ("traps", "names") else Domain.ORDERS]
                store.execute(plant.statement.replace("{id}", str(number + 1)))
                expected.add((plant.table, plant.kind, number + 1))
            # However slow the machine is, everything has to be decided.
            done = migration.run("-o", "json", "verify", "--deadline", "600", timeout_s=1800)
        found = {
            (table["source"].partition(".")[2], finding["kind"], number_of(finding["key"]))
            for table in done.document()["tables"]
            for finding in table["findings"]
        }
        assert found == expected
        assert done.code == 5
    finally:
        migration.close()


def number_of(key: dict[str, str | None]) -> int:
    """The number of the planted row, by its key."""
    first = next(str(key[name]) for name in ("id", "a", "v", "code") if name in key)
    return abs(int("".join(character for character in first if character.isdigit())))
