"""How busy a source is, as numbers that an operator may set limits to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pymysql.cursors import Cursor

from config.settings import SnapshotSettings
from model.errors import AccessDenied, SourceError
from stores.errors import translated
from stores.mysql import MysqlConnection

_HISTORY: Final = "SELECT `count` FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'"


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """Chunk reads pause above these; None: no limit."""

    threads_running: int | None = None
    history_length: int | None = None
    """Undo logs that InnoDB keeps because somebody may still read old versions of rows."""
    replica_lag_s: float | None = None

    @classmethod
    def of(cls, settings: SnapshotSettings) -> LoadLimits:
        """Those of the first copy."""
        return cls(settings.max_threads_running, settings.max_history_length, settings.max_replica_lag_s)


def threads_running(connection: MysqlConnection[Any]) -> int:
    """Threads_running of the source."""
    return _status(connection, "Threads_running") or 0


def history_length(connection: MysqlConnection[Any]) -> int:
    """InnoDB's history list length. Raises AccessDenied where that needs PROCESS (MySQL), SourceError when it is not
    counted.
    """
    found = _status(connection, "Innodb_history_list_length")  # MariaDB and Percona: anybody may ask
    if found is not None:
        return found
    try:
        with translated("source"), connection.cursor(Cursor) as cursor:
            cursor.execute(_HISTORY)
            row = cursor.fetchone()
    except AccessDenied as error:
        raise AccessDenied(
            f"the history list length cannot be read: {error}", hint="GRANT PROCESS ON *.* to the user of `source`."
        ) from error
    if row is None:
        raise SourceError(
            "the source does not count the history list length",
            hint="SET GLOBAL innodb_monitor_enable = 'trx_rseg_history_len', or unset snapshot.max_history_length.",
        )
    return int(row[0])


def overload(connection: MysqlConnection[Any], limits: LoadLimits) -> str | None:
    """Which of the source's own limits is exceeded, in words; None: none. Raises what the readings raise."""
    readings: tuple[tuple[int | None, Callable[[MysqlConnection[Any]], int], str], ...] = (
        (limits.threads_running, threads_running, "the source runs {} threads"),
        (limits.history_length, history_length, "the source's history list length is {}"),
    )
    for limit, read, words in readings:
        if limit is not None and (found := read(connection)) > limit:
            return f"{words.format(found)}, the limit is {limit}"
    return None


def _status(connection: MysqlConnection[Any], name: str) -> int | None:
    with translated("source"), connection.cursor(Cursor) as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE %s", (name,))
        row = cursor.fetchone()
    return int(row[1]) if row else None
