"""`GET /api/v1/…`: the status and what the control store remembers, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from model.errors import UsageError
from web.answers import Document, failure
from web.board import Board
from web.parameters import whole
from web.records import Records


class ApiPages:
    """The endpoints. `configuration` is the redacted one; `domains` those of the configuration."""

    def __init__(
        self, board: Board, records: Records, configuration: Mapping[str, Any], domains: tuple[str, ...]
    ) -> None:
        self._board = board
        self._records = records
        self._configuration = configuration
        self._domains = domains

    async def status(self, request: Request) -> Response:
        """What `crossfade status -o json` prints."""
        return Document("crossfade.status/1", self._board.status)

    async def tables(self, request: Request) -> Response:
        """Every table plan with its phase, quarantine, open findings and last verification; what stores compute."""
        return Document("crossfade.tables/1", await run_in_threadpool(self._tables))

    async def table(self, request: Request) -> Response:
        """The plans of one table, by plan, source table or target table; a read model or lookup by its name."""
        name = request.path_params["table"]
        every = await run_in_threadpool(self._tables)
        found = {kind: [one for one in rows if name in _names(one)] for kind, rows in every.items()}
        if not any(found.values()):
            return failure(UsageError(f"there is no table {name[:80]!r}", hint="See: /api/v1/tables"), 404)
        return Document("crossfade.tables/1", found)

    def _tables(self) -> dict[str, list[dict[str, Any]]]:
        verdicts = self._records.last_verdicts()
        findings = self._records.open_findings()
        proofs = self._records.proofs()

        def known(row: Mapping[str, Any]) -> dict[str, Any]:
            outcome, at = verdicts.get(row["plan"], (None, None))
            return {
                **row,
                **proofs.get(row["plan"], {"proof": None, "strip": []}),
                "open_findings": findings.get(row["plan"], 0),
                "verified": outcome,
                "verified_at": at,
            }

        return {kind: [known(row) for row in self._board.status.get(kind, ())] for kind in ("tables", "computed")}

    async def verify(self, request: Request) -> Response:
        """The last verification, or the one of a number."""
        number = request.path_params.get("run")
        found = await run_in_threadpool(self._records.verify_run, number)
        if found is None:
            what = "nothing was verified yet" if number is None else f"there is no verification {number}"
            return failure(UsageError(what, hint="Verify now: crossfade verify"), 404)
        return Document("crossfade.verify-run/1", found)

    async def cutover(self, request: Request) -> Response:
        """Every domain: phase, side, reverse streams, rollback readiness, last outcome, last steps."""
        known = await run_in_threadpool(self._records.domains)
        streams = self._board.status.get("reverse", ())
        ready = {one["domain"]: one.get("rollback") for one in self._board.status.get("domains", ())}
        found = []
        for name in self._domains:
            mine = [stream for stream in streams if stream.get("domain") == name]
            state = known.get(name, {"phase": "following", "epoch": 0, "side": "source", "problem": "", "steps": []})
            found.append({"domain": name, **state, "reverse": mine, "rollback": ready.get(name)})
        return Document("crossfade.domains/1", {"domains": found})

    async def series(self, request: Request) -> Response:
        """Lag and changes per second of each store over the last `minutes` (60), at most 400 points each."""
        minutes = whole(request, "minutes", 60, most=60 * 24 * 31)
        found = await run_in_threadpool(self._records.series, 60.0 * (minutes or 60))
        columns = ["at_s", "lag_s", "lag_max_s", "rows_per_s"]
        order = [store["name"] for store in self._board.status.get("stores", ())]
        return Document("crossfade.series/1", {"columns": columns, "order": order, "stores": found})

    async def errors(self, request: Request) -> Response:
        """Changes in quarantine, oldest first."""
        found, count = await run_in_threadpool(self._records.parked)
        return Document("crossfade.errors/1", {"count": count, "errors": found})

    async def reports(self, request: Request) -> Response:
        """The register of reports, newest first."""
        return Document("crossfade.reports/1", {"reports": await run_in_threadpool(self._records.reports)})

    async def report(self, request: Request) -> Response:
        """The content of one report."""
        number = request.path_params["number"]
        found = await run_in_threadpool(self._records.report, number)
        if found is None:
            return failure(UsageError(f"there is no report {number}", hint="See: /api/v1/reports"), 404)
        document = dict(found)
        return Document(str(document.pop("schema")), document)

    async def history(self, request: Request) -> Response:
        """What happened, oldest first; `after` is the number of the last event that is known."""
        limit, after = whole(request, "limit", 100, most=1000), whole(request, "after", 0)
        found = await run_in_threadpool(self._records.history, limit or 100, after or 0)
        return Document("crossfade.history/1", {"events": found})

    async def config(self, request: Request) -> Response:
        """The configuration without secrets."""
        return Document("crossfade.config/1", {"config": self._configuration})


def _names(row: Mapping[str, Any]) -> set[str]:
    plan = row["plan"]
    source, _, target = plan.partition(">")
    place = target.partition(":")[2]
    if "name" in row:  # computed by its store, from no table of the source
        return {plan, target, place, row["name"]}
    return {plan, source, source.rpartition(".")[2], target, place, target.rpartition(".")[2]}
