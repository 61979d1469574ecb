"""The write gate of one domain in one store: closed before the cutover, open after it, closed again for a rollback.

Whether it is open is a privilege (SELECT on a table of our own, for PUBLIC), not a row: privileges are seen by every
statement at once, also in transactions with an old snapshot, and asking for one locks nothing. Statement triggers ask;
our own appliers run with session_replication_role=replica and do not fire them. The application's roles lose and get
their write privileges in the same transaction, so that also a dropped trigger lets nobody in.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

import psycopg
from psycopg import sql

from model.errors import Busy, Refused
from stores.control.names import SCHEMA
from stores.errors import translated
from stores.postgres import PostgresConnection
from transforms.target import TargetTable

TRIGGER: Final = "crossfade_gate"
REFUSED_STATE: Final = "25006"
"""SQLSTATE of a refused write: read_only_sql_transaction."""
WRITERS: Final = ("RowExclusiveLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
"""Table locks that a writer holds until its transaction ends."""
POLL_S: Final = 0.005


class StoreGate:
    """The gate of a domain's tables, through the caller's connection (autocommit). Needs to own the tables."""

    def __init__(
        self,
        connection: PostgresConnection,
        store: str,
        domain: str,
        tables: Iterable[TargetTable],
        app_roles: Iterable[str] = (),
        still_ours: Callable[[PostgresConnection], None] | None = None,
    ) -> None:
        """`still_ours` is called in every transaction that opens or closes, to hold a fence; it raises Fenced."""
        self._still_ours = still_ours
        self._connection = connection
        self._where = f"store {store}"
        self._domain = domain
        self._tables = tuple(tables)
        self._roles = tuple(app_roles)
        suffix = re.sub(r"[^a-z0-9_]", "_", domain.lower())[:40]
        if suffix != domain:
            suffix += "_" + hashlib.sha256(domain.encode()).hexdigest()[:8]
        self._sign = sql.Identifier(SCHEMA, f"gate_{suffix}")
        self._function = sql.Identifier(SCHEMA, f"refuse_{suffix}")

    # -- making it

    def prepare(self) -> None:
        """Make the gate, closed, and the triggers; one that is there keeps its state. May be repeated after Busy.

        CREATE TRIGGER waits for writers of the table, 5 s at most. Raises Busy, AccessDenied, Refused.
        """
        with translated(self._where):
            made = self._exists()
            with self._connection.transaction():
                self._connection.execute("SET LOCAL client_min_messages = warning")
                self._connection.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} (nothing boolean)").format(self._sign))
                self._connection.execute(self._function_ddl())
                if not made:
                    self._revoke()
            for table in self._tables:
                if not self._has_trigger(table):
                    self._guard(table)

    def _guard(self, table: TargetTable) -> None:
        """One table a transaction: locks on several would meet those of the applier in another order."""
        with self._connection.transaction():
            self._connection.execute("SET LOCAL lock_timeout = '5s'")
            self._connection.execute(
                sql.SQL(
                    "CREATE TRIGGER {} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {} "
                    "FOR EACH STATEMENT EXECUTE FUNCTION {}()"
                ).format(sql.Identifier(TRIGGER), _name(table), self._function)
            )

    def _function_ddl(self) -> sql.Composed:
        """SECURITY DEFINER only because writers have no right to look up names in our schema."""
        return sql.SQL(
            "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $body$ BEGIN "
            "IF NOT pg_catalog.has_table_privilege('public', {sign}, 'SELECT') THEN "
            "RAISE EXCEPTION USING ERRCODE = {state}, MESSAGE = {message}; END IF; RETURN NULL; END $body$"
        ).format(
            function=self._function,
            sign=sql.Literal(self._sign.as_string(None)),
            state=sql.Literal(REFUSED_STATE),
            message=sql.Literal(f"crossfade: {self._domain} is closed for writes here"),
        )

    def remove(self) -> None:
        """Drop triggers, function and sign. Privileges of the application's roles stay as they are."""
        with translated(self._where), self._connection.transaction():
            self._connection.execute("SET LOCAL client_min_messages = warning")
            for table in self._tables:
                self._connection.execute(
                    sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(TRIGGER), _name(table))
                )
            self._connection.execute(sql.SQL("DROP FUNCTION IF EXISTS {}()").format(self._function))
            self._connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self._sign))

    def missing(self) -> list[str]:
        """Tables without our trigger, or with it switched off."""
        with translated(self._where):
            return [f"{table.schema}.{table.name}" for table in self._tables if not self._has_trigger(table)]

    def _exists(self) -> bool:
        row = self._connection.execute("SELECT to_regclass(%s)", (self._sign.as_string(None),)).fetchone()
        return bool(row and row[0])

    def _has_trigger(self, table: TargetTable) -> bool:
        row = self._connection.execute(
            "SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgname = %s AND tgenabled = 'O'",
            (_name(table).as_string(None), TRIGGER),
        ).fetchone()
        return row is not None

    # -- opening and closing

    @property
    def open(self) -> bool:
        """Whether applications may write. Raises Refused before `prepare`."""
        with translated(self._where):
            if not self._exists():
                raise Refused(f"{self._where} has no gate for {self._domain}", hint="Prepare it anew.")
            row = self._connection.execute(
                "SELECT has_table_privilege('public', %s, 'SELECT')", (self._sign.as_string(None),)
            ).fetchone()
        return bool(row and row[0])

    def let_in(self) -> None:
        """Open: the application's roles may write, the triggers let everybody pass. Idempotent."""
        with translated(self._where), self._connection.transaction():
            self._hold()
            for role in self._roles:
                to = sql.Identifier(role)
                for schema in sorted({table.schema for table in self._tables}):
                    self._connection.execute(
                        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), to)
                    )
                for table in self._tables:
                    self._connection.execute(
                        sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(_name(table), to)
                    )
                for sequence in self._sequences():
                    self._connection.execute(sql.SQL("GRANT USAGE, SELECT ON SEQUENCE {} TO {}").format(sequence, to))
            self._connection.execute(sql.SQL("GRANT SELECT ON {} TO PUBLIC").format(self._sign))

    def shut(self, timeout_s: float, stop: threading.Event) -> None:
        """Close, and wait until every transaction that may have written the tables has ended. Idempotent.

        Raises Busy when one did not end in time; the gate stays closed then.
        """
        with translated(self._where):
            with self._connection.transaction():
                self._hold()
                self._revoke()
            writers = self._writers()
            deadline = time.monotonic() + timeout_s
            while writers:
                writers &= self._writers()
                if not writers:
                    return
                if time.monotonic() >= deadline or stop.wait(POLL_S):
                    raise Busy(
                        f"{self._where}: a transaction that writes {self._domain} does not end",
                        hint="See who it is in pg_stat_activity, end it, try again.",
                        transaction=min(writers),
                    )

    def _hold(self) -> None:
        if self._still_ours is not None:
            self._still_ours(self._connection)

    def _revoke(self) -> None:
        for role in self._roles:
            for table in self._tables:
                self._connection.execute(
                    sql.SQL("REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {} FROM {}").format(
                        _name(table), sql.Identifier(role)
                    )
                )
        self._connection.execute(sql.SQL("REVOKE ALL ON {} FROM PUBLIC").format(self._sign))

    def _writers(self) -> set[str]:
        """Virtual transactions that hold (or wait for) a writer's lock on one of the tables.

        A statement locks its table before it looks at privileges and triggers: one that is not among these when the
        closing is committed sees the closed gate. (As CREATE INDEX CONCURRENTLY waits for lockers.)
        """
        names = [_name(table).as_string(None) for table in self._tables]
        rows = self._connection.execute(
            "SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'relation' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND relation = ANY (SELECT to_regclass(name)::oid FROM unnest(%s::text[]) AS name) AND mode = ANY(%s) "
            "AND pid IS DISTINCT FROM pg_backend_pid()",
            (names, list(WRITERS)),
        ).fetchall()
        return {str(row[0]) for row in rows}

    def old_writers(self, seconds: float) -> list[tuple[int, float]]:
        """(pid, age in seconds) of transactions older than `seconds` that hold a writer's lock on one of the tables."""
        names = [_name(table).as_string(None) for table in self._tables]
        with translated(self._where):
            rows = self._connection.execute(
                "SELECT DISTINCT a.pid, extract(epoch from clock_timestamp() - a.xact_start)::float8 AS age "
                "FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'relation' "
                "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
                "AND l.relation = ANY (SELECT to_regclass(name)::oid FROM unnest(%s::text[]) AS name) "
                "AND l.mode = ANY(%s) AND a.pid <> pg_backend_pid() "
                "AND a.xact_start < clock_timestamp() - make_interval(secs => %s) ORDER BY age DESC",
                (names, list(WRITERS), seconds),
            ).fetchall()
        return [(int(pid), float(age)) for pid, age in rows]

    def _sequences(self) -> list[sql.Identifier]:
        found = []
        for table in self._tables:
            for column in table.columns:
                if column.identity:
                    row = self._connection.execute(
                        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                        "WHERE c.oid = pg_get_serial_sequence(%s, %s)::regclass",
                        (_name(table).as_string(None), column.name),
                    ).fetchone()
                    if row is not None:
                        found.append(sql.Identifier(*row))
        return found

    # -- proof

    def refused(self, table: TargetTable) -> bool:
        """Whether a writer like an application is turned away: a DELETE of no row, which fires statement triggers."""
        with translated(self._where):
            try:
                with self._connection.transaction(force_rollback=True):
                    self._connection.execute(sql.SQL("DELETE FROM {} WHERE false").format(_name(table)))
            except psycopg.errors.ReadOnlySqlTransaction:
                return True
            return False


def _name(table: TargetTable) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)
