"""The gates before a cutover or rollback: each is measured, has a limit, and says what to do when it is not met.

Nothing is changed by asking, but for the marker row and a message in the stores' logs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from cutover.phases import Phase
from cutover.rounds import drained
from cutover.site import Site
from model.errors import CrossfadeError, Refused
from stores.control import quarantine, verify_proof, verify_runs
from stores.control.verify_proof import TableProof
from stores.control.verify_runs import StoredRun
from stores.errors import translated
from stores.mysql import binlog_end, variables
from stores.postgres import connect_store
from sync.postgres import slots
from validators.transform_hash import transform_hash

OLD_WRITER_S: Final = 3.0
ROUND_TRIP_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate: what was measured against which limit."""

    name: str
    passed: bool
    value: str
    limit: str
    next: str = ""
    """What to do when it did not pass."""
    seconds: float | None = None
    """For gates that measure a part of the write stop."""


Check = Callable[[Site, threading.Event], GateResult]


def measure(checks: Sequence[Check], site: Site, stop: threading.Event) -> list[GateResult]:
    """Every gate; one that cannot be measured has not passed."""
    found = []
    for check in checks:
        try:
            found.append(check(site, stop))
        except CrossfadeError as error:
            found.append(GateResult(check.__name__.strip("_"), False, str(error), "can be measured", error.hint))
            if error.transient:
                site.drop()
    return found


def refuse(found: Sequence[GateResult], what: str) -> None:
    """Raises Refused naming every gate that did not pass."""
    closed = [gate for gate in found if not gate.passed]
    if closed:
        first = closed[0]
        others = f"; also: {', '.join(gate.name for gate in closed[1:])}" if closed[1:] else ""
        raise Refused(
            f"{what} is refused by gate {first.name}: {first.value} (limit: {first.limit}){others}",
            hint=first.next or "See every gate with: crossfade cutover check",
        )


def configured(site: Site, stop: threading.Event) -> GateResult:
    """Nothing in the plan forbids that these tables move together."""
    problems = site.domain.problems
    return GateResult(
        "configured", not problems, "; ".join(problems) or "ok", "no problem", "Mend the domain in the configuration."
    )


def reversible(site: Site, stop: threading.Event) -> GateResult:
    """Every column goes back exactly, or its loss was accepted by name."""
    accepted = set(site.settings.domains[site.domain.name].gates.get("accept_lossy", ()))
    open_ones = {column: why for column, why in site.domain.lossy().items() if column not in accepted}
    shown = "; ".join(f"{column} ({why})" for column, why in list(open_ones.items())[:5])
    return GateResult(
        "reversible",
        not open_ones,
        shown or (f"{len(accepted)} accepted by name" if accepted else "exact"),
        "exact, or accepted by name",
        f"Declare `reverse:` for them, or accept: domains.{site.domain.name}.gates.accept_lossy: "
        f"[{', '.join(open_ones)}]",
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
    todo = "crossfade verify"
    limit = f"every row proven, not longer ago than {limit_s:.0f} s"
    plans = {plan.id: plan for plan in site.domain.plans}
    failed = _failed(run)
    bad = [
        f"{plan_id}: {why}"
        for plan_id in sorted(plans)
        if (why := _unproven(proofs.get(plan_id), transform_hash(plans[plan_id]), failed.get(plan_id)))
    ]
    if bad:
        return GateResult("verified", False, "; ".join(bad[:3]), limit, todo)
    differing = [finding for finding in open_ones if finding.plan_id in plans]
    if differing:
        return GateResult("verified", False, f"{len(differing)} open findings", limit, "crossfade repair")
    age_s = max((proofs[plan_id].oldest_age_s or 0.0 for plan_id in plans), default=0.0)
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


def source_writable(site: Site, stop: threading.Event) -> GateResult:
    """The source is the server that was planned for, and takes writes."""
    found = variables(site.source())
    identity = found.get("server_uuid") or f"{found.get('hostname', '')}:{found.get('port', '')}"
    if identity != site.info.server_uuid:
        return GateResult(
            "source_writable", False, f"server {identity}", f"server {site.info.server_uuid}",
            "The source is another server than at the start; restart the daemon.",
        )  # fmt: skip
    read_only = found.get("read_only", "OFF").upper() in ("ON", "1")
    return GateResult(
        "source_writable", not read_only, "read_only" if read_only else "writable", "writable primary",
        "The source is read-only: is it the primary?",
    )  # fmt: skip


def gate_installed(site: Site, stop: threading.Event) -> GateResult:
    """Gate triggers on both sides."""
    lacking = [f"{table} {event}" for table, event in site.gate().missing(site.domain.table_ids)]
    for store in site.domain.stores:
        lacking += [f"{store}: {table}" for table in site.store_gate(store).missing()]
    return GateResult(
        "gate_installed", not lacking, ", ".join(lacking[:4]) or "on every table", "on every table",
        f"crossfade cutover rehearse {site.domain.name}",
    )  # fmt: skip


def old_writers(site: Site, stop: threading.Event) -> GateResult:
    """No transaction on the source has been writing for long: closing waits for them."""
    with translated("source"), site.source().cursor() as cursor:
        cursor.execute(
            "SELECT trx_mysql_thread_id, TIMESTAMPDIFF(SECOND, trx_started, NOW()) FROM information_schema.INNODB_TRX "
            "WHERE trx_rows_modified > 0 AND TIMESTAMPDIFF(SECOND, trx_started, NOW()) > %s ORDER BY trx_started",
            (OLD_WRITER_S,),
        )
        found = cursor.fetchall()
    shown = ", ".join(f"connection {thread}: {age} s" for thread, age in found[:3])
    return GateResult(
        "old_writers", not found, shown or "none", f"none older than {OLD_WRITER_S:.0f} s", "End them, or wait."
    )


def marker_round_trip(site: Site, stop: threading.Event) -> GateResult:
    """A marker row written on the source is behind every store's checkpoint soon after."""
    limit_s = site.settings.cutover.max_lag_s
    began = time.monotonic()
    site.gate().mark()
    drained(site, binlog_end(site.source(), site.info), ROUND_TRIP_S, stop)
    seconds = time.monotonic() - began
    return GateResult(
        "marker_round_trip", seconds <= limit_s, f"{seconds:.3f} s", f"{limit_s:g} s", "See: crossfade status", seconds
    )


def reverse_round_trip(site: Site, stop: threading.Event) -> GateResult:
    """A message written in every store is behind the source's progress row soon after."""
    limit_s = site.settings.cutover.max_lag_s
    seconds = site.reverse.round_trip(ROUND_TRIP_S)
    return GateResult(
        "reverse_round_trip", seconds <= limit_s, f"{seconds:.3f} s", f"{limit_s:g} s",
        f"crossfade rollback status {site.domain.name}", seconds,
    )  # fmt: skip


def slots_reserved(site: Site, stop: threading.Event) -> GateResult:
    """The stores keep the log that the reverse stream needs."""
    bad = []
    for store in site.domain.stores:
        with translated(f"store {store}"):
            status = slots.slot_status(
                site.store(store), slots.stream_name(site.settings.name, site.domain.name, store)
            )
        if status is None:
            bad.append(f"{store}: no slot")
        elif status.wal_status not in ("reserved", "extended"):
            bad.append(f"{store}: {status.wal_status}")
    return GateResult(
        "slots_reserved", not bad, ", ".join(bad) or "reserved", "reserved",
        f"crossfade cutover rehearse {site.domain.name}",
    )  # fmt: skip


BASIC: Final[tuple[Check, ...]] = (
    configured, reversible, streaming, quarantined, verified, source_writable, old_writers,
)  # fmt: skip
"""Asked before anything is installed."""
CUTOVER: Final[tuple[Check, ...]] = (
    *BASIC, gate_installed, slots_reserved, marker_round_trip, reverse_round_trip,
)  # fmt: skip
ROLLBACK: Final[tuple[Check, ...]] = (
    configured, source_writable, gate_installed, slots_reserved, reverse_round_trip,
)  # fmt: skip


def checks_for(phase: Phase) -> tuple[Check, ...]:
    """The gates of the next move from `phase`."""
    if phase is Phase.LIVE:
        return ROLLBACK
    return CUTOVER if phase is Phase.PREPARED else BASIC


def documents(found: Sequence[GateResult]) -> list[Mapping[str, Any]]:
    """JSON forms."""
    return [
        {"gate": gate.name, "passed": gate.passed, "value": gate.value, "limit": gate.limit, "next": gate.next}
        for gate in found
    ]
