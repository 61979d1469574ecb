"""Writes what a domain is doing into the control store: phase and journal, under the daemon's fence.

A connection of its own, opened anew after an error; every write is one transaction that holds the daemon's row, so a
displaced daemon can neither move a domain nor add to its journal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from config.settings import Settings
from cutover.phases import POINTS_OF_NO_RETURN, Phase, moved
from stores.control import domains, journal, pins
from stores.control.domains import DomainState
from stores.control.journal import Entry, Kind
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store


class Logbook:
    """One domain's page. For one thread."""

    def __init__(self, settings: Settings, domain: str, fence: int) -> None:
        self._settings = settings
        self._domain = domain
        self._fence = fence
        self._connection: PostgresConnection | None = None
        self._digest: str | None = None
        """Of the last entry, for nobody else writes as long as the fence holds; None: not known."""
        self.actor = "daemon"
        self.latest: DomainState | None = None
        """The domain as last read or written here; other threads may look."""

    def _open(self) -> PostgresConnection:
        if self._connection is None or self._connection.closed:
            self._connection = connect_store(self._settings.control_dsn, application="crossfade cutover")
        return self._connection

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._digest = None

    @property
    def state(self) -> DomainState:
        """The domain now, as the control store has it."""
        with translated("control store"):
            self.latest = domains.ensure(self._open(), self._settings.name, self._domain, str(Phase.FOLLOWING))
        return self.latest

    def _write(self, act: Callable[[PostgresConnection], None]) -> None:
        connection = self._open()
        try:
            with translated("control store"), connection.transaction():
                domains.hold_daemon(connection, self._settings.name, self._fence)
                act(connection)
        except BaseException:
            self._digest = None
            raise

    def move(self, before: DomainState, phase: Phase, *, seen: bool = False, **changes: Any) -> DomainState:
        """Move the domain; `seen` says that the compare-and-set on the source's gate was seen to have succeeded.

        Raises Fenced, CrossfadeError for a transition that the table does not have.
        """
        old = Phase(before.phase)
        moved(old, phase)
        if (old, phase) in POINTS_OF_NO_RETURN:
            assert seen, "sides change only after the gate row says so"
        after = dataclasses.replace(before, phase=str(phase), problem="", **changes)

        def act(connection: PostgresConnection) -> None:
            domains.move(connection, before, after)
            facts = {"side": after.side, "boundary": dict(after.boundary)}
            self._append(connection, after.epoch, str(phase), Kind.PHASE, facts)

        self._write(act)
        self.latest = after
        return after

    def note(self, epoch: int, *entries: tuple[str, Kind, Mapping[str, Any]]) -> None:
        """Add entries (step, kind, facts) to the journal, all in one transaction. Raises Fenced."""

        def act(connection: PostgresConnection) -> None:
            for step, kind, facts in entries:
                self._append(connection, epoch, step, kind, facts)

        self._write(act)

    def _append(
        self, connection: PostgresConnection, epoch: int, step: str, kind: Kind, facts: Mapping[str, Any]
    ) -> None:
        entry = journal.append(
            connection,
            self._settings.name,
            self._domain,
            epoch,
            step,
            kind,
            facts,
            actor=self.actor,
            fence=self._fence,
            before=self._digest,
        )
        self._digest = entry.digest

    def pin(self, identities: Mapping[str, str]) -> None:
        """Remember the servers that the domain is prepared on. Raises Fenced."""
        pin = pins.Pin(self._domain, identities)
        self._write(lambda connection: pins.put(connection, self._settings.name, pin))

    def pinned(self) -> bool:
        """Whether servers are remembered."""
        with translated("control store"):
            return pins.read(self._open(), self._settings.name, self._domain) is not None

    def complain(self, problem: str) -> None:
        """Say what keeps the domain from going on."""
        self._write(lambda connection: domains.complain(connection, self._settings.name, self._domain, problem))

    def finish(self, result: Mapping[str, Any]) -> None:
        """Leave the outcome of a request."""
        self._write(lambda connection: domains.finish(connection, self._settings.name, self._domain, result))

    def entries(self, epoch: int | None = None) -> tuple[Entry, ...]:
        """The journal, of one epoch or whole."""
        with translated("control store"):
            return journal.entries(self._open(), self._settings.name, self._domain, epoch)
