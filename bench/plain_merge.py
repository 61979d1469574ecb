"""What one would write without us to compare a table through a Python function: both drivers, in the order of the key.

PyMySQL's unbuffered cursor and psycopg's binary COPY, each with the values that it makes by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

from pymysql.cursors import SSCursor

from bench.stage import Stage

_CURRENCY, _GIFT, _DOCUMENT, _UPDATED = 3, 6, 8, 10


def differing_rows(stage: Stage, table: str, function: Callable[[str], str]) -> int:
    """Rows of `orders` that differ from those of `table` once `function` has changed the currency."""
    with (
        stage.source_connection() as there,
        stage.store_connection() as here,
        there.cursor(SSCursor) as source,
        here.cursor() as store,
    ):
        source.execute("SELECT * FROM orders ORDER BY id")
        columns = ", ".join(str(column[0]) for column in source.description or ())
        described = store.execute(f"SELECT {columns} FROM {table} LIMIT 0".encode()).description or ()
        query = f"COPY (SELECT {columns} FROM {table} ORDER BY id) TO STDOUT (FORMAT BINARY)"
        with store.copy(query.encode()) as copy:
            copy.set_types([column.type_code for column in described])
            return sum(ours != theirs for ours, theirs in zip_longest(_expected(source, function), copy.rows()))


def _expected(rows: Any, function: Callable[[str], str]) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        values = list(row)
        values[_CURRENCY] = function(values[_CURRENCY])
        values[_GIFT] = bool(values[_GIFT])
        values[_DOCUMENT] = json.loads(values[_DOCUMENT])
        values[_UPDATED] = values[_UPDATED].astimezone()
        yield tuple(values)
