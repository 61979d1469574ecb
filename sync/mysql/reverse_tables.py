"""Our database on the source: `reverse_progress`, which is checkpoint, fence and loop mark of the reverse streams.

`reverse_slot` beside it says of which write-ahead log the positions are. Together they are the promise that nothing was
confirmed to a slot that is not written here (`sync/slot_promise.py`).

Every transaction that the reverse stream commits on the source writes to this table first and last: first, so that the
forward reader knows it for ours by its first table map and drops it; last, the position that makes it exactly once.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pymysql.cursors import Cursor

from model.errors import ConfigError, ConnectionLost, Fenced
from model.tables import TableId
from model.wal import WalOrigin
from stores.errors import translated
from stores.mysql import MysqlConnection
from sync.mysql.literals import quoted_name

DATABASE: Final = "crossfade_control"
PROGRESS: Final = "reverse_progress"
SLOT: Final = "reverse_slot"
_NAME = re.compile(r"[A-Za-z0-9_$]{1,64}")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one reverse stream has come. Everything of the store up to `lsn` is in the source."""

    domain: str
    store: str
    lsn: int
    epoch: int
    transactions: int = 0
    rows: int = 0
    commit_time: float | None = None
    """Epoch seconds of the store's last commit that was applied."""


def mark_table(database: str = DATABASE) -> TableId:
    """The table by which a transaction of the binlog is known as ours."""
    return TableId(database, PROGRESS)


def is_ours(tables: Iterable[TableId], database: str = DATABASE) -> bool:
    """Whether a source transaction that touches `tables` came from a reverse stream."""
    return mark_table(database) in tables


def create(connection: MysqlConnection[Any], database: str = DATABASE) -> None:
    """Make database and tables; idempotent. Needs CREATE on the database. Raises AccessDenied, ConfigError."""
    if not _NAME.fullmatch(database):
        raise ConfigError(f"{database!r} cannot be the name of our database on the source")
    with translated("source"), connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_notes = 0")
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS {quoted_name(database)} CHARACTER SET utf8mb4")
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS {quoted_name(database, PROGRESS)} ("
            "domain VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, "
            "store VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, "
            "lsn BIGINT UNSIGNED NOT NULL, epoch BIGINT NOT NULL, touched BIGINT UNSIGNED NOT NULL DEFAULT 0, "
            "transactions BIGINT UNSIGNED NOT NULL DEFAULT 0, applied_rows BIGINT UNSIGNED NOT NULL DEFAULT 0, "
            "commit_time DOUBLE NULL, updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP "
            "ON UPDATE CURRENT_TIMESTAMP, PRIMARY KEY (domain, store)) ENGINE=InnoDB"
        )
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS {quoted_name(database, SLOT)} ("
            "domain VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, "
            "store VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, "
            "system_identifier BIGINT UNSIGNED NOT NULL, timeline BIGINT UNSIGNED NOT NULL, "
            "PRIMARY KEY (domain, store)) ENGINE=InnoDB"
        )
        cursor.execute("SET SESSION sql_notes = 1")


def read(connection: MysqlConnection[Any], domain: str, store: str, database: str = DATABASE) -> Progress | None:
    """The progress row, None before the first start."""
    with translated("source"), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT lsn, epoch, transactions, applied_rows, commit_time FROM {quoted_name(database, PROGRESS)} "
            "WHERE domain = %s AND store = %s",
            (domain, store),
        )
        row = cursor.fetchone()
    if row is None:
        return None
    lsn, epoch, transactions, rows, commit_time = row
    moment = None if commit_time is None else float(commit_time)
    return Progress(domain, store, int(lsn), int(epoch), int(transactions), int(rows), moment)


def take(
    connection: MysqlConnection[Any], domain: str, store: str, lsn: int, epoch: int, database: str = DATABASE
) -> Progress:
    """Make the row ours: created at `lsn`, or its epoch raised to ours. Its position never goes back.

    Raises Fenced when a later epoch has it.
    """
    table = quoted_name(database, PROGRESS)
    with translated("source"), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (domain, store, lsn, epoch) VALUES (%s, %s, %s, %s) "
            "ON DUPLICATE KEY UPDATE lsn = GREATEST(lsn, IF(epoch <= VALUES(epoch), VALUES(lsn), 0)), "
            "epoch = GREATEST(epoch, VALUES(epoch))",
            (domain, store, lsn, epoch),
        )
        cursor.execute("COMMIT")
    progress = read(connection, domain, store, database)
    if progress is None or progress.epoch != epoch:
        theirs = progress.epoch if progress else None
        raise Fenced("a later epoch drives this reverse stream", domain=domain, store=store, ours=epoch, theirs=theirs)
    return progress


def origin(connection: MysqlConnection[Any], domain: str, store: str, database: str = DATABASE) -> WalOrigin | None:
    """Of which log the progress row's position is; None before the first session, also of an older version."""
    if not _has_slots(connection, database):
        return None
    with translated("source"), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT system_identifier, timeline FROM {quoted_name(database, SLOT)} WHERE domain = %s AND store = %s",
            (domain, store),
        )
        row = cursor.fetchone()
    return None if row is None else WalOrigin(int(row[0]), int(row[1]))


def adopt(
    connection: MysqlConnection[Any], progress: Progress, lsn: int, whose: WalOrigin, database: str = DATABASE
) -> Progress:
    """Write down, before anything is confirmed, from where on a slot is trusted and whose log it reads.

    `connection` counts found rows. Raises ConnectionLost (begin anew) when another stream has moved the progress.
    """
    if not _has_slots(connection, database):
        create(connection, database)
    after = dataclasses.replace(progress, lsn=lsn)
    with translated("source"), connection.cursor() as cursor:
        cursor.execute("BEGIN")
        if cursor.execute(advance_statement(progress, after, database)) != 1:
            raise ConnectionLost("another stream has moved the progress meanwhile", domain=progress.domain)
        _enter(cursor, progress.domain, progress.store, whose, database)
        cursor.execute("COMMIT")
    return after


def begin_anew(
    connection: MysqlConnection[Any], domain: str, store: str, lsn: int, epoch: int, whose: WalOrigin,
    database: str = DATABASE,
) -> None:  # fmt: skip
    """Everything of the store before `lsn` is of no concern any more, whatever was promised: its slot begins there.

    Only where nothing waits to be sent back. A row of a later epoch keeps its position.
    """
    with translated("source"), connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(
            f"INSERT INTO {quoted_name(database, PROGRESS)} (domain, store, lsn, epoch) VALUES (%s, %s, %s, %s) "
            "ON DUPLICATE KEY UPDATE lsn = IF(epoch <= VALUES(epoch), VALUES(lsn), lsn), "
            "epoch = GREATEST(epoch, VALUES(epoch))",
            (domain, store, lsn, epoch),
        )
        _enter(cursor, domain, store, whose, database)
        cursor.execute("COMMIT")


def _enter(cursor: Cursor, domain: str, store: str, whose: WalOrigin, database: str) -> None:
    cursor.execute(
        f"REPLACE INTO {quoted_name(database, SLOT)} (domain, store, system_identifier, timeline) "
        "VALUES (%s, %s, %s, %s)",
        (domain, store, whose.system_identifier, whose.timeline),
    )


def _has_slots(connection: MysqlConnection[Any], database: str) -> bool:
    with translated("source"), connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s", (database, SLOT)
        )
        return cursor.fetchone() is not None


def mark_statement(progress: Progress, database: str) -> bytes:
    """First statement of a transaction: the loop mark, the fence, and the lock that keeps a second writer out."""
    return f"UPDATE {quoted_name(database, PROGRESS)} SET touched = touched + 1 WHERE {_still(progress)}".encode()


def advance_statement(progress: Progress, after: Progress, database: str) -> bytes:
    """Last statement before COMMIT: the position, compare-and-set on the one before."""
    moment = "NULL" if after.commit_time is None else f"{after.commit_time:.6f}"
    return (
        f"UPDATE {quoted_name(database, PROGRESS)} SET lsn = {after.lsn:d}, transactions = {after.transactions:d}, "
        f"applied_rows = {after.rows:d}, commit_time = {moment} WHERE {_still(progress)}"
    ).encode()


def _still(progress: Progress) -> str:
    return (
        f"domain = '{_checked(progress.domain)}' AND store = '{_checked(progress.store)}' "
        f"AND epoch = {progress.epoch:d} AND lsn = {progress.lsn:d}"
    )


def _checked(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,63}", name):
        raise ConfigError(f"{name!r} cannot be the name of a domain or store in a reverse stream")
    return name
