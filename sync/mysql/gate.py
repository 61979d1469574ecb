"""The write gate of one domain on the source: closed by one UPDATE that is also the barrier for writers in flight.

Every change of the gate row is a compare-and-set on its epoch; a lost answer is settled by reading the row again. The
row is the truth about who may write: closed without an end is the point of no return.

Our reverse stream writes through the closed gate. It cannot be told by its user alone, for it may share the
application's; so its sessions show a secret in a user variable, our table holds only the secret's SHA-256, and every
daemon sets a new one: a displaced daemon's sessions are refused like everybody else's.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import pymysql

from model.errors import Busy, Fenced, Refused
from model.tables import TableId
from stores.errors import translated
from stores.mysql import MysqlConnection, ServerInfo
from sync.mysql import reverse_tables
from sync.mysql.gate_ddl import (
    GATE,
    MARKER,
    MESSAGE,
    PASS,
    Event,
    checked_domain,
    drop_trigger_ddl,
    gate_table_ddl,
    marker_table_ddl,
    pass_table_ddl,
    trigger_body,
    trigger_ddl,
    trigger_name,
)
from sync.mysql.literals import quoted_name

LOCK_WAIT_S: Final = 3
"""How long closing waits for writers in flight before the attempt counts as failed."""
_SIGNAL: Final = 1644
_LOCK_WAIT: Final = 1205
_NO_ANSWER: Final = frozenset({0, 1053, 1142, 1205, 1213, 1927, 2006, 2013, 2014, 2055, 4031})
"""Errors of a canary write that say nothing about the gate: lost, denied, deadlocked."""
_MANY_TRIGGERS_MYSQL: Final = (5, 7, 2)
_MANY_TRIGGERS_MARIADB: Final = (10, 2, 3)
"""Since these a table may have several triggers for the same event."""
_NOW: Final = "UNIX_TIMESTAMP(SYSDATE(6))"


@dataclass(frozen=True, slots=True)
class GateRow:
    """The gate as the source has it. `left_s`: seconds until it opens by itself; None: it does not."""

    domain: str
    epoch: int
    closed: bool
    left_s: float | None

    @property
    def refuses(self) -> bool:
        """Whether writers are turned away now."""
        return self.closed and (self.left_s is None or self.left_s > 0)

    @property
    def final(self) -> bool:
        """Whether it is closed for good: the point of no return was passed."""
        return self.closed and self.left_s is None


@dataclass(frozen=True, slots=True)
class _Trigger:
    """A trigger of a table as the catalogue has it."""

    table: TableId
    name: str
    event: Event
    before: bool
    body: str
    ours: bool


class SourceGate:
    """The gate of one domain, through the caller's connection (autocommit, UTC)."""

    def __init__(self, connection: MysqlConnection[Any], domain: str, database: str = reverse_tables.DATABASE) -> None:
        self._connection = connection
        self._domain = checked_domain(domain)
        self._database = database
        self._gate = quoted_name(database, GATE)

    # -- making it

    def prepare(self, info: ServerInfo, tables: Iterable[TableId]) -> list[str]:
        """Make our tables, the open gate row and the missing triggers; gives the statements that were run.

        Nothing is refused to anybody by this. CREATE TRIGGER waits for transactions that use the table, 5 s at most
        (raises Busy, try again). Raises Refused when a table cannot have our triggers, AccessDenied.
        """
        tables = tuple(tables)
        blocked = self.blocked(info, tables)
        if blocked:
            name, reason = next(iter(blocked.items()))
            body = trigger_body(self._domain, self._database)
            raise Refused(
                reason, table=name,
                hint="Make that trigger anew (under LOCK TABLES … WRITE, so that no write passes between) with its own "
                f"statements between BEGIN and END, and this before them: {body}; its definer needs SELECT on "
                f"{self._database}.*",
            )  # fmt: skip
        done: list[str] = []
        reverse_tables.create(self._connection, self._database)
        with translated("source"), self._connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_notes = 0")
            cursor.execute(gate_table_ddl(self._database))
            cursor.execute(pass_table_ddl(self._database))
            cursor.execute(marker_table_ddl(self._database))
            cursor.execute("SET SESSION sql_notes = 1")
            cursor.execute(f"INSERT IGNORE INTO {self._gate} (domain) VALUES (%s)", (self._domain,))
            cursor.execute(
                f"INSERT IGNORE INTO {quoted_name(self._database, MARKER)} (domain) VALUES (%s)", (self._domain,)
            )
            cursor.execute("SET SESSION lock_wait_timeout = 5")
            try:
                for table, event in self.missing(tables):
                    statement = trigger_ddl(self._domain, table, event, self._database)
                    cursor.execute(drop_trigger_ddl(self._domain, table, event))
                    cursor.execute(statement)
                    done.append(statement)
            finally:
                cursor.execute("SET SESSION lock_wait_timeout = DEFAULT")
        return done

    def remove(self, tables: Iterable[TableId]) -> None:
        """Drop the triggers and the gate row."""
        with translated("source"), self._connection.cursor() as cursor:
            for table in tables:
                for event in Event:
                    cursor.execute(drop_trigger_ddl(self._domain, table, event))
            for name in (GATE, PASS, MARKER):
                table_name = quoted_name(self._database, name)
                cursor.execute(f"DELETE FROM {table_name} WHERE domain = %s", (self._domain,))

    def missing(self, tables: Iterable[TableId]) -> list[tuple[TableId, Event]]:
        """Triggers that are not there, or do something else than they should."""
        tables = tuple(tables)
        wanted = _plain(trigger_body(self._domain, self._database))
        there = {
            (one.table, one.event)
            for one in self._triggers(tables)
            if (_plain(one.body) == wanted if one.ours else one.before and wanted in _plain(one.body))
        }
        return [(table, event) for table in tables for event in Event if (table, event) not in there]

    def hosts(self, tables: Iterable[TableId]) -> list[str]:
        """Triggers of others that have our gate in them: who takes the gate's row away has to mend these first."""
        wanted = _plain(trigger_body(self._domain, self._database))
        return [one.name for one in self._triggers(tables) if not one.ours and wanted in _plain(one.body)]

    def blocked(self, info: ServerInfo, tables: Iterable[TableId]) -> dict[str, str]:
        """Tables that have no place for our triggers, with the reason: another's is there, without our gate in it."""
        many = _MANY_TRIGGERS_MARIADB if info.mariadb else _MANY_TRIGGERS_MYSQL
        if info.version >= many:
            return {}
        wanted = _plain(trigger_body(self._domain, self._database))
        return {
            str(
                one.table
            ): f"{one.table} has the trigger {one.name} BEFORE {one.event}, and {info.version_text} allows "
            "only one trigger per event: the gate has no place of its own"
            for one in self._triggers(tables)
            if one.before and not one.ours and wanted not in _plain(one.body)
        }

    def _triggers(self, tables: Iterable[TableId]) -> list[_Trigger]:
        """Every trigger of the tables, ours of this domain and others'."""
        tables = tuple(tables)
        ours = {trigger_name(self._domain, table, event) for table in tables for event in Event}
        found: list[_Trigger] = []
        with translated("source"), self._connection.cursor() as cursor:
            for schema in sorted({table.schema for table in tables}):
                cursor.execute(
                    "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME, EVENT_MANIPULATION, ACTION_TIMING, ACTION_STATEMENT "
                    "FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s",
                    (schema,),
                )
                for name, trigger, event, timing, body in cursor.fetchall():
                    table = TableId(schema, str(name))
                    if table in tables:
                        text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
                        found.append(
                            _Trigger(table, str(trigger), Event(event), timing == "BEFORE", text, str(trigger) in ours)
                        )
        return found

    # -- the row

    def read(self) -> GateRow | None:
        """The row now, None before `prepare`."""
        with translated("source"), self._connection.cursor() as cursor:
            try:
                cursor.execute(
                    f"SELECT epoch, closed, expires_s - {_NOW} FROM {self._gate} WHERE domain = %s", (self._domain,)
                )
            except pymysql.err.ProgrammingError as error:
                if error.args[0] in (1049, 1146):
                    return None
                raise
            except pymysql.err.OperationalError as error:
                if error.args[0] == 1049:
                    return None
                raise
            row = cursor.fetchone()
        if row is None:
            return None
        epoch, closed, left = row
        return GateRow(self._domain, int(epoch), bool(closed), None if left is None else float(left))

    def must_read(self) -> GateRow:
        """The row now. Raises Refused when it is gone."""
        row = self.read()
        if row is None:
            raise Refused("the source has no gate for this domain", hint="Prepare it anew.", domain=self._domain)
        return row

    def set_pass(self, secret: str) -> None:
        """Make `secret` the only pass through the closed gate."""
        digest = hashlib.sha256(secret.encode()).digest()
        with translated("source"), self._connection.cursor() as cursor:
            cursor.execute(
                f"REPLACE INTO {quoted_name(self._database, PASS)} (domain, pass_hash) VALUES (%s, %s)",
                (self._domain, digest),
            )

    def close(self, was: int, epoch: int, budget_s: float) -> GateRow:
        """Close for `budget_s` seconds and wait until every writer in flight has ended.

        `was` is the epoch expected. Raises Busy when writers took longer than 3 s (nothing is changed), Fenced.
        """
        return self._swap(
            f"closed = 1, epoch = {epoch:d}, expires_s = {_NOW} + {Decimal(str(budget_s))}",
            f"epoch = {was:d} AND (closed = 0 OR expires_s IS NOT NULL)",
            epoch,
        )

    def extend_for_good(self, epoch: int, margin_s: float = 2.0) -> bool:
        """The point of no return: closed for good, if it is still closed for at least `margin_s`. False: it is not."""
        row = self._try(
            "expires_s = NULL", f"epoch = {epoch:d} AND closed = 1 AND expires_s > {_NOW} + {Decimal(str(margin_s))}"
        )
        return row.final and row.epoch == epoch

    def abandon(self, epoch: int, next_epoch: int) -> bool:
        """Undo a closing that has not passed the point of no return: open again, under a later epoch, so that a
        frozen daemon's compare-and-set finds nothing. False: it had been passed.

        A gate that refuses nobody, because it was never closed or its time is over, is left alone while a writer holds
        its row: there is nothing to undo, and to wait for the row would keep other writers waiting. Raises Busy when it
        is closed and cannot be opened now.
        """
        try:
            row = self._try(
                f"closed = 0, expires_s = NULL, epoch = {next_epoch:d}",
                f"epoch <= {epoch:d} AND NOT (epoch = {epoch:d} AND closed = 1 AND expires_s IS NULL)",
            )
        except Busy:
            row = self.must_read()
            if row.refuses or row.epoch > next_epoch:
                raise
            return True
        return row.epoch == next_epoch and not row.closed

    def reopen(self, was: int, epoch: int) -> bool:
        """The point of no return of a rollback: the source takes writes again. False: somebody was faster."""
        row = self._try(
            f"closed = 0, expires_s = NULL, epoch = {epoch:d}",
            f"epoch = {was:d} AND closed = 1 AND expires_s IS NULL",
        )
        return row.epoch == epoch and not row.closed

    def renumber(self, was: int, epoch: int) -> bool:
        """Raise the epoch of a gate that is closed for good, so that an older one's `reopen` finds nothing."""
        row = self._try(f"epoch = {epoch:d}", f"epoch = {was:d} AND closed = 1 AND expires_s IS NULL")
        return row.epoch == epoch and row.final

    def shut_again(self, epoch: int) -> bool:
        """Close for good a gate that should be, of this epoch or before; False when it was. A later one is not touched.

        For when a hand opened it, or a failover lost the commit that had closed it.
        """
        row = self.must_read()
        if row.final or row.epoch > epoch:
            return False
        self._try(
            f"closed = 1, expires_s = NULL, epoch = {epoch:d}",
            f"epoch <= {epoch:d} AND NOT (closed = 1 AND expires_s IS NULL)",
        )
        return True

    def mark(self) -> int:
        """Rewrite the marker row; what is in the binlog up to now is what the stores must reach. Gives its number."""
        table = quoted_name(self._database, MARKER)
        with translated("source"), self._connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET number = number + 1 WHERE domain = %s", (self._domain,))
        number = self.marked()
        if number is None:
            raise Refused("the source has no marker for this domain", hint="Prepare it anew.", domain=self._domain)
        return number

    def marked(self) -> int | None:
        """The number in the marker row, None when there is none."""
        with translated("source"), self._connection.cursor() as cursor:
            try:
                cursor.execute(
                    f"SELECT number FROM {quoted_name(self._database, MARKER)} WHERE domain = %s", (self._domain,)
                )
            except (pymysql.err.ProgrammingError, pymysql.err.OperationalError) as error:
                if error.args[0] in (1049, 1146):
                    return None
                raise
            row = cursor.fetchone()
        return None if row is None else int(row[0])

    def _swap(self, changes: str, condition: str, epoch: int) -> GateRow:
        row = self._try(changes, condition)
        if row.epoch != epoch or not row.closed:
            raise Fenced("the gate belongs to another epoch", domain=self._domain, ours=epoch, theirs=row.epoch)
        return row

    def _try(self, changes: str, condition: str) -> GateRow:
        """One compare-and-set; the row afterwards tells what came of it, also when it was done before."""
        with translated("source"), self._connection.cursor() as cursor:
            cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT_S}")
            try:
                cursor.execute(f"UPDATE {self._gate} SET {changes} WHERE domain = %s AND {condition}", (self._domain,))
            except pymysql.err.MySQLError as error:
                if error.args[0] != _LOCK_WAIT:
                    raise
                raise Busy(
                    "a transaction on the source holds the gate's row and does not end",
                    hint="The oldest is likely it: SELECT * FROM information_schema.INNODB_TRX ORDER BY trx_started",
                    domain=self._domain,
                ) from error
            finally:
                cursor.execute("SET SESSION innodb_lock_wait_timeout = DEFAULT")
        return self.must_read()

    # -- proof

    def refused(self, table: TableId) -> bool:
        """Whether a writer like an application is turned away on a table. Raises Busy without an answer."""
        return bool(self.turned_away([table]))

    def turned_away(self, tables: Iterable[TableId]) -> list[TableId]:
        """Tables on which a writer like an application is turned away: an INSERT each, always rolled back.

        BEFORE triggers fire before keys are looked at, so any other error says that the gate let it through. Raises
        Busy when a write got no answer: that says nothing.
        """
        found = []
        with _canary(self._connection) as cursor:
            for table in tables:
                try:
                    cursor.execute(f"INSERT INTO {quoted_name(table.schema, table.name)} () VALUES ()")
                except pymysql.err.MySQLError as error:
                    number = error.args[0] if error.args else 0
                    if number == _SIGNAL and MESSAGE in str(error.args[1]):
                        found.append(table)
                    elif number in _NO_ANSWER:
                        raise Busy(f"the canary write got no answer: {error}", table=table) from error
        return found


@contextlib.contextmanager
def _canary(connection: MysqlConnection[Any]) -> Iterator[Any]:
    """A transaction of a forgiving session that is always rolled back."""
    with translated("source"), connection.cursor() as cursor:
        cursor.execute("SELECT @@SESSION.sql_mode")
        (mode,) = cursor.fetchone() or ("",)
        cursor.execute("SET SESSION sql_mode = '', SESSION innodb_lock_wait_timeout = 3")
        cursor.execute("BEGIN")
        try:
            yield cursor
        finally:
            cursor.execute("ROLLBACK")
            cursor.execute("SET SESSION sql_mode = %s, SESSION innodb_lock_wait_timeout = DEFAULT", (mode,))


def _plain(body: str) -> str:
    """A trigger's body for comparison: servers keep the text but may differ in the ends of it."""
    return " ".join(body.split()).rstrip(";")
