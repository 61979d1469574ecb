"""Waiting for a position of the source in every store, by the checkpoint rows themselves; and round trips both ways."""

from __future__ import annotations

import threading
import time
from typing import Final

from cutover.site import Site
from model.errors import TimedOut
from model.position import Position
from stores.control import checkpoints
from stores.errors import translated
from stores.mysql import binlog_end
from sync.postgres import slots

POLL_S: Final = 0.005


def drained(site: Site, target: Position, timeout_s: float, stop: threading.Event) -> dict[str, float]:
    """Wait until every store of the domain holds everything up to `target`; seconds that each took.

    Raises TimedOut naming the store that lags.
    """
    began = time.monotonic()
    took: dict[str, float] = {}
    while len(took) < len(site.domain.stores):
        site.followers.flush()
        for store in site.domain.stores:
            if store not in took and _reached(site, store, target):
                took[store] = round(time.monotonic() - began, 4)
        if len(took) == len(site.domain.stores):
            break
        if time.monotonic() - began > timeout_s or stop.wait(POLL_S):
            late = next(store for store in site.domain.stores if store not in took)
            raise TimedOut(
                f"store {late} did not reach the marker within {timeout_s:g} s",
                hint="See what its applier does: crossfade status",
                reached=site.followers.position_of(late),
                marker=target,
            )
    return took


def forward_trip(site: Site, timeout_s: float, stop: threading.Event) -> float:
    """A marker from the source to every store; seconds it took. Raises TimedOut."""
    began = time.monotonic()
    site.gate().mark()
    drained(site, binlog_end(site.source(), site.info), timeout_s, stop)
    seconds = time.monotonic() - began
    site.forward_trips.add(seconds)
    return seconds


def reverse_trip(site: Site, timeout_s: float) -> float:
    """A message from every store to the source's progress row; seconds it took.

    Raises TimedOut, or why a stream does not run.
    """
    began = time.monotonic()
    sent = {store: slots.emit_message(site.store(store), "ping", site.domain.name) for store in site.domain.stores}
    site.reverse.wait_for(sent, timeout_s, site.source())
    seconds = time.monotonic() - began
    site.reverse_trips.add(seconds)
    return seconds


def _reached(site: Site, store: str, target: Position) -> bool:
    """By the applier's word first, which costs nothing; then by the row in the store, which decides."""
    position = site.followers.position_of(store)
    if position is None or not position.reached(target):
        return False
    with translated(f"store {store}"):
        checkpoint = checkpoints.read(site.store(store), site.settings.name)
    return checkpoint is not None and checkpoint.position.reached(target)
