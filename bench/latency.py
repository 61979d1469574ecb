"""From COMMIT at the source until a query in the store sees the row, at a steady rate of one-row transactions.

Measured from outside: one client writes and notes when COMMIT returned, another asks the store for the highest id and
notes when the answer came. So the figures hold our delay and the time of one query, never less.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from bench import orders
from bench.compare import same_rows
from bench.follower import following
from bench.result import Result
from bench.stage import Stage, open_stage
from bench.stream import begin

RATE_PER_S = 1_000
ROWS = 20_000
_WARM_UP = 1_000
_POLL_S = 0.001
_LIMIT_S = 120.0


def run(rows: int | None) -> Iterator[Result]:
    """One case; so many transactions."""
    count = rows or ROWS
    with open_stage() as stage:
        with stage.source_connection() as source, source.cursor() as cursor:
            cursor.execute(orders.CREATE)
        begin(stage, ("orders",))
        with following(stage) as end:
            committed, visible = _measured(stage, count + _WARM_UP)
            peak = end()
        correct = same_rows(stage, ["orders"])
    delays = sorted((seen - done) * 1000 for done, seen in list(zip(committed, visible, strict=True))[_WARM_UP:])
    ours = {
        "p50_ms": _percentile(delays, 50),
        "p99_ms": _percentile(delays, 99),
        "max_ms": delays[-1],
        "rows_per_s": (len(committed) - 1) / (committed[-1] - committed[0]),
        "peak_rss_mb": peak,
    }
    yield Result("latency", f"{RATE_PER_S} one-row transactions/s", count, ours, correct=correct)


def _measured(stage: Stage, count: int) -> tuple[list[float], list[float]]:
    """When each COMMIT returned, and when its row was first seen."""
    committed: list[float] = []
    writer = threading.Thread(target=_write, args=(stage, count, committed))
    visible: list[float] = []
    with stage.store_connection() as store:
        writer.start()
        deadline = time.perf_counter() + count / RATE_PER_S + _LIMIT_S
        while len(visible) < count:
            row = store.execute("SELECT coalesce(max(id), 0) FROM orders").fetchone()
            now = time.perf_counter()
            # One client writes, so that rows become visible in the order of their ids.
            visible.extend([now] * (int(row[0] if row else 0) - len(visible)))
            if now > deadline:
                raise TimeoutError(f"only {len(visible)} of {count} rows were seen in the store")
            time.sleep(_POLL_S)
    writer.join()
    return committed, visible


def _write(stage: Stage, count: int, committed: list[float]) -> None:
    with stage.source_connection() as source, source.cursor() as cursor:
        begun = time.perf_counter()
        for number, row in enumerate(orders.order_rows(count)):
            ahead = begun + number / RATE_PER_S - time.perf_counter()
            if ahead > 0:
                time.sleep(ahead)
            cursor.execute(orders.INSERT, row)
            committed.append(time.perf_counter())


def _percentile(ordered: list[float], percent: int) -> float:
    """Nearest rank."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
