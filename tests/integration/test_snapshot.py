"""Chunk reads on real servers: every key type is cut without gap or overlap, plain and locking."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import pymysql
import pytest

from model.errors import Busy
from model.rows import Row
from model.tables import TableDef, TableId
from stores.mysql import MysqlConnection, ServerInfo, connect_source, probe
from sync.mysql.catalog import read_tables
from sync.mysql.chunks import ChunkKey, Span, cut, even_values
from sync.mysql.snapshot import ChunkReader, connect_reader, raw_rows
from sync.mysql.visibility import Reading
from tests.support.servers import SourceDatabase
from tests.support.streaming import settings_of

WORDS = ["", "a", "A1", "ab", "b ", "Ä", "ä1", "z", "ß", "sst", "日本", "😀x", "%", "\\", "'", "a'b", "\n", "\t"]
CI_WORDS = ["", "a", "A1", "ab", "b ", "z", "ö", "sst", "日本", "😀x", "%", "\\", "'", "a'b"]
"""No two alike without case and accents."""
KEYS: dict[str, tuple[str, list[Any]]] = {
    "int": ("INT", [-(2**31), -5, -1, 0, 1, 7, 2**31 - 1]),
    "bigint unsigned": ("BIGINT UNSIGNED", [0, 1, 2**63 - 1, 2**63, 2**64 - 1]),
    "zerofill": ("INT(8) UNSIGNED ZEROFILL", [0, 1, 42, 99999999]),
    "year": ("YEAR", [1901, 1970, 2024, 2155]),
    "decimal": ("DECIMAL(30,10)", ["-1.5", "0", "0.1", "0.1000000001", "12345678901234567890.1234567890"]),
    "double": ("DOUBLE", [-1e300, -0.1, 5e-324, 0.1, 0.30000000000000004, 1 / 3, 1e22]),
    "float": ("FLOAT", [-16777216, 0.1, 0.2, 123456.789, 16777215, 16777216]),
    "bit": ("BIT(64)", [0, 1, 2**63, 2**64 - 1]),
    "enum": ("ENUM('z','a','m''n','ö')", ["z", "a", "m'n", "ö"]),
    "set": ("SET('a','b','c')", ["", "a", "b", "a,b", "c", "a,b,c"]),
    "date": ("DATE", ["0000-00-00", "1000-01-01", "2024-02-00", "2024-02-29", "9999-12-31"]),
    "datetime": ("DATETIME(6)", ["0000-00-00 00:00:00", "2024-03-31 02:30:00.000001", "2024-03-31 02:30:00.000002"]),
    "timestamp": ("TIMESTAMP(3) NOT NULL DEFAULT '2000-01-01 00:00:00'", [
        "0000-00-00 00:00:00", "2024-10-27 00:30:00", "2024-10-27 01:30:00", "2038-01-19 03:14:07",
    ]),
    "time": ("TIME(2)", ["-838:59:59", "-00:00:00.01", "00:00:00", "838:59:59"]),
    "varchar ci": ("VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", CI_WORDS),
    "varchar bin": ("VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", WORDS),
    "char": ("CHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", CI_WORDS),
    "latin1": ("VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_german1_ci", ["", "a", "ö", "Z", "€", "ß"]),
    "utf16": ("VARCHAR(20) CHARACTER SET utf16 COLLATE utf16_general_ci", ["a", "ab", "日本"]),
    "binary": ("BINARY(4)", [b"\0\0\0\0", b"a\0\0\0", b"a\0\0\x01", b"\xff\xff\xff\xff"]),
    "varbinary": ("VARBINARY(8)", [b"", b"\0", b"a", b"a\0", b"'", b"\xff\xfe"]),
}  # fmt: skip


@contextmanager
def opened(source_db: SourceDatabase, name: str) -> Iterator[tuple[MysqlConnection[Any], ServerInfo, TableDef]]:
    """A reading connection, and the table as the catalogue has it."""
    settings = settings_of(source_db.server, databases=(source_db.database,))
    control = connect_source(settings)
    info = probe(control)
    reader = connect_reader(settings, info)
    try:
        yield (
            reader,
            info,
            read_tables(control, info, [TableId(source_db.database, name)])[TableId(source_db.database, name)],
        )
    finally:
        control.close()
        reader.close()


def read_all(reader: ChunkReader, span: Span, limit: int, reading: Reading, part: int | None = None) -> list[Row]:
    """Every row of a span, chunk by chunk."""
    found: list[Row] = []
    for _ in range(1000):
        rows = reader.chunk(span, limit, reading, part)
        found.extend(rows)
        if not rows.more:
            return found
        span = Span(rows.last, span.high)
    raise AssertionError("chunks do not come to an end")


def insert(source_db: SourceDatabase, table: str, rows: list[tuple[Any, ...]]) -> None:
    """Rows as given, whatever the mode thinks of their dates."""
    connection = source_db.connect(init_command="SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'")
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(rows[0]))})", rows)
    connection.close()


@pytest.mark.parametrize("kind", KEYS)
def test_chunks_hold_every_row_once(source_db: SourceDatabase, kind: str) -> None:
    declaration, values = KEYS[kind]
    connection = source_db.connect(init_command="SET sql_mode = ''")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE t (n INT NOT NULL, k {declaration}, v INT, PRIMARY KEY (k)) ENGINE=InnoDB")
    insert(source_db, "t", [(number, value, number) for number, value in enumerate(values)])
    with opened(source_db, "t") as (connection, info, table):
        key = ChunkKey.of(table)
        assert key is not None
        reader = ChunkReader(connection, info, table, key)
        whole = sorted(int(row[0]) for row in reader.everything())
        assert whole == list(range(len(values)))
        for reading, (limit, part) in product(Reading, ((1, 1), (3, None), (5, 2))):
            rows = read_all(reader, Span(), limit, reading, part)
            assert sorted(int(row[0]) for row in rows) == whole


def test_composite_keys_of_mixed_types(source_db: SourceDatabase) -> None:
    source_db.execute(
        "CREATE TABLE t (a VARCHAR(5) COLLATE utf8mb4_unicode_ci, b BIGINT, c DATE, PRIMARY KEY (a, b, c))"
        " CHARACTER SET utf8mb4"
    )
    rows = [(a, b, c) for a in ("", "A", "b", "Ö") for b in (-1, 0, 5) for c in ("2024-01-01", "2024-01-02")]
    insert(source_db, "t", rows)
    with opened(source_db, "t") as (connection, info, table):
        reader = ChunkReader(connection, info, table, ChunkKey.of(table))
        for limit in (1, 2, 5):
            found = read_all(reader, Span(), limit, Reading.PLAIN)
            assert len(found) == len(set(found)) == len(rows)


def test_ranges_cut_up_front_hold_every_row_once(source_db: SourceDatabase) -> None:
    source_db.execute("CREATE TABLE t (a INT, b INT, PRIMARY KEY (a, b))")
    insert(source_db, "t", [(a * a, b) for a in range(11) for b in range(3)])
    with opened(source_db, "t") as (connection, info, table):
        reader = ChunkReader(connection, info, table, ChunkKey.of(table))
        limits = reader.leading_range()
        assert limits == (0, 100)
        bounds = [reader.key_from(value) for value in even_values(*limits, 4)]
        spans = cut([bound for bound in bounds if bound])
        assert len(spans) == 4
        found = [row for span in spans for row in read_all(reader, span, 4, Reading.PLAIN)]
        assert len(found) == len(set(found)) == 33


def test_an_empty_table(source_db: SourceDatabase) -> None:
    source_db.execute("CREATE TABLE t (a INT PRIMARY KEY)")
    with opened(source_db, "t") as (connection, info, table):
        reader = ChunkReader(connection, info, table, ChunkKey.of(table))
        assert reader.leading_range() is None
        assert reader.key_from(5) is None
        rows = reader.chunk(Span(), 10, Reading.PLAIN)
        assert list(rows) == [] and rows.last is None


def test_a_value_larger_than_a_packet(source_db: SourceDatabase) -> None:
    source_db.execute("CREATE TABLE t (a INT PRIMARY KEY, v LONGBLOB)")
    source_db.execute("INSERT INTO t VALUES (1, REPEAT('x', 2000000)), (2, 'y')")
    with opened(source_db, "t") as (connection, *_):
        rows = list(
            raw_rows(
                connection, f"SELECT CONCAT(v, v, v, v, v, v, v, v, v), a FROM `{source_db.database}`.t ORDER BY a"
            )
        )
        assert [len(row[0] or b"") for row in rows] == [18000000, 9]
        assert [row[1] for row in rows] == [b"1", b"2"]


def test_a_locking_chunk_ends_before_a_locked_row(source_db: SourceDatabase) -> None:
    source_db.execute("CREATE TABLE t (a INT PRIMARY KEY, v INT)")
    insert(source_db, "t", [(number, number) for number in range(10)])
    writer = source_db.connect(autocommit=False)
    with opened(source_db, "t") as (connection, info, table):
        with writer.cursor() as cursor:
            cursor.execute("UPDATE t SET v = 99 WHERE a = 7")
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
        rows = ChunkReader(connection, info, table, ChunkKey.of(table)).chunk(Span(), 10, Reading.LOCKING, 3)
        assert [row[0] for row in rows] == [b"%d" % number for number in range(6)]
        assert rows.more and rows.last == ("5",)
        writer.commit()
    with opened(source_db, "t") as (connection, info, table):
        reader = ChunkReader(connection, info, table, ChunkKey.of(table))
        rows = reader.chunk(Span(rows.last), 10, Reading.LOCKING, 3)
        assert [row[1] for row in rows] == [b"6", b"99", b"8", b"9"]
        assert not rows.more
    writer.close()


def test_a_locking_read_waits_for_the_row_and_leaves_no_lock(source_db: SourceDatabase) -> None:
    source_db.execute("CREATE TABLE t (a INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2)")
    writer = source_db.connect(autocommit=False)
    with opened(source_db, "t") as (connection, info, table):
        reader = ChunkReader(connection, info, table, ChunkKey.of(table))
        with writer.cursor() as cursor:
            cursor.execute("UPDATE t SET v = 9 WHERE a = 1")
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
        with pytest.raises(Busy):
            list(reader.chunk(Span(), 10, Reading.LOCKING))
        writer.commit()
    with opened(source_db, "t") as (connection, info, table):
        reader = ChunkReader(connection, info, table, ChunkKey.of(table))
        assert [row[1] for row in reader.chunk(Span(), 10, Reading.LOCKING)] == [b"9", b"2"]
        with writer.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
            try:
                cursor.execute("UPDATE t SET v = 10")
            except pymysql.err.OperationalError as error:
                raise AssertionError("the read left its locks") from error
        writer.commit()
    writer.close()
