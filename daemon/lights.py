"""Writes down when the rollback readiness of a domain changes, so that reports can tell its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stores.control import events
from stores.errors import translated
from stores.postgres import PostgresConnection

KIND: Final = "rollback_readiness"
"""Kind of these events; facts: domain, light, line, and the codes of the alarms."""


class Lights:
    """The last known light of each domain of a migration."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: dict[str, tuple[str, tuple[str, ...]]] = {}

    def record(self, connection: PostgresConnection, found: Sequence[Mapping[str, Any]]) -> None:
        """Add an event for each domain whose light or alarms are others than before. Raises CrossfadeError."""
        for domain in found:
            name, ready = str(domain["domain"]), domain.get("rollback")
            if ready is None:
                self._known.pop(name, None)
                continue
            codes = tuple(sorted({str(alarm["code"]) for alarm in ready["alarms"]}))
            if self._known.get(name) == (ready["light"], codes):
                continue
            with translated("control store"):
                events.record(
                    connection, self._name, KIND, f"{name}: {ready['line']}",
                    domain=name, light=ready["light"], line=ready["line"], alarms=list(codes),
                )  # fmt: skip
            self._known[name] = (str(ready["light"]), codes)
