"""The reverse streams of one domain, one per store: armed before the cutover, streaming after it.

Threads of their own; a stream belongs to one epoch, and a new one replaces it when the domain moves.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from config.settings import Settings, SourceSettings
from cutover.domain import DomainPlan
from model.errors import CrossfadeError
from stores.mysql import MysqlConnection
from sync.reverse import ReverseStream
from sync.reverse_state import ReverseMode, ReverseState

log = structlog.get_logger(__name__)

JOIN_S = 20.0


class _Running:
    def __init__(self, stream: ReverseStream) -> None:
        self.stream = stream
        self.stop = threading.Event()
        self.thread = threading.Thread(target=stream.run, args=(self.stop,), name=f"reverse-{stream.name}", daemon=True)
        self.thread.start()

    def end(self) -> bool:
        self.stop.set()
        self.thread.join(JOIN_S)
        return not self.thread.is_alive()


class ReverseSide:
    """Starts, replaces and asks the streams. For the domain's thread; `states` from any."""

    def __init__(self, settings: Settings, source: SourceSettings, domain: DomainPlan) -> None:
        """`source`: settings whose sessions may write through the closed gate."""
        self._settings = settings
        self.source = source
        self._domain = domain
        self._running: dict[str, _Running] = {}

    def start(self, epoch: int, boundary: Mapping[str, int], *, armed: bool) -> None:
        """(Re)start every stream at its boundary. Raises CrossfadeError when an old one does not end."""
        self.stop(self._domain.stores)
        for store in self._domain.stores:
            stream = ReverseStream(
                self._settings,
                self._domain.name,
                store,
                self._domain.backs_of(store),
                epoch=epoch,
                start_lsn=boundary[store],
                armed=armed,
                source=self.source,
            )
            self._running[store] = _Running(stream)

    def stop(self, stores: Iterable[str] | None = None) -> None:
        """End streams. Raises CrossfadeError when one hangs: it could still write."""
        for store in tuple(self._running) if stores is None else tuple(stores):
            running = self._running.get(store)
            if running is None:
                continue
            if not running.end():
                raise CrossfadeError("the reverse stream does not end", hint="Restart the daemon.", store=store)
            del self._running[store]

    @property
    def up(self) -> bool:
        """Whether every store's stream runs and has not halted."""
        return all(
            store in self._running and self._running[store].stream.state.mode is not ReverseMode.HALTED
            for store in self._domain.stores
        )

    def states(self) -> tuple[ReverseState, ...]:
        """Every stream now."""
        return tuple(running.stream.state for running in tuple(self._running.values()))

    def rows_sent_back(self) -> int:
        """Rows that all streams together have ever written to the source."""
        return sum(state.rows for state in self.states())

    def open_from(self, boundary: Mapping[str, int]) -> None:
        """Send back what is committed after the boundary."""
        for store, lsn in boundary.items():
            self._of(store).open_from(lsn)

    def wait_for(
        self, boundary: Mapping[str, int], timeout_s: float, asked: MysqlConnection[Any] | None = None
    ) -> None:
        """Wait until the source's progress rows show the boundary; `asked`: a connection to read them by.

        Raises TimedOut, CrossfadeError.
        """
        for store, lsn in boundary.items():
            self._of(store).wait_for(lsn, timeout_s, asked)

    def round_trip(self, timeout_s: float) -> float:
        """The slowest of the stores' ways to the source and back, seconds. Raises TimedOut, CrossfadeError."""
        return max(self._of(store).round_trip(timeout_s) for store in self._domain.stores)

    def _of(self, store: str) -> ReverseStream:
        running = self._running.get(store)
        if running is None:
            raise CrossfadeError("the reverse stream does not run", hint="See: crossfade cutover status", store=store)
        return running.stream
