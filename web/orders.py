"""Changes asked for over HTTP: sent to the daemon as the command line sends them, with who asked in the audit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from model.errors import UsageError
from stores.control import commands
from stores.control.command_answers import answered
from stores.errors import translated
from stores.postgres import connect_store
from web.answers import Document

TIMEOUT_S: Final = 30.0
LONGEST_BODY: Final = 1 << 16
FIELDS: Final[Mapping[str, Mapping[str, type]]] = {
    "pause": {"stores": list, "reason": str},
    "resume": {"stores": list},
    "tune": {"change": dict, "read": list},
    "route": {"domain": str, "reads": str, "canary_percent": int},
}
"""Verb → what its body may hold."""


class OrderPages:
    """POST /api/v1/VERB."""

    def __init__(self, dsn: SecretStr, name: str) -> None:
        self._dsn = dsn
        self._name = name

    async def order(self, request: Request) -> Response:
        """Send the order and wait for its result."""
        verb = request.path_params["verb"]
        args = _arguments(verb, await _body(request))
        client = request.client.host if request.client else "unknown"
        actor = f"{request.headers.get('x-actor', 'http')[:60]}@{client}"
        result = await run_in_threadpool(self._ask, verb, args, actor)
        return Document("crossfade.command/1", {"verb": verb, "result": dict(result)})

    def _ask(self, verb: str, args: Mapping[str, Any], actor: str) -> Mapping[str, Any]:
        with closing(connect_store(self._dsn, application="crossfade http")) as store, translated("control store"):
            return answered(store, commands.send(store, self._name, verb, args, actor), verb, TIMEOUT_S)


async def _body(request: Request) -> Mapping[str, Any]:
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > LONGEST_BODY:
            raise UsageError("the body is too long", hint=f"At most {LONGEST_BODY} bytes of JSON.")
    try:
        body = json.loads(raw or b"{}")
    except ValueError as error:
        raise UsageError(f"the body is not JSON: {error}", hint="Send one JSON object.") from error
    if not isinstance(body, dict):
        raise UsageError("the body is not a JSON object", hint="Send one JSON object.")
    return body


def _arguments(verb: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The command's arguments. Raises UsageError for a key or value that the verb does not take."""
    if verb not in FIELDS:
        raise UsageError(f"nothing called {verb[:40]!r} can be asked for", hint=f"Known: {', '.join(FIELDS)}.")
    known = FIELDS[verb]
    for key, value in body.items():
        if key not in known:
            raise UsageError(f"{verb} does not take {key[:40]!r}", hint=f"It takes {', '.join(known)}.")
        if not isinstance(value, known[key]) or isinstance(value, bool):
            raise UsageError(f"{key} must be a {_NAMES[known[key]]}")
    return body


_NAMES: Final = {list: "list", dict: "object", str: "text", int: "whole number"}
