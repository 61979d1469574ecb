"""Whether source and store hold the same rows: every value, by plain SELECTs and Python, not by our code."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from pymysql.cursors import SSCursor

from bench.stage import Stage


def same_rows(stage: Stage, tables: list[str]) -> bool:
    """Read each table from both sides in the order of `id`, and compare value by value."""
    with stage.source_connection() as there, stage.store_connection() as here:
        for table in tables:
            with there.cursor(SSCursor) as source, here.transaction(), here.cursor(name="compare") as store:
                source.execute(f"SELECT * FROM {table} ORDER BY id")
                store.itersize = 5000
                store.execute(f'SELECT * FROM "{table}" ORDER BY id'.encode())
                if any(ours != theirs for ours, theirs in zip_longest(_plain(store), _plain(source))):
                    return False
    return True


def _plain(rows: Any) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        yield tuple(map(_value, row))


def _value(value: Any) -> Any:
    """A value as both drivers would give it: documents parsed, booleans as numbers, times of day without a zone."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None)
    return value
