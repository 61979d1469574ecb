"""What a store has and the source has not, found by comparing: its statements make the source as the store is."""

from __future__ import annotations

import threading
from contextlib import closing
from types import SimpleNamespace
from typing import Any

from cutover.stranded_compare import ComparedStore
from sync.mysql.reverse_apply import SESSION
from sync.stranded import StrandedChange
from tests.support.reversing import Reversing, reversing
from tests.support.servers import SourceDatabase, StoreDatabase

TABLES = (
    """CREATE TABLE goods (id INT NOT NULL PRIMARY KEY, sold TINYINT(1) NOT NULL DEFAULT 0, raw VARBINARY(8),
    price DECIMAL(8,2) NOT NULL, kind ENUM('a','b'), at TIMESTAMP NULL, hidden VARCHAR(9) DEFAULT 'kept')
    ENGINE=InnoDB DEFAULT CHARSET=utf8mb4""",
    """CREATE TABLE soft (id INT NOT NULL PRIMARY KEY, name VARCHAR(9), deleted_at DATETIME NULL) ENGINE=InnoDB
    DEFAULT CHARSET=utf8mb4""",
    "CREATE TABLE words (word VARCHAR(9), n INT) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
    """INSERT INTO goods VALUES (1, 0, 0x00FF, 1.50, 'a', '2020-01-01 00:00:00', 'x'), (2, 1, NULL, 2, NULL, NULL, 'y'),
    (3, 0, 0x01, 3.25, 'b', NULL, 'z'), (4, 0, NULL, 4, 'a', NULL, NULL)""",
    "INSERT INTO soft VALUES (1, 'gone', '2020-01-01 00:00:00'), (2, 'here', NULL)",
    "INSERT INTO words VALUES ('a', 1), ('a', 1), ('b', NULL), ('c', 3)",
)
RULES: dict[str, Any] = {
    "tables": {
        "soft": {"delete_when": "deleted_at IS NOT NULL"},
        "goods": {
            "types": {"sold": "boolean"},
            "exclude": ["hidden", "price"],
            "expr": {
                "cents": {"sql": "CAST(price * 100 AS SIGNED)", "type": "bigint", "reverse": "price = cents * 0.01"}
            },
        },
    }
}


def found(bed: Reversing) -> list[StrandedChange]:
    """Every row that differs."""
    domain: Any = SimpleNamespace(backs_of=lambda store: bed.backs)
    compared = ComparedStore(bed.settings, domain, "main", bed.info, 0)
    transactions = list(compared.transactions(threading.Event()))
    assert {transaction.found_by for transaction in transactions} <= {"comparison"}
    return [change for transaction in transactions for change in transaction.changes]


def test_the_statements_make_the_source_as_the_store_is(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    with reversing(source_db, store_db, *TABLES, **RULES) as bed:
        assert found(bed) == []
        bed.store_db.execute(
            "UPDATE goods SET sold = true, raw = '\\xdeadbeef' WHERE id = 1",
            "UPDATE goods SET cents = 999 WHERE id = 2",
            "DELETE FROM goods WHERE id = 3",
            "INSERT INTO goods (id, sold, cents, kind, at) VALUES (9, true, 1234, 'b', '2021-02-03 04:05:06+00')",
            "DELETE FROM words WHERE ctid = (SELECT min(ctid) FROM words WHERE word = 'a')",
            "INSERT INTO soft (id, name) VALUES (1, 'anew')",
            "DELETE FROM soft WHERE id = 2",
            "UPDATE words SET n = 7 WHERE word = 'b'",
            "INSERT INTO words VALUES ('c', 3), (NULL, NULL)",
        )
        changes = found(bed)
        told = sorted((change.op, change.source.partition(".")[2]) for change in changes)
        assert told == [
            ("clear", "soft"), ("delete", "goods"), ("delete", "soft"), ("delete", "words"), ("delete", "words"),
            ("insert", "goods"), ("insert", "soft"), ("insert", "words"), ("insert", "words"), ("insert", "words"),
            ("update", "goods"), ("update", "goods"),
        ]  # fmt: skip
        assert not any(change.refused for change in changes)
        with closing(source_db.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(SESSION)
            for change in changes:
                assert change.statement is not None and cursor.execute(change.statement) == 1
        assert found(bed) == []
        assert source_db.rows("SELECT id, name, deleted_at IS NULL FROM soft ORDER BY id") == [
            (1, "anew", 1), (2, "here", 0),
        ]  # fmt: skip
        assert source_db.rows("SELECT id, sold, HEX(raw), CAST(price AS CHAR), hidden FROM goods ORDER BY id") == [
            (1, 1, "DEADBEEF", "1.50", "x"), (2, 1, None, "9.99", "y"), (4, 0, None, "4.00", None),
            (9, 1, None, "12.34", "kept"),
        ]  # fmt: skip


def test_what_cannot_go_back_is_told_with_its_reason(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    with reversing(source_db, store_db, *TABLES, **RULES) as bed:
        bed.store_db.execute("UPDATE goods SET at = '2050-01-01' WHERE id = 4")
        (change,) = found(bed)
        assert change.statement is None and "2038" in change.refused
        assert change.new is not None and change.new["at"] == "2050-01-01 00:00:00+00"
        assert change.old is not None and change.old["at"] is None
