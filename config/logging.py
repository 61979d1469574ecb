"""Logging set-up: structlog on the console or as JSON lines, the standard library's loggers through the same pipe.

Every event passes a processor that masks secrets: `SecretStr` values, secret-named keys, passwords in URLs and DSNs, in
tracebacks too. Tracebacks show no local variables.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog
from pydantic import SecretStr
from structlog.typing import Processor

from config.redaction import MASK, is_secret_key, masked_text
from config.settings import LogSettings


def configure_logging(settings: LogSettings, *, stream: TextIO | None = None) -> None:
    """Set up structlog and the root logger to write to `stream` (standard error). May be called again."""
    target = stream or sys.stderr
    as_json = settings.format == "json" or (settings.format == "auto" and not target.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(as_json, target)],
        )
    )
    root = logging.getLogger()
    for old in [item for item in root.handlers if getattr(item, "crossfade", False)]:
        root.removeHandler(old)
    handler.crossfade = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(level)


def _renderers(as_json: bool, target: TextIO) -> list[Processor]:
    if as_json:
        return [structlog.processors.JSONRenderer(ensure_ascii=False, default=str)]
    return [structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback)]


def redact(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: the event without secrets, at any depth."""
    for key, value in event.items():
        event[key] = _redacted(key, value)
    return event


def _redacted(key: str, value: Any) -> Any:
    if isinstance(value, SecretStr) or (is_secret_key(key) and value is not None and not isinstance(value, bool)):
        return MASK
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, BaseException):
        return masked_text(str(value))
    if isinstance(value, Mapping):
        return {name: _redacted(str(name), item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(key, item) for item in value]
    return value
