"""Surrogate keys on real servers: rows and their references agree, in the copy, in the stream and in a comparison."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.reshaping import reshaping
from tests.support.servers import SourceDatabase, StoreDatabase

ROOT = uuid.uuid5(uuid.NAMESPACE_URL, "crossfade:surrogate")


def uid(kind: str, text: str) -> uuid.UUID:
    """By the standard library alone."""
    return uuid.uuid5(uuid.uuid5(ROOT, kind), text)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_rows_and_references_have_one_uuid(
    source_db: SourceDatabase, new_store_db: Callable[[], StoreDatabase], tmp_path: Path
) -> None:
    stores = {name: new_store_db() for name in ("shop", "bills")}
    tables = {
        "orders": {"store": "shop", "surrogate": {"uid": {"of": ["id"]}}, "key": ["uid"]},
        "lines": {
            "store": "bills",
            "surrogate": {
                "line_uid": {"of": ["order_id", "code"]},
                "order_uid": {"of": ["order_id"], "as": "orders"},
            },
            "key": ["line_uid"],
        },
    }
    with reshaping(
        source_db, stores, tmp_path,
        "CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, note VARCHAR(20))",
        "CREATE TABLE `lines` (order_id INT NOT NULL, code VARCHAR(5) CHARACTER SET latin1 NOT NULL, n INT,"
        " PRIMARY KEY (order_id, code))",
        "INSERT INTO orders VALUES (1, 'one'), (2, 'two'), (3, NULL)",
        "INSERT INTO `lines` VALUES (1, 'é', 1), (1, '1é', 2), (11, 'é', 3)",
        tables=tables,
    ) as bed:  # fmt: skip
        explained = bed.migration.ok("config", "explain", "orders").out
        assert "UUID of orders (id), version 5" in " ".join(explained.split()) and "the way back: exact" in explained
        bed.start()
        bed.change(
            "INSERT INTO orders VALUES (4, 'four')",
            "UPDATE orders SET id = 30 WHERE id = 3",  # a new key: one goes, one comes
            "UPDATE orders SET note = 'zwei' WHERE id = 2",
            "DELETE FROM orders WHERE id = 1",
            "UPDATE `lines` SET order_id = 2 WHERE order_id = 11",
            "UPDATE `lines` SET n = 20 WHERE code = '1é'",
        )
        assert bed.rows("shop", "SELECT id, note, uid FROM orders ORDER BY id") == [
            (number, note, uid("orders", str(number))) for number, note in ((2, "zwei"), (4, "four"), (30, None))
        ]
        assert bed.rows("bills", 'SELECT order_id, code, n, line_uid, order_uid FROM "lines" ORDER BY n') == [
            (1, "é", 1, uid("lines", "1:12:é"), uid("orders", "1")),
            (2, "é", 3, uid("lines", "1:22:é"), uid("orders", "2")),
            (1, "1é", 20, uid("lines", "1:13:1é"), uid("orders", "1")),
        ]
        bed.assert_clean()
        shown = bed.migration.ok("-o", "json", "transform", "preview", "orders", "--key", "2").document()
        (target,) = shown["rows"][0]["targets"]
        assert target["row"]["uid"] == str(uid("orders", "2")) and all(one["same"] for one in target["back"])
        bed.stores["shop"].execute("UPDATE orders SET note = 'wrong' WHERE id = 4")
        assert bed.verified()["orders>shop:public.orders"] == "fail"


WAY_BACK: dict[str, Any] = {
    "domains": {"all": {"tables": ["orders", "lines"], "stores": ["shop", "bills"]}},
    "cutover": {"max_lag_s": 30, "max_write_stop_s": 60},
}
KEYED: dict[str, Any] = {
    "orders": {"store": "shop", "surrogate": {"uid": {"of": ["id"]}}, "key": ["uid"]},
    "lines": {
        "store": "bills",
        "surrogate": {
            "line_uid": {"of": ["order_id", "code"]},
            "order_uid": {"of": ["order_id"], "as": "orders"},
        },
        "key": ["line_uid"],
    },
}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_over_and_back(source_db: SourceDatabase, new_store_db: Callable[[], StoreDatabase], tmp_path: Path) -> None:
    """What applications write by UUID comes back to the numbers, and the copy goes on from there."""
    stores = {name: new_store_db() for name in ("shop", "bills")}
    source_db.execute("DROP DATABASE IF EXISTS crossfade_control")
    with reshaping(
        source_db, stores, tmp_path,
        "CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, note VARCHAR(20)) ENGINE=InnoDB",
        "CREATE TABLE `lines` (order_id INT NOT NULL, code VARCHAR(5) CHARACTER SET latin1 NOT NULL, n INT,"
        " PRIMARY KEY (order_id, code)) ENGINE=InnoDB",
        "INSERT INTO orders VALUES (1, 'one'), (2, 'two'), (3, NULL)",
        "INSERT INTO `lines` VALUES (1, 'é', 1), (1, '1é', 2), (2, 'x', 3)",
        tables=KEYED, report={"directory": str(tmp_path / "reports")}, **WAY_BACK,
    ) as bed:  # fmt: skip
        bed.start()
        bed.change("UPDATE orders SET id = 30 WHERE id = 3", "UPDATE `lines` SET code = 'ü' WHERE code = 'é'")
        bed.assert_clean()
        assert not bed.migration.ok("-o", "json", "cutover", "plan", "all").document()["lossy"]
        bed.migration.ok("cutover", "run", "all", "--confirm", "all")
        shop, bills = bed.stores["shop"], bed.stores["bills"]
        shop.execute(
            f"UPDATE orders SET note = 'by uid' WHERE uid = '{uid('orders', '2')}'",
            f"DELETE FROM orders WHERE uid = '{uid('orders', '1')}'",
            f"INSERT INTO orders (id, note, uid) VALUES (40, 'new', '{uid('orders', '40')}')",
            # Another number is another UUID, in one statement and in two.
            f"UPDATE orders SET id = 31, uid = '{uid('orders', '31')}' WHERE id = 30",
        )
        line = f"'{uid('lines', '2:401:a')}', '{uid('orders', '40')}'"
        bills.execute(
            f"INSERT INTO lines (order_id, code, n, line_uid, order_uid) VALUES (40, 'a', 9, {line})",
            "DELETE FROM lines WHERE order_id = 1 AND code = '1é'",
            f"UPDATE lines SET code = 'ß', line_uid = '{uid('lines', '1:12:ß')}' WHERE order_id = 1",
        )
        bed.migration.ok("rollback", "run", "all", "--confirm", "all")
        assert source_db.rows("SELECT id, note FROM orders ORDER BY id") == [(2, "by uid"), (31, None), (40, "new")]
        assert source_db.rows("SELECT order_id, code, n FROM `lines` ORDER BY order_id, code") == [
            (1, "ß", 1), (2, "x", 3), (40, "a", 9),
        ]  # fmt: skip
        bed.migration.wait_caught_up()
        bed.assert_clean()
        bed.change("UPDATE orders SET note = 'again' WHERE id = 40", "DELETE FROM `lines` WHERE order_id = 40")
        assert bed.rows("shop", "SELECT id, note, uid FROM orders ORDER BY id") == [
            (2, "by uid", uid("orders", "2")), (31, None, uid("orders", "31")), (40, "again", uid("orders", "40")),
        ]  # fmt: skip
        bed.assert_clean()
