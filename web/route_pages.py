"""`/v1/routes`: the routing table for gateways and applications, by request, by long poll and as server-sent events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from cutover.phases import Phase, Side
from model.errors import UsageError
from stores.control.routes import Route
from web.answers import Document, failure, stamp
from web.parameters import seconds, whole
from web.route_table import RouteTable

SCHEMA: Final = "crossfade.route/1"
LONGEST_WAIT_S: Final = 300.0
PING_S: Final = 15.0
"""An event stream says something at least so often, so that both ends notice a dead connection."""
HELD: Final = frozenset({Phase.CUTTING_OVER, Phase.ROLLING_BACK})
"""Phases in which a write stop is about to begin or under way."""


def route_document(route: Route, reads_valid_s: float) -> dict[str, Any]:
    """JSON form. `reads_valid_s`: a reader that has not heard from us for so long goes where the writers go."""
    return {
        "domain": route.domain,
        "side": route.side,
        "epoch": route.epoch,
        "reads": route.reads,
        "canary_percent": route.canary_percent,
        "revision": route.revision,
        "phase": route.phase,
        "held": route.phase in HELD,
        "reason": route.reason,
        "changed_at": stamp(route.changed_s) if route.changed_s else None,
        "reads_valid_s": reads_valid_s,
    }


def read_from(route: Route, key: str) -> str:
    """Where a reader is sent: the same key always falls into the same of 100 parts, and stays when more are taken."""
    part = int.from_bytes(hashlib.sha256(f"{route.domain}\x1f{key}".encode()).digest()[:8], "big") % 100
    return route.reads if part < route.canary_percent else route.side


class RoutePages:
    """The endpoints over one table; `domains` are those of the configuration."""

    def __init__(self, table: RouteTable, domains: tuple[str, ...], reads_valid_s: float) -> None:
        self._table = table
        self._domains = domains
        self._reads_valid_s = reads_valid_s

    def _found(self, domain: str) -> Route:
        return self._table.get(domain) or Route(
            domain, str(Phase.FOLLOWING), str(Side.SOURCE), 0, str(Side.SOURCE), 0, 0
        )

    def _document(self, route: Route, key: str | None = None) -> dict[str, Any]:
        document = route_document(route, self._reads_valid_s)
        return document if key is None else {**document, "read_from": read_from(route, key)}

    async def every(self, request: Request) -> Response:
        """All domains."""
        if self._table.age_s is None:
            return _not_known()
        return Document("crossfade.routes/1", {"routes": [self._document(self._found(name)) for name in self._domains]})

    async def one(self, request: Request) -> Response:
        """One domain: at once, or with `after_epoch` or `after_revision` and `wait` as soon as there is news.

        `key` adds `read_from` for one reader. `Accept: text/event-stream` gives every change as an event.
        """
        domain = request.path_params["domain"]
        if domain not in self._domains:
            hint = f"Domains: {', '.join(self._domains) or 'none is configured'}."
            return failure(UsageError(f"there is no domain {domain[:60]!r}", hint=hint), 404)
        if self._table.age_s is None:
            return _not_known()
        if "text/event-stream" in request.headers.get("accept", ""):
            return self._stream(domain, whole(request, "after_revision"))
        news = _news(whole(request, "after_epoch"), whole(request, "after_revision"))
        wait_s = seconds(request, "wait", 0.0, most=LONGEST_WAIT_S) or 0.0
        route = self._found(domain)
        if news is not None and wait_s and not news(route):
            route = await self._table.wait(domain, news, wait_s) or route
        return Document(SCHEMA, self._document(route, request.query_params.get("key")))

    async def events(self, request: Request) -> Response:
        """One domain as server-sent events."""
        domain = request.path_params["domain"]
        if domain not in self._domains:
            return await self.one(request)
        if self._table.age_s is None:
            return _not_known()
        return self._stream(domain, whole(request, "after_revision"))

    def _stream(self, domain: str, after: int | None) -> Response:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._changes(domain, after), media_type="text/event-stream", headers=headers)

    async def _changes(self, domain: str, after: int | None) -> AsyncIterator[str]:
        """The route now (unless it is revision `after`) and at every change."""
        seen = -1 if after is None else after
        while not self._table.closed:
            route = self._found(domain)
            if route.revision == seen:
                news = _other_than(seen)
                route = await self._table.wait(domain, news, PING_S) or route
            if route.revision == seen:
                yield ": nothing new\n\n"
                continue
            seen = route.revision
            body = json.dumps({"schema": SCHEMA, **self._document(route)})
            yield f"id: {seen}\nevent: route\ndata: {body}\n\n"


def _news(after_epoch: int | None, after_revision: int | None) -> Callable[[Route], bool] | None:
    if after_epoch is None and after_revision is None:
        return None

    def new(route: Route) -> bool:
        by_epoch = after_epoch is not None and route.epoch > after_epoch
        return by_epoch or (after_revision is not None and route.revision > after_revision)

    return new


def _other_than(revision: int) -> Callable[[Route], bool]:
    return lambda route: route.revision != revision


def _not_known() -> Response:
    return failure(UsageError("the routing table has not been read yet", hint="Try again in a second."), 503)
