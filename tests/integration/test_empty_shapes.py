"""GEOMETRYCOLLECTION EMPTY after a cutover: MySQL 5.6 cannot hold it, and says so at no time that is too late."""

from __future__ import annotations

import psycopg
import pytest

from servers.flavour import MYSQL_5_6
from sync.postgres.value_guard import ValueGuard
from sync.postgres.value_limits import unlimited, value_limits
from tests.support.reversing import DOMAIN, Reversing, reversing
from tests.support.servers import SourceDatabase, StoreDatabase
from transforms.describe import describe
from transforms.losses import losses

EVERY_SOURCE = pytest.mark.parametrize(
    "source", ["mysql-9.7", "mariadb-10.11", pytest.param("mysql-5.6", marks=pytest.mark.matrix)], indirect=True
)
TABLE = "CREATE TABLE places (id INT PRIMARY KEY, g GEOMETRY, c GEOMETRYCOLLECTION, p POINT) ENGINE=InnoDB"
EMPTY = "\\x00000000010700000000000000"
HOLDS_EMPTY = "\\x00000000010700000001000000010700000000000000"
HOLDS_POINT = "\\x000000000107000000010000000101000000" + "00" * 16


def old(source_db: SourceDatabase) -> bool:
    return source_db.server.flavour is MYSQL_5_6


@EVERY_SOURCE
def test_it_is_named_before_the_cutover(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    with reversing(source_db, store_db, TABLE) as bed:
        (plan,), (back,) = bed.plans, bed.backs
        said = [one.about for one in losses(plan) if "GEOMETRYCOLLECTION EMPTY" in one.what]
        assert said == (["column g", "column c"] if old(source_db) else [])
        assert ("GEOMETRYCOLLECTION EMPTY is refused" in " ".join(describe(plan, back).split())) is old(source_db)
        assert unlimited(back) == ("g", "c", "p")


@EVERY_SOURCE
def test_the_store_refuses_it_where_the_source_would(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    with reversing(source_db, store_db, TABLE) as bed, bed.store() as connection:
        guard = ValueGuard(connection, "main", DOMAIN, {back.plan.target: value_limits(back) for back in bed.backs})
        guard.prepare()
        for column in "gc":
            write = f"INSERT INTO places (id, {column}) VALUES ({ord(column)}, '{EMPTY}')"
            if not old(source_db):
                connection.execute(write.encode())
                continue
            with pytest.raises(psycopg.errors.CheckViolation) as told:
                connection.execute(write.encode())
            assert f".{column} " in str(told.value) and told.value.diag.column_name == column
            assert f"crossfade finalize {DOMAIN}" in str(told.value.diag.message_hint)
        stream = bed.start()
        connection.execute(f"INSERT INTO places VALUES (1, '{HOLDS_POINT}', NULL, NULL)".encode())
        bed.drain(stream)
        bed.assert_equal()


def halted(bed: Reversing, value: str) -> tuple[str, str]:
    """Error and hint of a stream that meets a value in the column c, which nobody has refused."""
    with bed.store() as connection:
        connection.execute(f"INSERT INTO places VALUES (7, NULL, '{value}', NULL)".encode())
    stream = bed.start()
    return bed.wait_halted(stream), stream.state.hint or ""


@pytest.mark.matrix
@pytest.mark.parametrize("source", ["mysql-5.6"], indirect=True)
@pytest.mark.parametrize("value", [EMPTY, HOLDS_EMPTY], ids=["empty", "in another"])
def test_the_way_back_says_key_column_and_what_to_type(
    source_db: SourceDatabase, store_db: StoreDatabase, value: str
) -> None:
    with reversing(source_db, store_db, TABLE) as bed:
        error, hint = halted(bed, value)
        # The server itself names no column: with its refusal go all that are spatial.
        where = ("public.places, column c,", "key id=7") if value is EMPTY else ("column g, c, p", "key id='7'")
        assert all(part in error for part in where), error
        assert f"crossfade rollback run {DOMAIN} --confirm {DOMAIN} --accept-divergence {DOMAIN}" in hint
        assert f"crossfade finalize {DOMAIN}" in hint
        assert source_db.rows("SELECT * FROM places") == []
