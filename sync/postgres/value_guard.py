"""Refuses values that the source could not hold, in the moment in which an application writes them into a store.

One trigger a table, AFTER each row, so that it sees what other triggers made of it. There from the preparation of a
cutover until nobody can go back any more. Our appliers do not fire it (`session_replication_role = replica`), and a
value that a row has already, whatever it is, may stay: an UPDATE is asked about the columns that it changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from psycopg import sql

from stores.control.names import SCHEMA
from stores.errors import translated
from stores.postgres import PostgresConnection
from sync.postgres.value_limits import ValueLimit
from transforms.names import literal, quoted
from transforms.target import TargetTable

TRIGGER: Final = "crossfade_values"
CONSTRAINT: Final = "crossfade_way_back"
"""What an application's driver reports as the name of the violated constraint."""


class ValueGuard:
    """The guard of a domain's tables in one store, through the caller's connection (autocommit).

    Needs to own the tables.
    """

    def __init__(
        self,
        connection: PostgresConnection,
        store: str,
        domain: str,
        limits: Mapping[TargetTable, Iterable[ValueLimit]],
    ) -> None:
        """`limits`: of every table of the domain; one without a limit gets no trigger."""
        self._connection = connection
        self._where = f"store {store}"
        self._bodies = {table: function_body(domain, table, found) for table, found in limits.items()}

    def prepare(self) -> None:
        """Make functions and triggers as they should be. Idempotent.

        CREATE TRIGGER waits for writers of the table, 5 s at most. Raises Busy, AccessDenied.
        """
        with translated(self._where):
            for table, body in self._bodies.items():
                if self._as_it_should(table, body):
                    continue
                self._drop(table)
                if body:
                    self._make(table, body)

    def missing(self) -> list[str]:
        """Tables whose trigger is not there, is switched off, or does something else than it should."""
        with translated(self._where):
            return [_shown(table) for table, body in self._bodies.items() if not self._as_it_should(table, body)]

    def remove(self) -> None:
        """Drop triggers and functions. Idempotent. Raises Busy when a table's writers do not let us in for 5 s."""
        with translated(self._where):
            for table in self._bodies:
                self._drop(table)

    def _make(self, table: TargetTable, body: str) -> None:
        function = _function(table)
        with self._connection.transaction():
            self._connection.execute("SET LOCAL lock_timeout = '5s'")
            self._connection.execute(
                sql.SQL("CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}").format(
                    function, sql.Literal(body)
                )
            )
            self._connection.execute(
                sql.SQL("CREATE TRIGGER {} AFTER INSERT OR UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION {}()").format(
                    sql.Identifier(TRIGGER), _name(table), function
                )
            )

    def _drop(self, table: TargetTable) -> None:
        with self._connection.transaction():
            self._connection.execute("SET LOCAL lock_timeout = '5s'")
            if self._present(table) is not None:
                self._connection.execute(sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(TRIGGER), _name(table)))
            self._connection.execute("SET LOCAL client_min_messages = warning")
            self._connection.execute(sql.SQL("DROP FUNCTION IF EXISTS {}()").format(_function(table)))

    def _as_it_should(self, table: TargetTable, body: str) -> bool:
        return self._present(table) == ((body, "O") if body else None)

    def _present(self, table: TargetTable) -> tuple[str, str] | None:
        """(body of the function, whether it fires) of our trigger on a table."""
        row = self._connection.execute(
            "SELECT p.prosrc, t.tgenabled::text FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
            "WHERE t.tgrelid = to_regclass(%s) AND t.tgname = %s",
            (_name(table).as_string(None), TRIGGER),
        ).fetchone()
        return (str(row[0]), str(row[1])) if row else None


def function_body(domain: str, table: TargetTable, limits: Iterable[ValueLimit]) -> str:
    """What the trigger's function does, "" without limits. Text only."""
    refusals = [_refusal(domain, table, limit) for limit in limits]
    return "\n".join(["BEGIN", *refusals, "RETURN NULL;", "END"]) if refusals else ""


def _refusal(domain: str, table: TargetTable, limit: ValueLimit) -> str:
    column = quoted(limit.column)
    # Types without an equality operator, or with one that the search path may not find, are compared as text.
    kind = {one.name: one.type for one in table.columns}.get(limit.column, "")
    text = "::text" if kind in ("json", "point") or kind.startswith("geometry") else ""
    rows = f"{limit.rows} AND " if limit.rows else ""
    message = f"crossfade: the source's column {limit.source} cannot hold this value of {_shown(table)}.{limit.column}"
    hint = f"Write a value that it can hold, or give up the way back: crossfade finalize {domain}"
    return (
        f"IF {rows}(TG_OP = 'INSERT' OR NEW.{column}{text} IS DISTINCT FROM OLD.{column}{text}) "
        f"AND NOT ({limit.holds}) THEN RAISE check_violation USING MESSAGE = {literal(message)}, "
        f"HINT = {literal(hint)}, CONSTRAINT = {literal(CONSTRAINT)}, SCHEMA = {literal(table.schema)}, "
        f"TABLE = {literal(table.name)}, COLUMN = {literal(limit.column)}; END IF;"
    )


def _function(table: TargetTable) -> sql.Identifier:
    digest = hashlib.sha256(f"{table.schema}\0{table.name}".encode()).hexdigest()[:16]
    return sql.Identifier(SCHEMA, f"values_{digest}")


def _shown(table: TargetTable) -> str:
    return f"{table.schema}.{table.name}"


def _name(table: TargetTable) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)
