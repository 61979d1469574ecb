"""A domain whose tables are merged, routed, split and masked: over, written in its stores, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.reshaping import Reshaping, reshaping
from tests.support.servers import SourceDatabase, StoreDatabase

TABLES = (
    *(
        f"""CREATE TABLE products_{region} (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, sku VARCHAR(20) NOT NULL)
        ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"""
        for region in ("eu", "us")
    ),
    """CREATE TABLE tenants (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, country CHAR(2) NOT NULL, name VARCHAR(20))
    ENGINE=InnoDB DEFAULT CHARSET=utf8mb4""",
    """CREATE TABLE users (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, email VARCHAR(40), born DATE, nick VARCHAR(20))
    ENGINE=InnoDB DEFAULT CHARSET=utf8mb4""",
    "INSERT INTO products_eu VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    "INSERT INTO products_us VALUES (1, 'x'), (2, 'y')",
    "INSERT INTO tenants VALUES (1, 'DE', 'eins'), (2, 'US', 'two'), (3, 'DE', 'drei')",
    """INSERT INTO users VALUES (1, 'a@x', '1990-01-02', 'ann'), (2, 'b@x', NULL, 'bob'),
    (3, 'c@x', '2001-03-04', 'cid')""",
)
RULES: dict[str, Any] = {
    **{
        f"products_{region}": {
            "store": "main", "table": "products", "add": {"region": {"value": region}}, "key": ["region", "id"],
        }
        for region in ("eu", "us")
    },
    "tenants": {"route": {"by": "country", "to": {"DE": "main", "US": "other"}}},
    "users": {
        "to": [
            {"store": "main", "table": "accounts", "only": ["id", "email", "born"]},
            {"store": "other", "table": "people", "only": ["id", "nick", "email", "born"],
             "mask": {"email": "hmac", "born": "year"}},
        ]
    },
}  # fmt: skip
DOMAINS = {"all": {"tables": ["products_*", "tenants", "users"], "stores": ["main", "other"]}}
MOVED = ("--confirm", "all")
SOURCE = {
    "products_eu": [(1, "changed"), (2, "b"), (40, "moved")],
    "products_us": [(1, "x"), (50, "new")],
}


def moved(bed: Reshaping, verb: str, *more: str) -> dict[str, Any]:
    """`cutover run` or `rollback run` that must succeed."""
    accept = [word for column in lossy(bed) for word in ("--accept-lossy", column)] if verb == "cutover" else []
    return bed.migration.ok("-o", "json", verb, "run", "all", *MOVED, *accept, *more).document()


def lossy(bed: Reshaping) -> list[str]:
    """The columns that do not come back exactly: masks say so on purpose."""
    plan = bed.migration.ok("-o", "json", "cutover", "plan", "all").document()
    return [line.partition(":")[0] for line in plan["lossy"]]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_over_written_and_back(
    mariadb_db: SourceDatabase, postgres15_dbs: Callable[[], StoreDatabase], tmp_path: Path
) -> None:
    source = mariadb_db
    source.execute("DROP DATABASE IF EXISTS crossfade_control")
    stores = {"main": postgres15_dbs(), "other": postgres15_dbs()}
    parts: dict[str, Any] = {
        "tables": RULES, "domains": DOMAINS, "defaults": {"mask_key": "a key of sixteen or more"},
        "cutover": {"max_lag_s": 30, "max_write_stop_s": 60}, "report": {"directory": str(tmp_path / "reports")},
    }  # fmt: skip
    with reshaping(source, stores, tmp_path, *TABLES, **parts) as bed:
        bed.start()
        bed.migration.ok("verify")
        assert moved(bed, "cutover")["side"] == "stores"
        assert counted(bed) == {"products_eu>main": 3, "products_us>main": 2, "tenants>main": 2, "tenants>other": 1,
                                "users>main": 3, "users>other": 3}  # fmt: skip
        ids = write(bed)
        assert len(set(ids)) == len(ids), "two stores gave out the same id of one source table"
        moved(bed, "rollback")
        for table, rows in SOURCE.items():
            assert source.rows(f"SELECT * FROM {table} ORDER BY id") == rows
        assert source.rows("SELECT id, country, name FROM tenants ORDER BY id") == sorted(
            [(1, "DE", "uno"), (2, "US", "two"), (3, "US", "moved"),
             *((number, country, "new") for number, country in zip(ids, ("DE", "US", "DE", "US"), strict=True))]
        )  # fmt: skip
        # Masked columns keep what the source has; the others are those of the stores.
        assert source.rows("SELECT id, email, CAST(born AS CHAR), nick FROM users ORDER BY id") == [
            (1, "new@x", "1990-01-02", "annie"), (3, "c@x", "2001-03-04", "cid"), (9000, "i@x", None, "ida"),
        ]  # fmt: skip
        bed.migration.wait_caught_up()
        # Nobody has masked what was written while the stores served: the copy with masks is behind, and is mended.
        document = bed.migration.run("-o", "json", "verify").document()
        failed = {table["target"]: table for table in document["tables"] if table["outcome"] != "pass"}
        assert set(failed) == {"public.people"}
        assert {found["key"]["id"] for found in failed["public.people"]["findings"]} == {"1", "9000"}
        bed.migration.ok("repair")
        bed.assert_clean()

        # What cannot go back is worded for the table that it belongs to.
        moved(bed, "cutover")
        stores["main"].execute(
            "INSERT INTO products (region, id, sku) VALUES ('mars', 1, 'rock')",
            "UPDATE products SET sku = 'stranded' WHERE region = 'us' AND id = 1",
            "UPDATE products SET region = 'eu', id = 60 WHERE region = 'us' AND id = 50",
        )
        bed.migration.wait(lambda status: "REVERSE_HALTED" in {reason["code"] for reason in status["reasons"]})
        left = moved(bed, "rollback", "--accept-divergence", "all")["stranded"]
        _, *lines, _ = map(json.loads, Path(left["path"]).read_text().splitlines())
        told = [
            (change["op"], change["source"].partition(".")[2], (change["statement"] or "").split(" ")[0])
            for line in lines
            for change in line["changes"]
        ]
        assert told == [
            ("insert", "", ""), ("update", "products_us", "UPDATE"), ("delete", "products_us", "DELETE"),
            ("insert", "products_eu", "INSERT"),
        ]  # fmt: skip
        assert "no source table takes rows with region" in lines[0]["changes"][0]["refused"]


def counted(bed: Reshaping) -> dict[str, int]:
    """Table and store → rows that the last comparison behind the closed gate has counted on both sides."""
    journal = bed.migration.ok("-o", "json", "cutover", "status", "all").document()["journal"]
    facts = [entry["facts"] for entry in journal if (entry["step"], entry["kind"]) == ("final_check", "observed")][-1]
    return {plan.partition(".")[2].partition(":")[0]: table["rows"] for plan, table in facts["tables"].items()}


def write(bed: Reshaping) -> list[int]:
    """As applications do in the stores; the ids that new tenants got."""
    main, other = bed.stores["main"], bed.stores["other"]
    # A tenant moves, and arrives before it has left: the source has one row of this id at any time.
    other.execute("INSERT INTO tenants (id, country, name) VALUES (3, 'US', 'moved')")
    bed.migration.wait(lambda status: "retrying" in {stream["mode"] for stream in status["reverse"]})
    assert bed.source.rows("SELECT country, name FROM tenants WHERE id = 3") == [("DE", "drei")]
    main.execute(
        "UPDATE products SET sku = 'changed' WHERE region = 'eu' AND id = 1",
        "INSERT INTO products (region, id, sku) VALUES ('us', 50, 'new')",
        "DELETE FROM products WHERE region = 'eu' AND id = 3",
        "UPDATE products SET region = 'eu', id = 40, sku = 'moved' WHERE region = 'us' AND id = 2",
        "UPDATE tenants SET name = 'uno' WHERE id = 1",
        "DELETE FROM tenants WHERE id = 3",
        "UPDATE accounts SET email = 'new@x' WHERE id = 1",
        "INSERT INTO accounts (id, email) VALUES (9000, 'i@x')",
        "DELETE FROM accounts WHERE id = 2",
    )
    other.execute(
        "UPDATE people SET nick = 'annie' WHERE id = 1",
        "INSERT INTO people (id, nick) VALUES (9000, 'ida')",
        "DELETE FROM people WHERE id = 2",
    )
    ids = []
    for _ in range(2):
        for store, country in ((main, "DE"), (other, "US")):
            with store.connect() as connection:
                (row,) = connection.execute(
                    "INSERT INTO tenants (country, name) VALUES (%s, 'new') RETURNING id", (country,)
                ).fetchall()
                ids.append(int(row[0]))
    return ids


LOOKUP_TABLES = (
    """CREATE TABLE countries (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, code CHAR(2) NOT NULL UNIQUE,
    name VARCHAR(30))
    ENGINE=InnoDB DEFAULT CHARSET=utf8mb4""",
    """CREATE TABLE people (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, country_id INT, boss_id INT, name VARCHAR(20))
    ENGINE=InnoDB DEFAULT CHARSET=utf8mb4""",
    "INSERT INTO countries VALUES (1, 'DE', 'Germany'), (2, 'FR', NULL), (3, 'IT', 'Itália')",
    "INSERT INTO people VALUES (1, 1, 2, 'Ann'), (2, 2, NULL, 'Bob'), (3, 9, 1, 'Cid')",
)
LOOKUP_RULES: dict[str, Any] = {
    "people": {
        "lookup": {
            "country": {"table": "countries", "by": "country_id", "column": "name", "otherwise": "unknown"},
            "boss": {"table": "people", "by": "boss_id", "column": "name"},
        }
    }
}
LOOKUP_DOMAINS = {name: {"tables": [name], "stores": ["main"]} for name in ("people", "countries")}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_looked_up_columns_stay_true_on_every_way(
    mariadb_db: SourceDatabase, postgres15_dbs: Callable[[], StoreDatabase], tmp_path: Path
) -> None:
    """The table that looks up and the one that is looked into go over, and come back, one after the other."""
    source, store = mariadb_db, postgres15_dbs()
    source.execute("DROP DATABASE IF EXISTS crossfade_control")
    parts: dict[str, Any] = {
        "tables": LOOKUP_RULES, "domains": LOOKUP_DOMAINS, "report": {"directory": str(tmp_path / "reports")},
        "cutover": {"max_lag_s": 30, "max_write_stop_s": 60},
    }  # fmt: skip

    def move(verb: str, domain: str) -> None:
        bed.migration.ok(verb, "run", domain, "--confirm", domain)

    def seen() -> dict[int, tuple[Any, ...]]:
        """Id → country and boss as the store has them."""
        return {row[0]: row[1:] for row in store.rows("SELECT id, country, boss FROM people ORDER BY id")}

    def assert_true() -> None:
        """By a statement of the test's own, and by ours."""
        assert not store.rows(
            "SELECT p.id FROM people p LEFT JOIN countries c ON c.id = p.country_id"
            " LEFT JOIN people b ON b.id = p.boss_id"
            " WHERE p.country IS DISTINCT FROM CASE WHEN c.id IS NULL THEN 'unknown' ELSE c.name END"
            " OR p.boss IS DISTINCT FROM b.name"
        )
        found = bed.verified()
        looked = {name: outcome for name, outcome in found.items() if name in ("people.country", "people.boss")}
        assert looked == {"people.country": "pass", "people.boss": "pass"}, found

    with reshaping(source, {"main": store}, tmp_path, *LOOKUP_TABLES, **parts) as bed:
        bed.start()
        bed.migration.wait(lambda _: not bed.migration.run("readmodel", "list").code)
        bed.migration.ok("verify")
        # Nothing of a looked-up column goes back, and so nothing of it is lost: no consent is needed.
        move("cutover", "people")
        store.execute(
            "INSERT INTO people (id, country_id, boss_id, name) VALUES (100, 3, 1, 'Dee'), (101, 8, 100, 'Eve')",
            "UPDATE people SET country_id = 1, country = 'by hand' WHERE id = 2",
            "UPDATE people SET country = 'by hand' WHERE id = 3",
            "DELETE FROM people WHERE id = 1",
        )
        # The table that is looked into still follows the source, also into rows that are the store's now.
        bed.change(
            "UPDATE countries SET name = 'Italia' WHERE id = 3", "INSERT INTO countries VALUES (8, 'XX', 'Nowhere')"
        )
        assert seen() == {
            2: ("Germany", None), 3: ("unknown", None), 100: ("Italia", None), 101: ("Nowhere", "Dee"),
        }  # fmt: skip
        assert_true()
        move("cutover", "countries")
        store.execute(
            "UPDATE countries SET name = 'France' WHERE id = 2",
            "UPDATE countries SET name = 'Deutschland' WHERE id = 1",
            "DELETE FROM countries WHERE id = 8",
            "INSERT INTO countries (id, code, name) VALUES (9, 'ES', 'Spain')",
            "UPDATE people SET name = 'Dora', country_id = 2 WHERE id = 100",
        )
        assert seen() == {
            2: ("Deutschland", None), 3: ("Spain", None), 100: ("France", None), 101: ("unknown", "Dora"),
        }  # fmt: skip
        assert_true()
        move("rollback", "people")
        assert source.rows("SELECT id, country_id, boss_id, name FROM people ORDER BY id") == [
            (2, 1, None, "Bob"), (3, 9, 1, "Cid"), (100, 2, 1, "Dora"), (101, 8, 100, "Eve"),
        ]  # fmt: skip
        # The other way round: the source's rows look into a table that the store serves.
        bed.change("UPDATE people SET country_id = 1 WHERE id = 101", "INSERT INTO people VALUES (102, 9, 3, 'Fay')")
        store.execute("UPDATE countries SET name = 'España' WHERE id = 9")
        assert seen()[101] == ("Deutschland", "Dora") and seen()[102] == ("España", "Cid")
        assert_true()
        move("rollback", "countries")
        assert source.rows("SELECT id, code, name FROM countries ORDER BY id") == [
            (1, "DE", "Deutschland"), (2, "FR", "France"), (3, "IT", "Italia"), (9, "ES", "España"),
        ]  # fmt: skip
        bed.change(
            "UPDATE countries SET name = 'Alemania' WHERE id = 1", "UPDATE people SET name = 'Don' WHERE id = 100"
        )
        assert seen()[101] == ("Alemania", "Don")
        assert_true()
        bed.assert_clean()
