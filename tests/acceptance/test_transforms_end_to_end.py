"""Every rule of the configuration on real servers; what the stores must hold in the end is written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model.errors import ExitCode
from tests.support.migration import Migration
from tests.support.servers import SourceDatabase, StoreDatabase

ORDERS = """
CREATE TABLE tblOrderHeader (
  OrderID int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, CustNo varchar(20) NOT NULL,
  Status char(1) NOT NULL DEFAULT 'N', TotalAmt decimal(10,2) NOT NULL DEFAULT 0,
  isActive tinyint(1) NOT NULL DEFAULT 1,
  Secret varchar(50), createdAt datetime, note text, KEY k1 (CustNo)) ENGINE=InnoDB DEFAULT CHARSET utf8mb4
"""
CUSTOMERS = """
CREATE TABLE customers (
  id int PRIMARY KEY, first_name varchar(30), last_name varchar(30), email varchar(80), region varchar(2),
  UNIQUE KEY (email)) ENGINE=InnoDB DEFAULT CHARSET utf8mb4
"""
RULES = """
tables:
  tblOrderHeader:
    table: orders
    rename: {OrderID: id, TotalAmt: total}
    exclude: [Secret]
    add: {tenant: {value: 7, type: integer}, origin: {value: legacy}}
    types: {isActive: boolean}
    map: {Status: {N: new, P: paid, "*": other}}
    expr:
      cents: {sql: "TotalAmt * 100", type: bigint}
      label: {sql: "CONCAT(CustNo, '/', LOWER(Status))"}
  customers:
    to:
      - store: crm
        table: eu_customers
        where: "region = 'EU'"
        expr: {full_name: {sql: "CONCAT(COALESCE(first_name, ''), ' ', COALESCE(last_name, ''))"}}
      - {store: sales, table: customer_mails, only: [id, email]}
"""
ORDERS_NOW = (
    "SELECT id, cust_no, status, total::text, is_active, created_at::text, note, cents, label, tenant, origin"
    " FROM orders ORDER BY id"
)


@pytest.fixture
def migration(tmp_path: Path) -> Iterator[Migration]:
    migration = Migration(tmp_path)
    yield migration
    migration.close()


def test_rules(source_db: SourceDatabase, new_store_db: Callable[[], StoreDatabase], migration: Migration) -> None:
    sales, crm = new_store_db(), new_store_db()
    connection = source_db.connect()

    def change(*statements: str) -> None:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def orders() -> list[tuple[Any, ...]]:
        return sales.rows(ORDERS_NOW)

    change(
        "SET sql_mode = ''",
        ORDERS,
        CUSTOMERS,
        "INSERT INTO tblOrderHeader (CustNo, Status, TotalAmt, isActive, Secret, createdAt, note) VALUES"
        " ('c1', 'N', 10.5, 1, 's', '2020-01-01 10:00:00', 'n1'), ('c2', 'P', 20, 0, 's', '0000-00-00', NULL),"
        " ('c3', 'X', 30.25, 1, NULL, NULL, 'é 漢字 😀')",
        "INSERT INTO customers VALUES (1, 'Ann', 'Lee', 'a@x', 'EU'), (2, 'Bob', NULL, 'b@x', 'US'),"
        " (3, 'Cid', 'Ray', 'c@x', 'EU')",
    )
    migration.ok("init", "--source", source_db.dsn, "--store", f"sales={sales.dsn}", "--store", f"crm={crm.dsn}")
    head = migration.config.read_text().partition("# Every table of the source")[0]
    migration.config.write_text(head.replace("naming: keep", "naming: snake_case") + RULES)
    explained = migration.ok("config", "explain", "tblOrderHeader").out
    for word in ("OrderID", "total", "boolean", "'N' → 'new'", "TotalAmt * 100", "always 'legacy'", "left out  Secret"):
        assert word in explained, (word, explained)
    migration.ok("schema", "apply")
    migration.start()
    migration.wait_caught_up()
    assert orders() == [
        (1, "c1", "new", "10.50", True, "2020-01-01 10:00:00", "n1", 1050, "c1/n", 7, "legacy"),
        (2, "c2", "paid", "20.00", False, "-infinity", None, 2000, "c2/p", 7, "legacy"),
        (3, "c3", "other", "30.25", True, None, "é 漢字 😀", 3025, "c3/x", 7, "legacy"),
    ]
    assert crm.rows("SELECT id, full_name FROM eu_customers ORDER BY id") == [(1, "Ann Lee"), (3, "Cid Ray")]
    assert sales.rows("SELECT * FROM customer_mails ORDER BY id") == [(1, "a@x"), (2, "b@x"), (3, "c@x")]

    change(
        "INSERT INTO tblOrderHeader (CustNo, TotalAmt) VALUES ('c4', 1.01)",
        "UPDATE tblOrderHeader SET Status = 'P', TotalAmt = TotalAmt + 1 WHERE OrderID = 1",
        "DELETE FROM tblOrderHeader WHERE OrderID = 2",
        "UPDATE tblOrderHeader SET OrderID = 77 WHERE OrderID = 3",
        # Into the filter, out of it, a key change inside it, and one that was never in it.
        "UPDATE customers SET region = 'EU' WHERE id = 2",
        "UPDATE customers SET region = 'US' WHERE id = 1",
        "UPDATE customers SET id = 33, last_name = 'Zed' WHERE id = 3",
        "INSERT INTO customers VALUES (4, 'Dan', 'Oh', 'd@x', NULL)",
    )
    connection.close()
    assert migration.terminate() == ExitCode.CLEAN
    migration.ok("start", "--until", "caught-up")
    assert orders() == [
        (1, "c1", "paid", "11.50", True, "2020-01-01 10:00:00", "n1", 1150, "c1/p", 7, "legacy"),
        (4, "c4", "new", "1.01", True, None, None, 101, "c4/n", 7, "legacy"),
        (77, "c3", "other", "30.25", True, None, "é 漢字 😀", 3025, "c3/x", 7, "legacy"),
    ]
    assert crm.rows("SELECT id, full_name FROM eu_customers ORDER BY id") == [(2, "Bob "), (33, "Cid Zed")]
    assert sales.rows("SELECT * FROM customer_mails ORDER BY id") == [(1, "a@x"), (2, "b@x"), (4, "d@x"), (33, "c@x")]
    migration.ok("verify", "--mode", "checksum")

    # One row changed, one gone, one too many: each is found, with its key.
    crm.execute("UPDATE eu_customers SET full_name = 'hack' WHERE id = 33")
    sales.execute("DELETE FROM orders WHERE id = 77", "INSERT INTO customer_mails VALUES (99, 'x@x')")
    done = migration.run("-o", "json", "verify", "--mode", "checksum")
    assert done.code == ExitCode.DIFFERENCES, done
    found = {
        (finding["kind"], finding["key"]["id"]) for table in done.document()["tables"] for finding in table["findings"]
    }
    assert found == {("differs", "33"), ("missing", "77"), ("extra", "99")}
