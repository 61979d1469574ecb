"""Lag and throughput of each store over time: one row per store and span of some seconds, kept for some days."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from stores.postgres import PostgresConnection


@dataclass(frozen=True, slots=True)
class Sample:
    """One span of one store, ending at `at`. `lag_s` is the median of what was seen, `rows` what was applied."""

    at: datetime
    store: str
    lag_s: float | None
    lag_max_s: float | None
    rows: int
    seconds: float


def add(connection: PostgresConnection, name: str, samples: Iterable[Sample]) -> None:
    """Enter samples; one that is there already stays."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO crossfade.sample (name, at, store, lag_s, lag_max_s, rows, seconds) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [(name, one.at, one.store, one.lag_s, one.lag_max_s, one.rows, one.seconds) for one in samples],
        )


def prune(connection: PostgresConnection, name: str, keep_days: float) -> int:
    """Forget samples older than that; gives how many."""
    return connection.execute(
        "DELETE FROM crossfade.sample WHERE name = %s AND at < clock_timestamp() - make_interval(secs => %s)",
        (name, keep_days * 86_400.0),
    ).rowcount


def since(connection: PostgresConnection, name: str, since_s: float, spans: int = 400) -> tuple[Sample, ...]:
    """The last `since_s` seconds in at most `spans` equal spans per store, oldest first.

    Of several samples in a span: the median lag, the highest lag, all rows.
    """
    rows = connection.execute(
        "SELECT max(at), store, percentile_cont(0.5) WITHIN GROUP (ORDER BY lag_s), max(lag_max_s), "
        "sum(rows)::bigint, sum(seconds) FROM crossfade.sample "
        "WHERE name = %(name)s AND at > clock_timestamp() - make_interval(secs => %(since)s) "
        "GROUP BY store, floor(extract(epoch from at) / greatest(%(since)s::float8 / %(spans)s, 1)) ORDER BY 1, 2",
        {"name": name, "since": since_s, "spans": spans},
    ).fetchall()
    return tuple(Sample(*row) for row in rows)


@dataclass(frozen=True, slots=True)
class LagFigures:
    """Percentiles of a store's lag over some time, seconds; `longest_s` is the highest that was ever seen in it."""

    store: str
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    longest_s: float | None
    rows: int
    seconds: float


def figures(connection: PostgresConnection, name: str, since_s: float) -> tuple[LagFigures, ...]:
    """Figures of every store over the last `since_s` seconds. The percentiles are of the spans' highest lags."""
    rows = connection.execute(
        "SELECT store, percentile_cont(0.5) WITHIN GROUP (ORDER BY lag_max_s), "
        "percentile_cont(0.95) WITHIN GROUP (ORDER BY lag_max_s), "
        "percentile_cont(0.99) WITHIN GROUP (ORDER BY lag_max_s), max(lag_max_s), sum(rows)::bigint, sum(seconds) "
        "FROM crossfade.sample WHERE name = %s AND at > clock_timestamp() - make_interval(secs => %s) "
        "GROUP BY store ORDER BY store",
        (name, since_s),
    ).fetchall()
    return tuple(LagFigures(*row) for row in rows)
