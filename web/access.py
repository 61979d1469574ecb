"""Who may ask what: changes need the bearer token, and where other hosts can reach us so do rows and configuration."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from model.errors import AccessDenied
from web.answers import failure

Endpoint = Callable[[Request], Awaitable[Response]]


class Access:
    """The rule of one server. `token` unset: nothing can be changed over HTTP."""

    def __init__(self, token: SecretStr | None, *, loopback: bool) -> None:
        self._token = token if token and token.get_secret_value() else None
        self._loopback = loopback

    def shows(self, request: Request) -> bool:
        """Whether the request carries the token."""
        if self._token is None:
            return False
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        wanted = self._token.get_secret_value().encode()
        # Headers come as Latin-1; these are the bytes that were sent.
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), wanted)

    def to_change(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint, for those who show the token."""
        return self._guarded(endpoint, always=True)

    def to_read(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint, for everybody on this host and for those who show the token."""
        return self._guarded(endpoint, always=False)

    def _guarded(self, endpoint: Endpoint, *, always: bool) -> Endpoint:
        async def guarded(request: Request) -> Response:
            if (always or not self._loopback) and not self.shows(request):
                return self._refusal()
            return await endpoint(request)

        return guarded

    def _refusal(self) -> Response:
        if self._token is None:
            return failure(AccessDenied("nothing can be changed here", hint="Set http.token and restart."), 403)
        answer = failure(AccessDenied("the bearer token is missing or wrong", hint="Authorization: Bearer TOKEN"), 401)
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
