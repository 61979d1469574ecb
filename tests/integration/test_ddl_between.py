"""What a table was between two statements, against the catalogue of a server that was asked right then."""

from __future__ import annotations

import dataclasses
import random
from contextlib import closing
from typing import Final

import pymysql

from model.tables import TableDef, TableId
from stores.mysql import probe
from sync.ddl_alter import Alteration, read_alteration
from sync.ddl_between import definition_between
from sync.mysql.catalog import read_tables
from tests.support.servers import SourceDatabase

ROUNDS: Final = 3
STATEMENTS: Final = 7
TYPES: Final = (
    "INT", "INT NOT NULL DEFAULT 7", "BIGINT UNSIGNED", "VARCHAR(20)", "VARCHAR(40) NOT NULL DEFAULT 'x'",
    "DECIMAL(8,2) NOT NULL DEFAULT 1.50", "ENUM('a','b','FIRST')", "DATETIME(3) NULL", "TEXT COMMENT 'KEY, AFTER a'",
)  # fmt: skip


class Words:
    """ALTERs of a table, by the columns that it has at the moment; some of them the server will refuse."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._columns: list[str] = []
        self._made = 0

    def statement(self, table: TableDef, *, rename_column: bool) -> str:
        self._columns = [column.name for column in table.columns if column.name != "id"] or ["id"]
        forms = [self._add, self._add, self._drop, self._modify, self._change, self._default, self._index, self._option]
        if rename_column:
            forms.append(self._rename)
        parts = [self._random.choice(forms)() for _ in range(self._random.choice((1, 1, 1, 2, 3)))]
        return "ALTER TABLE t " + ", ".join(parts)

    def _old(self) -> str:
        return self._random.choice(self._columns)

    def _new(self) -> str:
        self._made += 1
        return f"c{self._made}"

    def _place(self) -> str:
        return self._random.choice(("", "", " FIRST", f" AFTER `{self._old()}`", f" after {self._old()}"))

    def _type(self) -> str:
        return self._random.choice(TYPES)

    def _add(self) -> str:
        if self._random.random() < 0.2:
            return f"ADD ({self._new()} {self._type()}, {self._new()} DECIMAL(9,3))"
        return f"ADD {self._random.choice(('', 'COLUMN '))}{self._new()} {self._type()}{self._place()}"

    def _drop(self) -> str:
        return f"DROP {self._random.choice(('', 'COLUMN '))}`{self._old()}`"

    def _modify(self) -> str:
        return f"MODIFY {self._old()} {self._type()}{self._place()}"

    def _change(self) -> str:
        old = self._old()
        return f"CHANGE COLUMN {old} {self._random.choice((old, self._new()))} {self._type()}{self._place()}"

    def _rename(self) -> str:
        return f"RENAME COLUMN {self._old()} TO {self._new()}"

    def _default(self) -> str:
        return f"ALTER COLUMN {self._old()} " + self._random.choice(("SET DEFAULT NULL", "DROP DEFAULT"))

    def _index(self) -> str:
        return f"ADD {self._random.choice(('INDEX', 'UNIQUE'))} i{self._new()} ({self._old()}(5))"

    def _option(self) -> str:
        return self._random.choice(("COMMENT 'a, b'", "CONVERT TO CHARACTER SET utf8mb4", "AUTO_INCREMENT = 100"))


def shape(table: TableDef) -> tuple[object, ...]:
    return (table.columns, table.primary_key, table.foreign_keys, table.kind, table.engine)


TWICE: Final = (
    ("ADD x INT", "MODIFY x BIGINT"),
    ("ADD COLUMN x VARCHAR(20) NOT NULL DEFAULT 'q' COMMENT 'c' AFTER a", "MODIFY x VARCHAR(50) NULL"),
    ("ADD (x DECIMAL(8,2) NOT NULL DEFAULT 1.50, z INT)", "MODIFY x DECIMAL(12,2) FIRST"),
    ("ADD x ENUM('a','b''c') DEFAULT 'a'", "MODIFY x ENUM('a','b''c','d')"),
    ("ADD x DATETIME", "CHANGE x y DATETIME(3)"),
    ("MODIFY b BIGINT UNSIGNED COMMENT 'k'", "MODIFY b DECIMAL(20,0)"),
    ("ADD x SMALLINT UNSIGNED NOT NULL DEFAULT 0", "MODIFY x INT UNSIGNED NOT NULL"),
    ("ADD x DATE FIRST", "MODIFY x DATETIME"),
    ("CHANGE a a2 CHAR(30)", "CHANGE a2 a3 VARCHAR(30)"),
)
UNKNOWN: Final = (
    ("ADD x TIMESTAMP", "MODIFY x DATETIME"),
    ("ADD x INT(5)", "MODIFY x INT"),
    ("ADD x VARCHAR(9) CHARACTER SET latin1", "MODIFY x VARCHAR(9)"),
    ("ADD x INT DEFAULT 007", "MODIFY x INT"),
    ("ADD x VARCHAR(9)", "CONVERT TO CHARACTER SET utf8mb4"),
    ("MODIFY id BIGINT", "MODIFY id INT"),
)


def test_a_column_that_is_defined_twice_is_what_the_first_words_say(source_db: SourceDatabase) -> None:
    with closing(source_db.connect()) as connection:
        info = probe(connection)
        table = TableId(source_db.database, "t")
        for pair in (*TWICE, *UNKNOWN):
            source_db.execute(
                "DROP TABLE IF EXISTS t",
                "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20), b INT) CHARACTER SET utf8mb4",
            )
            history = [read_tables(connection, info, [table])[table]]
            done: list[Alteration] = []
            for part in pair:
                text = f"ALTER TABLE t {part}"
                source_db.execute(text)
                alteration = read_alteration(text, source_db.database)
                assert alteration is not None
                done.append(alteration)
                history.append(read_tables(connection, info, [table])[table])
            found = definition_between(history[0], history[2], done[0], done[1:])
            if pair in UNKNOWN:
                assert found is None, pair
            else:
                assert found is not None, pair
                assert shape(found) == shape(dataclasses.replace(history[1], comment=found.comment)), pair


def test_it_is_what_the_server_said_then(source_db: SourceDatabase) -> None:
    known = asked = renamed = 0
    with closing(source_db.connect()) as connection:
        info = probe(connection)
        table = TableId(source_db.database, "t")
        rename_column = info.version >= ((10, 5, 2) if info.mariadb else (8, 0, 3))
        for number in range(ROUNDS):
            words = Words(number)
            source_db.execute(
                "DROP TABLE IF EXISTS t",
                "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(20), b INT, c DATETIME, d TEXT, KEY (b))"
                " CHARACTER SET latin1",
            )
            history = [read_tables(connection, info, [table])[table]]
            done: list[Alteration] = []
            while len(done) < STATEMENTS:
                text = words.statement(history[-1], rename_column=rename_column)
                try:
                    source_db.execute(text)
                except pymysql.err.MySQLError:
                    continue
                alteration = read_alteration(text, source_db.database)
                assert alteration is not None, text
                done.append(alteration)
                history.append(read_tables(connection, info, [table])[table])
            for first in range(STATEMENTS - 1):
                for last in range(first + 2, STATEMENTS + 1):
                    asked += 1
                    found = definition_between(history[first], history[last], done[first], done[first + 1 : last])
                    if found is None:
                        continue
                    known += 1
                    before, between, now = history[first], history[first + 1], history[last]
                    assert shape(found) == shape(dataclasses.replace(between, comment=found.comment)), done[first:last]
                    renamed += not {c.name for c in before.columns} <= {c.name for c in between.columns}
                    # No index stands in the way of rows that are older than it.
                    assert {one.name for one in found.indexes} <= {one.name for one in between.indexes}
                    assert {one.name for one in found.indexes} <= {one.name for one in now.indexes}
    assert known > asked / 4 and renamed, (known, asked, renamed)
