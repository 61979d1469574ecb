"""A reader that follows a test's source into a relay of its own, and what the relay holds afterwards.

The tables of these tests all have the columns `id INT NOT NULL PRIMARY KEY, v LONGBLOB NOT NULL`, so that rows can be
counted here without the product's decoder.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from config.settings import RetrySettings, SourceSettings
from model.errors import CrossfadeError
from model.position import Flavour, Position
from servers import Engine, RunningServer
from stores.mysql import binlog_end, connect_source, executed_gtids, probe
from sync.mysql.dump import replica_id
from sync.mysql.event_types import WRITE_ROWS, EventType
from sync.mysql.events import parse_rows_header, parse_table_map
from sync.mysql.reader import BinlogReader
from sync.relay.reader import RelayReader
from sync.relay.transaction import RelayTransaction
from sync.relay.writer import RelayWriter

TABLE = "CREATE TABLE {} (id INT NOT NULL PRIMARY KEY, v LONGBLOB NOT NULL) ENGINE=InnoDB"
RETRY = RetrySettings(first_wait_s=0.05, max_wait_s=0.5, max_elapsed_s=60)


def settings_of(server: RunningServer, **changes: Any) -> SourceSettings:
    """Settings for a test server; `changes` override them."""
    fields: dict[str, Any] = {
        "engine": Flavour.MARIADB if server.flavour.engine is Engine.MARIADB else Flavour.MYSQL,
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": SecretStr(server.password),
        "databases": ("test",),
        "heartbeat_s": 1.0,
    }
    return SourceSettings(**{**fields, **changes})


def position_now(settings: SourceSettings) -> Position:
    """The end of the source's binlog, with GTIDs where it has them. The source must be quiet."""
    connection = connect_source(settings)
    try:
        info = probe(connection)
        end = binlog_end(connection, info)
        return Position(end.flavour, end.coordinate, executed_gtids(connection, info))
    finally:
        connection.close()


def wait_until(what: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for `what` to become true, and fail when it does not."""
    deadline = time.monotonic() + seconds
    tick = threading.Event()
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        tick.wait(0.02)


def row_ids(transaction: RelayTransaction) -> list[tuple[str, int, int]]:
    """(table, id, length of v) of every row that a transaction inserts."""
    found = []
    tables: dict[int, str] = {}
    for header, body in transaction.events():
        if header.type == EventType.TABLE_MAP:
            table = parse_table_map(body)
            tables[table.table_id] = table.table
        elif header.type in WRITE_ROWS:
            rows = parse_rows_header(header.type, body)
            offset = rows.rows_offset
            while offset < len(body):
                number = int.from_bytes(body[offset + 1 : offset + 5], "little", signed=True)
                size = int.from_bytes(body[offset + 5 : offset + 9], "little")
                found.append((tables[rows.table_id], number, size))
                offset += 9 + size
            assert offset == len(body)
    return found


class Follower:
    """A reader in a thread of its own, from `start` on, into a relay in `directory`."""

    def __init__(
        self,
        settings: SourceSettings,
        directory: Path,
        start: Position,
        *,
        segment_bytes: int = 1 << 20,
        budget_bytes: int = 1 << 30,
        server_id: int | None = None,
    ) -> None:
        self.stop_event = threading.Event()
        self.writer = RelayWriter(directory, segment_bytes, budget_bytes, stop=self.stop_event)
        self.settings = settings
        self.reader = BinlogReader(
            settings, RETRY, self.writer, start, server_id=server_id or replica_id(settings, str(directory))
        )
        self.relay = RelayReader(directory)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.reader.run(self.stop_event)
        except BaseException as error:
            self.error = error

    def wait_stopped(self, seconds: float = 30.0) -> CrossfadeError:
        """Wait until the reader gives up; its error."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the reader goes on"
        assert isinstance(self.error, CrossfadeError), self.error
        return self.error

    def catch_up(self, seconds: float = 60.0) -> None:
        """Wait until the relay has everything up to the source's end of now."""
        goal = position_now(settings_of_plain(self.settings))

        def reached() -> bool:
            if self.error is not None:
                raise self.error
            tail = self.writer.tail
            return tail is not None and tail.position.coordinate >= goal.coordinate

        wait_until(reached, seconds)

    def transactions(self) -> list[RelayTransaction]:
        """Everything that is in the relay."""
        return list(self.relay.transactions(0))

    def rows(self) -> list[tuple[str, int, int]]:
        """The rows of everything that is in the relay, in order."""
        return [row for transaction in self.relay.transactions(0) for row in row_ids(transaction)]

    def close(self) -> None:
        """Stop the reader and let go of the relay."""
        self.stop_event.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.relay.close()
        self.writer.close()


_direct: dict[int, SourceSettings] = {}


def settings_of_plain(settings: SourceSettings) -> SourceSettings:
    """Settings that go to the server directly when `settings` go through a proxy (see `through`)."""
    return _direct.get(settings.port, settings)


def through(settings: SourceSettings, port: int) -> SourceSettings:
    """Settings by way of a proxy at `port`."""
    _direct[port] = settings
    return settings.model_copy(update={"port": port})


@contextmanager
def following(
    settings: SourceSettings, directory: Path, start: Position | None = None, **options: Any
) -> Iterator[Follower]:
    """A follower from now on (or from `start`), stopped in the end; its error, if any, is raised."""
    follower = Follower(settings, directory, start or position_now(settings_of_plain(settings)), **options)
    try:
        yield follower
    finally:
        follower.close()
