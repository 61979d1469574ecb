"""Verifying one table: identical, 1 % of the rows differing, one row differing, and through a Python function.

reladiff leaves out the JSON column, which it cannot compare between the two servers; ours hashes it. The case
`without JSON` has a table in the store that lacks the column, so that both compare the same.

The ceiling is one statement per server that hashes the whole table, both at once, as any method has to. Through a
Python function no server can hash the rows; there the peer is a merge that one would write with both drivers. reladiff
is measured where it is installed (here, or under the interpreter that RELADIFF_PYTHON names), on the same MariaDB: it
cannot run on MySQL 9.6 and later.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from bench.orders import load_orders
from bench.plain_merge import differing_rows
from bench.result import Result
from bench.stage import DATABASE, Stage, open_stage, peak_rss_mb, timed
from config.reshaping import PythonFunction
from config.settings import Settings, TableRule
from daemon.planning import Planned, read_plan
from stores.control import checkpoints
from stores.control.migrations import prepare_store
from stores.mysql import binlog_end, connect_source
from stores.postgres import connect_store
from sync.mysql.snapshot import ChunkReader, connect_reader, raw_rows
from sync.postgres.copy import encode
from sync.postgres.schema_apply import apply_schema
from transforms.ddl import Phase
from validators.canonical.record import RecordForm
from validators.findings import Mode, Verdict
from validators.leaves import postgres_name
from validators.run import Scope, Verification

ROWS = 200_000
ROUNDS = 3
_LARGE = 1_000_000
"""From so many rows on one round is enough: what disturbs it takes turns as well."""
_LOWERED = "orders_lowered"
_PLAIN = "orders_plain"
_RELADIFF = """
import sys, reladiff
columns = tuple(sys.argv[3].split(","))
one = reladiff.connect_to_table(sys.argv[1], "orders", "id", extra_columns=columns)
two = reladiff.connect_to_table(sys.argv[2], sys.argv[4], "id", extra_columns=columns)
print(len(list(reladiff.diff_tables(one, two))))
"""
_PEER_COLUMNS = "customer_id,status,currency,total,items,is_gift,note,placed_at,updated_at"
"""All columns but the JSON document."""


def run(rows: int | None) -> Iterator[Result]:
    """Time each case; `rows` in the table."""
    count = rows or ROWS
    with open_stage() as stage:
        limits = stage.settings.verify.model_copy(update={"max_findings": count})
        settings, peer = stage.settings.model_copy(update={"verify": limits}), _peer(stage)
        planned = _load(settings, count)
        ceiling = _best(count, lambda: _ceiling(settings, planned))
        reader = {"s": ceiling}
        yield _case("identical", count, settings, planned, Mode.CHECKSUM, 0, reader, peer)
        yield _without_json(stage, settings, count)
        with closing(connect_store(settings.stores["main"].dsn)) as connection:
            connection.execute(b"UPDATE orders SET items = items + 1 WHERE id = (SELECT max(id) / 2 FROM orders)")
            yield _case("one row differs", count, settings, planned, Mode.CHECKSUM, 1, reader, None)
            connection.execute(b"UPDATE orders SET items = items - 1 WHERE id = (SELECT max(id) / 2 FROM orders)")
            yield _through_a_function(stage, settings, count)
            connection.execute(b"UPDATE orders SET items = items + 1 WHERE id % 100 = 7")
            row = connection.execute(b"SELECT count(*) FROM orders WHERE id % 100 = 7").fetchone()
            changed = int(row[0]) if row else 0
        yield _case("1 % differ", count, settings, planned, Mode.CHECKSUM, changed, reader, peer)


def _load(settings: Settings, count: int) -> Planned:
    with closing(connect_source(settings.source)) as connection, connection.cursor() as cursor:
        connection.select_db(DATABASE)
        load_orders(connection, count)
        cursor.execute("ANALYZE TABLE orders")
        planned = read_plan(settings)
        end = binlog_end(connection, planned.info)
    _copy(settings, planned)
    with closing(connect_store(settings.stores["main"].dsn)) as store:
        prepare_store(store)
        checkpoints.create(store, settings.name, end)
    return planned


def _copy(settings: Settings, planned: Planned) -> None:
    (plan,) = planned.plan.plans
    with closing(connect_store(settings.stores["main"].dsn)) as store:
        apply_schema(store, [plan.target], Phase.BEFORE_COPY)
        with (
            closing(connect_reader(settings.source, planned.info)) as reader,
            store.cursor().copy(f"COPY {postgres_name(plan)} FROM STDIN".encode()) as copy,
        ):
            for row in ChunkReader(reader, planned.info, plan.source, None).everything():
                copy.write(encode(plan.project(row)))
        store.execute(f"VACUUM ANALYZE {postgres_name(plan)}".encode())


def _without_json(stage: Stage, settings: Settings, count: int) -> Result:
    """The columns that reladiff compares, in a table of the store that has no others."""
    rule = TableRule(table=_PLAIN, exclude=("attributes",))
    settings = settings.model_copy(update={"tables": {"orders": rule}})
    planned = read_plan(settings)
    _copy(settings, planned)
    ceiling = {"s": _best(count, lambda: _ceiling(settings, planned))}
    peer = _peer(stage, _PLAIN)
    found = _case("identical, without JSON", count, settings, planned, Mode.CHECKSUM, 0, ceiling, peer)
    with closing(connect_store(settings.stores["main"].dsn)) as store:
        store.execute(f"DROP TABLE {_PLAIN}".encode())
    return found


def lowered(currency: str) -> str:
    """The function of the transform."""
    return currency.lower()


def _through_a_function(stage: Stage, settings: Settings, count: int) -> Result:
    """The currency goes through a Python function, so that the source cannot hash the rows."""
    function = PythonFunction(function="bench.verify:lowered", reads=("currency",), deterministic=True)
    rule = TableRule(table=_LOWERED, python={"currency": function}, exclude=("currency",))
    settings = settings.model_copy(update={"tables": {"orders": rule}})
    planned = read_plan(settings)
    _copy(settings, planned)
    found: list[int] = []
    merge = {"s": _best(count, lambda: found.append(differing_rows(stage, _LOWERED, lowered)))}
    assert not any(found)
    return _case("through a Python function", count, settings, planned, Mode.AUTO, 0, merge, None, "plain-driver merge")


def _verify(settings: Settings, planned: Planned, mode: Mode) -> Verdict:
    scope = Scope(planned.info, planned.tables, planned.plan)
    return Verification(settings, scope, mode, threading.Event()).run()


def _ceiling(settings: Settings, planned: Planned) -> None:
    (plan,) = planned.plan.plans
    form = RecordForm.of(plan)
    with (
        closing(connect_reader(settings.source, planned.info)) as source,
        closing(connect_store(settings.stores["main"].dsn)) as store,
        ThreadPoolExecutor(1) as executor,
    ):
        there = executor.submit(
            lambda: list(raw_rows(source, f"SELECT COUNT(*), SUM({form.mysql_hash()}) FROM bench.orders"))
        )
        query = f"SELECT count(*), sum({form.postgres_hash()}) FROM {postgres_name(plan)}"
        here = store.execute(query.encode()).fetchone()
        ((count, total),) = there.result()
    assert here is not None and (int(count or 0), int(total or 0)) == (int(here[0]), int(here[1]))


def _best(count: int, work: Callable[[], object]) -> float:
    return min(timed(work) for _ in range(ROUNDS if count < _LARGE else 1))


def _case(
    name: str,
    count: int,
    settings: Settings,
    planned: Planned,
    mode: Mode,
    differing: int,
    ceiling: dict[str, float],
    peer: Callable[[], int] | None,
    against: str = "ceiling",
) -> Result:
    verdicts: list[Verdict] = []
    seconds = _best(count, lambda: verdicts.append(_verify(settings, planned, mode)))
    correct = all(verdict.tables[0].differences == differing for verdict in verdicts)
    figures = {"ms": ceiling["s"] * 1000, "rows_per_s": count / ceiling["s"]}
    peers: dict[str, dict[str, float]] = {} if against == "ceiling" else {against: figures}
    ratios = {against: ceiling["s"] / seconds}
    if peer is not None:
        taken = _best(count, peer)
        peers["reladiff"] = {"ms": taken * 1000, "rows_per_s": count / taken}
        ratios["reladiff"] = taken / seconds
    ours = {"ms": seconds * 1000, "rows_per_s": count / seconds, "peak_rss_mb": peak_rss_mb()}
    return Result("verify", name, count, ours, figures if against == "ceiling" else {}, peers, ratios, correct)


def _peer(stage: Stage, table: str = "orders") -> Callable[[], int] | None:
    """reladiff in a process of its own, its start included; None when it is not installed. `table`: of the store."""
    python = os.environ.get("RELADIFF_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import reladiff"], capture_output=True, check=False).returncode:
        return None
    addresses = [stage.source.dsn(DATABASE).replace("mariadb://", "mysql://"), stage.store.dsn("postgres")]

    def compare() -> int:
        done = subprocess.run(
            [python, "-c", _RELADIFF, *addresses, _PEER_COLUMNS, table], capture_output=True, text=True, check=True
        )
        return int(done.stdout.split()[-1])

    return compare
