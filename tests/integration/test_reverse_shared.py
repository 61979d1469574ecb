"""Several store tables that give back parts of the same source rows: none overwrites, loses or takes another's."""

from __future__ import annotations

from typing import Any

import pytest

from sync.reverse_state import ReverseMode
from tests.support.reversing import reversing
from tests.support.servers import SourceDatabase, StoreDatabase

USERS = (
    """CREATE TABLE users (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, email VARCHAR(40) NOT NULL, born DATE,
    token VARCHAR(20) NOT NULL, UNIQUE KEY by_token (token)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4""",
    """INSERT INTO users VALUES (1, 'a@x', '1990-01-02', 't1'), (2, 'b@x', NULL, 't2'),
    (3, 'c@x', '2001-03-04', 't3')""",
)
SELECT = "SELECT id, email, CAST(born AS CHAR), token FROM users ORDER BY id"
HALVES: dict[str, Any] = {
    "tables": {
        "users": {"to": [{"table": "people", "exclude": ["token"]}, {"table": "secrets", "only": ["id", "token"]}]}
    }
}
MASKED: dict[str, Any] = {
    "defaults": {"mask_key": "a key of sixteen or more"},
    "tables": {
        "users": {
            "to": [
                {"table": "people"},
                {"table": "studied", "mask": {"email": "hmac", "born": "year", "token": "last4"}},
            ]
        }
    },
}


@pytest.mark.timeout(120)
def test_a_new_row_never_takes_the_place_of_another(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    """The source fills what has not come yet: two such rows would meet in its unique index."""
    with reversing(source_db, store_db, *USERS, **HALVES) as bed:
        stream = bed.start()
        bed.store_db.execute(
            "INSERT INTO people (id, email) VALUES (10, 'j@x')", "INSERT INTO secrets VALUES (10, 't10')",
            "INSERT INTO people (id, email) VALUES (11, 'k@x')", "INSERT INTO secrets VALUES (11, 't11')",
            "UPDATE secrets SET token = 'new' WHERE id = 1",
        )  # fmt: skip
        bed.drain(stream)
        before = [
            (1, "a@x", "1990-01-02", "new"), (2, "b@x", None, "t2"), (3, "c@x", "2001-03-04", "t3"),
            (10, "j@x", None, "t10"), (11, "k@x", None, "t11"),
        ]  # fmt: skip
        assert bed.source_db.rows(SELECT) == before
        bed.store_db.execute("INSERT INTO people (id, email) VALUES (20, 'two'), (21, 'at once')")
        error = bed.wait_halted(stream)
        assert "another row has its values in a unique index" in error and "id='21'" in error, error
        assert bed.source_db.rows(SELECT) == before


@pytest.mark.timeout(120)
def test_what_one_half_did_the_other_finds_done(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    with reversing(source_db, store_db, *USERS, **HALVES) as bed:
        stream = bed.start()
        bed.store_db.execute(
            "UPDATE people SET id = 7 WHERE id = 3",
            "UPDATE secrets SET id = 7 WHERE id = 3",
            "UPDATE secrets SET token = 'moved' WHERE id = 7",
            "DELETE FROM people WHERE id = 2",
            "UPDATE secrets SET token = 'late' WHERE id = 2",
            "DELETE FROM secrets WHERE id = 2",
        )
        bed.drain(stream)
        after = [(1, "a@x", "1990-01-02", "t1"), (7, "c@x", "2001-03-04", "moved")]
        assert bed.source_db.rows(SELECT) == after
        # A row that is there and is another than the store knows is a conflict still.
        bed.source_db.execute("UPDATE users SET token = 'foreign' WHERE id = 1")
        bed.store_db.execute("UPDATE secrets SET token = 'ours' WHERE id = 1")
        assert "token='foreign'" in bed.wait_halted(stream)
        assert bed.source_db.rows(SELECT)[0] == (1, "a@x", "1990-01-02", "foreign")


@pytest.mark.timeout(120)
def test_a_masked_side_table_takes_and_makes_no_rows(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    with reversing(source_db, store_db, *USERS, **MASKED) as bed:
        stream = bed.start()
        bed.store_db.execute(
            "UPDATE people SET email = 'new@x' WHERE id = 1",
            # A row goes and comes again, and its masked copy later than it.
            "DELETE FROM people WHERE id = 2",
            "INSERT INTO people VALUES (2, 'again@x', '1980-05-06', 't2')",
            "DELETE FROM studied WHERE id = 2",
            "INSERT INTO studied VALUES (2, 'hash', 1980, '****')",
            # One goes from the copy only, one comes there only, one is gone before its copy changes.
            "DELETE FROM studied WHERE id = 1",
            "INSERT INTO studied VALUES (50, 'hash', 1970, '****')",
            "DELETE FROM people WHERE id = 3",
            "UPDATE studied SET born = 1999 WHERE id = 3",
            "UPDATE studied SET id = 4 WHERE id = 3",
            "INSERT INTO people VALUES (6, 'six@x', NULL, 't6')",
            "TRUNCATE studied",
        )
        bed.drain(stream)
        assert bed.source_db.rows(SELECT) == [
            (1, "new@x", "1990-01-02", "t1"), (2, "again@x", "1980-05-06", "t2"), (6, "six@x", None, "t6"),
        ]  # fmt: skip
        assert (stream.state.mode, stream.state.error) == (ReverseMode.STREAMING, None)


@pytest.mark.timeout(120)
def test_masked_columns_keep_what_the_source_has(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    """Only the masked table has the rows: an UPDATE leaves the source's value, a new row has the column's default."""
    masks = {"defaults": MASKED["defaults"], "tables": {"users": {"mask": {"email": "hmac", "born": "year"}}}}
    with reversing(source_db, store_db, *USERS, **masks) as bed:
        stream = bed.start()
        bed.store_db.execute(
            "UPDATE users SET token = 'kept', born = 1991 WHERE id = 1",
            "UPDATE users SET id = 5, email = 'hash' WHERE id = 3",  # a new key, the same row
            "DELETE FROM users WHERE id = 2",
            "INSERT INTO users VALUES (2, 'hash', 1980, 'again'), (7, 'hash', 1981, 'new')",
        )
        bed.drain(stream)
        assert bed.source_db.rows(SELECT) == [
            (1, "a@x", "1990-01-02", "kept"), (2, "", None, "again"), (5, "c@x", "2001-03-04", "t3"),
            (7, "", None, "new"),
        ]  # fmt: skip
        assert stream.state.error is None
