"""Applies a store's transactions to the source: in their order, whole, exactly once, and only onto the expected rows.

One MySQL transaction holds one or more of the store's transactions and the progress row. Statements are sent many in a
packet; each must hit exactly as many rows as the change is about, else nothing is committed and ReverseConflict says
which row was found instead. Nothing here is retried: the caller connects anew and reads the progress row.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pymysql
from pymysql.constants import CLIENT
from pymysql.converters import encoders

from config.settings import SourceSettings
from model.errors import CrossfadeError, Fenced, ReverseConflict, RowElsewhere, ValueRefused
from model.rows import Row
from stores.errors import from_mysql, translated
from stores.mysql import MysqlConnection, ServerInfo, connect_source, probe
from sync.mysql import reverse_tables
from sync.mysql.reverse_statements import ANOTHER_ROW, ReverseStatements
from sync.mysql.reverse_tables import Progress
from transforms.reverse import ReversePlan
from transforms.source_types import family

PACKET_BYTES: Final = 1 << 20
"""Statements are sent when they are this long."""
PACKET_STATEMENTS: Final = 500
INSERT_ROWS: Final = 200
"""Rows of one INSERT."""
LOCK_WAIT_S: Final = 10
READ_TIMEOUT_S: Final = 120.0
_SHOWN: Final = 80
_REFUSALS: Final = frozenset({1048, 1062, 1264, 1265, 1292, 1364, 1366, 1406, 1416, 1690, 3140, 3819, 4025})
"""Errors that say that a row cannot be held: NULL, duplicate key, range, length, characters, geometry, JSON, CHECK."""
_DUPLICATE: Final = 1062
_NO_GEOMETRY: Final = 1416
"""The server does not say of which column."""
SESSION: Final = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', "
    "SESSION foreign_key_checks = 0, SESSION unique_checks = 1, SESSION time_zone = '+00:00', "
    f"SESSION innodb_lock_wait_timeout = {LOCK_WAIT_S}, SESSION wait_timeout = 604800"
)
"""Zero dates are allowed; foreign keys acted in the store already, their effects are in the stream."""


@dataclass(frozen=True, slots=True)
class _Expected:
    """What one statement of a packet must do."""

    rows: int | None
    """Rows it must hit; None: any number."""
    what: str
    statements: ReverseStatements | None = None
    row: Row | None = None
    """The row that the change was made on, or that is inserted."""
    may_be_gone: bool = False
    """Whether another part of the same source row may have taken it away, or to another key, before."""


def connect(settings: SourceSettings) -> tuple[MysqlConnection[Any], ServerInfo]:
    """A connection for the reverse stream: strict, UTC, many statements a packet, raw bytes; and who the server is.

    Raises Unreachable or AccessDenied.
    """
    with contextlib.closing(connect_source(settings)) as plain:
        info = probe(plain)
    connection = connect_source(
        settings,
        read_timeout_s=READ_TIMEOUT_S,
        client_flag=CLIENT.MULTI_STATEMENTS | CLIENT.FOUND_ROWS,
        use_unicode=False,
        conv=dict(encoders),
    )
    try:
        with translated("source"), connection.cursor() as cursor:
            cursor.execute(SESSION)
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute("SELECT @@binlog_format")
            (row,) = cursor.fetchall()
            if row[0] not in (b"ROW", "ROW"):
                cursor.execute("SET SESSION binlog_format = 'ROW'")
    except BaseException:
        connection.close()
        raise
    return connection, info


class ReverseWriter:
    """One connection to the source, the progress as last committed there, and the statements of the plans."""

    def __init__(
        self,
        connection: MysqlConnection[Any],
        info: ServerInfo,
        progress: Progress,
        *,
        database: str = reverse_tables.DATABASE,
        singly: bool = False,
    ) -> None:
        """`singly`: one row per INSERT, so that an error names its row."""
        self.connection = connection
        self.progress = progress
        self._database = database
        self._info = info
        self._run_rows = 1 if singly else INSERT_ROWS
        self._limit = min(PACKET_BYTES, _max_packet(connection) // 2)
        self._statements: dict[str, ReverseStatements] = {}
        self._packet: list[bytes] = []
        self._expected: list[_Expected] = []
        self._bytes = 0
        self._run: tuple[ReverseStatements, list[bytes], Row] | None = None
        self._open = False
        self.rows = 0
        """Changes in the open transaction."""

    @property
    def in_transaction(self) -> bool:
        """Whether anything waits for `commit`."""
        return self._open

    def begin(self) -> None:
        """Open the transaction unless it is open: loop mark, fence and lock go first."""
        if self._open:
            return
        self._open = True
        self.rows = 0
        self._add(b"BEGIN", _Expected(None, "begin"))
        mark = reverse_tables.mark_statement(self.progress, self._database)
        self._add(mark, _Expected(1, "fence"))

    def insert(self, plan: ReversePlan, row: Row) -> None:
        """Add a new row."""
        self.begin()
        self.rows += 1
        statements = self._of(plan)
        if statements.clears:
            self._end_run()
            self._add(statements.clear(row), _Expected(None, "clear", statements, row))
        values = statements.values(row)
        run = self._run
        if run is not None and run[0] is statements and len(run[1]) < self._run_rows and self._bytes < self._limit:
            run[1].append(values)
            self._bytes += len(values)
            return
        self._end_run()
        self._run = (statements, [values], row)
        self._bytes += len(values)

    def update(self, plan: ReversePlan, old: Row, new: Row, changed: Sequence[int]) -> None:
        """Change a row; `changed` are the columns that differ.

        Where several plans share the row another may have removed it, or have given it the new key, already.
        """
        self.begin()
        self._end_run()
        self.rows += 1
        statements = self._of(plan)
        key = set(plan.key)
        followed = plan.shared and bool(key) and (key.isdisjoint(changed) or key.issuperset(changed))
        self._add(statements.update(old, new, changed), _Expected(1, "update", statements, old, followed))

    def delete(self, plan: ReversePlan, old: Row) -> None:
        """Remove a row. Where several plans share the row another may have removed it already."""
        self.begin()
        self._end_run()
        self.rows += 1
        statements = self._of(plan)
        self._add(statements.delete(old), _Expected(None if plan.shared else 1, "delete", statements, old))

    def delete_all(self, plan: ReversePlan) -> None:
        """Remove all rows of a plan (the store truncated the table). Raises ReverseConflict for a shared table."""
        if plan.shared:
            raise ReverseConflict(
                "the store emptied a table whose rows are shared with others; which go is not known",
                table=str(plan.source.id),
                plan=plan.id,
            )
        self.begin()
        self._end_run()
        self.rows += 1
        statements = self._of(plan)
        self._add(statements.delete_all(), _Expected(None, "truncate", statements))

    def flush(self) -> None:
        """Send what is waiting and check every count. Raises ReverseConflict, Fenced, Busy, ConnectionLost."""
        self._end_run()
        if not self._packet:
            return
        packet, expected = self._packet, self._expected
        self._packet, self._expected, self._bytes = [], [], 0
        wrong: list[tuple[_Expected, int]] = []
        number = 0
        try:
            found = self.connection.query(b";".join(packet))
            for number, wanted in enumerate(expected):
                if number:
                    found = self.connection.next_result()
                if wanted.rows is not None and found != wanted.rows:
                    wrong.append((wanted, int(found)))
        except pymysql.err.MySQLError as error:
            raise self._refusal(error, expected[number], packet[number]) from error
        except (ConnectionError, TimeoutError) as error:
            raise from_mysql(pymysql.err.OperationalError(2013, str(error)), "source") from error
        for wanted, hit in wrong:
            if hit or not wanted.may_be_gone or not self._gone(wanted):
                raise self._conflict(wanted, hit)

    def commit(self, lsn: int, commit_time: float | None, transactions: int) -> Progress:
        """Send the rest, move the progress to `lsn`, commit. Gives the new progress.

        After any error the outcome is open: connect anew and read the progress row.
        """
        self.begin()
        self._end_run()
        before = self.progress
        after = dataclasses.replace(
            before,
            lsn=lsn,
            transactions=before.transactions + transactions,
            rows=before.rows + self.rows,
            commit_time=commit_time if commit_time is not None else before.commit_time,
        )
        self._add(reverse_tables.advance_statement(before, after, self._database), _Expected(1, "progress"))
        self.flush()
        with translated("source"):
            self.connection.query("COMMIT")
        self._open = False
        self.progress = after
        return after

    def rollback(self) -> None:
        """Forget the open transaction."""
        self._packet, self._expected, self._bytes, self._run = [], [], 0, None
        self._open = False
        self.rows = 0
        with translated("source"):
            self.connection.query("ROLLBACK")

    def close(self) -> None:
        """Drop the connection, and with it an open transaction."""
        self._open = False
        with contextlib.suppress(pymysql.err.Error, OSError):
            self.connection.close()

    # -- inside

    def _of(self, plan: ReversePlan) -> ReverseStatements:
        found = self._statements.get(plan.id)
        if found is None:
            found = self._statements[plan.id] = ReverseStatements(plan, self._info)
        return found

    def _add(self, statement: bytes, expected: _Expected) -> None:
        self._packet.append(statement)
        self._expected.append(expected)
        self._bytes += len(statement)
        if self._bytes >= self._limit or len(self._packet) >= PACKET_STATEMENTS:
            self.flush()

    def _end_run(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        statements, values, first = run
        count = None if statements.plan.shared else len(values)
        statement = statements.insert(values)
        # Its bytes were counted row by row.
        self._bytes -= sum(map(len, values))
        self._add(statement, _Expected(count, "insert", statements, first))

    def _refusal(self, error: pymysql.err.MySQLError, expected: _Expected, statement: bytes) -> CrossfadeError:
        number = error.args[0] if error.args else 0
        if expected.statements is None or number not in _REFUSALS:
            return from_mysql(error, "source")
        text = str(error.args[1])
        if number == ANOTHER_ROW and expected.what == "insert" and expected.statements.plan.shared:
            number, text = _DUPLICATE, "another row has its values in a unique index"
        kind: type[CrossfadeError] = ReverseConflict if number == _DUPLICATE else ValueRefused
        if number == _DUPLICATE and expected.statements.plan.plan.routed:
            kind = RowElsewhere
        where = self._where(expected)
        if number == _NO_GEOMETRY:
            where["column"] = ", ".join(_spatial(expected.statements.plan))
        if number == _DUPLICATE and self._run_rows == 1:
            where.update(self._difference(expected))
        hint = RowElsewhere.default_hint if kind is RowElsewhere else ReverseConflict.default_hint
        message = f"the source refuses a row that the store has ({expected.what}): {text}"
        return kind(message, hint=hint, errno=number, **where)

    def _conflict(self, expected: _Expected, found: int) -> CrossfadeError:
        progress = self.progress
        if expected.statements is None:
            return Fenced(
                "the progress row of the reverse stream was changed by another",
                domain=progress.domain,
                store=progress.store,
                epoch=progress.epoch,
                lsn=progress.lsn,
            )
        where = self._where(expected)
        where.update(self._difference(expected))
        return ReverseConflict(
            f"a row to {expected.what} is not in the source as the store last had it"
            + (f" ({found} rows were hit)" if found else ""),
            **where,
        )

    def _gone(self, expected: _Expected) -> bool:
        """Whether the source has no row with the key of the change."""
        assert expected.statements is not None and expected.row is not None
        with translated("source"), self.connection.cursor() as cursor:
            cursor.execute(expected.statements.read(expected.row).decode())
            return cursor.fetchone() is None

    def _where(self, expected: _Expected) -> dict[str, str]:
        assert expected.statements is not None
        plan = expected.statements.plan
        where = {"table": str(plan.source.id)}
        if expected.row is not None:
            where["key"] = ", ".join(
                f"{plan.columns[index].column.name}={_shown(expected.row[index])}" for index in plan.key
            )
        return where

    def _difference(self, expected: _Expected) -> dict[str, str]:
        """What the source has instead, column by column."""
        statements, row = expected.statements, expected.row
        assert statements is not None
        if row is None:
            return {}
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(statements.read(row).decode())
                rows = list(cursor.fetchall())
            if not rows:
                return {"found": "no row with this key"}
            found = statements.fields(rows[0])
        except (pymysql.err.MySQLError, ConnectionError, TimeoutError, ValueRefused) as error:
            return {"found": f"cannot be read: {error}"}
        columns = statements.plan.columns
        names = [index for index, column in enumerate(columns) if column.compared and found[index] != row[index]]
        return {
            "expected": "; ".join(f"{columns[index].column.name}={_shown(row[index])}" for index in names),
            "found": "; ".join(f"{columns[index].column.name}={_shown(found[index])}" for index in names),
        }


def _shown(field: object) -> str:
    if not isinstance(field, bytes):
        return "NULL" if field is None else str(field)
    text = field[:_SHOWN].decode(errors="replace")
    return repr(text) + ("…" if len(field) > _SHOWN else "")


def _spatial(plan: ReversePlan) -> list[str]:
    return [item.column.name for item in plan.columns if family(item.column) == "geometry"]


def _max_packet(connection: MysqlConnection[Any]) -> int:
    with translated("source"), connection.cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        (row,) = cursor.fetchall()
    return int(row[0])
