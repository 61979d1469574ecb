"""Runs the checks: gathers the facts of source and stores once, then asks every check."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing

from config.settings import Settings
from model.errors import UsageError
from stores.mysql import connect_source
from sync.assess.findings import Assessment, Finding
from sync.assess.registry import SOURCE_CHECKS, STORE_CHECKS
from sync.assess.source_facts import gather_source
from sync.assess.store_facts import gather_store


def assess(settings: Settings, *, only: Collection[str] = ()) -> Assessment:
    """Judge the source and every store; `only` names the checks to run, all when empty.

    Changes nothing. Raises Unreachable or AccessDenied when the source lets us in not at all (an unreachable store is
    a finding), UsageError for the name of no check.
    """
    unknown = sorted(set(only) - set(SOURCE_CHECKS) - set(STORE_CHECKS))
    if unknown:
        known = ", ".join([*SOURCE_CHECKS, *STORE_CHECKS])
        raise UsageError(f"no check is called {', '.join(unknown)}", hint=f"Checks: {known}")
    findings: list[Finding] = []
    with closing(connect_source(settings.source)) as connection:
        facts = gather_source(connection, settings)
        for check in SOURCE_CHECKS.values():
            if not only or check.name in only:
                findings.extend(check.run(facts))
    for name in settings.stores:
        store = gather_store(name, settings, facts.plan, facts.bytes_estimate)
        for store_check in STORE_CHECKS.values():
            if not only or store_check.name in only:
                findings.extend(store_check.run(store))
    return Assessment(tuple(findings))
