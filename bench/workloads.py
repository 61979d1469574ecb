"""What the source writes in each case of the stream's benchmark, and which rows of the store that concerns."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from bench import orders
from bench.ceiling import Batch, Part
from bench.stage import Stage

TRANSACTION_ROWS = 1_000
BATCH_ROWS = 20_000
"""Rows of one of the ceiling's transactions."""
_SEED_ROWS = 20_000
_CLIENTS = 4


class Workload(ABC):
    """Rounds of `rows` changes each, all on different rows."""

    source = "mariadb-10.11"
    tables: tuple[str, ...] = ("orders",)
    fresh = False
    """Every row is new: plain COPY is the ceiling."""
    single = False
    """Every transaction has one row: what the source can write is the ceiling."""

    def __init__(self, stage: Stage, rows: int, rounds: int) -> None:
        self._stage = stage
        self.rows = rows
        self.rounds = rounds

    def create(self) -> None:
        """Make the tables and what is in them before the first round, unseen by the binlog."""
        with self._stage.source_connection() as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_log_bin = 0; CREATE DATABASE stash")
            self._finish(cursor)
            self._create(cursor)

    @abstractmethod
    def _create(self, cursor: Any) -> None:
        """The same in an open session."""

    @abstractmethod
    def write(self, round_: int) -> None:
        """Change `rows` rows, in transactions."""

    @abstractmethod
    def batches(self, round_: int) -> Iterator[Batch]:
        """What a round changed."""

    def _run(self, *statements: str) -> None:
        """Run each text of statements as one transaction."""
        with self._stage.source_connection() as connection, connection.cursor() as cursor:
            for text in statements:
                cursor.execute(f"BEGIN; {text}; COMMIT")
                self._finish(cursor)

    def _finish(self, cursor: Any) -> None:
        while cursor.nextset():
            pass

    def _ranges(self, round_: int, size: int) -> Iterator[tuple[int, int]]:
        """Ids of a round, `size` at a time, both ends included."""
        first = round_ * self.rows + 1
        for start in range(first, first + self.rows, size):
            yield start, min(start + size, first + self.rows) - 1


def _multiplied(cursor: Any, table: str, seeds: int, wanted: int) -> None:
    """Fill `table`, which has rows 1 to `seeds`, up to `wanted` rows with copies under other ids."""
    cursor.execute(
        "SELECT GROUP_CONCAT(column_name ORDER BY ordinal_position SEPARATOR ', ') FROM information_schema.columns"
        " WHERE table_schema = 'stash' AND table_name = %s AND column_name <> 'id'",
        (table.partition(".")[2],),
    )
    ((columns,),) = cursor.fetchall()
    for start in range(seeds, wanted, seeds):
        cursor.execute(
            f"INSERT INTO {table} (id, {columns}) SELECT id + {start}, {columns} FROM {table}"
            f" WHERE id <= {min(seeds, wanted - start)}"
        )


class Inserts(Workload):
    """New orders, a thousand a transaction."""

    fresh = True

    def _create(self, cursor: Any) -> None:
        cursor.execute(orders.CREATE)
        _stash_orders(cursor, self.rows * self.rounds)

    def write(self, round_: int) -> None:
        self._run(
            *(
                f"INSERT INTO orders SELECT * FROM stash.orders WHERE id BETWEEN {first} AND {last}"
                for first, last in self._ranges(round_, TRANSACTION_ROWS)
            )
        )

    def batches(self, round_: int) -> Iterator[Batch]:
        for first, last in self._ranges(round_, BATCH_ROWS):
            yield [Part(self.tables[0], f"id BETWEEN {first} AND {last}")]


def _stash_orders(cursor: Any, rows: int) -> None:
    cursor.execute(orders.CREATE.replace("orders", "stash.orders", 1))
    seeds = list(orders.order_rows(min(_SEED_ROWS, rows)))
    for start in range(0, len(seeds), 1000):
        cursor.executemany(orders.INSERT.replace("orders", "stash.orders", 1), seeds[start : start + 1000])
    _multiplied(cursor, "stash.orders", len(seeds), rows)


class Mixed(Workload):
    """Of every three orders two are changed and one is deleted, a thousand a transaction."""

    def _create(self, cursor: Any) -> None:
        cursor.execute(orders.CREATE)
        _stash_orders(cursor, self.rows * self.rounds)
        cursor.execute("INSERT INTO orders SELECT * FROM stash.orders")

    def write(self, round_: int) -> None:
        self._run(
            *(
                "UPDATE orders SET status = 'paid', total = total + 1, note = 'changed', updated_at = '2024-12-01'"
                f" WHERE id BETWEEN {first} AND {last} AND id % 3 <> 0;"
                f" DELETE FROM orders WHERE id BETWEEN {first} AND {last} AND id % 3 = 0"
                for first, last in self._ranges(round_, TRANSACTION_ROWS)
            )
        )

    def batches(self, round_: int) -> Iterator[Batch]:
        for first, last in self._ranges(round_, BATCH_ROWS):
            ids = f"SELECT id FROM generate_series({first}, {last}) AS id WHERE id % 3 = 0"
            yield [Part("orders", f"id BETWEEN {first} AND {last}", ids)]


class HotKeys(Workload):
    """The same two thousand orders again and again, a hundred a transaction."""

    hot = 2_000
    changed = 100

    def _create(self, cursor: Any) -> None:
        cursor.execute(orders.CREATE)
        _stash_orders(cursor, max(self.hot, _SEED_ROWS))
        cursor.execute("INSERT INTO orders SELECT * FROM stash.orders")

    def write(self, round_: int) -> None:
        starts = range(round_ * self.rows, (round_ + 1) * self.rows, self.changed)
        self._run(
            *(
                f"UPDATE orders SET items = items % 30000 + 1, total = {start % 9_000_000} + 0.25"
                f" WHERE id BETWEEN {start % self.hot + 1} AND {start % self.hot + self.changed}"
                for start in starts
            )
        )

    def batches(self, round_: int) -> Iterator[Batch]:
        for _ in range(0, self.rows, BATCH_ROWS):
            yield [Part("orders", f"id <= {self.hot}")]


class Wide(Workload):
    """New rows of a hundred and twenty columns, a hundred a transaction."""

    tables = ("wide",)
    fresh = True
    kinds = ("INT", "VARCHAR(40)", "DECIMAL(14,4)", "DATETIME", "BIGINT UNSIGNED", "TINYINT(1)")
    values = ("id * {n}", "CONCAT('value ', id, ' of {n}')", "id / {n}", "'2024-02-03 04:05:06'", "id << 20", "id % 2")

    def _create(self, cursor: Any) -> None:
        columns = ", ".join(f"c{n} {self.kinds[n % len(self.kinds)]} NOT NULL" for n in range(1, 120))
        for database in ("bench", "stash"):
            cursor.execute(f"CREATE TABLE {database}.wide (id BIGINT NOT NULL PRIMARY KEY, {columns})")
        rows = self.rows * self.rounds
        values = ", ".join(self.values[n % len(self.values)].format(n=n) for n in range(1, 120))
        seeds = min(rows, 1000)
        _numbers(cursor, seeds)
        cursor.execute(f"INSERT INTO stash.wide SELECT id, {values} FROM stash.numbers")
        _multiplied(cursor, "stash.wide", seeds, rows)

    def write(self, round_: int) -> None:
        self._run(
            *(
                f"INSERT INTO wide SELECT * FROM stash.wide WHERE id BETWEEN {first} AND {last}"
                for first, last in self._ranges(round_, 100)
            )
        )

    def batches(self, round_: int) -> Iterator[Batch]:
        for first, last in self._ranges(round_, BATCH_ROWS // 10):
            yield [Part("wide", f"id BETWEEN {first} AND {last}")]


def _numbers(cursor: Any, count: int) -> None:
    cursor.execute("CREATE TABLE stash.numbers (id BIGINT NOT NULL PRIMARY KEY)")
    cursor.executemany("INSERT INTO stash.numbers VALUES (%s)", [(number,) for number in range(1, count + 1)])


class Documents(Workload):
    """MySQL's binary JSON: documents of two kilobytes are changed, a hundred a transaction."""

    source = "mysql-9.7"
    tables = ("documents",)

    def _create(self, cursor: Any) -> None:
        for database in ("bench", "stash"):
            cursor.execute(
                f"CREATE TABLE {database}.documents (id BIGINT NOT NULL PRIMARY KEY, document JSON NOT NULL)"
            )
        rows = self.rows * self.rounds
        seeds = min(rows, 1000)
        _numbers(cursor, seeds)
        fields = ", ".join(
            f"'field_{n}', JSON_OBJECT('n', id * {n}, 'text', 'ünï {n}', 'list', JSON_ARRAY(1, 2.5, true, null, id))"
            for n in range(25)
        )
        cursor.execute(f"INSERT INTO stash.documents SELECT id, JSON_OBJECT({fields}) FROM stash.numbers")
        _multiplied(cursor, "stash.documents", seeds, rows)
        cursor.execute("INSERT INTO documents SELECT * FROM stash.documents")

    def write(self, round_: int) -> None:
        self._run(
            *(
                f"UPDATE documents SET document = JSON_SET(document, '$.field_1.n', id + {round_}, '$.more', 'new')"
                f" WHERE id BETWEEN {first} AND {last}"
                for first, last in self._ranges(round_, 100)
            )
        )

    def batches(self, round_: int) -> Iterator[Batch]:
        for first, last in self._ranges(round_, BATCH_ROWS // 10):
            yield [Part("documents", f"id BETWEEN {first} AND {last}")]


class ManyTables(Workload):
    """Two hundred small tables: a transaction inserts into five of them and changes a row in each."""

    count = 200
    tables = tuple(f"small_{number:03d}" for number in range(count))
    per_transaction = 5
    base = 100

    def _create(self, cursor: Any) -> None:
        _numbers(cursor, self.base)
        for table in self.tables:
            cursor.execute(
                f"CREATE TABLE {table} (id BIGINT NOT NULL PRIMARY KEY, a INT NOT NULL, b VARCHAR(40),"
                " c DECIMAL(10,2) NOT NULL, d DATETIME NOT NULL)"
            )
            cursor.execute(f"INSERT INTO {table} SELECT id, 1, 'base', 2.5, '2024-01-01' FROM stash.numbers")

    def _first(self, round_: int) -> int:
        return 1_000 + round_ * 1_000_000

    def write(self, round_: int) -> None:
        self._run(*(self._transaction(round_, number) for number in range(self.rows // (2 * self.per_transaction))))

    def _transaction(self, round_: int, number: int) -> str:
        parts = []
        for place in range(self.per_transaction):
            table = self.tables[(number * self.per_transaction + place) % self.count]
            parts.append(
                f"INSERT INTO {table} VALUES ({self._first(round_) + number}, {number}, 'row {number}', 1.25, NOW())"
            )
            parts.append(f"UPDATE {table} SET a = a + 1, c = c + 0.5 WHERE id = {number % self.base + 1}")
        return "; ".join(parts)

    def batches(self, round_: int) -> Iterator[Batch]:
        first = self._first(round_)
        yield [Part(table, f"id <= {self.base} OR id BETWEEN {first} AND {first + 999_999}") for table in self.tables]


class Singles(Inserts):
    """New orders, each a transaction of its own, by four clients at once."""

    single = True

    def _create(self, cursor: Any) -> None:
        super()._create(cursor)
        cursor.execute(
            "CREATE PROCEDURE stash.singly(first BIGINT, last BIGINT) BEGIN WHILE first <= last DO"
            " INSERT INTO bench.orders SELECT * FROM stash.orders WHERE id = first; SET first = first + 1;"
            " END WHILE; END"
        )

    def write(self, round_: int) -> None:
        share = -(-self.rows // _CLIENTS)
        threads = [
            threading.Thread(target=self._call, args=(first, last)) for first, last in self._ranges(round_, share)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _call(self, first: int, last: int) -> None:
        with self._stage.source_connection() as connection, connection.cursor() as cursor:
            cursor.execute(f"CALL stash.singly({first}, {last})")
            self._finish(cursor)


class Spread(Workload):
    """New orders, ten a statement and a hundred a transaction, each statement into the next of some tables."""

    fresh = True
    count: int
    per_statement = 10
    per_transaction = 100

    def _create(self, cursor: Any) -> None:
        _stash_orders(cursor, self.rows * self.rounds)
        for table in self.tables:
            cursor.execute(orders.CREATE.replace("orders", table, 1))

    def write(self, round_: int) -> None:
        self._run(*(self._transaction(first, last) for first, last in self._ranges(round_, self.per_transaction)))

    def _transaction(self, first: int, last: int) -> str:
        return "; ".join(
            f"INSERT INTO {self.tables[start // self.per_statement % self.count]} SELECT * FROM stash.orders"
            f" WHERE id BETWEEN {start} AND {min(start + self.per_statement - 1, last)}"
            for start in range(first, last + 1, self.per_statement)
        )

    def batches(self, round_: int) -> Iterator[Batch]:
        for first, last in self._ranges(round_, BATCH_ROWS):
            yield [Part(table, f"id BETWEEN {first} AND {last}") for table in self.tables]


def _spread(count: int) -> type[Spread]:
    tables = tuple(f"orders_{number:03d}" for number in range(count))
    return type(f"Spread{count}", (Spread,), {"count": count, "tables": tables})


WORKLOADS: dict[str, tuple[type[Workload], int]] = {
    "insert": (Inserts, 1_000_000),
    "mixed update/delete": (Mixed, 150_000),
    "hot keys": (HotKeys, 100_000),
    "wide": (Wide, 10_000),
    "json": (Documents, 10_000),
    "many small tables": (ManyTables, 30_000),
    "one-row transactions": (Singles, 30_000),
}
"""By the name of the case, with the changes of one round unless told otherwise."""
SPREAD: dict[str, tuple[type[Workload], int]] = {
    f"{count} table{'s' if count > 1 else ''}": (_spread(count), 200_000) for count in (1, 20, 100, 400)
}
"""The same rows in more and more tables."""
