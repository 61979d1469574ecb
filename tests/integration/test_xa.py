"""XA transactions of a live source through the whole daemon, killed between PREPARE and COMMIT."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.support.reshaping import reshaping
from tests.support.servers import SourceDatabase, StoreDatabase


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("source", "store"), [("mysql-9.7", "postgres-15")], indirect=True)
def test_a_daemon_that_dies_between_prepare_and_commit_loses_nothing(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    name = source_db.database
    with (
        reshaping(
            source_db, {"main": store_db}, tmp_path,
            "CREATE TABLE accounts (id INT PRIMARY KEY, balance INT NOT NULL)",
            "INSERT INTO accounts VALUES (1, 100), (2, 100), (3, 100)",
        ) as bed,
        ExitStack() as stack,
    ):  # fmt: skip
        bed.start()
        sessions = [stack.enter_context(closing(source_db.connect())) for _ in range(2)]
        for number, session in enumerate(sessions):
            with session.cursor() as cursor:
                cursor.execute(f"XA START '{name}{number}'")
                cursor.execute(f"UPDATE accounts SET balance = balance - 10 WHERE id = {number + 1}")
                cursor.execute(f"INSERT INTO accounts VALUES ({number + 10}, 10)")
                cursor.execute(f"XA END '{name}{number}'")
                cursor.execute(f"XA PREPARE '{name}{number}'")
        bed.change("UPDATE accounts SET balance = 77 WHERE id = 3")
        before = "SELECT id, balance FROM accounts ORDER BY id"
        assert bed.rows("main", before) == [(1, 100), (2, 100), (3, 77)]
        bed.migration.kill()
        for verb, (number, session) in zip(("COMMIT", "ROLLBACK"), enumerate(sessions), strict=True):
            with session.cursor() as cursor:
                cursor.execute(f"XA {verb} '{name}{number}'")
        bed.migration.start()
        bed.change("UPDATE accounts SET balance = 78 WHERE id = 3")
        assert bed.rows("main", before) == [(1, 90), (2, 100), (3, 78), (10, 10)]
        bed.assert_clean()
