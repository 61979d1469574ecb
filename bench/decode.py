"""Decoding row events: ours (lines for COPY, values, uncompiled) and mysql-replication's, from the same bytes."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pymysql
from pymysql.cursors import SSCursor
from pymysql.protocol import MysqlPacket
from pymysqlreplication import row_event
from pymysqlreplication.packet import BinLogPacketWrapper

from bench.binlog import raw_events
from bench.orders import load_orders
from bench.result import Result
from bench.stage import peak_rss_mb
from bench.uncompiled import digest
from model.rows import ABSENT, Row
from model.tables import TableDef, TableId
from servers import start_server
from stores.mysql import binlog_end, probe
from sync.mysql.catalog import read_tables
from sync.mysql.decode import SHAPES, TableDecoder
from sync.mysql.event_types import EventType
from sync.mysql.kernel import compiled
from sync.mysql.lines import LineDecoder
from sync.mysql.sink import copy_escaped
from sync.mysql.table_map import TableMap, parse_table_map
from sync.mysql.textform import from_select, select_expression
from transforms.plan import ColumnKind, ColumnPlan, TablePlan
from transforms.target import TargetColumn, TargetTable

PEER = "mysql-replication"
PEER_ROWS = 20_000
"""The peer decodes no more than this: it is slow, and its rate does not depend on the number."""
ROUNDS = 3
OUR_RUNS = 5
"""Runs of ours in a round: one takes a twentieth of a second, which anything on this machine can spoil."""
ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("bench", "config", "model", "servers", "stores", "sync", "transforms")


@dataclass(frozen=True, slots=True)
class Recording:
    """The binlog of one load, and what SELECT says is right."""

    table: TableDef
    map_body: bytes
    events: tuple[tuple[int, bytes], ...]
    """Type and body of the row events."""
    raw: tuple[bytes, ...]
    """The same events and the table maps before them, with headers."""
    selected: tuple[Row, ...]

    @property
    def table_map(self) -> TableMap:
        """The table map, parsed."""
        return parse_table_map(self.map_body)


@contextmanager
def _source() -> Iterator[Callable[..., Any]]:
    with start_server("mysql-9.7") as server:
        yield lambda **options: pymysql.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            charset="utf8mb4",
            autocommit=True,
            init_command="SET time_zone = '+00:00'",
            **options,
        )


def record(rows: int) -> Recording:
    """Load `rows` orders into a private MySQL and take its binlog."""
    with _source() as connect:
        with connect() as connection:
            with connection.cursor() as cursor:
                cursor.execute("CREATE DATABASE bench")
            info = probe(connection)
            start = binlog_end(connection, info).coordinate
        with connect(database="bench") as connection:
            load_orders(connection, rows)
            orders = TableId("bench", "orders")
            table = read_tables(connection, info, [orders])[orders]
        with connect(database="bench", conv={}, use_unicode=False) as connection, connection.cursor(SSCursor) as cursor:
            expressions = ", ".join(select_expression(column, info) for column in table.columns)
            cursor.execute(f"SELECT {expressions} FROM orders ORDER BY id")
            readers = [from_select(column) for column in table.columns]
            selected = tuple(tuple(read(value) for read, value in zip(readers, row, strict=True)) for row in cursor)
        kept = [
            raw
            for raw in raw_events(connect(), start.file, start.offset)
            if raw[4] in SHAPES or raw[4] == EventType.TABLE_MAP
        ]
    return Recording(
        table,
        next(raw[19:] for raw in kept if raw[4] == EventType.TABLE_MAP),
        tuple((raw[4], raw[19:]) for raw in kept if raw[4] in SHAPES),
        tuple(kept),
        selected,
    )


def copy_plan(table: TableDef) -> TablePlan:
    """A plan that copies every column under its name."""
    columns = tuple(TargetColumn(column.name, "text") for column in table.columns)
    return TablePlan(
        source=table,
        target=TargetTable("store", "public", table.id.name, columns, table.primary_key),
        columns=tuple(ColumnPlan(column, ColumnKind.COPY, source=at) for at, column in enumerate(columns)),
        key=tuple(table.index_of(name) for name in table.primary_key),
    )


def _timed(work: Callable[[], object], times: int = 1) -> float:
    """CPU seconds of the fastest run: others may use this machine, and decoding waits for nothing."""
    best = float("inf")
    for _ in range(times):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def _drop(decode: Callable[[int, bytes], object], recording: Recording) -> None:
    """Decode everything and keep nothing: an event's rows are gone before the next one's, as in a stream."""
    for kind, body in recording.events:
        decode(kind, body)


def _lines_of(decoder: LineDecoder, kind: int, body: bytes) -> Iterable[object]:
    found = decoder.decode(kind, body)
    return () if found is None else found.lines


def _equal(found: Iterable[object], expected: Iterable[object]) -> bool:
    """Whether both give the same, one by one, so that neither is in memory as a whole."""
    nothing = object()
    return all(one == other for one, other in zip_longest(found, expected, fillvalue=nothing))


class _Offline:
    """What mysql-replication asks of its control connection."""

    charset = "utf8"

    def _get_dbms(self) -> str:
        return "mysql"


def _peer_rows(raw: Iterable[bytes]) -> int:
    """Decode raw events with mysql-replication; how many rows came out."""
    maps: dict[int, Any] = {}
    rows = 0
    allowed = frozenset({row_event.TableMapEvent, row_event.WriteRowsEvent})
    for event in raw:
        wrapped = BinLogPacketWrapper(
            MysqlPacket(b"\0" + event, "utf8"), maps, _Offline(), (9, 7, 0), False, allowed,
            None, None, None, None, False, False, False, True, False,
        )  # fmt: skip
        if isinstance(wrapped.event, row_event.TableMapEvent):
            maps[wrapped.event.table_id] = wrapped.event.get_table()
        elif wrapped.event is not None:
            rows += len(wrapped.event.rows)
    return rows


def _line(row: Row) -> bytes:
    return b"\t".join(rb"\N" if value is None or value is ABSENT else copy_escaped(value) for value in row)


def uncompiled(recording: Recording, events: tuple[tuple[int, bytes], ...]) -> tuple[float, str]:
    """Rows per second and digest of the same decoder run from plain sources. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="crossfade-bench-") as folder:
        for name in SOURCES:
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        data = Path(folder) / "events.pickle"
        data.write_bytes(pickle.dumps((recording.table.to_json(), recording.map_body, events)))
        done = subprocess.run(
            [sys.executable, "-m", "bench.uncompiled", str(data)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": folder},
            check=True,
            capture_output=True,
        )
    figures = json.loads(done.stdout)
    assert not figures["compiled"]
    return figures["rows"] / figures["seconds"], figures["digest"]


def run(rows: int | None) -> Iterator[Result]:
    """Yields the cases `lines`, `values` and `uncompiled`, each against mysql-replication."""
    recording = record(rows or 100_000)
    count = len(recording.selected)
    few: list[bytes] = []
    for raw in recording.raw:
        if sum(1 for event in few if event[4] in SHAPES) * 40 > PEER_ROWS:
            break
        few.append(raw)
    lines_of = LineDecoder(copy_plan(recording.table), recording.table_map)
    decoder = TableDecoder(recording.table, recording.table_map)
    peer_rows = _peer_rows(few)
    # By turns, for other work on this machine is not the same all the time.
    rounds = [
        (
            _timed(partial(_peer_rows, few)),
            _timed(partial(_drop, lines_of.decode, recording), OUR_RUNS),
            _timed(partial(_drop, decoder.decode, recording), OUR_RUNS),
        )
        for _ in range(ROUNDS)
    ]
    peer_s, lines_s, values_s = map(min, zip(*rounds, strict=True))
    peer = peer_rows / peer_s

    def result(case: str, measured: int, rate: float, correct: bool) -> Result:
        return Result(
            "decode",
            case,
            measured,
            {"rows_per_s": rate, "peak_rss_mb": peak_rss_mb()},
            peers={PEER: {"rows_per_s": peer}},
            ratios={PEER: rate / peer},
            correct=correct,
        )

    suffix = "" if compiled() else ", not compiled"
    texts = (text for kind, body in recording.events for text in _lines_of(lines_of, kind, body))
    yield result(f"lines{suffix}", count, count / lines_s, _equal(texts, map(_line, recording.selected)))

    decoded = (after for kind, body in recording.events for _, after in decoder.decode(kind, body))
    yield result(f"values{suffix}", count, count / values_s, _equal(decoded, recording.selected))

    events = recording.events[: max(1, PEER_ROWS // 40)]
    rate, fingerprint = uncompiled(recording, events)
    expected = (pair for kind, body in events for pair in decoder.decode(kind, body))
    found, measured = digest(expected)
    yield result("values, uncompiled", measured, rate, fingerprint == found)
