"""Where readers of a domain are sent: reads-first and canary before a cutover, and back when a store falls behind.

Writers never follow this: they go where `side` says, and the gates hold whoever does not. Readers may be served by the
stores while these follow the source closely (reads are then as old as the lag); from the flip on they go where the
writers go. Whether a store is close enough is asked when readers are sent there and on every beat after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import structlog

from config.settings import Settings
from cutover.domain import DomainPlan
from cutover.phases import Phase, Side
from model.errors import Refused, UsageError
from stores.control import domains, events, routes
from stores.control.routes import Route
from stores.errors import translated
from stores.postgres import PostgresConnection

log = structlog.get_logger(__name__)

MAY_READ: Final[dict[Phase, frozenset[Side]]] = {
    Phase.FOLLOWING: frozenset(Side),
    Phase.PREPARED: frozenset(Side),
    Phase.CUTTING_OVER: frozenset(),
    Phase.ABORTING: frozenset(),
    Phase.SWITCHING: frozenset(),
    Phase.LIVE: frozenset({Side.STORES}),
    Phase.ROLLING_BACK: frozenset(),
    Phase.RESTORING: frozenset(),
    Phase.RETURNING: frozenset(),
    Phase.COMPLETE: frozenset({Side.STORES}),
}
"""Where readers can be sent in each phase; nothing is changed while a domain moves."""


class Freshness(Protocol):
    """What the running appliers say about how current the stores are."""

    def lag_of(self, store: str) -> float | None:
        """Seconds that the store is behind; None when that is not known."""

    def streams(self, plan_id: str) -> bool:
        """Whether a table plan is exact (STREAMING)."""

    def parked_of(self, plan_id: str) -> int:
        """Changes of a table plan that wait in quarantine."""


class Readers:
    """The readers' side of the routing table. For one thread."""

    def __init__(self, settings: Settings, plans: Mapping[str, DomainPlan], freshness: Freshness, fence: int) -> None:
        """`fence`: the daemon's, so that a displaced one changes nothing."""
        self._settings = settings
        self._plans = plans
        self._freshness = freshness
        self._fence = fence

    def send(
        self, connection: PostgresConnection, domain: str, side: str | None, percent: int | None, actor: str
    ) -> Route:
        """Send `percent` of the readers (default: all) to `side` (default: the stores, or where they go now).

        Raises UsageError, Refused (with the reason: phase, lag, quarantine), Fenced.
        """
        if domain not in self._plans:
            raise UsageError(f"there is no domain {domain!r}", hint=f"Domains: {', '.join(self._plans) or 'none'}.")
        with translated("control store"), connection.transaction():
            domains.hold_daemon(connection, self._settings.name, self._fence)
            domains.ensure(connection, self._settings.name, domain, str(Phase.FOLLOWING))
            state = domains.hold(connection, self._settings.name, domain)
            now = routes.read(connection, self._settings.name, domain)
            assert state is not None and now is not None
            # A canary alone means: to the stores.
            reads, share = _wanted(side or (str(Side.STORES) if percent else now.reads), percent, state.side)
            self._allow(domain, Phase(state.phase), Side(state.side), reads)
            routes.choose(
                connection, self._settings.name, domain, reads=str(reads), canary_percent=share, reason=f"by {actor}"
            )
            found = routes.read(connection, self._settings.name, domain)
        assert found is not None
        return found

    def _allow(self, domain: str, phase: Phase, side: Side, reads: Side) -> None:
        if reads not in MAY_READ[phase]:
            raise Refused(
                f"domain {domain} is {phase}: its readers cannot be sent to the {reads}",
                hint="Readers go where the writers go from the flip on; see: crossfade cutover status"
                if MAY_READ[phase]
                else "It is moving: wait, then try again.",
            )
        if reads is not side:
            problem = self._stale(domain, self._settings.cutover.max_lag_s)
            if problem:
                raise Refused(
                    f"readers of {domain} would see old rows: {problem}", hint="See: crossfade status --tables"
                )

    def _stale(self, domain: str, limit_s: float) -> str:
        """Why the stores are no place to read this domain's rows; "" when they are."""
        plan = self._plans[domain]
        for one in plan.plans:
            if not self._freshness.streams(one.id):
                return f"{one.id} does not stream"
            if self._freshness.parked_of(one.id):
                return f"changes of {one.id} wait in quarantine"
        for store in plan.stores:
            lag_s = self._freshness.lag_of(store)
            if lag_s is None or lag_s > limit_s:
                behind = "an unknown time" if lag_s is None else f"{lag_s:.1f} s"
                return f"store {store} is {behind} behind (limit: {limit_s:g} s)"
        return ""

    def watch(self, connection: PostgresConnection) -> None:
        """Bring readers back from stores that are not close enough any more; somebody has to send them anew."""
        for domain, plan in self._plans.items():
            reason = self._stale(domain, self._settings.cutover.max_read_lag_s)
            if reason:
                self._bring_back(connection, plan.name, reason)

    def withdraw(self, connection: PostgresConnection) -> None:
        """Bring readers back from all stores that only follow: this daemon ends, and the stores stand still."""
        for domain in self._plans:
            self._bring_back(connection, domain, "the daemon ended")

    def _bring_back(self, connection: PostgresConnection, domain: str, reason: str) -> None:
        with translated("control store"), connection.transaction():
            now = routes.read(connection, self._settings.name, domain)
            if now is None or now.side != Side.SOURCE or now.reads != Side.STORES:
                return
            domains.hold_daemon(connection, self._settings.name, self._fence)
            state = domains.hold(connection, self._settings.name, domain)
            if state is None or state.side != Side.SOURCE:
                return
            routes.choose(
                connection, self._settings.name, domain, reads=str(Side.SOURCE), canary_percent=0, reason=reason
            )
            message = f"readers of {domain} were brought back to the source: {reason}"
            events.record(connection, self._settings.name, "readers_brought_back", message, domain=domain)
        log.warning("readers_brought_back", domain=domain, reason=reason)


def _wanted(reads: str, percent: int | None, side: str) -> tuple[Side, int]:
    """The side that readers are taken to, and their share. Raises UsageError."""
    try:
        chosen = Side(reads)
    except ValueError:
        raise UsageError(f"readers cannot be sent to {reads!r}", hint="Use source or stores.") from None
    if percent is not None and not 0 <= percent <= 100:
        raise UsageError(f"{percent} is no percentage", hint="Use 0 to 100.")
    if chosen == side:
        if percent:
            raise UsageError(
                f"{percent} % of the readers to the {chosen}, but all of them are there",
                hint="Name the other side: --reads stores --canary PERCENT",
            )
        return chosen, 0
    share = 100 if percent is None else percent
    return (chosen, share) if share else (Side(side), 0)
