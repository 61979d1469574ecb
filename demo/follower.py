"""An application that follows the routing table: the orders' traffic goes where the control store says they live."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

from pydantic import SecretStr

from stores.control import domains
from stores.postgres import connect_store

POLL_S = 0.02


class Follower:
    """Calls `reroute(side)` whenever the side of `domain` changes. Use as a context manager."""

    def __init__(self, control_dsn: str, migration: str, domain: str, reroute: Callable[[str], None]) -> None:
        self._control = SecretStr(control_dsn)
        self._migration, self._domain = migration, domain
        self._reroute = reroute
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        side = "source"
        with closing(connect_store(self._control, application="shop")) as connection:
            while not self._stop.wait(POLL_S):
                row = connection.execute("SELECT to_regclass('crossfade.domain_state') IS NOT NULL").fetchone()
                state = domains.read(connection, self._migration, self._domain) if row and row[0] else None
                if state is not None and state.side != side:
                    side = state.side
                    self._reroute(side)
