"""Makes reports at the times of `report.schedule`, delivers them, and forgets old ones. In a thread of its own.

A report that cannot be made or delivered never disturbs the stream: it is tried again, and the history says so.
"""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from datetime import UTC, datetime
from typing import Final

import structlog

from config.settings import Settings
from model.errors import CrossfadeError
from reports.deliver import deliver, remove
from reports.make import MadeReport, make_report
from reports.schedule import due
from stores.control import daemons, events, reports
from stores.errors import translated
from stores.postgres import connect_store

log = structlog.get_logger(__name__)

LOOK_S: Final = 5.0
AGAIN_S: Final = 60.0
SHORTEST_S: Final = 3600.0
"""A report looks back at least so far."""


class Reporting:
    """The schedule of one daemon."""

    def __init__(self, settings: Settings, fence: int) -> None:
        self._settings = settings
        self._fence = fence
        self._since = datetime.now(UTC)

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        wait_s = 0.0
        while not stop.wait(wait_s):
            wait_s = LOOK_S
            try:
                self.look(datetime.now(UTC))
            except CrossfadeError as error:
                log.warning("report_not_made", error=str(error), hint=error.hint)
                wait_s = AGAIN_S

    def look(self, now: datetime) -> MadeReport | None:
        """Make the report that is due, if one is. Raises NotWritten, Unreachable …"""
        settings = self._settings
        schedule = settings.report.schedule
        if schedule is None:
            return None
        with closing(connect_store(settings.control_dsn, application="crossfade report")) as control:
            with translated("control store"):
                daemon = daemons.read(control, settings.name)
                if daemon is None or daemon.fence != self._fence:
                    return None
                done = reports.last_slot(control, settings.name)
            slot = due(schedule, settings.report.timezone, done, self._since, now)
            if slot is None:
                return None
            since_s = max(SHORTEST_S, (now - (done or self._since)).total_seconds())
            actor = f"schedule@{socket.gethostname()}"
            made = make_report(settings, settings.report.formats, actor=actor, since_s=since_s, slot=slot)
            outcome = deliver(made, settings.report)
            with translated("control store"):
                reports.delivered(control, settings.name, made.entry.number, outcome)
                failed = {way: problem for way, problem in outcome.items() if problem}
                events.record(
                    control,
                    settings.name,
                    "report_made",
                    f"report {made.entry.number}: {made.entry.outcome}"
                    + (f"; not delivered: {', '.join(failed)}" if failed else ""),
                    slot=slot.isoformat(),
                    delivery=outcome,
                )
                for entry in reports.expire(control, settings.name, settings.report.keep_days):
                    remove(entry.files)
        return made
