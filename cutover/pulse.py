"""Measures a domain all the time: round trips both ways, slots, the source's gate; and closes what must stay closed.

A thread and connections of its own, so that the domain's thread is free to move it. What it finds is one frozen
picture (`Readiness`), from which status, metrics and reports are made.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import Any, Final

import structlog

from cutover.divergence_steps import source_has, stranded_reader
from cutover.final_check import FinalCheck
from cutover.logbook import Logbook
from cutover.phases import Phase
from cutover.prediction import rollback_parts, span
from cutover.readiness import Facts, Limits, Readiness, WayBack, judge
from cutover.rounds import forward_trip, reverse_trip
from cutover.site import Site
from model.errors import CrossfadeError
from stores.control import leaks
from stores.errors import translated
from stores.mysql import account_of
from sync.postgres import slots
from sync.postgres.pgoutput import parse_lsn
from sync.reverse_state import ReverseMode, ReverseState

log = structlog.get_logger(__name__)

BEAT_S: Final = 2.0
TRIP_LIMIT_S: Final = 30.0
TRIGGERS_EVERY_S: Final = 20.0
COUNT_EVERY_S: Final = 15.0
COUNTED_ROWS: Final = 100_000
"""More stranded rows are not counted: it is bad enough."""
RUNNING: Final = frozenset({ReverseMode.STARTING, ReverseMode.STREAMING, ReverseMode.RETRYING})
COSTS_EVERY_S: Final = 600.0
"""How often the steps of a write stop are timed: that counts tables."""
TOLD_S: Final = 60.0
"""How long a gate that was open is told of though it was closed again at once: who asks now and then must see it."""


class Pulse:
    """One domain's measurements. `readiness` from any thread."""

    def __init__(self, site: Site, logbook: Logbook, stop: threading.Event) -> None:
        """`site`: for this thread alone (`Site.twin`). `logbook`: only its `latest` is read."""
        self._site = site
        self._logbook = logbook
        self._stop = stop
        self._steps_s: float | None = None
        self._costs_due = 0.0
        self._triggers_due = 0.0
        self._counted: int | None = None
        self._counted_due = 0.0
        self._told_until = 0.0
        self._missing: tuple[str, ...] = ()
        self._unguarded: tuple[str, ...] = ()
        self._ungated: tuple[str, ...] = ()
        self.readiness: Readiness | None = None
        """Of a domain that the stores serve, else None."""
        self.tombstone_open = ""
        """Of a domain that is complete: what is wrong with the gate that stays closed."""
        self.thread = threading.Thread(target=self._run, name=f"pulse-{site.domain.name}", daemon=True)

    def _run(self) -> None:
        said = ""
        while not self._stop.wait(BEAT_S):
            state = self._logbook.latest
            phase = Phase(state.phase) if state is not None else Phase.FOLLOWING
            try:
                if state is None or phase not in (Phase.PREPARED, Phase.LIVE, Phase.COMPLETE):
                    if phase not in (Phase.ROLLING_BACK, Phase.RESTORING):
                        self.readiness = None
                elif phase is Phase.PREPARED:
                    self.readiness = None
                    self._steps_s = None
                    for store in self._site.domain.stores:
                        self._note_wal(store)
                    forward_trip(self._site, TRIP_LIMIT_S, self._stop)
                    reverse_trip(self._site, TRIP_LIMIT_S)
                elif phase is Phase.LIVE:
                    self.readiness = self._live(state.epoch)
                else:
                    self.readiness = None
                    self._tombstone(state.epoch)
            except CrossfadeError as error:
                # In PREPARED the gates say so when somebody asks; here it only means that there is no new figure.
                if str(error) != said:
                    said = str(error)
                    log.warning("pulse_missed", domain=self._site.domain.name, error=said)
                self._site.drop()
            except Exception:
                log.exception("pulse_failed", domain=self._site.domain.name)
                self._site.drop()
        self._site.drop()

    # -- a domain that the stores serve

    def _live(self, epoch: int) -> Readiness:
        site = self._site
        problem = ""
        closed: bool | None = None
        try:
            if time.monotonic() >= self._triggers_due:
                self._unguarded = site.unguarded()
                self._ungated = site.ungated()
            closed = self._hold_closed(epoch)
            # A halted stream answers nothing: its own words say more.
            if site.reverse.up:
                reverse_trip(site, TRIP_LIMIT_S)
            self._time_steps()
        except CrossfadeError as error:
            problem = str(error)
            site.drop()
        states = {state.store: state for state in site.reverse.states()}
        ways = tuple(self._way(store, states.get(store)) for store in site.domain.stores)
        limits = site.settings.cutover
        facts = Facts(
            site.domain.name, ways, site.reverse_trips.figures(), self._steps_s, self._stranded(ways), closed,
            self._missing, self._unguarded, self._ungated, self._leaks(), problem,
        )  # fmt: skip
        return judge(
            facts, Limits(limits.max_lag_s, limits.max_write_stop_s, limits.min_retention_s), time.time()
        )  # fmt: skip

    def _way(self, store: str, state: ReverseState | None) -> WayBack:
        slot, safe, gap = "reserved", None, ""
        try:
            name = slots.stream_name(self._site.settings.name, self._site.domain.name, store)
            with translated(f"store {store}"):
                status = slots.slot_status(self._site.store(store), name)
                self._note_wal(store)
            slot, safe = (status.wal_status, status.safe_wal_bytes) if status else ("", None)
            if state is None or state.mode is ReverseMode.HALTED:
                gap = self._site.slot_promise(store).gap  # one that runs has looked when it began
        except CrossfadeError as error:
            log.warning("slot_unseen", store=store, error=str(error))
            self._site.drop()
        rate = self._site.wal_rates.per_s(store)
        if state is None:
            return WayBack(store, "", slot=slot, safe_wal_bytes=safe, wal_bytes_per_s=rate, gap=gap)
        return WayBack(
            store, str(state.mode), state.lag_s, state.behind_bytes, state.conflicts, state.error or "",
            state.hint or "", slot, safe, rate, gap,
        )  # fmt: skip

    def _stranded(self, ways: tuple[WayBack, ...]) -> int | None:
        """0 while every stream runs: what is on its way arrives. Of one that has halted the slot is read."""
        halted = [way.store for way in ways if way.mode == ReverseMode.HALTED]
        if not halted:
            self._counted = None
            return 0 if all(way.mode in RUNNING for way in ways) else None
        if any(way.gap for way in ways):
            return None  # what lies in the gap is in no slot
        if self._counted is None or time.monotonic() >= self._counted_due:
            self._counted_due = time.monotonic() + COUNT_EVERY_S
            try:
                self._counted = sum(self._stranded_rows(store) for store in halted)
            except CrossfadeError as error:
                log.warning("stranded_not_counted", domain=self._site.domain.name, error=str(error))
                self._site.drop()
                self._counted = None
        return self._counted

    def _stranded_rows(self, store: str) -> int:
        """Rows that one store has and the source has not, up to `COUNTED_ROWS`."""
        site = self._site
        until = slots.emit_message(site.store(store), "ping", site.domain.name)
        rows = 0
        for transaction in stranded_reader(site, store, source_has(site, store), until).transactions(self._stop):
            rows += transaction.rows
            if rows >= COUNTED_ROWS:
                break
        return rows

    def _leaks(self) -> int:
        """Foreign writes that nobody has looked at; who wrote them is asked while the server may still know."""
        site, found = self._site, 0
        name, domain = site.settings.name, site.domain.name
        try:
            for store in site.domain.stores:
                connection = site.store(store)
                with translated(f"store {store}"):
                    for identifier, thread in leaks.nameless(connection, name, domain).items():
                        leaks.name(connection, identifier, account_of(site.source(), thread) or "gone")
                    found += leaks.count_open(connection, name, domain)
        except CrossfadeError as error:
            log.warning("leaks_unseen", domain=domain, error=str(error))
            site.drop()
        return found

    def _note_wal(self, store: str) -> None:
        row = self._site.store(store).execute("SELECT pg_current_wal_lsn()::text").fetchone()
        if row:
            self._site.wal_rates.note(store, parse_lsn(row[0]))

    def _time_steps(self) -> None:
        if time.monotonic() < self._costs_due and self._steps_s is not None:
            return
        site = self._site
        with closing(FinalCheck(site.settings, site.domain, site.info, site.tables)) as check:
            self._steps_s = span(rollback_parts(site, check))[0]
        self._costs_due = time.monotonic() + COSTS_EVERY_S

    # -- the gate that must stay closed

    def _hold_closed(self, epoch: int) -> bool:
        """Whether the source refuses the domain's writes; what had been opened or taken away is closed again."""
        site = self._site
        gate = site.gate()
        reopened = gate.shut_again(epoch)
        if reopened:
            log.error("source_gate_was_open", domain=site.domain.name, epoch=epoch)
        if time.monotonic() >= self._triggers_due:
            self._triggers_due = time.monotonic() + TRIGGERS_EVERY_S
            missing = gate.missing(site.domain.table_ids)
            self._missing = tuple(f"{table} {event}" for table, event in missing)
            if missing and gate.must_read().final:
                log.error("gate_triggers_lost", domain=site.domain.name, triggers=self._missing)
                gate.prepare(site.info, site.domain.table_ids)
                if gate.read() is None:
                    # The domain was let go meanwhile, and a trigger without a row would refuse for ever.
                    gate.remove(site.domain.table_ids)
        return not reopened

    def _tombstone(self, epoch: int) -> None:
        closed = self._hold_closed(epoch)
        problems = [] if closed else ["the source's gate had been opened; it is closed again"]
        if leaked := self._leaks():
            problems.append(f"{leaked} foreign writes reached the source's tables, see: crossfade cutover leaks")
        if self._missing:
            problems.append(f"gate triggers were gone and are made again: {', '.join(self._missing[:3])}")
        if problems:
            self.tombstone_open = "; ".join(problems)
            self._told_until = time.monotonic() + TOLD_S
        elif time.monotonic() >= self._told_until:
            self.tombstone_open = ""


def document(pulse: Pulse, site: Site) -> dict[str, Any]:
    """Round trips and readiness as JSON values."""
    forward, backward = site.forward_trips.figures(), site.reverse_trips.figures()
    return {
        "round_trips": {
            name: {"count": one.count, "p50_s": round(one.median_s, 4), "p95_s": round(one.p95_s, 4),
                   "max_s": round(one.longest_s, 4)}
            for name, one in (("forward", forward), ("reverse", backward))
        },
        "rollback": None if pulse.readiness is None else pulse.readiness.document(),
        "tombstone": pulse.tombstone_open,
    }  # fmt: skip
