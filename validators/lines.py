"""Connections of one thread that are kept from table to table: opening them would cost more than a small table.

Whatever goes wrong on one of them, all are closed; what is asked for next is opened anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from config.settings import Settings
from stores.errors import translated
from stores.mysql import MysqlConnection, ServerInfo
from stores.postgres import PostgresConnection, connect_store
from sync.mysql.snapshot import connect_reader
from validators.touched import TouchedRows


class Lines:
    """For one thread. Statements on them may take `verify.statement_timeout_s`."""

    def __init__(self, settings: Settings, info: ServerInfo) -> None:
        self._settings = settings
        self._info = info
        self._reader: MysqlConnection[Any] | None = None
        self._control: MysqlConnection[Any] | None = None
        self._stores: dict[str, PostgresConnection] = {}
        self._changes: dict[str, tuple[object, TouchedRows]] = {}

    def close(self) -> None:
        """Close what is open."""
        for connection in (self._reader, self._control, *self._stores.values()):
            if connection is not None:
                _quietly(connection.close)
        for _, changes in self._changes.values():
            changes.close()
        self._reader = self._control = None
        self._stores, self._changes = {}, {}

    @property
    def reader(self) -> MysqlConnection[Any]:
        """For rows of the source. Raises Unreachable or AccessDenied, as all of these do."""
        if self._reader is None or not self._reader.open:
            limit_s = self._settings.verify.statement_timeout_s
            self._reader = connect_reader(self._settings.source, self._info, statement_timeout_s=limit_s)
        return self._reader

    @property
    def control(self) -> MysqlConnection[Any]:
        """For positions of the source, while rows are read."""
        if self._control is None or not self._control.open:
            self._control = connect_reader(self._settings.source, self._info)
        return self._control

    def store(self, name: str) -> PostgresConnection:
        """For everything in one store."""
        found = self._stores.get(name)
        if found is None or found.closed:
            limit_ms = round(self._settings.verify.statement_timeout_s * 1000)
            found = self._stores[name] = connect_store(self._settings.stores[name].dsn, application="crossfade verify")
            with translated(f"store {name}"):
                found.execute("SELECT set_config('statement_timeout', %s, false)", (str(limit_ms),))
        return found

    def changes(self, store: str, belongs_to: object, make: Callable[[], TouchedRows]) -> TouchedRows:
        """The reader of a store's changes; made anew when it belongs to another state of the store."""
        known = self._changes.get(store)
        if known is not None and known[0] is belongs_to:
            return known[1]
        if known is not None:
            known[1].close()
        made = make()
        self._changes[store] = (belongs_to, made)
        return made


def _quietly(close: Callable[[], object]) -> None:
    """The other end may be gone already."""
    try:
        close()
    except Exception:  # a driver's own, of a connection that nobody needs any more
        return
