"""A small domain whose every row is known: what has been acknowledged is exactly what both sides must hold.

Every row has a token of its own, a number that each change raises by one, and a note. A change that is applied twice
shows in the number, a row that is inserted twice in the table without a key, a lost one in either.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
import pymysql

from config.load import load_settings
from cutover.phases import STABLE
from daemon.client import ask
from model.errors import CrossfadeError
from servers import Engine
from stores.control import domains
from stores.control.domains import DomainState
from tests.support.dying_steps import Trap
from tests.support.migration import Migration
from tests.support.servers import SourceDatabase, StoreDatabase

DOMAIN: Final = "ledger"
SCHEMA: Final = "ledger"
ACTS: Final = {"cutover": "run", "rollback": "back"}
TABLES: Final = ("account", "entry", "tag", "visit")
"""A key of the application's, an AUTO_INCREMENT, a key that changes with every update, no key at all."""
ROW_COLUMNS: Final = "token VARCHAR(40) NOT NULL, n INT NOT NULL, note VARCHAR(60) CHARACTER SET utf8mb4 NULL"
DDL: Final = (
    f"CREATE TABLE account ({ROW_COLUMNS}, PRIMARY KEY (token)) ENGINE=InnoDB",
    f"CREATE TABLE entry (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, {ROW_COLUMNS}, UNIQUE (token)) ENGINE=InnoDB",
    f"CREATE TABLE tag ({ROW_COLUMNS}, PRIMARY KEY (token, n)) ENGINE=InnoDB",
    f"CREATE TABLE visit ({ROW_COLUMNS}, KEY (token)) ENGINE=InnoDB",
)

PATIENCE: Final = "cutover: {max_lag_s: 30, max_write_stop_s: 60}"
"""A test's machine may be slow; what is tested is not the speed."""

Row = tuple[int, str | None]
"""(n, note)."""
Rows = dict[tuple[str, str], Row]
"""(table, token) → row."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The source, the stores of the domain (the first is the control store), and the migration between them."""

    source: SourceDatabase
    stores: Mapping[str, StoreDatabase]
    migration: Migration

    def store_of(self, table: str) -> str:
        """The store that a table goes to: the tables are dealt out in their order."""
        names = tuple(self.stores)
        return names[TABLES.index(table) * len(names) // len(TABLES)]

    @property
    def control(self) -> StoreDatabase:
        """The control store."""
        return next(iter(self.stores.values()))

    def source_rows(self) -> dict[str, list[tuple[object, ...]]]:
        """Table → every row of the source, ordered."""
        found: dict[str, list[tuple[object, ...]]] = {}
        with closing(self.source.connect()) as connection, connection.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"SELECT {_columns(table)} FROM {table} ORDER BY token, n")
                found[table] = list(cursor.fetchall())
        return found

    def store_rows(self) -> dict[str, list[tuple[object, ...]]]:
        """Table → every row of the stores, ordered."""
        found: dict[str, list[tuple[object, ...]]] = {}
        for table in TABLES:
            query = f'SELECT {_columns(table)} FROM {SCHEMA}.{table} ORDER BY token COLLATE "C", n'
            found[table] = self.stores[self.store_of(table)].rows(query)
        return found

    @property
    def state(self) -> DomainState | None:
        """Where the domain is; None when the control store does not say."""
        try:
            with self.control.connect(connect_timeout=5) as connection:
                return domains.read(connection, "ledger", DOMAIN)
        except psycopg.Error:
            return None

    def wait_settled(self, timeout_s: float = 120.0) -> str:
        """Wait until the daemon has finished or undone what was begun, and left its outcome; gives the phase."""
        deadline = time.monotonic() + timeout_s
        while True:
            state = self.state
            if state is not None and state.phase in STABLE and not state.problem:
                return state.phase
            daemon = self.migration.daemon
            assert daemon is not None and daemon.poll() is None, f"the daemon ended\n{self.migration.log_tail(60)}"
            assert time.monotonic() < deadline, f"not settled: {state}\n{self.migration.log_tail(60)}"
            time.sleep(0.05)

    def bring_to(self, side: str) -> None:
        """Let a side serve."""
        state = self.state
        if (state.side if state is not None else "source") != side:
            self.wait_ready()
            result = self.order(ACTS["cutover" if side == "stores" else "rollback"])
            assert result["outcome"] == "done", f"{result}\n{self.migration.log_tail(60)}"

    def wait_ready(self, timeout_s: float = 90.0) -> None:
        """Wait until every gate of the next move is open."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                found = self.order("check")
                if found["outcome"] == "done" and all(gate["passed"] for gate in found["gates"]):
                    return
            except (CrossfadeError, psycopg.Error) as error:
                found = {"error": str(error)}
            assert time.monotonic() < deadline, f"not ready: {found}\n{self.migration.log_tail(60)}"
            time.sleep(0.2)

    def ask(self, act: str) -> int:
        """Order as the command line does, but in this process, which takes less of the machine; the order's number."""
        settings = load_settings(self.migration.config, environment={**os.environ, **self.migration.environment})
        return int(ask(settings, "domain", {"domain": DOMAIN, "act": act, "confirm": DOMAIN})["request"])

    def order(self, act: str, timeout_s: float = 120.0) -> Mapping[str, Any]:
        """Order and wait for the outcome."""
        request = self.ask(act)
        deadline = time.monotonic() + timeout_s
        while (state := self.state) is None or state.result.get("request") != request:
            assert time.monotonic() < deadline, f"{act}: {state}\n{self.migration.log_tail(60)}"
            time.sleep(0.05)
        return state.result

    def open_sides(self) -> set[str]:
        """Sides that take an application's write on some table: exactly one, on every table, when all is well."""
        found: dict[str, set[str]] = {"source": set(), "stores": set()}
        with closing(self.source.connect(autocommit=False)) as connection, connection.cursor() as cursor:
            for table in TABLES:
                try:
                    cursor.execute(f"INSERT INTO {table} (token, n) VALUES ('canary', 0)")
                    found["source"].add(table)
                except pymysql.err.MySQLError as error:
                    assert error.args[0] == 1644, error
                connection.rollback()
        for table in TABLES:
            try:
                self.stores[self.store_of(table)].execute(f"DELETE FROM {SCHEMA}.{table} WHERE false")
                found["stores"].add(table)
            except psycopg.errors.ReadOnlySqlTransaction:
                pass
        assert all(len(tables) in (0, len(TABLES)) for tables in found.values()), f"open in part: {found}"
        return {side for side, tables in found.items() if tables}


def _columns(table: str) -> str:
    return "token, n, note, id" if table == "entry" else "token, n, note"


def open_ledger(source: SourceDatabase, stores: Sequence[StoreDatabase], folder: Path, *, extra: str = "") -> Ledger:
    """Make the tables and the configuration; nothing is migrated yet. `extra`: more of the YAML."""
    source.execute(*DDL)
    named = {f"store{number}": store for number, store in enumerate(stores, 1)}
    server = source.server
    environment = {"LEDGER_SOURCE": server.password} | {f"LEDGER_{name}": store.dsn for name, store in named.items()}
    migration = Migration(folder, environment)
    ledger = Ledger(source, named, migration)
    engine = "mariadb" if server.flavour.engine is Engine.MARIADB else "mysql"
    migration.config.write_text(
        "\n".join(
            [
                "version: 1",
                "name: ledger",
                f'source: {{engine: {engine}, host: "{server.host}", port: {server.port}, user: "{server.user}",',
                f'  password: "${{env:LEDGER_SOURCE}}", databases: [{source.database}]}}',
                "stores:",
                *(f'  {name}: {{dsn: "${{env:LEDGER_{name}}}", schema: {SCHEMA}}}' for name in named),
                f'relay: {{directory: "{folder / "relay"}"}}',
                f'report: {{directory: "{folder / "reports"}"}}',
                f"domains: {{{DOMAIN}: {{tables: [{', '.join(TABLES)}]}}}}",
                "tables:",
                *(f"  {table}: {{store: {ledger.store_of(table)}}}" for table in TABLES),
                extra,
            ]
        )
        + "\n"
    )
    return ledger


@contextmanager
def migrated_ledger(
    source: SourceDatabase,
    stores: Sequence[StoreDatabase],
    folder: Path,
    *,
    extra: str = PATIENCE,
    trap: Trap | None = None,
) -> Iterator[Ledger]:
    """A ledger whose empty tables stream; a database of ours that another test left on the source is dropped."""
    source.execute("DROP DATABASE IF EXISTS crossfade_control")
    ledger = open_ledger(source, stores, folder, extra=extra)
    ledger.migration.environment |= trap.environment if trap is not None else {}
    ledger.migration.ok("schema", "apply")
    try:
        ledger.migration.start()
        ledger.migration.wait_streaming()
        yield ledger
    finally:
        ledger.migration.close()
        if source.server.pid:
            source.execute("DROP DATABASE IF EXISTS crossfade_control")
