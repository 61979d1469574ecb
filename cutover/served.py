"""Which table plans are of domains that the stores serve: there the source follows, and nothing is mended from it."""

from __future__ import annotations

from collections.abc import Iterable

from config.settings import Settings
from cutover.phases import MAY_SERVE, Phase, Side
from stores.control.domains import DomainState
from transforms.plan import MigrationPlan
from transforms.rules import table_matches


def served_by_stores(settings: Settings, plan: MigrationPlan, states: Iterable[DomainState]) -> dict[str, str]:
    """Plan id → its domain, for every plan whose domain the stores may serve now."""
    found: dict[str, str] = {}
    for state in states:
        domain = settings.domains.get(state.domain)
        if domain is None or MAY_SERVE[Phase(state.phase)] is not Side.STORES:
            continue
        for one in plan.plans:
            if any(table_matches(pattern, one.source.id) for pattern in domain.tables):
                found[one.id] = state.domain
    return found
