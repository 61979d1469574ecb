"""Rollback readiness of one domain: what going back now would cost, and whether it can be done. Pure values; no I/O.

GREEN: a rollback now loses nothing and fits the budget. AMBER: it does, but something wears thin or is not measured
yet. RED: it would be refused, or would leave rows behind; each reason says what to do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cutover.trips import TripFigures

STALE_S: Final = 30.0
"""Figures that are older are not those of now."""


class Light(StrEnum):
    """Readiness in a word."""

    GREEN = "GREEN"
    AMBER = "AMBER"
    RED = "RED"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Why it is not GREEN: a stable code, what was seen, what to type."""

    code: str
    light: Light
    message: str
    next: str


@dataclass(frozen=True, slots=True)
class WayBack:
    """The way from one store to the source now."""

    store: str
    mode: str
    """Of the reverse stream: armed, streaming, retrying, halted …; "" when it does not run."""
    lag_s: float | None = None
    behind_bytes: int = 0
    conflicts: int = 0
    error: str = ""
    hint: str = ""
    slot: str = "reserved"
    """wal_status of the slot; "" when it is gone."""
    safe_wal_bytes: int | None = None
    """WAL that may still be written before the slot is lost; None: no limit."""
    wal_bytes_per_s: float | None = None
    gap: str = ""
    """Why the slot cannot have everything that the source lacks."""

    @property
    def headroom_s(self) -> float | None:
        """How long the store keeps what the stream needs at the present rate; None: without a limit, or not known."""
        if self.safe_wal_bytes is None or not self.wal_bytes_per_s:
            return None
        return max(0.0, self.safe_wal_bytes / self.wal_bytes_per_s)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured of a domain that the stores serve."""

    domain: str
    ways: tuple[WayBack, ...]
    trips: TripFigures
    steps_s: float | None
    """What the steps of the write stop take beside the round trip (canaries, counts, counters); None: not measured."""
    stranded_rows: int | None
    """Rows of the stores that the reverse stream cannot bring to the source; None: not known."""
    source_closed: bool | None = True
    """Whether the source's gate is closed for good; None: not known."""
    missing_triggers: tuple[str, ...] = ()
    unguarded: tuple[str, ...] = ()
    """Tables of the stores that take values which the source could not hold."""
    ungated: tuple[str, ...] = ()
    """Tables of the stores whose writers no gate could turn away."""
    leaks: int = 0
    """Writes of others to the domain's source tables since the cutover that nobody has looked at."""
    problem: str = ""
    """Why something could not be measured."""


@dataclass(frozen=True, slots=True)
class Limits:
    """From the configuration."""

    max_lag_s: float
    max_write_stop_s: float
    headroom_s: float


@dataclass(frozen=True, slots=True)
class Readiness:
    """The verdict. Seconds; `at_s` is epoch seconds of the measurement."""

    domain: str
    light: Light
    predicted_s: float | None
    stranded_rows: int | None
    alarms: tuple[Alarm, ...]
    trips: TripFigures
    ways: tuple[WayBack, ...]
    at_s: float

    @property
    def line(self) -> str:
        """`rollback now: 1.4 s, 0 rows stranded, GREEN`."""
        time = "not known" if self.predicted_s is None else f"{self.predicted_s:.1f} s"
        rows = "an unknown number of" if self.stranded_rows is None else f"{self.stranded_rows:,}"
        return f"rollback now: {time}, {rows} rows stranded, {self.light}"

    def document(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "light": str(self.light),
            "line": self.line,
            "predicted_s": None if self.predicted_s is None else round(self.predicted_s, 3),
            "stranded_rows": self.stranded_rows,
            "alarms": [{**dataclasses.asdict(alarm), "light": str(alarm.light)} for alarm in self.alarms],
            "round_trip": {name: round(value, 4) for name, value in dataclasses.asdict(self.trips).items()},
            "ways": [{**dataclasses.asdict(way), "headroom_s": way.headroom_s} for way in self.ways],
            "at_s": round(self.at_s, 3),
        }


def judge(facts: Facts, limits: Limits, at_s: float) -> Readiness:
    """The verdict over what was measured."""
    predicted = _predicted(facts)
    alarms = tuple(_alarms(facts, limits, predicted))
    lights = {alarm.light for alarm in alarms}
    light = Light.RED if Light.RED in lights else Light.AMBER if lights else Light.GREEN
    return Readiness(facts.domain, light, predicted, facts.stranded_rows, alarms, facts.trips, facts.ways, at_s)


def _predicted(facts: Facts) -> float | None:
    if not facts.trips.count or facts.steps_s is None or any(_broken(way) for way in facts.ways):
        return None
    lag_s = max((way.lag_s or 0.0 for way in facts.ways), default=0.0)
    return facts.steps_s + max(facts.trips.p95_s, lag_s)


def _broken(way: WayBack) -> bool:
    return way.mode not in ("streaming", "armed") or way.slot not in ("reserved", "extended") or bool(way.gap)


def _alarms(facts: Facts, limits: Limits, predicted: float | None) -> Iterator[Alarm]:
    again = f"crossfade rollback check {facts.domain}"
    for way in facts.ways:
        yield from _alarms_of(way, facts, limits)
    if facts.stranded_rows:
        yield Alarm(
            "ROWS_STRANDED", Light.RED, f"{facts.stranded_rows:,} rows of the stores cannot come to the source", again
        )
    if facts.source_closed is False:
        yield Alarm(
            "SOURCE_OPEN", Light.RED, "the source's gate row does not refuse writes though the stores serve",
            "It is closed again by itself. Find out who opened it: a hand, or a failover that lost the last commit?",
        )  # fmt: skip
    if facts.missing_triggers:
        yield Alarm(
            "GATE_TRIGGERS_LOST", Light.RED,
            f"the source's gate has lost triggers: {', '.join(facts.missing_triggers[:3])}",
            "They are made again by itself. Find out who dropped them.",
        )  # fmt: skip
    if facts.unguarded:
        yield Alarm(
            "VALUES_UNGUARDED", Light.AMBER,
            f"the stores take values that the source could not hold, in {', '.join(facts.unguarded[:3])}",
            "Make the triggers again by a restart of the daemon: crossfade stop, crossfade start",
        )  # fmt: skip
    if facts.ungated:
        yield Alarm(
            "STORE_GATE_LOST", Light.RED, f"the stores' gate has lost triggers: {', '.join(facts.ungated[:3])}",
            "Make the triggers again by a restart of the daemon: crossfade stop, crossfade start",
        )  # fmt: skip
    if facts.leaks:
        yield Alarm(
            "SOURCE_LEAK", Light.RED, f"{facts.leaks} foreign writes reached the source's tables since the cutover",
            f"crossfade cutover leaks {facts.domain}",
        )  # fmt: skip
    if facts.problem:
        yield Alarm("NOT_MEASURED", Light.RED, facts.problem, again)
    elif not facts.trips.count or facts.steps_s is None:
        yield Alarm("NOT_MEASURED_YET", Light.AMBER, "no round trip was measured yet", "It is measured by itself.")
    elif facts.trips.age_s > STALE_S:
        yield Alarm("NOT_MEASURED", Light.RED, f"no message came through for {facts.trips.age_s:.0f} s", again)
    elif facts.trips.p95_s > limits.max_lag_s:
        yield Alarm(
            "REVERSE_SLOW", Light.RED,
            f"a message takes {facts.trips.p95_s:.2f} s to the source (p95; limit {limits.max_lag_s:g} s)", again,
        )  # fmt: skip
    elif facts.trips.p95_s > limits.max_lag_s / 2:
        yield Alarm(
            "REVERSE_SLOW", Light.AMBER,
            f"a message takes {facts.trips.p95_s:.2f} s to the source (p95; limit {limits.max_lag_s:g} s)", again,
        )  # fmt: skip
    if predicted is not None and predicted > limits.max_write_stop_s:
        yield Alarm(
            "WRITE_STOP_LONG", Light.RED,
            f"a rollback would stop writes for {predicted:.1f} s (limit {limits.max_write_stop_s:g} s)", again,
        )  # fmt: skip


def _alarms_of(way: WayBack, facts: Facts, limits: Limits) -> Iterator[Alarm]:
    accept = f"crossfade rollback run {facts.domain} --accept-divergence {facts.domain}"
    if way.mode == "halted":
        why = f": {way.error}" if way.error else ""
        yield Alarm("REVERSE_HALTED", Light.RED, f"store {way.store}: the reverse stream has halted{why}",
                    way.hint or accept)  # fmt: skip
    elif way.mode == "retrying":
        yield Alarm("REVERSE_RETRYING", Light.AMBER, f"store {way.store}: {way.error or 'connecting again'}",
                    "It is retried by itself.")  # fmt: skip
    elif way.mode not in ("streaming", "armed"):
        yield Alarm("REVERSE_DOWN", Light.AMBER if way.mode == "starting" else Light.RED,
                    f"store {way.store}: the reverse stream does not run", "crossfade start")  # fmt: skip
    if way.lag_s is not None and way.lag_s > limits.max_lag_s:
        yield Alarm("REVERSE_LAG", Light.RED, f"store {way.store} is {way.lag_s:.1f} s ahead of the source "
                    f"(limit {limits.max_lag_s:g} s)", f"crossfade rollback status {facts.domain}")  # fmt: skip
    if way.slot not in ("reserved", "extended"):
        what = f"is {way.slot}" if way.slot else "is gone"
        yield Alarm("SLOT_LOST", Light.RED, f"store {way.store}: the slot that holds what goes back {what}",
                    "Raise max_slot_wal_keep_size at once." if way.slot == "unreserved" else accept)  # fmt: skip
    elif way.gap:
        yield Alarm("SLOT_GAP", Light.RED, way.gap, accept)
    elif way.headroom_s is not None and way.headroom_s < limits.headroom_s:
        light = Light.RED if way.headroom_s < limits.headroom_s / 24 else Light.AMBER
        yield Alarm("WAL_HEADROOM", light, f"store {way.store} keeps its WAL for {way.headroom_s / 3600:.1f} h more at "
                    f"this rate (limit {limits.headroom_s / 3600:g} h)", "Raise max_slot_wal_keep_size.")  # fmt: skip
