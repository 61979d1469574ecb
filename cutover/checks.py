"""The gates before a cutover or rollback: each is measured, has a limit, and says what to do when it is not met.

Nothing is changed by asking, but for the marker row and a message in the stores' logs.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import Final

from cutover.divergence_steps import EXPORT
from cutover.gate_result import Check, GateResult
from cutover.phases import Phase
from cutover.replicas import replicas_follow
from cutover.server_checks import (
    durability,
    no_pending_ddl,
    old_store_writers,
    old_writers,
    retention,
    reverse_privileges,
    same_servers,
    slots_reserved,
    source_writable,
)
from cutover.site import Site
from cutover.trip_checks import marker_round_trip, predicted_stop, reverse_round_trip
from stores.control import journal, leaks, quarantine, verify_proof, verify_runs
from stores.control.journal import Kind
from stores.control.verify_proof import TableProof
from stores.control.verify_runs import StoredRun
from stores.errors import translated
from stores.postgres import connect_store
from validators.transform_hash import transform_hash


def configured(site: Site, stop: threading.Event) -> GateResult:
    """Nothing in the plan forbids that these tables move together."""
    problems = site.domain.problems
    return GateResult(
        "configured", not problems, "; ".join(problems) or "ok", "no problem", "Mend the domain in the configuration."
    )


def reversible(site: Site, stop: threading.Event) -> GateResult:
    """Every column goes back exactly, or its loss was accepted by name."""
    accepted = site.consents.lossy
    open_ones = {column: why for column, why in site.domain.lossy().items() if column not in accepted}
    shown = "; ".join(f"{column} ({why})" for column, why in list(open_ones.items())[:5])
    return GateResult(
        "reversible",
        not open_ones,
        shown or (f"{', '.join(sorted(accepted))} accepted" if accepted else "exact"),
        "exact, or accepted by name",
        "Declare `reverse:` for them, or accept: " + " ".join(f"--accept-lossy {column}" for column in open_ones),
    )


def streaming(site: Site, stop: threading.Event) -> GateResult:
    """Every table is exact."""
    late = [plan.id for plan in site.domain.plans if not site.followers.streams(plan.id)]
    return GateResult(
        "streaming", not late, ", ".join(late[:5]) or "all tables", "all tables", "See: crossfade status --tables"
    )


def quarantined(site: Site, stop: threading.Event) -> GateResult:
    """No row of the domain waits."""
    parked = 0
    ids = {plan.id for plan in site.domain.plans}
    for store in site.domain.stores:
        with translated(f"store {store}"):
            found = quarantine.count_parked(site.store(store), site.settings.name)
        parked += sum(count for plan_id, count in found.items() if plan_id in ids)
    return GateResult("quarantined", parked == 0, f"{parked} rows", "0 rows", "See: crossfade errors list")


def verified(site: Site, stop: threading.Event) -> GateResult:
    """Every row of the domain is proven equal, not too long ago: by the daemon's own verification or by runs."""
    limit_s = site.settings.cutover.verify_not_older_s
    dsn = site.settings.control_dsn
    with closing(connect_store(dsn, application="crossfade cutover")) as connection, translated("control store"):
        run = verify_runs.run_of(connection, site.settings.name)
        open_ones = verify_runs.findings_of(connection, site.settings.name)
        proofs = verify_proof.coverage(connection, site.settings.name)
        given_up = journal.last_of(connection, site.settings.name, site.domain.name, EXPORT, Kind.OBSERVED)
    todo = "crossfade verify"
    limit = f"every row proven, not longer ago than {limit_s:.0f} s"
    plans = {plan.id: transform_hash(plan) for plan in site.domain.plans} | dict(site.domain.computed)
    failed = _failed(run)
    bad = [
        f"{plan_id}: {why}"
        for plan_id in sorted(plans)
        if (why := _unproven(proofs.get(plan_id), plans[plan_id], failed.get(plan_id)))
    ]
    if bad:
        return GateResult("verified", False, "; ".join(bad[:3]), limit, todo)
    differing = [finding for finding in open_ones if finding.plan_id in plans]
    if differing:
        return GateResult("verified", False, f"{len(differing)} open findings", limit, "crossfade repair")
    age_s = max((proofs[plan_id].oldest_age_s or 0.0 for plan_id in plans), default=0.0)
    if given_up is not None and given_up.values["rows"] and given_up.at_us / 1e6 > time.time() - age_s:
        left = f"not every row since a rollback left {given_up.values['rows']} rows behind"
        return GateResult("verified", False, left, limit, todo)
    for store in site.domain.stores:
        with translated(f"store {store}"):
            late = [one for one in leaks.load(site.store(store), site.settings.name, site.domain.name)
                    if one.at_s > time.time() - age_s]  # fmt: skip
        if late:
            said = f"not every row since foreign writes reached the source, the last at {late[-1].position}"
            return GateResult("verified", False, said, limit, todo)
    return GateResult("verified", age_s <= limit_s, f"every row proven in the last {age_s:.0f} s", limit, todo)


def _failed(run: StoredRun | None) -> dict[str, float]:
    """Plan id → how long ago the last run began, for plans whose numbers of rows differed: they leave no finding."""
    if run is None or run.mode != "counts":
        return {}
    return {str(table["plan_id"]): run.age_s for table in run.verdict["tables"] if table["outcome"] == "fail"}


def _unproven(proof: TableProof | None, transform: str, failed_age_s: float | None) -> str:
    """Why a table does not count as proven; "" when it does."""
    if proof is None or not proof.chunks_proven:
        return (proof.why if proof is not None else "") or "never proven"
    if not proof.complete:
        return f"{100 * proof.share:.1f} % proven" + (f", {proof.why}" if proof.why else "")
    if proof.transforms != (transform,):
        return "proven for another mapping or definition"
    if failed_age_s is not None and (proof.oldest_age_s or 0.0) >= failed_age_s:
        return "the numbers of rows differed in the last run"
    return ""


def hooks_callable(site: Site, stop: threading.Event) -> GateResult:
    """The route hooks can be called, as far as can be told without calling them."""
    problem = site.hooks.problem()
    return GateResult(
        "hooks_callable", not problem, problem or "ok", "can be called", f"Mend domains.{site.domain.name}.route."
    )


def gate_installed(site: Site, stop: threading.Event) -> GateResult:
    """Gate triggers on both sides."""
    lacking = [f"{table} {event}" for table, event in site.gate().missing(site.domain.table_ids)]
    lacking += site.ungated()
    return GateResult(
        "gate_installed", not lacking, ", ".join(lacking[:4]) or "on every table", "on every table",
        f"Before the cutover: crossfade cutover rehearse {site.domain.name}. After it: crossfade stop, crossfade start",
    )  # fmt: skip


def values_guarded(site: Site, stop: threading.Event) -> GateResult:
    """The stores refuse what the source could not hold."""
    lacking = site.unguarded()
    limited = sum(len(found) for store in site.domain.stores for found in site.domain.limits(store).values())
    left = [f"{store}: {column}" for store in site.domain.stores for column in site.domain.unlimited(store)]
    value = f"not on {', '.join(lacking[:4])}" if lacking else f"{limited} columns limited"
    if left:
        value += f"; judged by the reverse stream only: {', '.join(left[:4])}" + (" …" if left[4:] else "")
    return GateResult(
        "values_guarded", not lacking, value, "every limit of the source is one of the store",
        f"crossfade cutover rehearse {site.domain.name}",
    )  # fmt: skip


BASIC: Final[tuple[Check, ...]] = (
    configured, reversible, streaming, no_pending_ddl, quarantined, verified, source_writable, durability, old_writers,
    hooks_callable,
)  # fmt: skip
"""Asked before anything is installed."""
CUTOVER: Final[tuple[Check, ...]] = (
    *BASIC, same_servers, gate_installed, values_guarded, slots_reserved, retention, reverse_privileges,
    replicas_follow, marker_round_trip, reverse_round_trip, predicted_stop,
)  # fmt: skip
ROLLBACK: Final[tuple[Check, ...]] = (
    configured, source_writable, same_servers, gate_installed, slots_reserved, old_store_writers, replicas_follow,
    reverse_round_trip,
)  # fmt: skip
DIVERGING: Final[tuple[Check, ...]] = (configured, source_writable, same_servers, gate_installed)
"""Of a rollback that leaves writes behind: what it cannot do without."""


def checks_for(phase: Phase) -> tuple[Check, ...]:
    """The gates of the next move from `phase`."""
    if phase is Phase.LIVE:
        return ROLLBACK
    return CUTOVER if phase is Phase.PREPARED else BASIC
