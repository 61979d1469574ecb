"""Masks, soft deletes and routes on real servers: what was copied and what was streamed is the same, and verified."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.reshaping import reshaping
from tests.support.reversing import reversing
from tests.support.servers import SourceDatabase, StoreDatabase

KEY, OTHER_KEY = "the common key of all", "a key of its own, us"
PEOPLE = (
    "CREATE TABLE person (id INT PRIMARY KEY, country CHAR(2), email VARCHAR(60) NOT NULL, card VARCHAR(20),"
    " born DATE NOT NULL, iban VARCHAR(34) NOT NULL, deleted_at DATETIME NULL)"
)


def person(number: int, country: str | None, deleted: bool = False) -> str:
    """An INSERT."""
    land = "NULL" if country is None else f"'{country}'"
    gone = "'2024-05-06 07:08:09'" if deleted else "NULL"
    return (
        f"INSERT INTO person VALUES ({number}, {land}, 'p{number}@example.org', '4111 0000 {number:04d}',"
        f" '19{number % 100:02d}-12-31', 'DE{number:020d}', {gone})"
    )


def expected(number: int, country: str | None, key: str) -> tuple[Any, ...]:
    """The row that a store must have."""
    digest = hmac.new(key.encode(), f"p{number}@example.org".encode(), hashlib.sha256).hexdigest()
    return number, country, digest, f"****{number:04d}", 1900 + number % 100, None


@pytest.mark.timeout(300)
def test_masks_soft_deletes_and_routes(
    source_db: SourceDatabase, new_store_db: Callable[[], StoreDatabase], tmp_path: Path
) -> None:
    stores = {name: new_store_db() for name in ("eu", "us")}
    rule = {
        "route": {"by": "country", "to": {"DE": "eu", "FR": "eu", "US": "us"}},
        "mask": {"email": "hmac", "card": "last4", "born": "year", "iban": None},
        "delete_when": "deleted_at IS NOT NULL",
        "exclude": ["deleted_at"],
    }
    before = [person(1, "DE"), person(2, "US"), person(3, "FR", deleted=True), person(4, "US"), person(5, "FR")]
    before.append(person(6, "DE"))
    with reshaping(
        source_db, stores, tmp_path, PEOPLE, *before, extra={"us": {"mask_key": OTHER_KEY}},
        defaults={"mask_key": KEY}, tables={"person": rule},
    ) as bed:  # fmt: skip

        def content() -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
            query = "SELECT id, country, email, card, born, iban FROM person ORDER BY id"
            return bed.rows("eu", query), bed.rows("us", query)

        explained = bed.migration.ok("config", "explain", "person").out
        assert "masked: HMAC-SHA256" in explained and "the way back: lossy" in explained and KEY not in explained
        bed.start()
        assert content() == (
            [expected(1, "DE", KEY), expected(5, "FR", KEY), expected(6, "DE", KEY)],
            [expected(2, "US", OTHER_KEY), expected(4, "US", OTHER_KEY)],
        )
        shown = bed.migration.ok("-o", "json", "transform", "preview", "person", "--key", "1").document()
        (eu, us) = shown["rows"][0]["targets"]
        assert eu["row"]["card"] == "****0001" and us["taken"] is False and "does not meet" in us["why"]
        assert {one["column"] for one in eu["back"] if not one["kept"]} == {"id", "country"}
        assert all(one["same"] for one in eu["back"]), eu
        text = bed.migration.ok("transform", "preview", "person", "--rows", "2").out
        assert "card 4111 0000 0001 → masked: **** and its last 4 characters: ****0001" in text
        bed.change(
            person(7, "FR"),
            person(8, "US", deleted=True),
            "UPDATE person SET country = 'US' WHERE id = 1",  # moves
            "UPDATE person SET deleted_at = NOW() WHERE id = 2",  # goes
            "UPDATE person SET deleted_at = NULL WHERE id = 3",  # comes back
            "UPDATE person SET id = 14, country = 'DE', card = '4111 0000 0014' WHERE id = 4",  # moves under a new key
            "DELETE FROM person WHERE id = 5",
        )
        moved = (14, "DE", expected(4, "", KEY)[2], "****0014", 1904, None)
        assert content() == (
            [expected(3, "FR", KEY), expected(6, "DE", KEY), expected(7, "FR", KEY), moved],
            [expected(1, "US", OTHER_KEY)],
        )
        bed.assert_clean()
        # A row of no store is set aside and missed, and flows when it has a store again.
        bed.change(person(9, "XX"), "UPDATE person SET country = 'ZZ' WHERE id = 6", person(10, None, deleted=True))
        listed = bed.migration.run("errors", "list").out
        assert "no store is named" in listed and "country = 'XX'" in listed, listed
        assert bed.verified()["person>eu:public.person"] == "fail"
        bed.change("UPDATE person SET country = 'US' WHERE id IN (6, 9)")
        bed.migration.ok("errors", "retry", "--all")
        bed.migration.wait_caught_up()
        assert content()[1] == [
            expected(1, "US", OTHER_KEY),
            expected(6, "US", OTHER_KEY),
            expected(9, "US", OTHER_KEY),
        ]
        bed.assert_clean()


NOTES = (
    (
        "CREATE TABLE notes (id INT PRIMARY KEY, body VARCHAR(20) NOT NULL, legacy VARCHAR(9) NOT NULL DEFAULT 'old',"
        " deleted_at DATETIME NULL) ENGINE=InnoDB"
    ),
    (
        "INSERT INTO notes VALUES (1, 'one', 'a', NULL), (2, 'two', 'b', NULL), (3, 'three', 'c', '2020-01-01'),"
        " (4, 'four', 'd', NULL)"
    ),
)


@pytest.mark.timeout(200)
def test_a_delete_in_the_store_marks_the_row_in_the_source(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    rule = {"exclude": ["legacy", "deleted_at"], "delete_when": "deleted_at IS NOT NULL"}
    with reversing(source_db, store_db, *NOTES, tables={"notes": rule}) as bed:
        stream = bed.start()
        bed.store_db.execute(
            "DELETE FROM notes WHERE id = 1",
            "UPDATE notes SET body = 'zwei' WHERE id = 2",
            "INSERT INTO notes VALUES (3, 'new')",
            "INSERT INTO notes VALUES (5, 'five')",
            "DELETE FROM notes WHERE id = 5",
            "INSERT INTO notes VALUES (5, 'fünf')",
        )
        bed.drain(stream)
        found = bed.source_db.rows("SELECT id, body, legacy, deleted_at IS NULL FROM notes ORDER BY id")
        assert found == [
            (1, "one", "a", 0), (2, "zwei", "b", 1), (3, "new", "old", 1), (4, "four", "d", 1), (5, "fünf", "old", 1),
        ]  # fmt: skip
        age = bed.source_db.rows(
            "SELECT ABS(TIMESTAMPDIFF(SECOND, deleted_at, UTC_TIMESTAMP())) FROM notes WHERE id = 1"
        )
        assert age[0][0] < 600
        bed.assert_equal()
        bed.store_db.execute("TRUNCATE notes")
        bed.drain(stream)
        assert bed.source_db.rows("SELECT count(*), count(deleted_at) FROM notes") == [(5, 5)]
