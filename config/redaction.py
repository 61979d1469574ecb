"""Takes secrets out of what is printed: settings, DSNs, URLs, log lines. Prints nothing itself."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from config.settings import Settings

MASK = "***"
# URL passwords may hold '@' when a user forgot to encode it: mask up to the last '@' before a blank or slash.
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/]*@", re.IGNORECASE)
_PAIR_PASSWORD = re.compile(
    r"((?:password|passwd|pwd|passfile|token|secret)\s*[=:]\s*)('(?:[^'\\]|\\.)*'|[^\s&,;'\"]+)", re.IGNORECASE
)
_SECRET_KEY = re.compile(r"pass(word|wd)?$|pwd$|secret|token|credential|api_?key|authorization", re.IGNORECASE)


def masked_text(text: str) -> str:
    """The text with the passwords of URLs and of `password=…` pairs masked."""
    return _PAIR_PASSWORD.sub(rf"\g<1>{MASK}", _URL_PASSWORD.sub(rf"\g<1>{MASK}@", text))


def is_secret_key(key: str) -> bool:
    """Whether a value under this key is never printed."""
    return _SECRET_KEY.search(key) is not None


def redacted(settings: Settings) -> dict[str, Any]:
    """The settings as plain JSON values without secrets; of a DSN everything but its password stays."""
    shown: dict[str, Any] = _plain(settings)
    return shown


def _plain(value: Any, key: str = "") -> Any:
    if isinstance(value, BaseModel):
        return {
            field.alias or name: _plain(getattr(value, name), field.alias or name)
            for name, field in type(value).model_fields.items()
        }
    if isinstance(value, SecretStr):
        if not value.get_secret_value():
            return ""
        return masked_text(value.get_secret_value()) if key == "dsn" else MASK
    if isinstance(value, dict):
        return {str(name): _plain(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, key) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):
        return MASK if value and is_secret_key(key) else masked_text(value)
    return value
