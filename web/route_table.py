"""The routing table in memory, kept current by NOTIFY: a flip reaches every waiting client when it commits.

One thread listens; requests wait in the server's event loop. While the control store is away the last known table is
served: nothing can flip without it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Final

import psycopg
import structlog
from pydantic import SecretStr

from model.errors import CrossfadeError
from stores.control import routes
from stores.control.routes import Route
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store

log = structlog.get_logger(__name__)

READ_AGAIN_S: Final = 2.0
"""The table is read so often even when nothing is announced: a second net."""
RECONNECT_S: Final = 1.0


class RouteTable:
    """All routes of one migration. `start` begins the listening thread, `close` ends it and every wait."""

    def __init__(self, dsn: SecretStr, name: str) -> None:
        self._dsn = dsn
        self._name = name
        self._routes: dict[str, Route] = {}
        self._read_at: float | None = None
        self._lock = threading.Lock()
        self._waiting: set[_Waiter] = set()
        self._ending = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="routes", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Read the table for the last time and let everybody go who waits: they hear of what the end has changed."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._closed.set()
        self._wake()

    @property
    def closed(self) -> bool:
        """Whether it ends."""
        return self._closed.is_set()

    @property
    def age_s(self) -> float | None:
        """Seconds since the table was read from the control store; None before the first time."""
        with self._lock:
            return None if self._read_at is None else time.monotonic() - self._read_at

    def get(self, domain: str) -> Route | None:
        """A domain's route, None when it was never touched."""
        with self._lock:
            return self._routes.get(domain)

    def all(self) -> dict[str, Route]:
        """Every route."""
        with self._lock:
            return dict(self._routes)

    async def wait(self, domain: str, changed: Callable[[Route], bool], timeout_s: float) -> Route | None:
        """The route as soon as `changed` holds for it, at the latest after `timeout_s` or when the table closes."""
        waiter = _Waiter(asyncio.get_running_loop())
        with self._lock:
            self._waiting.add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                while not self.closed:
                    route = self.get(domain)
                    if route is not None and changed(route):
                        return route
                    await waiter.woken()
        except TimeoutError:
            pass
        finally:
            with self._lock:
                self._waiting.discard(waiter)
        return self.get(domain)

    # -- the listening thread

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                with closing(connect_store(self._dsn, application="crossfade routes")) as connection:
                    self._listen(connection)
            except CrossfadeError as error:
                log.warning("routes_not_heard", error=str(error))
                self._ending.wait(RECONNECT_S)

    def _listen(self, connection: PostgresConnection) -> None:
        with translated("control store"):
            connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(routes.CHANNEL)))
            next_read = 0.0
            while not self._ending.is_set():
                if time.monotonic() >= next_read:
                    self._take(routes.every(connection, self._name))
                    next_read = time.monotonic() + READ_AGAIN_S
                for notice in connection.notifies(timeout=0.25, stop_after=1):
                    if notice.payload.startswith(f"{self._name}/"):
                        next_read = 0.0
            self._take(routes.every(connection, self._name))

    def _take(self, found: dict[str, Route]) -> None:
        with self._lock:
            changed = found != self._routes
            self._routes, self._read_at = found, time.monotonic()
        if changed:
            self._wake()

    def _wake(self) -> None:
        with self._lock:
            waiting = list(self._waiting)
        for waiter in waiting:
            waiter.wake()


class _Waiter:
    """One request that waits, in its own event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()

    async def woken(self) -> None:
        await self._event.wait()
        self._event.clear()

    def wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:  # its loop has ended
            return
