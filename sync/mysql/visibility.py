"""Proof that reads of the source contain everything up to a low watermark S (rule R1), before any read is trusted.

Neither file:offset nor MariaDB's gtid_binlog_pos says what a SELECT can see: a transaction is in the binlog, and in our
relay, before the engine commits it (semi-synchronous replication stretches that moment to seconds). What counts:
- way A, MariaDB: `binlog_snapshot_*` of a consistent snapshot, as far as `SnapshotClock` trusts it;
- way B, MySQL from 5.7.5 with GTIDs: `gtid_executed`, to which a commit adds its GTID after the engine committed;
- way C, everything else: locking reads, which wait for the transactions that hold the rows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pymysql.cursors import Cursor

from model.errors import AccessDenied, Busy, Refused
from model.position import BinlogCoordinate, Flavour, Position
from model.tables import TableDef
from stores.errors import translated
from stores.mysql import MysqlConnection, ServerInfo, binlog_end, executed_gtids
from sync.mysql.literals import quoted_name

Connect = Callable[[], "MysqlConnection[Any]"]

POLL_S: Final = 0.05
UNTRUSTED_PATIENCE_S: Final = 0.2
"""How long commits are awaited that make MariaDB's snapshot position trustworthy; an idle source has none."""
IDLE_S: Final = 0.05
"""A source that commits nothing for so long is idle: what would be awaited does not come."""
LOCK_WAIT_S: Final = 2
"""LOCK TABLES queues the writers behind it; this is the longest time that they can wait for us."""
LOCKED_READ_LIMIT_BYTES: Final = 64 << 20
"""Largest table without transactions and without a key that is read under its lock."""
TRANSACTIONAL: Final = frozenset({"innodb", "rocksdb", "tokudb", "xtradb"})


class Reading(StrEnum):
    """How chunks have to be read from now on so that they contain S."""

    PLAIN = "plain"
    """Any statement that begins now sees S."""
    LOCKING = "locking"
    """Only LOCK IN SHARE MODE sees S."""


class SnapshotClock:
    """Says when MariaDB's `binlog_snapshot_file/position` may be believed. Thread-safe, one per source.

    When a binlog file is opened, the server moves that mark to its beginning although transactions in the file before
    are still on their way into the engine; when those commit, the mark becomes *their* offset under the *new* name
    (MariaDB 10.11, seen with a semi-synchronous commit and FLUSH BINARY LOGS). At most three groups can be on their
    way, and groups commit in order; so once `GROUPS` groups have committed since the file was first seen, the mark is
    that of a group in this very file, and everything before it is visible.
    """

    GROUPS: Final = 4

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first_seen: dict[str, int] = {}

    def saw(self, file: str, groups: int) -> None:
        """Note that `file` was current when the server had committed `groups` groups."""
        with self._lock:
            self._first_seen[file] = min(groups, self._first_seen.get(file, groups))

    def trusts(self, file: str, groups: int) -> bool:
        """Whether a snapshot in `file`, opened after `groups` groups had committed, has a true position."""
        with self._lock:
            first = self._first_seen.get(file)
        return first is not None and groups - first >= self.GROUPS


@dataclass(frozen=True, slots=True)
class SnapshotMark:
    """Position of an open consistent snapshot of MariaDB, and whether it may be believed."""

    coordinate: BinlogCoordinate
    trusted: bool
    groups: int
    """How many groups the server had committed before it."""


class Visibility:
    """Proves S for the readers of one source."""

    def __init__(self, info: ServerInfo, stop: threading.Event, *, patience_s: float = 15.0) -> None:
        self.info = info
        self.stop = stop
        self.patience_s = patience_s
        self.clock = SnapshotClock()
        self._tried: dict[str, float] = {}
        """Binlog file → when a reader first wanted its position to be trusted."""

    def prove(self, connection: MysqlConnection[Any], low: Position) -> Reading:
        """Wait until S is visible to this connection's next statement, or say that only locking reads will do.

        Raises Busy when a transaction at or before S hangs between binlog and engine for longer than our patience.
        """
        if self.info.mariadb:
            return self._prove_by_snapshot(connection, low)
        if low.gtids and self.info.gtids and self.info.version >= (5, 7, 5):
            self._prove_by_gtids(connection, low)
            return Reading.PLAIN
        return Reading.LOCKING

    def _prove_by_gtids(self, connection: MysqlConnection[Any], low: Position) -> None:
        deadline = time.monotonic() + self.patience_s
        while not _truth(connection, "SELECT GTID_SUBSET(%s, @@GLOBAL.gtid_executed)", low.gtids):
            self._pause(deadline, low)

    def _prove_by_snapshot(self, connection: MysqlConnection[Any], low: Position) -> Reading:
        if self._snapshot_at(connection, low) is None:
            return Reading.LOCKING
        _run(connection, "COMMIT")
        return Reading.PLAIN

    def open_snapshot(self, connection: MysqlConnection[Any]) -> SnapshotMark:
        """START TRANSACTION WITH CONSISTENT SNAPSHOT on MariaDB, and its position."""
        before = _status(connection)
        groups = int(before["binlog_group_commits"])
        self.clock.saw(before["binlog_snapshot_file"], groups)
        start_snapshot(connection)
        after = _status(connection)
        file = after["binlog_snapshot_file"]
        return SnapshotMark(
            BinlogCoordinate(file, int(after["binlog_snapshot_position"])), self.clock.trusts(file, groups), groups
        )

    def _pause(self, deadline: float, low: Position) -> None:
        if time.monotonic() > deadline:
            raise Busy(
                "a transaction of the source hangs between binlog and engine; a copy would not see it",
                hint="Look for commits that wait for a semi-synchronous replica: SHOW PROCESSLIST on the source.",
                position=low,
            )
        if self.stop.wait(POLL_S):
            raise Busy("stopped while waiting for the source's commits", position=low)

    @contextmanager
    def exact(
        self, connect: Connect, control: MysqlConnection[Any], table: TableDef, low: Position
    ) -> Iterator[tuple[MysqlConnection[Any], Position]]:
        """A connection whose reads of `table` are the table exactly at the position given with it, for keyless tables.

        `connect` opens connections for the reads; `control` is asked for positions.

        Raises AccessDenied with the GRANT statement when a table lock is needed and not allowed, Busy when the lock
        cannot be had soon, Refused for a big table of an engine without transactions.
        """
        transactional = table.engine.lower() in TRANSACTIONAL
        reader = connect()
        try:
            if self.info.mariadb and transactional:
                coordinate = self._snapshot_at(reader, low)
                if coordinate is not None:
                    yield reader, Position(Flavour.MARIADB, coordinate)
                    return
            if not transactional and table.bytes_estimate > LOCKED_READ_LIMIT_BYTES:
                raise Refused(
                    f"a table of engine {table.engine} without a key can only be copied while it is locked, "
                    "and it is too big for that",
                    hint="Give the table a primary key, or convert it to InnoDB.",
                    table=table.id,
                )
            locker = connect()
            try:
                position = self._lock(locker, control, table)
                if not transactional:
                    yield locker, position
                    return
                start_snapshot(reader)
                _run(locker, "UNLOCK TABLES")
                yield reader, position
            finally:
                _close(locker)
        finally:
            _close(reader)

    def _snapshot_at(self, connection: MysqlConnection[Any], low: Position) -> BinlogCoordinate | None:
        """Open a snapshot of MariaDB that is proven to contain S and give its position; None when none can be had.

        An idle source gives no proof: no commit makes the clock trust, and S can lie behind the last commit.
        """
        begun = time.monotonic()
        groups: int | None = None
        while True:
            mark = self.open_snapshot(connection)
            if mark.trusted and mark.coordinate >= low.coordinate:
                return mark.coordinate
            _run(connection, "COMMIT")
            now = time.monotonic()
            if mark.trusted and now - begun > self.patience_s:
                return None
            # Waited for once per binlog file: readers come back with every chunk, and commits may come meanwhile.
            patience_s = IDLE_S if mark.groups == groups else UNTRUSTED_PATIENCE_S
            groups = mark.groups if groups is None else groups
            if not mark.trusted and now - self._tried.setdefault(mark.coordinate.file, begun) >= patience_s:
                return None
            self._pause(begun + 2 * self.patience_s, low)

    def _lock(self, connection: MysqlConnection[Any], control: MysqlConnection[Any], table: TableDef) -> Position:
        """Lock the table against writers. Every transaction that wrote it has ended in the engine by then."""
        name = quoted_name(table.id.schema, table.id.name)
        try:
            _run(connection, f"SET SESSION lock_wait_timeout = {LOCK_WAIT_S}, innodb_lock_wait_timeout = {LOCK_WAIT_S}")
            # Up to MySQL 5.6 the lock of the server itself waits for statements only, and a transaction that wrote the
            # table commits beneath it. Without autocommit InnoDB's table lock is taken as well (innodb_table_locks),
            # which a writer holds against us until the engine has committed.
            _run(connection, "SET SESSION autocommit = 0, innodb_table_locks = 1")
            _run(connection, f"LOCK TABLES {name} READ")
        except AccessDenied as error:
            raise AccessDenied(
                "a table without a key is copied under a short lock, and our user may not lock tables",
                hint=f"GRANT LOCK TABLES ON {quoted_name(table.id.schema)}.* TO our user",
                table=table.id,
            ) from error
        end = binlog_end(control, self.info)
        return Position(end.flavour, end.coordinate, executed_gtids(control, self.info))


def start_snapshot(connection: MysqlConnection[Any]) -> None:
    """Open a consistent snapshot now, whatever isolation level the server's default is."""
    _run(connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    _run(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT")


def _run(connection: MysqlConnection[Any], statement: str) -> None:
    with translated("source"), connection.cursor(Cursor) as cursor:
        cursor.execute(statement)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _truth(connection: MysqlConnection[Any], query: str, argument: str) -> bool:
    with translated("source"), connection.cursor(Cursor) as cursor:
        cursor.execute(query, (argument,))
        row = cursor.fetchone()
    return row is not None and _text(row[0]) == "1"


def _status(connection: MysqlConnection[Any]) -> dict[str, str]:
    with translated("source"), connection.cursor(Cursor) as cursor:
        cursor.execute(
            "SHOW STATUS WHERE Variable_name IN "
            "('Binlog_snapshot_file', 'Binlog_snapshot_position', 'Binlog_group_commits')"
        )
        found = {_text(name).lower(): _text(value) for name, value in cursor.fetchall()}
    if not found.get("binlog_snapshot_file"):
        raise Refused(
            "the source writes no binary log",
            hint="Set log_bin on the source and restart it, then: crossfade assess",
        )
    return found


def _close(connection: MysqlConnection[Any]) -> None:
    # Closing ends the transaction and drops table locks; a connection that is already gone has done both.
    if connection.open:
        connection.close()
