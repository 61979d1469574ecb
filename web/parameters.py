"""Reads query parameters: numbers and durations, with a message that says what would be right."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request

from model.errors import UsageError

_UNITS: Final = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(request: Request, name: str, default: float | None = None, *, most: float | None = None) -> float | None:
    """A duration such as `10`, `10s`, `500ms`, `2m`; at most `most`. Raises UsageError."""
    text = request.query_params.get(name)
    if text is None:
        return default
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", text.strip())
    if match is None:
        raise UsageError(f"{name} does not know {text[:40]!r}", hint=f"A duration: {name}=10s, 500ms, 2m.")
    found = float(match[1]) * _UNITS[match[2]]
    return found if most is None else min(found, most)


def whole(request: Request, name: str, default: int | None = None, *, most: int | None = None) -> int | None:
    """A whole number from 0. Raises UsageError."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"\d{1,18}", text):
        raise UsageError(f"{name} does not know {text[:40]!r}", hint=f"A whole number: {name}=10.")
    return int(text) if most is None else min(int(text), most)
