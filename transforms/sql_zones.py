"""CONVERT_TZ: a wall clock's time in one zone → the same moment in another, by the time zone database of this host.

Computed here only: MySQL has named zones only when its tables were loaded, ends in 2038 and gives NULL for what it does
not know. Of a time that a zone has twice the first one is meant; one that it skips is read by the offset before the gap
(PEP 495, fold=0).
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from model.errors import ConfigError, ValueRefused
from transforms.typed_sql import Kind, Typed, computed_here

WHY = "the source may not know the time zones"
_OFFSET = re.compile(r"([+-])(\d{2}):(\d{2})")
_FORM = "%Y-%m-%d %H:%M:%S.%f"


def zone_named(name: str) -> tzinfo:
    """A zone by its IANA name or offset (`+02:00`). Raises ConfigError."""
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        minutes = int(offset[2]) * 60 + int(offset[3])
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=minutes if offset[1] == "+" else -minutes))
    elif name.upper() == "UTC":
        return UTC
    else:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise ConfigError(
        f"there is no time zone {name!r}",
        hint="Use a name like 'Europe/Berlin' or an offset like '+02:00'; names come from the host's tzdata.",
    )


def convert(part: Typed, source: str, target: str) -> Typed:
    """CONVERT_TZ of a date with time; impossible dates (0000-00-00) stay as they are."""
    if part.kind is not Kind.DATETIME:
        raise ConfigError(
            f"CONVERT_TZ needs a date with time, and this is {part.kind}: {part.mysql}",
            hint="Use a DATETIME or TIMESTAMP column.",
        )
    here, there = zone_named(source), zone_named(target)

    def function(text: str) -> str:
        try:
            moment = datetime.strptime(text, _FORM)
        except ValueError:
            return text
        try:
            moved = moment.replace(tzinfo=here).astimezone(UTC).astimezone(there)
        except OverflowError:
            raise ValueRefused(
                f"{text} is in another year than any in {target}", hint="Mend the value in the source."
            ) from None
        return f"{moved.year:04d}-{moved:%m-%d %H:%M:%S.%f}"  # %Y has no leading zeros everywhere

    return replace(computed_here(Kind.DATETIME, function, [part], WHY), utc=there is UTC)
