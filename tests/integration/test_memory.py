"""The memory of a follower in a process of its own stays bounded: a huge transaction, a huge row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from bench.follower import catch_up
from bench.stage import Stage, open_stage
from bench.stream import begin

LIMIT_MB = 300
ROW_BYTES = 800
STATEMENT_ROWS = 2_000
MIB = 1 << 20


@pytest.fixture
def stage() -> Iterator[Stage]:
    with open_stage() as stage:
        with closing(stage.source_connection()) as source, source.cursor() as cursor:
            cursor.execute("CREATE TABLE many (id BIGINT PRIMARY KEY AUTO_INCREMENT, t VARCHAR(900))")
            cursor.execute("CREATE TABLE big (id INT PRIMARY KEY, t LONGTEXT, b LONGBLOB)")
        begin(stage, ("many", "big"))
        yield stage


def counted(stage: Stage, query: str) -> object:
    with closing(stage.store_connection()) as store:
        row = store.execute(query.encode()).fetchone()
    return row[0] if row else None


def one_transaction(stage: Stage, megabytes: int) -> int:
    """Write so many megabytes in one transaction; gives the number of rows."""
    statements = megabytes * 1_000_000 // ROW_BYTES // STATEMENT_ROWS
    with closing(stage.source_connection()) as source, source.cursor() as cursor:
        cursor.execute("BEGIN")
        for _ in range(statements):
            cursor.execute(f"INSERT INTO many (t) SELECT REPEAT('x', {ROW_BYTES - 10}) FROM seq_1_to_{STATEMENT_ROWS}")
        cursor.execute("COMMIT")
    return statements * STATEMENT_ROWS


@pytest.mark.parametrize(
    "megabytes", [pytest.param(200, marks=pytest.mark.slow), pytest.param(2_000, marks=pytest.mark.soak)]
)
@pytest.mark.timeout(3600)
def test_one_large_transaction(stage: Stage, megabytes: int) -> None:
    rows = one_transaction(stage, megabytes)
    assert catch_up(stage).peak_rss_mb < LIMIT_MB
    assert counted(stage, "SELECT count(*) FROM many") == rows


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("column", ["t", "b"])
def test_one_large_row(stage: Stage, column: str) -> None:
    with closing(stage.source_connection()) as source, source.cursor() as cursor:
        cursor.execute(f"INSERT INTO big (id, {column}) VALUES (1, REPEAT('abcdef\\n\\\\', {8 * MIB}))")
        cursor.execute(f"SELECT MD5({column}) FROM big")
        ((expected,),) = cursor.fetchall()
    assert catch_up(stage).peak_rss_mb < LIMIT_MB
    assert counted(stage, f"SELECT md5({column}) FROM big") == expected
