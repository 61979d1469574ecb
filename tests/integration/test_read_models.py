"""Read models on real servers: filled, followed change by change, compared, rebuilt, and harmless when they fail."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stores.control.migrations import prepare_store
from sync.postgres.read_models import install, state
from tests.support.reshaping import Reshaping, reshaping
from tests.support.servers import SourceDatabase, StoreDatabase
from transforms.read_model import ReadModel, Way

TABLES = [
    "CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(30) NOT NULL) ENGINE=InnoDB",
    "CREATE TABLE orders (id INT PRIMARY KEY, customer_id INT NOT NULL, rate INT NOT NULL DEFAULT 1) ENGINE=InnoDB",
    (
        "CREATE TABLE items (id INT PRIMARY KEY, order_id INT NOT NULL, amount DECIMAL(9,2) NOT NULL,"
        " FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE ON UPDATE CASCADE) ENGINE=InnoDB"
    ),
    "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Bob')",
    "INSERT INTO orders (id, customer_id) VALUES (10, 1), (20, 2), (30, 1)",
    "INSERT INTO items VALUES (1, 10, 5.00), (2, 10, 7.50), (3, 20, 1.00)",
]
FACTS: dict[str, Any] = {
    "sql": (
        "SELECT o.id, c.name, count(i.id) AS items, coalesce(sum(i.amount), 0) AS total, 100 / o.rate AS share"
        " FROM orders AS o JOIN customers AS c ON c.id = o.customer_id LEFT JOIN items AS i ON i.order_id = o.id"
        " GROUP BY o.id, c.name, o.rate"
    ),
    "key": ["id"],
    "from": {
        "orders": "id",
        "items": "order_id",
        "customers": "SELECT o.id FROM orders AS o JOIN changed AS c ON c.id = o.customer_id",
    },
    "indexes": [["name"]],
}
PAIRS: dict[str, Any] = {
    "sql": "SELECT o.customer_id, o.rate, count(*) AS orders FROM orders AS o GROUP BY o.customer_id, o.rate",
    "key": ["customer_id", "rate"],
    "from": {"orders": "customer_id, rate"},
}


def facts(bed: Reshaping) -> list[tuple[Any, ...]]:
    """The first model's rows."""
    return bed.rows("main", "SELECT id, name, items, total::text FROM facts ORDER BY id")


def states(document: dict[str, Any]) -> dict[str, str]:
    """Name → state of what the stores compute, as the daemon last saw it."""
    return {one["name"]: one["state"] for one in document["computed"]}


def outcomes(bed: Reshaping) -> dict[str, str]:
    """Model → outcome of a comparison."""
    document = bed.migration.run("-o", "json", "verify", "--mode", "counts").document()
    tables = [table for table in document["tables"] if table["source"] == "read model"]
    return {table["target"]: table["outcome"] for table in tables}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_read_model_follows_its_tables(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> None:
    models = {"facts": FACTS, "pairs": PAIRS}
    with reshaping(source_db, {"main": store_db}, tmp_path, *TABLES, read_models=models) as bed:
        planned = bed.migration.ok("schema", "plan").out
        assert 'CREATE TABLE "public"."facts" AS SELECT' in planned and "with triggers on" in planned
        assert "main:public.facts, main:public.pairs" in bed.migration.ok("schema", "apply").out
        bed.start()
        bed.migration.wait(lambda _: not bed.migration.run("readmodel", "list").code)
        assert facts(bed) == [(10, "Ann", 2, "12.50"), (20, "Bob", 1, "1.00"), (30, "Ann", 0, "0")]
        bed.change(
            "UPDATE customers SET name = 'Anna' WHERE id = 1",  # two orders
            "UPDATE items SET order_id = 30 WHERE id = 2",  # from one order to another
            "INSERT INTO orders (id, customer_id, rate) VALUES (40, 2, 4)",
            "INSERT INTO items VALUES (4, 40, 2.00), (5, 40, 3.00)",
            "UPDATE orders SET id = 21, customer_id = 1 WHERE id = 20",  # cascades to items, unseen in the binlog
            "DELETE FROM items WHERE id = 4",
        )
        expected = [(10, "Anna", 1, "5.00"), (21, "Anna", 1, "1.00"), (30, "Anna", 1, "7.50"), (40, "Bob", 1, "3.00")]
        assert facts(bed) == expected
        assert bed.rows("main", "SELECT * FROM pairs ORDER BY 1, 2") == [(1, 1, 3), (2, 4, 1)]
        assert outcomes(bed) == {"public.facts": "pass", "public.pairs": "pass"}
        # What a comparison finds, a rebuild mends.
        bed.stores["main"].execute(
            "UPDATE facts SET total = 1 WHERE id = 10", "DELETE FROM facts WHERE id = 21",
            "INSERT INTO facts (id, name) VALUES (99, 'x')",
        )  # fmt: skip
        done = bed.migration.run("-o", "json", "verify", "--mode", "counts")
        (table,) = [table for table in done.document()["tables"] if table["outcome"] != "pass"]
        assert (done.code, table["target"], table["missing"], table["extra"], table["different"]) == (
            5, "public.facts", 1, 1, 1,
        )  # fmt: skip
        assert table["next_step"] == "crossfade readmodel rebuild facts"
        assert "4 rows" in bed.migration.ok("readmodel", "rebuild", "facts").out
        assert facts(bed) == expected and outcomes(bed)["public.facts"] == "pass"
        # A model whose SQL fails is stale; its base tables go on.
        bed.change("UPDATE orders SET rate = 0 WHERE id = 10", "UPDATE customers SET name = 'Bert' WHERE id = 2")
        assert bed.rows("main", "SELECT rate FROM orders WHERE id = 10") == [(0,)]
        listed = bed.migration.run("readmodel", "list")
        assert listed.code == 6 and "stale since" in listed.out and "division by zero" in listed.out, listed
        stale = bed.migration.wait(lambda document: states(document) == {"facts": "stale", "pairs": "current"})
        (reason,) = [one for one in stale["reasons"] if one["code"] == "READ_MODEL_STALE"]
        assert reason["subject"] == "read model>main:public.facts" and "division by zero" in reason["message"]
        assert reason["next"] == "crossfade readmodel rebuild facts" and stale["health"] == "degraded"
        shown = bed.migration.ok("status", "--tables").out
        assert "read models and lookups 2: 1 stale · 1 current" in shown, shown
        assert outcomes(bed)["public.facts"] == "fail"
        # Who looks at them survives the loss of his connection.
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'crossfade status'"
        assert bed.rows("main", f"{ended} AND datname = current_database()") == [(True,)]
        bed.change("UPDATE orders SET rate = 2 WHERE id = 10")
        bed.migration.ok("readmodel", "rebuild", "facts")
        mended = bed.migration.wait(lambda document: set(states(document).values()) == {"current"})
        assert not [one for one in mended["reasons"] if one["code"] == "READ_MODEL_STALE"]
        assert outcomes(bed) == {"public.facts": "pass", "public.pairs": "pass"}
        assert bed.rows("main", "SELECT name FROM facts WHERE id = 40") == [("Bert",)]
        _applications_write(bed)
        assert outcomes(bed) == {"public.facts": "pass", "public.pairs": "pass"}


def _applications_write(bed: Reshaping) -> None:
    """Sessions of applications that meet at one key of the model, in every order."""
    store = bed.stores["main"]
    failures: list[Exception] = []

    def write(number: int) -> None:
        try:
            with store.connect() as connection:
                for turn in range(25):
                    item = 1000 * number + turn
                    connection.execute("INSERT INTO items VALUES (%s, 30, 1)", (item,))
                    if turn % 3 == 0:
                        connection.execute("DELETE FROM items WHERE id = %s", (item,))
        except psycopg.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    left = 1 + 4 * sum(1 for turn in range(25) if turn % 3)
    assert store.rows("SELECT items, total FROM facts WHERE id = 30")[0][0] == left
    store.execute("DELETE FROM items WHERE id >= 1000")


@pytest.mark.parametrize("key", [("customer",), ("customer", "kind")], ids=["one column", "two columns"])
def test_a_change_reads_the_rows_of_its_keys_by_index(store_db: StoreDatabase, key: tuple[str, ...]) -> None:
    """Were the whole model made for every statement, the stream would stand still on a large table."""
    columns = ", ".join(key)
    model = ReadModel(
        "main", "public", "sums",
        f"SELECT {columns}, count(*) AS orders, sum(total) AS total FROM base WHERE customer > 0 GROUP BY {columns}",
        key, (Way("base", f"SELECT {columns} FROM changed"),),
    )  # fmt: skip
    store_db.execute(
        "CREATE TABLE base (id int PRIMARY KEY, customer int, kind int, total int)",
        "INSERT INTO base SELECT n, n / 3, n % 5, n FROM generate_series(1, 20000) AS n",
        "CREATE INDEX ON base (customer)",
        "ANALYZE base",
    )
    scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'base'"
    with store_db.connect() as connection:
        prepare_store(connection)
        install(connection, model)
    before = store_db.rows(scans)
    with store_db.connect() as connection:
        for number in range(30_000, 30_020):
            connection.execute("INSERT INTO base VALUES (%s, %s, 1, 1)", (number, number % 700))
        connection.execute("UPDATE base SET total = 0, kind = 1 WHERE id IN (300, 301, 3000)")
        connection.execute("DELETE FROM base WHERE id = 303")
    assert store_db.rows(scans) == before
    assert store_db.rows("SELECT * FROM sums ORDER BY 1, 2") == store_db.rows(f"{model.sql} ORDER BY 1, 2")


def test_a_model_is_armed_again_when_a_base_table_was_made_anew(store_db: StoreDatabase) -> None:
    model = ReadModel("main", "public", "sums", "SELECT a, count(*) AS n FROM base GROUP BY a", ("a",),
                      (Way("base", "SELECT a FROM changed"),))  # fmt: skip
    base = "CREATE TABLE base (id int PRIMARY KEY, a int)"
    store_db.execute(base, "INSERT INTO base VALUES (1, 1)")
    with store_db.connect() as connection:
        prepare_store(connection)
        assert install(connection, model) and not install(connection, model)
        connection.execute("CREATE VIEW over AS SELECT * FROM sums")
        assert state(connection, model) == (True, "", "")
        for statement in ("DROP TABLE base", base, "INSERT INTO base VALUES (2, 2), (3, 2)"):
            connection.execute(statement.encode())
        assert state(connection, model)[0] is False
        assert install(connection, model) and state(connection, model)[0]
        connection.execute("INSERT INTO base VALUES (4, 4)")
    assert store_db.rows("SELECT a, n FROM over ORDER BY a") == [(2, 2), (4, 1)]
