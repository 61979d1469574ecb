"""A database that nobody here wrote goes over with no hand edit of the file, and stays equal while it changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.migration import Migration
from tests.support.sakila import change_sakila, load_sakila
from tests.support.servers import SourceDatabase, StoreDatabase

TABLES = 16


@pytest.fixture
def migration(tmp_path: Path) -> Iterator[Migration]:
    migration = Migration(tmp_path)
    yield migration
    migration.close()


def test_sakila_needs_no_hand_edit(source_db: SourceDatabase, store_db: StoreDatabase, migration: Migration) -> None:
    load_sakila(source_db)
    migration.ok("init", "--source", source_db.dsn, "--store", f"sakila={store_db.dsn}")
    migration.ok("assess")
    migration.ok("schema", "apply")
    assert "nothing to do" in migration.ok("schema", "apply").out
    migration.ok("start", "--until", "caught-up")
    verdict = migration.ok("-o", "json", "verify", "--mode", "checksum").document()
    assert verdict["outcome"] == "pass"
    assert len([table for table in verdict["tables"] if table["outcome"] == "pass"]) == TABLES
    assert sum(table["source_rows"] for table in verdict["tables"]) == 47_273
    _independent(source_db, store_db)

    migration.start()
    migration.wait_streaming()
    change_sakila(source_db, 300)
    migration.wait_caught_up()
    migration.ok("verify", "--mode", "checksum")
    _independent(source_db, store_db)
    assert migration.terminate() == 0


def _independent(source: SourceDatabase, store: StoreDatabase) -> None:
    """Plain drivers, no code of ours: the same keys and the same values of a table with awkward columns."""
    query = "SELECT film_id, title, rental_rate, replacement_cost, release_year, length, description FROM film"
    mine = sorted(tuple(map(str, row)) for row in source.rows(query))
    theirs = sorted(tuple(map(str, row)) for row in store.rows(query))
    assert mine == theirs
    for table in ("inventory", "film_actor", "payment", "rental"):
        assert source.rows(f"SELECT count(*) FROM {table}") == store.rows(f"SELECT count(*) FROM {table}")
