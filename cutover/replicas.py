"""Replicas of the source that may take its place: whether they have what the source has acknowledged to us.

A failover that loses the closing of the gate would open the source while the stores serve. So nothing goes on from a
point of no return, either way, before every server that is named in `source.replicas` shows the same rows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from cutover.gate_result import GateResult
from cutover.site import Site
from model.errors import CrossfadeError, TimedOut
from stores.mysql import MysqlConnection, variables
from sync.mysql import reverse_tables
from sync.mysql.gate import GateRow, SourceGate

POLL_S: Final = 0.005
Shows = Callable[["MysqlConnection[Any]"], bool]
"""Whether a replica, asked through this connection, has it."""


class ReplicaBehind(TimedOut):
    """A replica that may take the source's place has not got what a point of no return rests on."""

    transient = True
    default_hint = (
        "See its replication. A replica that is gone for good: take it out of source.replicas, then restart the daemon."
    )


def gate_is(site: Site, wanted: Callable[[GateRow], bool]) -> Shows:
    """That the domain's gate row is as wanted."""

    def shows(connection: MysqlConnection[Any]) -> bool:
        row = SourceGate(connection, site.domain.name).read()
        return row is not None and wanted(row)

    return shows


def marked(site: Site, number: int) -> Shows:
    """That the marker row has reached a number."""
    return lambda connection: (SourceGate(connection, site.domain.name).marked() or 0) >= number


def sent_back(site: Site, store: str, lsn: int) -> Shows:
    """That what the store had committed before a position has come."""

    def shows(connection: MysqlConnection[Any]) -> bool:
        progress = reverse_tables.read(connection, site.domain.name, store)
        return progress is not None and progress.lsn >= lsn

    return shows


def wait_for_replicas(site: Site, shows: Shows, what: str, timeout_s: float, stop: threading.Event) -> float:
    """Wait until every replica shows it; seconds that it took. Raises ReplicaBehind naming one that does not."""
    began = time.monotonic()
    left = list(site.settings.source.replicas)
    while left:
        left = [name for name in left if not shows(site.replica(name))]
        if left and (time.monotonic() - began >= timeout_s or stop.wait(POLL_S)):
            raise ReplicaBehind(f"replica {left[0]} has not got {what}", domain=site.domain.name)
    return time.monotonic() - began


def replicas_follow(site: Site, stop: threading.Event) -> GateResult:
    """Every named replica has a marker row soon after the source."""
    names, limit_s = site.settings.source.replicas, site.settings.cutover.max_lag_s
    limit = f"a marker within {limit_s:g} s"
    if not names:
        return GateResult("replicas_follow", True, f"none named; {_semi_sync(site)}", limit)
    try:
        number = site.gate().mark()
        took_s = wait_for_replicas(site, marked(site, number), "the marker", limit_s, stop)
    except CrossfadeError as error:
        return GateResult("replicas_follow", False, str(error), limit, error.hint)
    return GateResult("replicas_follow", True, f"{len(names)} within {took_s:.3f} s", limit)


def _semi_sync(site: Site) -> str:
    found = variables(site.source(), "rpl_semi_sync_%_enabled")
    waits = [value.upper() in ("ON", "1") for name, value in found.items() if "_source_" in name or "_master_" in name]
    return f"semi-synchronous replication is {'on' if any(waits) else 'off'}"
