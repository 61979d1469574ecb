"""Log lines: their form, and that no secret gets into them."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog
from pydantic import SecretStr

from config.logging import configure_logging
from config.redaction import masked_text
from config.settings import LogSettings

DSN = "postgresql://app:geheim@host:5432/db"


@pytest.fixture(autouse=True)
def restored() -> object:
    before, level = list(logging.getLogger().handlers), logging.getLogger().level
    yield
    logging.getLogger().handlers[:] = before
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()


def written(settings: LogSettings) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(settings, stream=stream)
    return stream


def test_auto_is_json_without_a_terminal() -> None:
    stream = written(LogSettings())
    structlog.get_logger("sync.reader").info("connected", lag_s=1.5, table="ü")
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "connected", "lag_s": 1.5, "table": "ü", "level": "info", "logger": "sync.reader"}


def test_console_and_level() -> None:
    stream = written(LogSettings(format="console", level="warning"))
    structlog.get_logger("x").info("quiet")
    structlog.get_logger("x").warning("loud", key=1)
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()
    assert "key=1" in stream.getvalue()


def test_configuring_twice_writes_once() -> None:
    written(LogSettings())
    stream = written(LogSettings())
    structlog.get_logger("x").info("once")
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("format", ["json", "console"])
def test_secrets_are_masked_wherever_they_stand(format: str) -> None:
    stream = written(LogSettings.model_validate({"format": format}))
    log = structlog.get_logger("x").bind(dsn=DSN)
    log.info(f"to {DSN}", wrapped=SecretStr("geheim"), password="geheim", deep={"a": [{"api_token": "geheim"}, DSN]})
    log.warning("libpq", text="host=h password='geheim' dbname=d", error=ValueError(DSN))
    try:
        raise RuntimeError(f"cannot reach {DSN}")
    except RuntimeError:
        log.exception("failed")
    logging.getLogger("other.library").warning("connecting to %s", DSN)
    output = stream.getvalue()
    assert "geheim" not in output
    assert "RuntimeError" in output
    assert "other.library" in output
    assert output.count("postgresql://app:***@host") >= 4


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mysql://u:p@ss@h/d and mysql://v:x@h2/d", "mysql://u:***@h/d and mysql://v:***@h2/d"),
        ("mysql://u@h/d", "mysql://u@h/d"),
        ("http://h:80/a@b", "http://h:80/a@b"),
        ("password=a b", "password=*** b"),
        ("at 12:30 by me@x", "at 12:30 by me@x"),
    ],
)
def test_masked_text(text: str, shown: str) -> None:
    assert masked_text(text) == shown
