"""The chunk ledger of verification runs: which spans are to be compared, who works on which, and what came of them.

A chunk is taken under a lease, with FOR UPDATE SKIP LOCKED, so that any number of workers on any hosts share a run. A
lease ends when its time is up by the control store's clock, or at once when the session that took it is gone. A result
is entered only by the lease that it was made under.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Json, Jsonb

from stores.postgres import PostgresConnection


@dataclass(frozen=True, slots=True)
class LedgerChunk:
    """One chunk of a run, as it was taken."""

    number: int
    plan_id: str
    span: Mapping[str, Any]
    rows: int
    attempts: int
    """How often it was taken before."""
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class LedgerCount:
    """How far a run is."""

    chunks: int
    done: int
    leased: int
    """Chunks with a living lease."""
    rows: int
    rows_done: int


_LIVING = (
    "state = 'leased' AND lease_until > clock_timestamp() "
    "AND EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = lease_pid)"
)


def add(connection: PostgresConnection, run: int, chunks: Sequence[tuple[str, Mapping[str, Any], int]]) -> None:
    """Enter the chunks of a run: plan, span, estimated rows, in the order in which they are to be taken."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO crossfade.verify_chunk (run_id, chunk_no, plan_id, span, rows) VALUES (%s, %s, %s, %s, %s)",
            [(run, number, plan_id, Jsonb(dict(span)), rows) for number, (plan_id, span, rows) in enumerate(chunks)],
        )


def take(connection: PostgresConnection, run: int, lease: str, lease_s: float) -> LedgerChunk | None:
    """Lease the next chunk of a running run; None when every chunk is done or leased, or the run is to stop."""
    row = connection.execute(
        # Materialised: as a plain subquery it might be evaluated, and lock, more than once.
        "WITH next AS MATERIALIZED (SELECT run_id, chunk_no FROM crossfade.verify_chunk "
        f"WHERE run_id = %(run)s AND state <> 'done' AND NOT ({_LIVING}) "
        "AND EXISTS (SELECT 1 FROM crossfade.verify_run WHERE id = %(run)s AND state = 'running') "
        "ORDER BY chunk_no LIMIT 1 FOR UPDATE SKIP LOCKED) "
        "UPDATE crossfade.verify_chunk AS c SET state = 'leased', lease = %(lease)s, lease_pid = pg_backend_pid(), "
        "lease_until = clock_timestamp() + make_interval(secs => %(seconds)s), attempts = attempts + 1 "
        "FROM next WHERE c.run_id = next.run_id AND c.chunk_no = next.chunk_no "
        "RETURNING c.chunk_no, c.plan_id, c.span, c.rows, c.attempts - 1, clock_timestamp()".encode(),
        {"run": run, "lease": lease, "seconds": lease_s},
    ).fetchone()
    return LedgerChunk(*row) if row else None


def extend(connection: PostgresConnection, run: int, leases: Sequence[str], lease_s: float) -> None:
    """Prolong leases; they hang on this session from now on."""
    connection.execute(
        "UPDATE crossfade.verify_chunk SET lease_until = clock_timestamp() + make_interval(secs => %s), "
        "lease_pid = pg_backend_pid() WHERE run_id = %s AND state = 'leased' AND lease = ANY(%s)",
        (lease_s, run, list(leases)),
    )


def finish(
    connection: PostgresConnection, run: int, number: int, lease: str, rows: int, result: Mapping[str, Any]
) -> bool:
    """Enter what came of a chunk; False when the lease was lost, and somebody else does the chunk."""
    done = connection.execute(
        "UPDATE crossfade.verify_chunk SET state = 'done', result = %s, rows = %s, done_at = clock_timestamp(), "
        "lease = NULL, lease_pid = NULL WHERE run_id = %s AND chunk_no = %s AND lease = %s",
        (Json(dict(result)), rows, run, number, lease),
    )
    return done.rowcount == 1


def release(connection: PostgresConnection, run: int, number: int, lease: str) -> None:
    """Give a chunk back."""
    connection.execute(
        "UPDATE crossfade.verify_chunk SET state = 'open', lease = NULL, lease_pid = NULL "
        "WHERE run_id = %s AND chunk_no = %s AND lease = %s",
        (run, number, lease),
    )


def split(
    connection: PostgresConnection,
    run: int,
    number: int,
    lease: str,
    halves: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> None:
    """Replace a chunk by two; nothing when the lease was lost."""
    with connection.transaction():
        done = connection.execute(
            "UPDATE crossfade.verify_chunk SET state = 'open', lease = NULL, lease_pid = NULL, span = %s, "
            "rows = rows / 2, attempts = 0 WHERE run_id = %s AND chunk_no = %s AND lease = %s RETURNING plan_id, rows",
            (Jsonb(dict(halves[0])), run, number, lease),
        ).fetchone()
        if done is not None:
            connection.execute(
                "INSERT INTO crossfade.verify_chunk (run_id, chunk_no, plan_id, span, rows) "
                "SELECT %s, max(chunk_no) + 1, %s, %s, %s FROM crossfade.verify_chunk WHERE run_id = %s",
                (run, done[0], Jsonb(dict(halves[1])), done[1], run),
            )


def reopen(connection: PostgresConnection, run: int) -> None:
    """Take up again what a stopped run has not decided: chunks whose verdict is inconclusive are open again."""
    connection.execute(
        "UPDATE crossfade.verify_chunk SET state = 'open', result = NULL, attempts = 0 "
        "WHERE run_id = %s AND state = 'done' AND result ->> 'outcome' = 'inconclusive'",
        (run,),
    )


def count(connection: PostgresConnection, run: int) -> LedgerCount:
    """How far a run is."""
    row = connection.execute(
        f"SELECT count(*), count(*) FILTER (WHERE state = 'done'), count(*) FILTER (WHERE {_LIVING}), "
        "coalesce(sum(rows), 0), coalesce(sum(rows) FILTER (WHERE state = 'done'), 0) "
        "FROM crossfade.verify_chunk WHERE run_id = %s".encode(),
        (run,),
    ).fetchone()
    assert row is not None
    return LedgerCount(*map(int, row))


def found(connection: PostgresConnection, run: int, plan_id: str) -> int:
    """How many differing rows of a plan the run has found by now."""
    row = connection.execute(
        "SELECT coalesce(sum(json_array_length(result -> 'findings')), 0) FROM crossfade.verify_chunk "
        "WHERE run_id = %s AND plan_id = %s AND state = 'done'",
        (run, plan_id),
    ).fetchone()
    return int(row[0]) if row else 0


def results(
    connection: PostgresConnection, run: int
) -> list[tuple[str, Mapping[str, Any], int, Mapping[str, Any] | None]]:
    """Plan, span, rows and result (None: not done) of every chunk, in the order of chunks."""
    rows = connection.execute(
        "SELECT plan_id, span, rows, result FROM crossfade.verify_chunk WHERE run_id = %s ORDER BY chunk_no", (run,)
    ).fetchall()
    return [(plan_id, span, int(number), result) for plan_id, span, number, result in rows]


def forget(connection: PostgresConnection, name: str, keep_runs: int) -> None:
    """Drop the ledgers of all finished runs of a migration but the last ones: their verdicts stay."""
    connection.execute(
        "DELETE FROM crossfade.verify_chunk WHERE run_id IN (SELECT id FROM crossfade.verify_run "
        "WHERE name = %s AND state = 'finished' ORDER BY id DESC OFFSET %s)",
        (name, keep_runs),
    )
