"""`/metrics`: the status as Prometheus series. Base units, `_total` for counters, timestamps instead of ages.

Only cheap series carry a table. (Naming: prometheus.io, "Metric and label naming".)
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from cutover.phases import Phase, Side
from cutover.readiness import Light
from model.errors import CrossfadeError
from web.board import STUCK_S, Board
from web.records import Records
from web.route_table import RouteTable

log = structlog.get_logger(__name__)

STATES: Final = ("STARTING", "COPYING", "CATCHING_UP", "SYNCING", "PAUSED", "HALTED", "STOPPED")
HEALTHS: Final = ("healthy", "degraded", "failed")
OUTCOMES: Final = ("pass", "fail", "inconclusive")
REMEMBERED_S: Final = 15.0
"""What the control store remembers is read again after so long; scrapes may come more often."""


class MetricPages:
    """One registry over the daemon's board, its routes and the control store."""

    def __init__(self, board: Board, routes: RouteTable, records: Records, version: str) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Series(board, routes, records, version))
        ProcessCollector(registry=self._registry)

    async def metrics(self, request: Request) -> Response:
        """Every series, as text or OpenMetrics by the Accept header."""
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(await run_in_threadpool(encode, self._registry), media_type=kind)


class _Series(Collector):
    def __init__(self, board: Board, routes: RouteTable, records: Records, version: str) -> None:
        self._board = board
        self._routes = routes
        self._records = records
        self._version = version
        self._remembered: list[Metric] = []
        self._remembered_at = -REMEMBERED_S

    def collect(self) -> Iterator[Metric]:
        """All series now."""
        yield _gauge("crossfade_info", "The running version.", ["version"], [([self._version], 1)])
        turned, beat = self._board.turned_ago_s, self._board.beat_ago_s
        alive = turned is not None and turned < STUCK_S
        yield _gauge("crossfade_up", "1 while the daemon's loop turns.", [], [([], float(alive))])
        leads = beat is not None and beat < STUCK_S
        yield _gauge("crossfade_leader", "1 while the control store takes our beats.", [], [([], float(leads))])
        status = self._board.status
        if status:
            yield from _migration(status)
            yield from _source(status)
            yield from _stores(status)
            yield from _tables(status)
            yield from _reverse(status)
            yield from _readiness(status)
        yield from self._domains()
        yield from self._from_control_store()

    def _domains(self) -> Iterator[Metric]:
        found = self._routes.all().values()
        name = ["domain"]
        yield _gauge(
            "crossfade_route_side", "1 for the side that takes the domain's writes.", ["domain", "side"],
            [([route.domain, str(side)], float(route.side == side)) for route in found for side in Side],
        )  # fmt: skip
        yield _gauge(
            "crossfade_domain_phase", "1 for the phase that the domain is in.", ["domain", "phase"],
            [([route.domain, str(phase)], float(route.phase == phase)) for route in found for phase in Phase],
        )  # fmt: skip
        yield _gauge("crossfade_route_epoch", "Epoch of the last flip.", name, [([r.domain], r.epoch) for r in found])
        yield _gauge(
            "crossfade_route_canary_percent", "Readers taken from the side that is written.", name,
            [([route.domain], route.canary_percent) for route in found],
        )  # fmt: skip

    def _from_control_store(self) -> list[Metric]:
        if time.monotonic() - self._remembered_at >= REMEMBERED_S:
            try:
                self._remembered = [*self._verification(), *self._cutovers()]
                self._remembered_at = time.monotonic()
            except CrossfadeError as error:
                # The series of the last time would lie about a store that is away.
                self._remembered = []
                log.warning("metrics_incomplete", error=str(error))
        return self._remembered

    def _verification(self) -> Iterator[Metric]:
        yield _counter(
            "crossfade_verify_runs", "Verifications that ended.", ["mode", "result"],
            [([mode, result], count) for (mode, result), count in self._records.verify_counts().items()],
        )  # fmt: skip
        passed = self._records.last_passed()
        yield _gauge(
            "crossfade_verify_last_success_timestamp_seconds", "When a table last passed.", ["table"],
            [([plan], at) for plan, at in passed.items()],
        )  # fmt: skip
        yield _gauge(
            "crossfade_verify_mismatched_rows", "Findings that are open.", ["table"],
            [([plan], count) for plan, count in self._records.open_findings().items()],
        )  # fmt: skip
        proofs = {plan: found["proof"] for plan, found in self._records.proofs().items()}
        yield _gauge(
            "crossfade_proven_ratio", "Share of the table's rows that are proven equal.", ["table"],
            [([plan], proof["percent"] / 100) for plan, proof in proofs.items()],
        )  # fmt: skip
        yield _gauge(
            "crossfade_oldest_proof_timestamp_seconds", "When the table's oldest proof was begun.", ["table"],
            [([plan], time.time() - proof["oldest_age_s"])
             for plan, proof in proofs.items() if proof["oldest_age_s"] is not None],
        )  # fmt: skip
        run = self._records.verify_run(None)
        if run is not None:
            tables = run["verdict"].get("tables", ())
            yield _gauge(
                "crossfade_verify_tables", "Tables of the last verification by outcome.", ["result"],
                [([out], float(sum(one.get("outcome") == out for one in tables))) for out in OUTCOMES],
            )  # fmt: skip
            skipped = len(run["verdict"].get("skipped", ()))
            yield _gauge("crossfade_verify_skipped_tables", "Tables that are not migrated.", [], [([], skipped)])

    def _cutovers(self) -> Iterator[Metric]:
        stops = [
            ([name], float(state["result"]["write_stop_s"]))
            for name, state in self._records.domains().items()
            if state["result"].get("write_stop_s") is not None
        ]
        ready = [
            ([name], float(all(gate["passed"] for gate in state["result"]["gates"])))
            for name, state in self._records.domains().items()
            if state["result"].get("gates")
        ]
        yield _gauge("crossfade_cutover_ready", "1 when the last check found every gate passed.", ["domain"], ready)
        yield _gauge("crossfade_cutover_write_stop_seconds", "Write stop of the last move.", ["domain"], stops)


def _migration(status: Mapping[str, Any]) -> Iterator[Metric]:
    yield _gauge(
        "crossfade_state", "1 for the state that the migration is in.", ["state"],
        [([state], float(status["state"] == state)) for state in STATES],
    )  # fmt: skip
    yield _gauge(
        "crossfade_health", "1 for the migration's health.", ["health"],
        [([health], float(status["health"] == health)) for health in HEALTHS],
    )  # fmt: skip
    yield _gauge(
        "crossfade_reason", "1 for each reason that the health is not perfect.", ["code", "subject"],
        [([code, subject], 1) for code, subject in sorted({(r["code"], r["subject"]) for r in status["reasons"]})],
    )  # fmt: skip
    throttled = [([r["message"]], 1.0) for r in status["reasons"] if r["code"] == "COPY_THROTTLED"]
    yield _gauge("crossfade_throttled", "1 while the copy waits, with the reason.", ["reason"], throttled)
    held = sum(table["phase"] == "held" for table in status["tables"])
    yield _gauge("crossfade_ddl_pending", "Tables that are held until somebody decides.", [], [([], float(held))])
    copy = status.get("copy")
    if copy:
        yield _counter("crossfade_copy_rows", "Rows copied.", [], [([], copy["rows_done"])])
        yield _gauge("crossfade_copy_rows_expected", "Rows to copy.", [], [([], copy["rows_expected"])])


def _source(status: Mapping[str, Any]) -> Iterator[Metric]:
    source = status.get("source")
    if not source:
        return
    yield _gauge("crossfade_source_connected", "1 while the binlog is read.", [], [([], float(source["connected"]))])
    age_s = source["last_event_age_s"]
    if age_s is not None:
        at = datetime.fromisoformat(status["at"]).timestamp() - age_s
        yield _gauge("crossfade_source_last_event_timestamp_seconds", "When something was last read.", [], [([], at)])
    yield _counter("crossfade_source_transactions", "Source transactions numbered so far.", [], [([], source["seq"])])
    yield _gauge("crossfade_relay_bytes", "Size of the relay.", [], [([], source["relay_bytes"])])
    yield _gauge("crossfade_relay_capacity_bytes", "Its budget.", [], [([], source["relay_budget_bytes"])])


def _stores(status: Mapping[str, Any]) -> Iterator[Metric]:
    stores = status["stores"]
    target = ["target"]
    yield _gauge(
        "crossfade_target_lag_seconds", "Age of the oldest source commit that the store lacks.", target,
        [([store["name"]], store["lag_s"]) for store in stores if store["lag_s"] is not None],
    )  # fmt: skip
    yield _gauge(
        "crossfade_target_waiting_transactions", "Source transactions that the store lacks.", target,
        [([store["name"]], store["waiting_transactions"]) for store in stores],
    )  # fmt: skip
    yield _gauge(
        "crossfade_target_up", "1 while the store's applier runs.", target,
        [([store["name"]], float(store["state"] == "running")) for store in stores],
    )  # fmt: skip
    yield _counter(
        "crossfade_apply_rows", "Changes applied since the stream began.", target,
        [([store["name"]], store["rows_applied"]) for store in stores],
    )  # fmt: skip
    yield _gauge(
        "crossfade_target_sequence", "Number of the last source transaction in the store.", target,
        [([store["name"]], store["seq"]) for store in stores],
    )  # fmt: skip


def _tables(status: Mapping[str, Any]) -> Iterator[Metric]:
    tables = status["tables"]
    yield _gauge(
        "crossfade_table_phase", "1 for the phase that the table is in.", ["table", "phase"],
        [([table["plan"], str(table["phase"])], 1) for table in tables],
    )  # fmt: skip
    yield _gauge(
        "crossfade_quarantined_rows", "Changes of the table in quarantine.", ["table"],
        [([table["plan"]], table["parked"]) for table in tables],
    )  # fmt: skip


def _reverse(status: Mapping[str, Any]) -> Iterator[Metric]:
    streams = status.get("reverse", ())
    labels = ["domain", "store"]
    yield _gauge(
        "crossfade_reverse_lag_seconds", "Age of the oldest store commit that the source lacks.", labels,
        [([one["domain"], one["store"]], one["lag_s"]) for one in streams if one["lag_s"] is not None],
    )  # fmt: skip
    yield _counter(
        "crossfade_reverse_rows", "Rows sent back to the source.", labels,
        [([one["domain"], one["store"]], one["rows"]) for one in streams],
    )  # fmt: skip
    yield _gauge(
        "crossfade_reverse_streaming", "1 while the way back is open.", labels,
        [([one["domain"], one["store"]], float(one["mode"] == "streaming")) for one in streams],
    )  # fmt: skip


def _readiness(status: Mapping[str, Any]) -> Iterator[Metric]:
    """Of domains that the stores serve; others have nothing to go back from."""
    ready = {one["domain"]: one["rollback"] for one in status.get("domains", ()) if one.get("rollback")}
    name = ["domain"]
    yield _gauge(
        "crossfade_rollback_readiness", "1 for the light that going back now has.", ["domain", "light"],
        [([domain, str(light)], float(found["light"] == light)) for domain, found in ready.items() for light in Light],
    )  # fmt: skip
    yield _gauge(
        "crossfade_rollback_predicted_seconds", "Write stop of a rollback now.", name,
        [([domain], found["predicted_s"]) for domain, found in ready.items() if found["predicted_s"] is not None],
    )  # fmt: skip
    yield _gauge(
        "crossfade_rollback_stranded_rows", "Rows of the stores that cannot come to the source.", name,
        [([domain], found["stranded_rows"]) for domain, found in ready.items() if found["stranded_rows"] is not None],
    )  # fmt: skip
    yield _gauge(
        "crossfade_rollback_alarm", "1 for each reason that a rollback is not GREEN.", ["domain", "code"],
        [([domain, code], 1.0) for domain, found in ready.items()
         for code in sorted({alarm["code"] for alarm in found["alarms"]})],
    )  # fmt: skip
    yield _gauge(
        "crossfade_rollback_checked_timestamp_seconds", "When the way back was last measured.", name,
        [([domain], found["at_s"]) for domain, found in ready.items()],
    )  # fmt: skip
    yield _gauge(
        "crossfade_rollback_headroom_seconds", "How long the store keeps what goes back, at the present rate.",
        ["domain", "store"],
        [([domain, way["store"]], way["headroom_s"]) for domain, found in ready.items()
         for way in found["ways"] if way["headroom_s"] is not None],
    )  # fmt: skip
    yield _gauge(
        "crossfade_tombstone_open", "1 while the gate of a finalized domain is not as it must be, and a minute longer.",
        name, [([one["domain"]], float(bool(one.get("tombstone")))) for one in status.get("domains", ())],
    )  # fmt: skip


Samples = list[tuple[list[str], float]]


def _gauge(name: str, text: str, labels: list[str], samples: Samples) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=labels), samples)


def _counter(name: str, text: str, labels: list[str], samples: Samples) -> Metric:
    """`_total` is added to the name."""
    return _filled(CounterMetricFamily(name, text, labels=labels), samples)


def _filled(family: Any, samples: Samples) -> Metric:
    for labels, value in samples:
        family.add_metric(labels, value)
    metric: Metric = family
    return metric
