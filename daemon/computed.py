"""Asks the stores every few seconds how the read models and looked-up columns are, for status and dashboard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from config.settings import Settings
from daemon.status import Reason
from model.errors import CrossfadeError
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store
from validators.computed_state import ComputedState, Kept, state_of
from validators.computed_verdict import Computed

log = structlog.get_logger(__name__)

EVERY_S: float = 5.0
STALE: Final = "READ_MODEL_STALE"


class ComputedTables:
    """`run` in a thread of its own; the rest from any thread.

    `declared`: store → what it computes, as its plans are now.
    """

    def __init__(self, settings: Settings, declared: Callable[[str], Sequence[Computed]]) -> None:
        self._settings = settings
        self._declared = declared
        self._known: dict[str, tuple[ComputedState, ...]] = {}
        self._connections: dict[str, PostgresConnection] = {}

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set. A store that is away keeps its last states: it is told of by other reasons."""
        try:
            while not stop.is_set():
                for store in self._settings.stores:
                    try:
                        self._known[store] = self._look(store)
                    except CrossfadeError as error:
                        log.warning("computed_not_seen", store=store, error=str(error))
                        self._leave(store)
                stop.wait(EVERY_S)
        finally:
            for store in tuple(self._connections):
                self._leave(store)

    def _look(self, store: str) -> tuple[ComputedState, ...]:
        """Over a connection that is kept while the store has something to look at."""
        declared = self._declared(store)
        if not declared:
            self._leave(store)
            return ()
        if store not in self._connections:
            dsn = self._settings.stores[store].dsn
            self._connections[store] = connect_store(dsn, application="crossfade status")
        with translated(f"store {store}"):
            return tuple(state_of(self._connections[store], one) for one in declared)

    def _leave(self, store: str) -> None:
        connection = self._connections.pop(store, None)
        if connection is not None:
            connection.close()

    @property
    def states(self) -> tuple[ComputedState, ...]:
        """As they were last seen, store by store."""
        return tuple(state for store in self._settings.stores for state in self._known.get(store, ()))

    def document(self) -> list[dict[str, Any]]:
        """The JSON form."""
        return [state.document() for state in self.states]

    def reasons(self) -> list[Reason]:
        """What somebody should look at. One that is not there is not among them: its store may still be copied."""
        return [
            Reason(STALE, one.plan, f"stale since {one.since}: {one.error}", one.next)
            for one in self.states
            if one.state is Kept.STALE
        ]
