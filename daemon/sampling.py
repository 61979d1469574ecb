"""Notes lag and throughput of each store every few seconds, from the status that the loop makes anyway."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

from stores.control import samples
from stores.control.samples import Sample
from stores.errors import translated
from stores.postgres import PostgresConnection

SPAN_S: Final = 10.0
PRUNE_EVERY_S: Final = 3600.0


class Sampling:
    """One daemon's samples. For one thread."""

    def __init__(self, name: str, keep_days: float) -> None:
        self._name = name
        self._keep_days = keep_days
        self._began = time.monotonic()
        self._lags: dict[str, list[float]] = {}
        self._rows: dict[str, int] = {}
        self._next_prune = 0.0

    def note(self, status: Mapping[str, Any]) -> None:
        """Look at a status; costs nothing but memory until `write`."""
        for store in status["stores"]:
            name = store["name"]
            self._rows.setdefault(name, store["rows_applied"])
            lags = self._lags.setdefault(name, [])
            if store["lag_s"] is not None:
                lags.append(store["lag_s"])

    def write(self, connection: PostgresConnection, status: Mapping[str, Any]) -> None:
        """Enter the span when it is over, and forget old ones now and then. Raises Unreachable …"""
        now = time.monotonic()
        seconds = now - self._began
        if seconds < SPAN_S:
            return
        at = datetime.now(UTC)
        found = []
        for store in status["stores"]:
            lags = self._lags.get(store["name"], [])
            rows = store["rows_applied"] - self._rows.get(store["name"], store["rows_applied"])
            found.append(
                Sample(
                    at, store["name"], median(lags) if lags else None, max(lags, default=None), max(0, rows), seconds
                )
            )
        self._began = now
        self._lags.clear()
        self._rows = {store["name"]: store["rows_applied"] for store in status["stores"]}
        with translated("control store"):
            samples.add(connection, self._name, found)
            if now >= self._next_prune:
                samples.prune(connection, self._name, self._keep_days)
                self._next_prune = now + PRUNE_EVERY_S
