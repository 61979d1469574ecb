"""The first copy of one table, MariaDB to PostgreSQL, by the daemon's Backfill into an empty table with its key.

The ceiling is COPY of the same lines, prepared beforehand, into the same table in the same run; pgloader and
pg_chameleon's `init_replica` are measured where they are installed.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from psycopg import sql

from bench import chameleon
from bench.orders import FIELDS, load_orders
from bench.result import Result, ratios_of
from bench.stage import DATABASE, Stage, open_stage, peak_rss_mb, timed
from config.settings import Settings
from daemon.planning import Planned, read_plan
from stores.control import checkpoints
from stores.control.migrations import prepare_store
from stores.mysql import binlog_end, connect_source
from stores.postgres import PostgresConnection, connect_store
from sync.backfill import Backfill, StoreCopy
from sync.mysql.snapshot import ChunkReader, connect_reader
from sync.postgres.copy import BLOCK_BYTES, encode
from sync.postgres.schema_apply import apply_schema
from sync.relay.values import RelayTail
from sync.table_copy import RelayEntry
from sync.table_phase import TablePhases
from transforms.ddl import Phase
from transforms.plan import TablePlan

ROWS = 1_000_000
SIZES = (100_000, 1_000_000, 10_000_000, 50_000_000)
"""Rows of the table as it grows; the first are made one by one, all others are copies of them with other keys."""
CASES = ("orders", "sizes")
ROUNDS = 3
PEER = "pgloader"
_STREAM = "bench"
_CHECKSUM = "id, customer_id, status, currency, total, items, note, placed_at"
"""Columns that both servers print alike."""


@dataclass(frozen=True, slots=True)
class QuietRelay:
    """The relay of a source where nothing happens."""

    tail: RelayTail
    first_seq: int = 1

    def transactions(self, after_seq: int) -> Iterator[RelayEntry]:
        """None."""
        return iter(())


def run(rows: int | None, case: str | None = None) -> Iterator[Result]:
    """One case: `orders`, so many rows; or `sizes`, tables of more and more rows, up to `rows`."""
    if case != "sizes":
        yield _measured("orders", rows or ROWS, ROUNDS)
        return
    yield from _growing([size for size in SIZES if size <= (rows or SIZES[-1])])


def _measured(case: str, count: int, rounds: int) -> Result:
    with open_stage() as stage:
        settings = stage.settings
        seeds = min(count, SIZES[0])
        planned, relay = _load(settings, seeds)
        _grow(settings, seeds, count)
        (plan,) = planned.plan.plans
        lines = _prepared(settings, planned, plan)
        ours: list[float] = []
        ceilings: list[float] = []
        correct = True
        # By turns, for other work on this machine is not the same all the time.
        for _ in range(rounds):
            with closing(_fresh(settings, plan)) as connection:
                ceilings.append(timed(lambda: _copy(connection, plan, lines)))
                correct = correct and _same(settings, connection)
            with closing(_fresh(settings, plan)) as connection:
                backfill = _backfill(settings, connection, plan, relay)
                ours.append(timed(partial(backfill.run, threading.Event())))
                correct = correct and _same(settings, connection)
        figures = {"rows_per_s": count / median(ours), "peak_rss_mb": peak_rss_mb()}
        ceiling = {"rows_per_s": count / median(ceilings)}
        peers = {}
        if shutil.which(PEER):
            with closing(_fresh(settings, plan)) as connection:
                connection.execute(sql.SQL("DROP TABLE {}").format(_name(plan)))
                taken = timed(lambda: _pgloader(stage))
            peers[PEER] = {"rows_per_s": count / taken}
        if chameleon.installed():
            peers[chameleon.NAME] = {"rows_per_s": count / chameleon.Chameleon.make(stage).copy()}
    ratios = ratios_of(figures["rows_per_s"], ceiling, peers)
    return Result("snapshot", case, count, figures, ceiling, peers, ratios, correct)


def _growing(sizes: Sequence[int]) -> Iterator[Result]:
    """One table at several sizes, each copied once by ours and once by COPY of the lines that the store then has."""
    with open_stage() as stage:
        settings = stage.settings
        lines = stage.folder / "grown.copy"
        planned, relay = _load(settings, SIZES[0])
        (plan,) = planned.plan.plans
        there = SIZES[0]
        for size in sizes:
            _grow(settings, there, size)
            there = size
            with closing(_fresh(settings, plan)) as connection:
                cpu = time.process_time()
                ours = timed(partial(_backfill(settings, connection, plan, relay).run, threading.Event()))
                cpu = time.process_time() - cpu
                correct = _same(settings, connection)
                _dump(connection, plan, lines)
            with closing(_fresh(settings, plan)) as connection:
                copied = timed(partial(_copy, connection, plan, lines))
                correct = correct and _same(settings, connection)
            figures = {
                "rows_per_s": size / ours,
                "cpu_us_per_row": 1_000_000 * cpu / size,
                "peak_rss_mb": peak_rss_mb(),
            }
            ceiling = {"rows_per_s": size / copied}
            yield Result("snapshot", f"{size:,} rows", size, figures, ceiling, {}, {"ceiling": copied / ours}, correct)


def _grow(settings: Settings, there: int, wanted: int) -> None:
    """Add copies of the first rows, as many at a time as there are; the binlog is left out, for nobody reads it."""
    with closing(connect_source(settings.source)) as connection, connection.cursor() as cursor:
        connection.select_db(DATABASE)
        cursor.execute("SET SESSION sql_log_bin = 0")
        for start in range(there, wanted, SIZES[0]):
            cursor.execute(
                f"INSERT INTO orders (id, {FIELDS}) SELECT id + {start}, {FIELDS} FROM orders"
                f" WHERE id <= {min(SIZES[0], wanted - start)}"
            )
            connection.commit()
        cursor.execute("ANALYZE TABLE orders")


def _dump(connection: PostgresConnection, plan: TablePlan, path: Path) -> None:
    """The lines of the table as it is in the store."""
    statement = sql.SQL("COPY {} TO STDOUT").format(_name(plan))
    with path.open("wb") as file, connection.cursor().copy(statement) as copy:
        for block in copy:
            file.write(block)


def _load(settings: Settings, count: int) -> tuple[Planned, QuietRelay]:
    with closing(connect_source(settings.source)) as connection, connection.cursor() as cursor:
        connection.select_db(DATABASE)
        load_orders(connection, count)
        cursor.execute("ANALYZE TABLE orders")
        planned = read_plan(settings)
        return planned, QuietRelay(RelayTail(1, binlog_end(connection, planned.info)))


def _name(plan: TablePlan) -> sql.Composed:
    return sql.SQL("{}").format(sql.Identifier(plan.target.schema, plan.target.name))


def _fresh(settings: Settings, plan: TablePlan) -> PostgresConnection:
    """A store with the empty target table and nothing else."""
    connection = connect_store(settings.stores["main"].dsn)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_name(plan)))
    connection.execute(b"DROP SCHEMA IF EXISTS crossfade CASCADE")
    apply_schema(connection, [plan.target], Phase.BEFORE_COPY)
    connection.execute(b"CHECKPOINT")
    return connection


def _prepared(settings: Settings, planned: Planned, plan: TablePlan) -> Path:
    """A file with the plan's lines, so that they are no part of our memory."""
    path = settings.relay.directory.parent / "lines.copy"
    with closing(connect_reader(settings.source, planned.info)) as reader, path.open("wb") as file:
        for row in ChunkReader(reader, planned.info, plan.source, None).everything():
            file.write(encode(plan.project(row)))
    return path


def _copy(connection: PostgresConnection, plan: TablePlan, lines: Path) -> None:
    columns = sql.SQL(", ").join(sql.Identifier(column.target.name) for column in plan.columns)
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(_name(plan), columns)
    with lines.open("rb") as file, connection.cursor().copy(statement) as copy:
        while block := file.read(BLOCK_BYTES):
            copy.write(block)


def _backfill(settings: Settings, connection: PostgresConnection, plan: TablePlan, relay: QuietRelay) -> Backfill:
    prepare_store(connection)
    checkpoints.create(connection, _STREAM, relay.tail.position)
    fence = checkpoints.take_over(connection, _STREAM)
    dsn = settings.stores["main"].dsn
    copy = StoreCopy("main", dsn, _STREAM, fence, (plan,), TablePhases(), lambda store, plan: None)
    return Backfill(settings, [copy], relay)


def _same(settings: Settings, connection: PostgresConnection) -> bool:
    """Whether both sides have the same rows: their number, and the sum of a hash over what both print alike."""
    fields = [name.strip() for name in _CHECKSUM.split(",")]
    theirs = "CONCAT_WS('|', " + ", ".join(f"COALESCE({name}, '~')" for name in fields) + ")"
    ours = "concat_ws('|', " + ", ".join(f"coalesce(({_shown(name)})::text, '~')" for name in fields) + ")"
    with closing(connect_source(settings.source, database="bench")) as source, source.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*), SUM(CAST(CONV(LEFT(MD5({theirs}), 8), 16, 10) AS UNSIGNED)) FROM orders")
        expected: Any = cursor.fetchall()
    query = f"SELECT count(*), sum(('x' || left(md5({ours}), 8))::bit(32)::bigint) FROM orders"
    found = connection.execute(query.encode()).fetchone()
    there = next(tuple(row.values()) if isinstance(row, dict) else tuple(row) for row in expected)
    return found is not None and [int(value) for value in found] == [int(value) for value in there]


def _shown(name: str) -> str:
    return "to_char(placed_at, 'YYYY-MM-DD HH24:MI:SS.US')" if name == "placed_at" else name


def _pgloader(stage: Stage) -> None:
    """pgloader with its own defaults; it makes the table itself."""
    script = stage.folder / "bench.load"
    address = stage.source.dsn("bench").replace("mariadb://", "mysql://")
    script.write_text(
        f"LOAD DATABASE FROM {address} INTO {stage.store.dsn('postgres')}\n"
        "WITH include drop, create tables, no foreign keys ALTER SCHEMA 'bench' RENAME TO 'public';\n"
    )
    script.chmod(0o600)
    subprocess.run([PEER, "--quiet", str(script)], check=True, capture_output=True)
