"""Catching up: from the source's binlog to the store's checkpoint, by reader, relay and applier of the daemon.

Each round the source writes, then ours follows, then the ceiling does the same to a twin of the table. pg_chameleon and
Debezium are measured where they are installed, on fewer rows: their rates do not depend on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from statistics import median
from typing import Protocol

from bench import chameleon
from bench.ceiling import Ceiling
from bench.changes import Changes
from bench.compare import same_rows
from bench.debezium import peer as debezium
from bench.follower import catch_up, following
from bench.result import Figures, Result, ratios_of
from bench.stage import Stage, open_stage, timed
from bench.workloads import SPREAD, WORKLOADS, Workload
from daemon.planning import read_plan
from sync.postgres.schema_apply import apply_schema
from transforms.ddl import Phase

ROUNDS = 3
PEER_CASES = {"insert", "mixed update/delete"}


class Peer(Protocol):
    """What a module of another program offers."""

    NAME: str
    ROWS: int
    """How many rows its rate is taken of."""

    def installed(self) -> bool:
        """Whether the program can be run."""

    def catch_up_rate(self, stage: Stage, changes: Changes) -> float:
        """Rows a second of one round of `changes`."""


PEERS: tuple[Peer, ...] = (chameleon, debezium)
TABLES = "tables"
"""The case that is all of `SPREAD`; it is run only when it is asked for."""
CASES = (*WORKLOADS, TABLES, *SPREAD)


def run(rows: int | None, case: str | None = None) -> Iterator[Result]:
    """Every case of `WORKLOADS`, or one; `rows` changes a round."""
    known = WORKLOADS | SPREAD
    for name in WORKLOADS if case is None else SPREAD if case == TABLES else (case,):
        kind, default = known[name]
        with open_stage(kind.source) as stage:
            yield _measured(name, kind(stage, rows or default, ROUNDS), stage)


def begin(stage: Stage, tables: tuple[str, ...]) -> None:
    """Make the target tables and let a follower copy what is there."""
    planned = read_plan(stage.settings)
    with closing(stage.store_connection()) as connection:
        apply_schema(connection, [plan.target for plan in planned.plan.plans], Phase.BEFORE_COPY)
    with following(stage) as end:
        end()
    with closing(stage.store_connection()) as connection:
        for table in tables:
            connection.execute(f'VACUUM ANALYZE "{table}"'.encode())


def _measured(name: str, workload: Workload, stage: Stage) -> Result:
    workload.create()
    begin(stage, workload.tables)
    lines = stage.folder / "lines"
    lines.mkdir()
    taken: list[float] = []
    busy: list[float] = []
    copied: list[float] = []
    upserted: list[float] = []
    written: list[float] = []
    peak = 0.0
    with closing(stage.store_connection()) as connection:
        ceiling = Ceiling(connection, workload.tables, lines)
        for round_ in range(workload.rounds):
            written.append(timed(partial(workload.write, round_)))
            connection.execute(b"CHECKPOINT")
            done = catch_up(stage)
            taken.append(done.seconds)
            busy.append(done.cpu_seconds)
            peak = max(peak, done.peak_rss_mb)
            batches = list(workload.batches(round_))
            prepared = ceiling.prepare(batches)
            connection.execute(b"CHECKPOINT")
            upserted.append(timed(partial(ceiling.upsert, prepared)))
            if workload.fresh:
                ceiling.rewind(batches)
                connection.execute(b"CHECKPOINT")
                copied.append(timed(partial(ceiling.copy, prepared)))
        correct = ceiling.same() and same_rows(stage, list(workload.tables))
    rows = workload.rows
    ours = {
        "rows_per_s": rows / median(taken),
        "cpu_us_per_row": 1_000_000 * median(busy) / rows,
        "peak_rss_mb": peak,
    }
    limit: Figures = {"rows_per_s": rows / median(copied or upserted)}
    peers: dict[str, Figures] = {}
    if workload.fresh:
        peers["copy and upsert"] = {"rows_per_s": rows / median(upserted)}
    if workload.single:
        peers["copy"], limit = limit, {"rows_per_s": rows / median(written)}
    if name in PEER_CASES:
        for peer in PEERS:
            if peer.installed():
                peers[peer.NAME] = {"rows_per_s": _peer_rate(peer, type(workload), rows)}
    return Result("stream", name, rows, ours, limit, peers, ratios_of(ours["rows_per_s"], limit, peers), correct)


def _peer_rate(peer: Peer, kind: type[Workload], rows: int) -> float:
    """Rows per second of a peer, on servers of its own; of `rows` at most."""
    with open_stage(kind.source) as stage:
        workload = kind(stage, min(peer.ROWS, rows), 2)
        workload.create()
        return peer.catch_up_rate(stage, Changes(stage, workload))
