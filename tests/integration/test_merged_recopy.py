"""One of several sources of a shared table is copied anew, under traffic of all: the others keep their rows, once."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.test_merging import RULES, TABLES
from tests.support.reshaping import Reshaping, reshaping
from tests.support.servers import SourceDatabase, StoreDatabase

NOTES = (
    """CREATE TABLE notes (id int PRIMARY KEY, region text, product int,
    FOREIGN KEY (region, product) REFERENCES products (region, id) ON DELETE CASCADE)""",
    "INSERT INTO notes VALUES (1, 'eu', 1), (2, 'us', 1)",
    "CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''fired''; END'",
    "CREATE TRIGGER told BEFORE DELETE ON products FOR EACH ROW EXECUTE FUNCTION told()",
)
"""The store's own: what refers to the shared table, and a trigger on it."""
UNIQUE = "SELECT count(*) FROM pg_indexes WHERE indexname = 'products_sku' AND indexdef LIKE '%UNIQUE%'"


def phase(bed: Reshaping, table: str) -> str:
    """The phase of a table's only plan."""
    query = f"SELECT phase FROM crossfade.table_state WHERE plan_id LIKE '%.{table}>%'"
    return str(bed.rows("main", query)[0][0])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_recopy_leaves_the_other_sources_alone(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    # Each change is a transaction of its own in the store, so that none hides what lies between two states.
    with reshaping(source_db, {"main": store_db}, tmp_path, *TABLES, tables=RULES, apply={"max_rows": 1}) as bed:
        bed.start()
        store_db.execute(*NOTES)
        assert bed.rows("main", UNIQUE) == [(1,)]
        source_db.execute("RENAME TABLE products_eu TO elsewhere")
        bed.migration.wait(lambda _: phase(bed, "products_eu") == "held")
        source_db.execute(
            "RENAME TABLE elsewhere TO products_eu",
            "INSERT INTO products_us VALUES (20, 3, 'on', 1)",
        )
        us = "SELECT id, sku FROM products WHERE region = 'us' ORDER BY id"
        before = [(1, "a"), (2, "x"), (5, "y"), (20, "on")]
        bed.migration.wait(lambda _: bed.rows("main", us) == before)
        bed.migration.terminate()
        bed.migration.ok("schema", "recopy", "products_eu", "--confirm", "products_eu")
        assert bed.rows("main", "SELECT count(*) FROM products WHERE region = 'eu'") == [(0,)]
        assert bed.rows("main", us) == before
        assert bed.rows("main", "SELECT id, region FROM notes ORDER BY id") == [(1, "eu"), (2, "us")]
        # The copy cannot read yet, but what happens from now on comes to it as changes, too.
        with closing(source_db.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("LOCK TABLES products_eu WRITE, products_us WRITE, shelf_eu READ, shelf_us READ")
            bed.migration.start()
            bed.migration.wait(lambda _: phase(bed, "products_eu") == "copying")
            for statement in (
                "INSERT INTO products_eu VALUES (30, 1, 'passed on')",
                "UPDATE products_eu SET sku = 'another' WHERE id = 30",
                "INSERT INTO products_eu VALUES (31, 1, 'passed on')",
                "UPDATE products_us SET sku = 'while' WHERE id = 2",
                "INSERT INTO products_us VALUES (30, 1, 'passed on', 0)",
            ):
                cursor.execute(statement)
            cursor.execute("UNLOCK TABLES")
        bed.migration.wait_streaming()
        bed.change("UPDATE products_eu SET sku = 'after' WHERE id = 2")
        assert bed.rows("main", "SELECT region, id, sku FROM products ORDER BY 1, 2") == [
            ("eu", 1, "a"), ("eu", 2, "after"), ("eu", 3, "c"), ("eu", 30, "another"), ("eu", 31, "passed on"),
            ("us", 1, "a"), ("us", 2, "while"), ("us", 5, "y"), ("us", 20, "on"), ("us", 30, "passed on"),
        ]  # fmt: skip
        assert bed.migration.ok("errors", "list").out.startswith("nothing")
        assert bed.rows("main", UNIQUE) == [(1,)]
        bed.assert_clean()
