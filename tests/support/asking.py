"""Asks an ASGI application in this process, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx


class Client:
    """One application; every request has an event loop of its own."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def get(self, path: str, headers: Mapping[str, str | bytes] | None = None) -> httpx.Response:
        """GET."""
        return asyncio.run(self._ask("GET", path, headers))

    def post(self, path: str, headers: Mapping[str, str | bytes] | None = None, content: bytes = b"") -> httpx.Response:
        """POST."""
        return asyncio.run(self._ask("POST", path, headers, content))

    async def _ask(
        self, method: str, path: str, headers: Mapping[str, str | bytes] | None, content: bytes = b""
    ) -> httpx.Response:
        raw = [(name, value if isinstance(value, bytes) else value.encode()) for name, value in (headers or {}).items()]
        transport = httpx.ASGITransport(self._application)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, headers=raw, content=content)  # type: ignore[arg-type]
