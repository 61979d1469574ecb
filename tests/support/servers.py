"""The servers of a test run: which flavours, from where, one of each per run; and fresh databases on them."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql
import pytest
from psycopg import sql

from servers import Engine, Flavour, RunningServer, ServerUnavailable, flavour_named, provision, start_server
from servers.options import Options

AGAIN_MYSQL: Final = (1205, 1213)
"""A lock was waited for too long, or a deadlock took a statement back: it may be run again."""

SOURCES = ("mariadb-10.11", "mysql-9.7")
STORES = ("postgres-15", "postgres-18")
MATRIX_SOURCES = (*SOURCES, "mysql-5.6")
MATRIX_STORES = (*STORES, "postgres-16", "postgres-17")
REQUIRED = ("mariadb-10.11", "postgres-15")
"""Never skipped in CI; neither is MySQL, in whichever of its flavours can be had."""
MYSQLS = ("mysql-9.7", "mysql-5.6")
_LOG_LINES = 60


class Where(StrEnum):
    """Where the servers of a run come from."""

    AUTO = "auto"
    DOCKER = "docker"
    LOCAL = "local"
    DSN = "dsn"


def in_ci() -> bool:
    """Whether a missing server is a failure."""
    return os.environ.get("CI", "").lower() in ("true", "1")


def pairs(sources: Sequence[str], stores: Sequence[str]) -> list[tuple[str, str]]:
    """Every source and every store at least once, without the product of both."""
    return [(sources[i % len(sources)], stores[i % len(stores)]) for i in range(max(len(sources), len(stores)))]


def variable_of(name: str) -> str:
    """The environment variable with the URL of flavour `name`."""
    return f"CROSSFADE_TEST_{name.upper().replace('-', '_').replace('.', '_')}_DSN"


class TestServers:
    """One lazily started server per flavour for the whole run, and a list of what could not be had."""

    __test__ = False

    def __init__(self, where: Where) -> None:
        self.where = where
        self.missing: dict[str, str] = {}
        self._shared: dict[str, RunningServer] = {}

    def shared(self, name: str) -> RunningServer:
        """The run's server of flavour `name`; skips the test (fails it where the server is required) without one.

        A test that needs to stop or kill its server takes a private one.
        """
        if name not in self._shared:
            self._shared[name] = self._start(name, None)
        return self._shared[name]

    def revive(self) -> None:
        """Start every shared server again that has ended by itself, on its port and data, and warn with its log."""
        for name, server in self._shared.items():
            if not server.pid:
                lines = server.log.read_text(errors="replace").splitlines() if server.log.exists() else ["no log"]
                tail = "\n  ".join(lines[-_LOG_LINES:])
                warnings.warn(f"{name} ended by itself; the end of its log:\n  {tail}", stacklevel=2)
                server.restart()

    def private(self, name: str, options: Options | None = None) -> RunningServer:
        """A server of its own for a test that stops, kills or configures it."""
        if self.where is Where.DSN:
            pytest.skip("needs a server of its own, and --servers=dsn only lends some")
        return self._start(name, options, private=True)

    def can_be_had(self, name: str) -> bool:
        """Whether flavour `name` can be started here; remembers why when not."""
        if name in self._shared or variable_of(name) in os.environ:
            return True
        if self.where is Where.DSN:
            self.missing[name] = f"{variable_of(name)} is not set"
        if name in self.missing:
            return False
        try:
            provision(flavour_named(name), **self._ways())
        except ServerUnavailable as error:
            self.missing[name] = str(error)
            return False
        return True

    def close(self) -> None:
        """End every shared server."""
        for server in self._shared.values():
            server.remove()
        self._shared.clear()

    def _start(self, name: str, options: Options | None, *, private: bool = False) -> RunningServer:
        url = os.environ.get(variable_of(name))
        if url and not private and self.where in (Where.AUTO, Where.DSN):
            return _lent(flavour_named(name), url)
        if not self.can_be_had(name):
            text = f"no {name} server: {self.missing[name]}"
            if in_ci() and self._is_required(name):
                pytest.fail(text, pytrace=False)
            pytest.skip(text.splitlines()[0])
        return start_server(name, options=options, **self._ways())

    def _ways(self) -> dict[str, bool]:
        return {"local": self.where is not Where.DOCKER, "containers": self.where is not Where.LOCAL}

    def _is_required(self, name: str) -> bool:
        if name in MYSQLS:
            return not any(self.can_be_had(other) for other in MYSQLS)
        return name in REQUIRED


class _LentServer:
    """A server that somebody else runs and we may not stop."""

    pid = -1

    def start(self, options: Options | None) -> None:
        pytest.skip("needs to start its server, and this one is lent")

    def stop(self) -> None:
        pytest.skip("needs to stop its server, and this one is lent")

    def kill(self) -> None:
        pytest.skip("needs to kill its server, and this one is lent")

    def remove(self) -> None:
        """Nothing of ours is there."""


def _lent(flavour: Flavour, url: str) -> RunningServer:
    parts = urlsplit(url)
    nowhere = Path("/nonexistent")
    return RunningServer(
        flavour,
        flavour.series,
        parts.hostname or "127.0.0.1",
        parts.port or (5432 if flavour.engine is Engine.POSTGRES else 3306),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        nowhere,
        nowhere,
        _LentServer(),
    )


@dataclass(frozen=True, slots=True)
class SourceDatabase:
    """A database of its own on a MySQL or MariaDB server."""

    server: RunningServer
    database: str

    @property
    def dsn(self) -> str:
        """`mysql://…` or `mariadb://…`."""
        return self.server.dsn(self.database)

    def connect(self, **settings: Any) -> pymysql.Connection[Any]:
        """A new connection, in autocommit mode unless told otherwise. Close it, or let the test's end do so."""
        chosen: dict[str, Any] = {"autocommit": True, "local_infile": True, "charset": "utf8mb4", **settings}
        return pymysql.connect(
            host=self.server.host,
            port=self.server.port,
            user=self.server.user,
            password=self.server.password,
            database=self.database,
            **chosen,
        )

    def execute(self, *statements: str) -> None:
        """Run statements one after the other, each committed."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        finally:
            connection.close()

    def insist(self, *statements: str) -> None:
        """The same beside writers: a statement that a deadlock has taken back is run again."""
        for statement in statements:
            while True:
                try:
                    self.execute(statement)
                    break
                except pymysql.err.OperationalError as error:
                    if error.args[0] not in AGAIN_MYSQL:
                        raise

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that `query` yields now."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, tuple(parameters) or None)
                return list(cursor.fetchall())
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class StoreDatabase:
    """A database of its own on a PostgreSQL server."""

    server: RunningServer
    database: str

    @property
    def dsn(self) -> str:
        """`postgresql://…`."""
        return self.server.dsn(self.database)

    def connect(self, **settings: Any) -> psycopg.Connection[Any]:
        """A new connection, in autocommit mode unless told otherwise. Close it, or let the test's end do so."""
        chosen: dict[str, Any] = {"autocommit": True, **settings}
        return psycopg.connect(self.dsn, **chosen)

    def execute(self, *statements: str) -> None:
        """Run statements one after the other, each committed."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that `query` yields now."""
        with self.connect() as connection:
            return connection.execute(query, parameters or None).fetchall()  # type: ignore[call-overload]


@contextmanager
def source_database(server: RunningServer) -> Iterator[SourceDatabase]:
    """A fresh database on `server`, dropped in the end with whatever still uses it."""
    name = f"t_{secrets.token_hex(5)}"
    admin = SourceDatabase(server, "mysql")
    admin.execute(f"CREATE DATABASE `{name}`")
    try:
        yield SourceDatabase(server, name)
    finally:
        users = admin.rows("SELECT id FROM information_schema.processlist WHERE db = %s", [name])
        for (user,) in users:
            try:
                admin.execute(f"KILL {user}")
            except pymysql.err.MySQLError as error:
                if error.args[0] != 1094:  # it went by itself
                    raise
        admin.execute(f"DROP DATABASE IF EXISTS `{name}`")


@contextmanager
def store_database(server: RunningServer) -> Iterator[StoreDatabase]:
    """A fresh database on `server`, dropped in the end with its slots, prepared transactions and sessions."""
    name = f"t_{secrets.token_hex(5)}"
    admin = StoreDatabase(server, "postgres")
    with admin.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    database = StoreDatabase(server, name)
    try:
        yield database
    finally:
        with admin.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = %s AND pid <> pg_backend_pid()",
                [name],
            )
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", [name]
            )
        prepared = database.rows("SELECT gid FROM pg_prepared_xacts WHERE database = %s", [name])
        with database.connect() as connection:
            for (gid,) in prepared:
                connection.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))
        with admin.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
