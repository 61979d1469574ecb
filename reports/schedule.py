"""When a report is due: five fields of cron in a time zone, and missed moments are caught up once. Pure.

Around a change of the clocks the fields mean the zone's own time: a moment that does not exist is taken an hour later,
one that comes twice is taken once. (Cron arithmetic: croniter.)
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from croniter import croniter


def due(schedule: str, zone: str, done: datetime | None, since: datetime, now: datetime) -> datetime | None:
    """The moment (UTC) that a report is to be made for now, None when none is.

    `done` is the last moment that one was made for, `since` when the schedule began to count when there was none yet.
    However many moments were missed, only the last of them is due.
    """
    local = now.astimezone(ZoneInfo(zone))
    # croniter gives moments strictly before; the present second counts.
    last: datetime = croniter(schedule, local.replace(microsecond=0)).get_prev(datetime)
    if croniter.match(schedule, local) and local.second == 0:
        last = local.replace(microsecond=0)
    if done is not None and _wall(last) == _wall(done.astimezone(ZoneInfo(zone))):
        return None
    moment = last.astimezone(UTC)
    return moment if moment > (done or since) else None


def _wall(local: datetime) -> datetime:
    """What the clock on the wall shows; the same twice when it is put back."""
    return local.replace(tzinfo=None)


def upcoming(schedule: str, zone: str, now: datetime) -> datetime:
    """The next moment (UTC)."""
    found: datetime = croniter(schedule, now.astimezone(ZoneInfo(zone))).get_next(datetime)
    return found.astimezone(UTC)
