"""Applications that follow the routing table: a domain's traffic goes where the control store says it lives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import closing

from pydantic import SecretStr

from demo.retailcore.domains import Domain
from stores.control import domains
from stores.postgres import connect_store

POLL_S = 0.02


class Follower:
    """Calls `reroute(domain, side)` whenever the side of a domain changes. Use as a context manager."""

    def __init__(
        self, control_dsn: str, migration: str, followed: Iterable[Domain], reroute: Callable[[Domain, str], None]
    ) -> None:
        self._control = SecretStr(control_dsn)
        self._migration = migration
        self._sides = dict.fromkeys(followed, "source")
        self._reroute = reroute
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def sides(self) -> dict[Domain, str]:
        """Domain → who serves it, as last seen."""
        return dict(self._sides)

    def _follow(self) -> None:
        with closing(connect_store(self._control, application="shop")) as connection:
            while not self._stop.wait(POLL_S):
                row = connection.execute("SELECT to_regclass('crossfade.domain_state') IS NOT NULL").fetchone()
                states = domains.every(connection, self._migration) if row and row[0] else ()
                for state in states:
                    domain = Domain(state.domain)
                    if self._sides.get(domain, state.side) != state.side:
                        self._sides[domain] = state.side
                        self._reroute(domain, state.side)
