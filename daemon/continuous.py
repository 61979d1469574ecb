"""What the daemon tells its continuous verification (`validators/rolling.py`): the plan, and what to leave alone."""

from __future__ import annotations

from contextlib import closing
from typing import Final

from config.settings import Settings
from cutover.phases import Phase as DomainPhase
from daemon.parts import Parts
from daemon.planning import read_followed
from stores.control import domains
from stores.control.domains import DomainState
from stores.errors import translated
from stores.postgres import connect_store
from validators.rolling import Ports, Rolling
from validators.run import Scope

LAG_S: Final = 5.0
"""With more lag than this the servers are left to the appliers."""
_AT_REST: Final = frozenset({DomainPhase.FOLLOWING, DomainPhase.PREPARED, DomainPhase.LIVE, DomainPhase.COMPLETE})
_COMPARED: Final = frozenset({DomainPhase.FOLLOWING, DomainPhase.PREPARED})
"""Phases in which the stores hold what the source holds; later the source follows the stores."""


def continuous_verification(settings: Settings, parts: Parts) -> Rolling:
    """The verification of this daemon's migration."""

    def states() -> tuple[DomainState, ...]:
        with (
            closing(connect_store(settings.control_dsn, application="crossfade verify")) as connection,
            translated("control store"),
        ):
            return domains.every(connection, settings.name)

    def busy() -> str | None:
        moving = [state for state in states() if state.phase not in _AT_REST]
        return f"domain {moving[0].domain} is {moving[0].phase}" if moving else parts.occupied(LAG_S)

    def elsewhere() -> tuple[str, ...]:
        return tuple(
            glob
            for state in states()
            if state.phase not in _COMPARED and state.domain in settings.domains
            for glob in settings.domains[state.domain].tables
        )

    def planned() -> Scope:
        found = read_followed(settings)
        return Scope(found.info, found.tables, found.plan)

    return Rolling(settings, Ports(planned, busy, elsewhere))
