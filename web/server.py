"""Runs an ASGI application in a thread of its own, on a socket that is bound before anything else happens."""

from __future__ import annotations

import socket
import threading
from typing import Any, Final

import structlog
import uvicorn

from config.settings import HttpSettings
from model.errors import Refused

log = structlog.get_logger(__name__)

START_S: Final = 10.0
END_S: Final = 5.0
GRACE_S: Final = 2
"""How long open requests have at the end; long polls are let go before."""


class WebServer:
    """One listening server. Raises Refused when the address cannot be had."""

    def __init__(self, settings: HttpSettings) -> None:
        self._socket = _bound(settings)
        host, port = self._socket.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, application: Any) -> None:
        """Serve; comes back when requests are answered."""
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_S,
            server_header=False,
            # Slow or silent clients must not hold sockets for ever.
            timeout_keep_alive=75,
            limit_concurrency=512,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="http", daemon=True
        )
        self._thread.start()
        log.info("http_listens", address=self.address)

    def close(self) -> None:
        """End the server and free the address."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(END_S)
        self._socket.close()


def _bound(settings: HttpSettings) -> socket.socket:
    host, port = settings.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise Refused(
            f"http.listen: {settings.listen} cannot be had: {error.strerror or error}",
            hint="Choose another http.listen, or end what listens there (ss -ltnp).",
        ) from error
    return found
