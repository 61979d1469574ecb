"""The HTTP server of a daemon: its pages over one board, bound early, started late, closed first."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.redaction import redacted
from config.settings import HttpSettings, Settings
from model.errors import CrossfadeError, UsageError
from web.access import Access
from web.answers import failure, on_error
from web.api import ApiPages
from web.board import Board
from web.health import HealthPages
from web.metrics import MetricPages
from web.orders import OrderPages
from web.page import Pages
from web.records import Records
from web.route_pages import RoutePages
from web.route_table import RouteTable
from web.server import WebServer


class WebService:
    """One server. Raises Refused when the address cannot be had."""

    def __init__(self, settings: Settings, http: HttpSettings, board: Board) -> None:
        self._server = WebServer(http)
        self._board = board
        board.listening = self._server.address
        self._routes = RouteTable(settings.control_dsn, settings.name)
        self._application = application(settings, http, board, self._routes)

    def start(self) -> None:
        """Serve. The control store's tables are there."""
        self._routes.start()
        self._server.start(self._application)

    def close(self) -> None:
        """Let everybody go who waits, and end."""
        self._routes.close()
        self._server.close()


def application(settings: Settings, http: HttpSettings, board: Board, table: RouteTable) -> Any:
    """Every endpoint, as an ASGI application."""
    domains = tuple(settings.domains)
    stores = {name: store.dsn for name, store in settings.stores.items()}
    records = Records(settings.control_dsn, settings.name, stores)
    pages = Pages()
    access = Access(http.token, loopback=http.loopback)
    health = HealthPages(board)
    routes = RoutePages(table, domains, settings.cutover.max_read_lag_s)
    api = ApiPages(board, records, redacted(settings), domains)
    read = access.to_read
    paths = [
        Route("/", pages.page),
        Route("/page.css", pages.style),
        Route("/page.js", pages.script),
        Route("/livez", health.live),
        Route("/readyz", health.ready),
        Route("/healthz", health.healthy),
        Route("/metrics", MetricPages(board, table, records, _version()).metrics),
        Route("/v1/routes", routes.every),
        Route("/v1/routes/{domain}", routes.one),
        Route("/v1/routes/{domain}/events", routes.events),
        Route("/api/v1/status", read(api.status)),
        Route("/api/v1/tables", read(api.tables)),
        Route("/api/v1/tables/{table}", read(api.table)),
        Route("/api/v1/verify", read(api.verify)),
        Route("/api/v1/verify/{run:int}", read(api.verify)),
        Route("/api/v1/cutover", read(api.cutover)),
        Route("/api/v1/series", read(api.series)),
        Route("/api/v1/errors", read(api.errors)),
        Route("/api/v1/reports", read(api.reports)),
        Route("/api/v1/reports/{number:int}", read(api.report)),
        Route("/api/v1/history", read(api.history)),
        Route("/api/v1/config", read(api.config)),
        Route(
            "/api/v1/{verb}", access.to_change(OrderPages(settings.control_dsn, settings.name).order), methods=["POST"]
        ),
    ]
    return Starlette(routes=paths, exception_handlers={CrossfadeError: on_error, 404: _unknown})


async def _unknown(request: Request, error: Exception) -> Response:
    hint = "See: /v1/routes, /api/v1/status, /metrics, /livez, /readyz, /healthz"
    return failure(UsageError(f"there is nothing at {request.url.path[:200]}", hint=hint), 404)


def _version() -> str:
    try:
        return version("crossfade")
    except PackageNotFoundError:
        return "checkout"
