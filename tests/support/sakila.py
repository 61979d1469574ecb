"""The Sakila sample database, which nobody here wrote: loaded from the folder that CROSSFADE_SAKILA names."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from tests.support.servers import SourceDatabase

ROOT = Path(__file__).resolve().parents[2]


def sakila_folder() -> Path:
    """Where `sakila-schema.sql` and `sakila-data.sql` are; skips the test when they are not there."""
    folder = Path(os.environ.get("CROSSFADE_SAKILA") or ROOT.parent / "shared" / "data" / "sakila")
    if not (folder / "sakila-schema.sql").is_file():
        pytest.skip("the Sakila sample database is not there; name its folder in CROSSFADE_SAKILA")
    return folder


def load_sakila(database: SourceDatabase) -> None:
    """Load schema and data into `database` (the scripts' own database name is replaced)."""
    folder = sakila_folder()
    connection = database.connect()
    with connection.cursor() as cursor:
        for name in ("sakila-schema.sql", "sakila-data.sql"):
            for statement in _statements((folder / name).read_text(encoding="utf-8")):
                if re.match(r"(DROP SCHEMA|CREATE SCHEMA|USE )", statement):
                    continue
                cursor.execute(re.sub(r"\bsakila\.", f"{database.database}.", statement))
    connection.close()


def _statements(text: str) -> list[str]:
    delimiter, pending, found = ";", "", []
    for line in text.splitlines():
        changed = re.match(r"DELIMITER\s+(\S+)", line)
        if changed:
            delimiter = changed[1]
            continue
        if line.startswith("--"):
            continue
        pending += line + "\n"
        if line.rstrip().endswith(delimiter):
            statement = pending.strip().removesuffix(delimiter).strip()
            if statement:
                found.append(statement)
            pending = ""
    return found


def change_sakila(database: SourceDatabase, count: int, seed: int = 11) -> None:
    """`count` random transactions: inserts, updates, deletes (cascading too), key changes, savepoints, rollbacks."""
    rng = random.Random(seed)
    connection = database.connect(autocommit=False)
    with connection.cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 1")
        for number in range(count):
            kind = rng.randrange(8)
            if kind == 0:
                cursor.execute(
                    "INSERT INTO actor (first_name, last_name) VALUES (%s, %s)", (f"É{number}", "Ωmega 漢字")
                )
            elif kind == 1:
                cursor.execute(
                    "UPDATE film SET rental_rate = %s, special_features = %s, description = %s WHERE film_id = %s",
                    (rng.randrange(9999) / 100, "Trailers,Deleted Scenes", f"tab\t\\ {number}", rng.randrange(1, 1000)),
                )
            elif kind == 2:
                cursor.execute("DELETE FROM payment WHERE payment_id = %s", (rng.randrange(1, 16000),))
            elif kind == 3:
                # A key change of a cascade parent: ON UPDATE CASCADE reaches inventory, film_actor, film_category.
                cursor.execute(
                    "UPDATE film SET film_id = %s WHERE film_id = %s", (20000 + number, rng.randrange(1, 1000))
                )
            elif kind == 4:
                cursor.execute(
                    "INSERT INTO payment (customer_id, staff_id, rental_id, amount, payment_date) "
                    "SELECT customer_id, 1, NULL, 1.99, '2006-02-14 15:16:03' FROM customer ORDER BY RAND() LIMIT 3"
                )
            elif kind == 5:
                cursor.execute("UPDATE customer SET active = 1 - active WHERE customer_id %% 97 = %s", (number % 97,))
            elif kind == 6:
                cursor.execute("SAVEPOINT a")
                cursor.execute("DELETE FROM film_actor WHERE actor_id = %s", (rng.randrange(1, 200),))
                cursor.execute("ROLLBACK TO SAVEPOINT a")
                cursor.execute(
                    "UPDATE address SET postal_code = %s WHERE address_id = %s", (str(number), rng.randrange(1, 600))
                )
            else:
                cursor.execute("INSERT INTO category (name) VALUES (%s)", (f"cat {number}",))
                if rng.random() < 0.3:
                    connection.rollback()
                    continue
            connection.commit()
    connection.close()
