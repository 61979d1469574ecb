"""Two source tables in one target table on real servers: copied, streamed, cascaded, verified, and taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sync.reverse_state import ReverseMode
from tests.support.reshaping import reshaping
from tests.support.reversing import reversing
from tests.support.servers import SourceDatabase, StoreDatabase

PARTS = "(id INT AUTO_INCREMENT PRIMARY KEY, shelf INT NOT NULL, sku VARCHAR(20) NOT NULL, UNIQUE KEY sku (sku), {key})"
TABLES = [
    "CREATE TABLE shelf_eu (id INT PRIMARY KEY) ENGINE=InnoDB",
    "CREATE TABLE shelf_us (id INT PRIMARY KEY) ENGINE=InnoDB",
    *(
        f"CREATE TABLE products_{region} "
        + PARTS.format(key=f"FOREIGN KEY (shelf) REFERENCES shelf_{region} (id) ON DELETE CASCADE ON UPDATE CASCADE")
        + " ENGINE=InnoDB"
        for region in ("eu", "us")
    ),
    "ALTER TABLE products_us ADD tax DECIMAL(4,2) NOT NULL DEFAULT 0",
    "INSERT INTO shelf_eu VALUES (1), (2), (3)",
    "INSERT INTO shelf_us VALUES (1), (2), (3)",
    "INSERT INTO products_eu VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')",
    "INSERT INTO products_us VALUES (1, 1, 'a', 1.5), (2, 2, 'x', 2), (5, 3, 'y', 0)",
]
RULES: dict[str, Any] = {
    f"products_{region}": {
        "table": "products",
        "add": {"region": {"value": region}},
        "key": ["region", "id"],
    }
    for region in ("eu", "us")
}


@pytest.mark.timeout(300)
def test_a_merged_table(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> None:
    with reshaping(source_db, {"main": store_db}, tmp_path, *TABLES, tables=RULES) as bed:

        def content() -> list[tuple[Any, ...]]:
            return [
                tuple(row)
                for row in bed.rows("main", "SELECT region, id, shelf, sku, tax::text FROM products ORDER BY 1, 2")
            ]

        bed.start()
        assert content() == [
            ("eu", 1, 1, "a", None), ("eu", 2, 2, "b", None), ("eu", 3, 3, "c", None),
            ("us", 1, 1, "a", "1.50"), ("us", 2, 2, "x", "2.00"), ("us", 5, 3, "y", "0.00"),
        ]  # fmt: skip
        unique = bed.rows("main", "SELECT indexdef FROM pg_indexes WHERE indexname = 'products_sku'")
        assert "UNIQUE" in unique[0][0] and "(region, sku)" in unique[0][0]
        bed.change(
            "DELETE FROM shelf_eu WHERE id = 2",  # takes the product of eu along, not that of us
            "UPDATE shelf_us SET id = 9 WHERE id = 1",
            "UPDATE products_eu SET id = 7, sku = 'x' WHERE id = 3",
            "INSERT INTO products_us VALUES (7, 9, 'c', 3)",
            "DELETE FROM products_us WHERE id = 5",
        )
        assert content() == [
            ("eu", 1, 1, "a", None), ("eu", 7, 3, "x", None),
            ("us", 1, 9, "a", "1.50"), ("us", 2, 2, "x", "2.00"), ("us", 7, 9, "c", "3.00"),
        ]  # fmt: skip
        bed.assert_clean()
        bed.stores["main"].execute("UPDATE products SET sku = 'planted' WHERE region = 'us' AND id = 1")
        document = bed.migration.run("-o", "json", "verify").document()
        outcomes = {table["source"].partition(".")[2]: table["outcome"] for table in document["tables"]}
        assert (outcomes["products_eu"], outcomes["products_us"]) == ("pass", "fail")
        mended = bed.migration.ok("-o", "json", "repair", "--verify", str(document["run"]))
        assert all(row["proven"] for row in mended.document()["rows"]), mended
        bed.assert_clean()


@pytest.mark.timeout(200)
def test_each_row_goes_back_to_the_table_that_it_came_from(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    with reversing(source_db, store_db, *TABLES, tables=RULES) as bed:
        stream = bed.start()
        bed.store_db.execute(
            "UPDATE products SET sku = 'changed' WHERE id = 1 AND region = 'eu'",
            "INSERT INTO products (region, id, shelf, sku, tax) VALUES ('us', 8, 1, 'new', 4.5)",
            "INSERT INTO products (region, id, shelf, sku) VALUES ('eu', 8, 1, 'neu')",
            "UPDATE products SET region = 'eu', id = 20 WHERE region = 'us' AND id = 2",  # moves
            "DELETE FROM products WHERE region = 'us' AND id = 5",
        )
        bed.drain(stream)
        assert bed.source_db.rows("SELECT * FROM products_eu ORDER BY id") == [
            (1, 1, "changed"), (2, 2, "b"), (3, 3, "c"), (8, 1, "neu"), (20, 2, "x"),
        ]  # fmt: skip
        rows = bed.source_db.rows("SELECT id, shelf, sku, CAST(tax AS CHAR) FROM products_us ORDER BY id")
        assert rows == [(1, 1, "a", "1.50"), (8, 1, "new", "4.50")]
        bed.store_db.execute("INSERT INTO products (region, id, shelf, sku) VALUES ('mars', 1, 1, 'rock')")
        assert "no source table takes rows with region = b'mars'" in bed.wait_halted(stream)
        assert stream.state.mode is ReverseMode.HALTED
