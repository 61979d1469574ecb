"""Answers as JSON: documents with a schema name, and errors with message, next steps and an HTTP status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from config.redaction import masked_text
from model.errors import CrossfadeError, ExitCode

STATUS: Final[dict[ExitCode, int]] = {
    ExitCode.USAGE: 400,
    ExitCode.REFUSED: 409,
    ExitCode.UNREACHABLE: 503,
    ExitCode.LOCKED: 409,
    ExitCode.ABORTED: 409,
    ExitCode.CONFIRM: 428,
    ExitCode.TIMEOUT: 504,
}
"""Exit code of an error → HTTP status; 500 for what is not here."""


class Document(JSONResponse):
    """One JSON object; times become RFC 3339 in UTC, what JSON does not know becomes text. Never cached."""

    def __init__(self, schema: str, value: Mapping[str, Any], status: int = 200) -> None:
        super().__init__({"schema": schema, **value}, status, {"Cache-Control": "no-store"})

    def render(self, content: Any) -> bytes:
        """The bytes of the body."""
        return json.dumps(content, ensure_ascii=False, default=_encoded, allow_nan=False).encode()


def _encoded(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)


def stamp(epoch_s: float) -> str:
    """RFC 3339 in UTC of epoch seconds."""
    return str(_encoded(datetime.fromtimestamp(epoch_s, UTC)))


def failure(error: CrossfadeError, status: int | None = None) -> Document:
    """An error as the command line's JSON has it."""
    document = {
        "error": masked_text(error.message),
        "kind": type(error).__name__,
        "where": {name: str(value) for name, value in error.where.items()},
        "next_steps": [error.hint] if error.hint else [],
        "exit_code": int(error.exit_code),
    }
    return Document("crossfade.error/1", document, status or STATUS.get(error.exit_code, 500))


async def on_error(request: Request, error: Exception) -> Response:
    """Turns our errors into answers; starlette calls it."""
    assert isinstance(error, CrossfadeError)
    return failure(error)
