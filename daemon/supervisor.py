"""Runs the parts of one migration: reader, copy, one applier per store, housekeeping, heartbeat, commands.

The only builder of these objects. A part that fails ends itself; the others go on, and the status says which and why.
Without a reader, or when every applier has halted, nothing useful can go on: the daemon ends with that error.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import structlog

from config.settings import Settings
from cutover.domain import domain_plan
from cutover.phases import Phase
from cutover.readers import Readers
from cutover.service import Cutovers
from daemon.computed import ComputedTables
from daemon.continuous import continuous_verification
from daemon.lifecycle import Stop
from daemon.lights import Lights
from daemon.lock import take_daemon_lock
from daemon.notify import Notifier
from daemon.orders import Orders
from daemon.parts import Parts
from daemon.reporting import Reporting
from daemon.sampling import Sampling
from daemon.startup import erase, prepare
from daemon.status import Reason
from daemon.until import Until
from daemon.worker import Worker
from model.errors import CrossfadeError, Fenced, LockHeld, Refused
from stores.control import daemons, domains, events
from stores.control.migrations import prepare_control
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store
from validators.rolling import Rolling
from web.board import Board
from web.service import WebService

log = structlog.get_logger(__name__)

TICK_S = 0.5
JOIN_S = 30.0
VERIFY_JOIN_S = 2.0
"""It only reads: a statement of it that runs on ends with its connection."""

__all__ = ["Supervisor", "Until"]


@dataclass(slots=True)
class _Control:
    """The control store as the daemon uses it; reconnects by itself between ticks."""

    settings: Settings
    lock: PostgresConnection
    fence: int
    locked: bool = True

    def beat(self, document: Mapping[str, Any]) -> None:
        """Raises Fenced when another daemon has registered, ConnectionLost … when the control store is away."""
        if self.lock.closed:
            # The advisory lock went with the connection.
            self.lock = connect_store(self.settings.control_dsn, application="crossfade daemon")
            self.locked = False
        with translated("control store"):
            daemons.beat(self.lock, self.settings.name, self.fence, document)
        if not self.locked:
            self._lock_again()

    def _lock_again(self) -> None:
        try:
            take_daemon_lock(self.lock, self.settings.name)
        except LockHeld as error:
            # The beat has just shown that no other daemon registered: it is our old session, whose end the server
            # has not noticed yet, or a daemon that begins and will fence us.
            log.warning("control_lock_not_back_yet", error=str(error))
            return
        self.locked = True
        log.info("control_store_back")

    def close(self) -> None:
        self.lock.close()


class Supervisor:
    """One run of the daemon."""

    def __init__(
        self,
        settings: Settings,
        stop: Stop,
        *,
        until: Until | None = None,
        fresh: bool = False,
        fresh_confirmation: str | None = None,
        assess_first: bool = True,
        observer: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._until = until
        self._fresh = fresh
        self._confirmation = fresh_confirmation
        self._assess_first = assess_first
        self._observer = observer
        self._notifier = Notifier()

    def run(self) -> Mapping[str, Any]:
        """Run until stopped, until the end that was asked for, or until nothing can go on; gives the last status.

        Raises LockHeld, Refused, SchemaDrift, ConfigError, Unreachable … before anything was changed; afterwards
        whatever ended the work.
        """
        settings = self._settings
        board = Board()
        with ExitStack() as stack:
            lock = stack.enter_context(closing(connect_store(settings.control_dsn, application="crossfade daemon")))
            take_daemon_lock(lock, settings.name)
            # An address that cannot be had is refused before anything begins.
            web = stack.enter_context(closing(WebService(settings, settings.http, board))) if settings.http else None
            if self._fresh:
                _refuse_fresh(lock, settings.name)
                erase(settings, self._confirmation)
            start = prepare(settings, assess_first=self._assess_first)
            prepare_control(lock)
            with translated("control store"):
                fence = daemons.register(lock, settings.name, socket.gethostname(), os.getpid())
                events.record(lock, settings.name, "daemon_started", "the daemon began", pid=os.getpid())
            control = _Control(settings, lock, fence)
            stack.callback(control.close)
            parts = stack.enter_context(closing(Parts(settings, start, self._stop)))
            cutovers = stack.enter_context(
                closing(Cutovers(settings, start.info, start.plan, start.tables, parts, control.fence))
            )
            cutovers.watch(control.lock)
            rolling = continuous_verification(settings, parts)
            verifying = Worker("verify", lambda: rolling.run(self._stop))
            computed = ComputedTables(settings, parts.computed_of)
            computing = Worker("computed", lambda: computed.run(self._stop))
            parts.start()
            cutovers.start()
            verifying.start()
            computing.start()
            plans = {name: domain_plan(settings, name, start.plan, start.tables) for name in settings.domains}
            readers = Readers(settings, plans, parts, control.fence)
            orders = Orders(settings, parts, cutovers, readers, self._stop)
            reporting = Worker("reports", lambda: Reporting(settings, control.fence).run(self._stop))
            if web is not None:
                web.start()
            reporting.start()
            self._notifier.tell(READY="1", STATUS="started")
            try:
                return self._loop(parts, cutovers, control, orders, readers, board, rolling, computed)
            finally:
                self._notifier.tell(STOPPING="1", STATUS=self._stop.reason or "ends")
                # Before the appliers end: what is undone may still have to wait for them.
                cutovers.close()
                self._stop.request("the daemon ends")
                verifying.join(VERIFY_JOIN_S)
                computing.join(VERIFY_JOIN_S)
                parts.join(JOIN_S)
                reporting.join(JOIN_S)
                self._farewell(parts, control, readers)

    def _loop(
        self,
        parts: Parts,
        cutovers: Cutovers,
        control: _Control,
        orders: Orders,
        readers: Readers,
        board: Board,
        rolling: Rolling,
        computed: ComputedTables,
    ) -> Mapping[str, Any]:
        document: Mapping[str, Any] = parts.status().document()
        lights = Lights(self._settings.name)
        next_beat = 0.0
        sampling = Sampling(self._settings.name, self._settings.report.samples_keep_days)
        while not self._stop.is_set():
            alarms = [Reason(one.code, f"domain {name}", one.message, one.next) for name, one in cutovers.alarms()]
            document = {
                **parts.status([*alarms, *computed.reasons()]).document(),
                "computed": computed.document(),
                "reverse": cutovers.document(),
                "domains": cutovers.domains(),
                "http": board.listening,
                "verification": rolling.document(),
            }
            board.turned(document)
            sampling.note(document)
            self._notifier.tell(WATCHDOG="1", STATUS=f"{document['state']}, {document['health']}")
            now = time.monotonic()
            if now >= next_beat:
                if self._beat(control, document, readers, sampling, lights):
                    board.beat()
                next_beat = now + 1.0
            if self._observer:
                self._observer(document)
            orders.carry_out(control.lock)
            parts.housekeeping()
            failure = parts.failure()
            if failure is not None:
                raise failure
            if self._until is not None and self._until.reached(parts):
                self._stop.request(str(self._until))
                break
            self._stop.wait(TICK_S)
        return parts.status().document()

    def _beat(
        self, control: _Control, document: Mapping[str, Any], readers: Readers, sampling: Sampling, lights: Lights
    ) -> bool:
        try:
            control.beat(document)
            readers.watch(control.lock)
            sampling.write(control.lock, document)
            lights.record(control.lock, document["domains"])
            return True
        except Fenced:
            raise
        except CrossfadeError as error:
            # The stores' appliers have their own connections and fences: they go on, and so does the next beat.
            log.warning("control_store_lost", error=str(error))
            return False

    def _farewell(self, parts: Parts, control: _Control, readers: Readers) -> None:
        try:
            control.beat({**parts.status().document(), "state": "STOPPED"})
            readers.withdraw(control.lock)
            with translated("control store"):
                events.record(control.lock, self._settings.name, "daemon_stopped", self._stop.reason or "ended")
        except CrossfadeError as error:
            log.warning("last_status_not_written", error=str(error))


def _refuse_fresh(connection: PostgresConnection, name: str) -> None:
    """A copy from nothing empties the stores: never while one of them serves, or has a gate and a slot of ours."""
    with translated("control store"):
        row = connection.execute("SELECT to_regclass('crossfade.domain_state') IS NOT NULL").fetchone()
        states = domains.every(connection, name) if row and row[0] else ()
    for state in states:
        if state.phase != Phase.FOLLOWING:
            raise Refused(
                f"domain {state.domain} is {state.phase}: its stores must not be emptied",
                hint=f"Bring it back first: crossfade rollback run {state.domain}, "
                f"crossfade cutover cancel {state.domain} --remove",
            )
