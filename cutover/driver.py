"""Moves one domain: prepares, cuts over, rolls back, and finishes or undoes what another daemon began.

The control store says where the domain was; the source's gate row says whether a point of no return was passed. Only
that row decides, so this never disagrees with who may write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import structlog

from cutover import cutover_steps, divergence_steps, rollback_steps
from cutover.checks import BASIC, CUTOVER, DIVERGING, ROLLBACK, checks_for
from cutover.cutover_steps import ROWS_SENT
from cutover.errors import Aborted
from cutover.final_check import FinalCheck
from cutover.gate_result import Check, GateResult, measure, overridden, refuse, shown
from cutover.logbook import Logbook
from cutover.phases import STABLE, Phase, Side
from cutover.prediction import span
from cutover.runner import advance, insist, until_done
from cutover.server_checks import identities
from cutover.site import Site
from cutover.step import Run
from cutover.trip_checks import predicted
from model.errors import Busy, CrossfadeError, Fenced, Refused
from model.tables import TableDef, TableId
from stores.control import leaks
from stores.control.domains import DomainState
from stores.control.journal import Kind
from stores.errors import translated
from stores.retry import retrying
from sync import slot_promise
from sync.postgres import slots

log = structlog.get_logger(__name__)


class Driver:
    """One domain. For one thread, but for `cancel`."""

    def __init__(
        self,
        site: Site,
        logbook: Logbook,
        tables: Mapping[TableId, TableDef],
        secret: str,
        stop: threading.Event,
    ) -> None:
        """`secret` is the pass of this daemon's sessions through the source's gate."""
        self.site = site
        self.logbook = logbook
        self._tables = tables
        self._secret = secret
        self._stop = stop
        self._run: Run | None = None

    def cancel(self) -> bool:
        """Ask the run under way to end before its point of no return; False when none is."""
        run = self._run
        if run is None:
            return False
        run.stop.set()
        return True

    # -- where it is

    def settle(self) -> DomainState:
        """Finish or undo what was begun, and have the reverse streams run as the phase asks. Raises CrossfadeError."""
        state = self.logbook.state
        phase = Phase(state.phase)
        if phase not in STABLE:
            self.logbook.actor = "daemon"
            self.logbook.note(state.epoch, ("recover", Kind.INTENT, {"found": state.phase}))
        if phase in (Phase.CUTTING_OVER, Phase.ABORTING):
            state = self._settle_cutover(state)
        elif phase is Phase.SWITCHING:
            state = self._finish_cutover(state, self._recovered(state))
        elif phase in (Phase.ROLLING_BACK, Phase.RESTORING):
            state = self._settle_rollback(state)
        elif phase is Phase.RETURNING:
            state = self._finish_rollback(state, self._recovered(state))
        if state.phase in (Phase.PREPARED, Phase.LIVE) and not self.site.reverse.up:
            self._run_reverse(state)
        if state.phase == Phase.LIVE:
            self._guard_again()
        if state.phase == Phase.COMPLETE:
            self._give_up_way_back()  # a daemon may have ended, or a store been away, before it was done
        return state

    def _guard_again(self) -> None:
        """Make guards and gates that somebody took away; of a busy table the readiness tells until the next start."""
        for store in self.site.domain.stores:
            try:
                self.site.value_guard(store).prepare()
                gate = self.site.store_gate(store)
                if gate.missing():
                    gate.prepare()
                    gate.let_in()  # one that was gone as a whole is made closed
            except CrossfadeError as error:
                log.warning("store_unguarded", store=store, error=str(error))
                self.site.drop()

    def _run_reverse(self, state: DomainState) -> None:
        self.site.gate().set_pass(self._secret)
        armed = state.phase == Phase.PREPARED
        if armed and not state.boundary.keys() >= set(self.site.domain.stores):
            return  # a store has come to the domain since: `prepare` makes its slot
        self.site.reverse.start(state.epoch, state.boundary, armed=armed)

    def _recovered(self, state: DomainState) -> Run:
        """The run that another daemon began, as the journal has it."""
        run = Run(state.epoch, state.epoch - 1, threading.Event(), in_doubt=True)
        run.boundary = {store: int(lsn) for store, lsn in state.boundary.items()}
        for entry in self.logbook.entries(state.epoch):
            if entry.step == "boundary" and entry.kind is Kind.OBSERVED:
                run.boundary = {store: int(entry.values[store]) for store in self.site.domain.stores}
        return run

    # -- preparing

    def check(self) -> list[GateResult]:
        """Measure the gates of the next move."""
        state = self.logbook.state
        if state.phase in (Phase.PREPARED, Phase.LIVE):
            self._revive(state)
        return self._gates(checks_for(Phase(state.phase)))

    def _gates(self, checks: Sequence[Check]) -> list[GateResult]:
        return overridden(measure(checks, self.site, self._stop), self.site.consents.overrides)

    def prepare(self) -> DomainState:
        """Install both gates and the guards, close the stores, make slots, arm the reverse streams. Idempotent.

        Nobody is refused on the source.

        Raises Refused by a gate, or what the servers raise.
        """
        state = self.logbook.state
        if Phase(state.phase) not in (Phase.FOLLOWING, Phase.PREPARED):
            raise Refused(f"domain {state.domain} is {state.phase}", hint="See: crossfade cutover status")
        refuse(self._gates(BASIC), "the cutover")
        site = self.site
        gate = site.gate()
        try:
            gate.prepare(site.info, site.domain.table_ids)
        except Busy as error:
            raise Refused(
                f"the source's gate cannot be installed now: {error}", domain=state.domain,
                hint="A transaction has used a table of the domain for longer than a trigger waits; "
                "see SHOW PROCESSLIST on the source, then try again.",
            ) from error  # fmt: skip
        row = gate.must_read()
        if row.refuses:
            raise Refused(
                "the source is closed for this domain by somebody else", domain=state.domain, epoch=row.epoch,
                hint="Is another migration cutting over a domain of this name?",
            )  # fmt: skip
        gate.set_pass(self._secret)
        epoch = max(state.epoch, row.epoch) if Phase(state.phase) is Phase.FOLLOWING else state.epoch
        boundary: dict[str, int] = {}
        for store in site.domain.stores:
            for attempt in retrying(site.settings.retry, self._stop, f"preparing store {store} for the cutover"):
                with attempt:
                    boundary[store] = self._prepare_store(state, store, epoch)
        if Phase(state.phase) is Phase.FOLLOWING or not self.logbook.pinned():
            self.logbook.pin(identities(site))
        self._take_identities(state)
        new = {store: lsn for store, lsn in boundary.items() if store not in state.boundary}
        if Phase(state.phase) is Phase.FOLLOWING or new:
            state = self.logbook.move(state, Phase.PREPARED, epoch=epoch, boundary={**state.boundary, **new})
        if not site.reverse.up:
            self._run_reverse(state)
        return state

    def _take_identities(self, state: DomainState) -> None:
        """Take the servers of now for the right ones, when the operator said so."""
        if self.site.consents.identity:
            found = identities(self.site)
            self.logbook.pin(found)
            self.logbook.note(state.epoch, ("identities", Kind.OBSERVED, found))

    def _prepare_store(self, state: DomainState, store: str, epoch: int) -> int:
        """Gate, guard and slot of one store; gives the slot's position. Raises Busy when writers do not let us in.

        Raises Refused when the slot of a domain that was prepared is gone: a write may have passed unseen.
        """
        site = self.site
        site.store_gate(store).prepare()
        site.value_guard(store).prepare()
        name = slots.stream_name(site.settings.name, site.domain.name, store)
        known = store in state.boundary
        if known and slots.slot_status(site.store(store), name) is None:
            raise Refused(
                f"somebody has dropped slot {name} of store {store} since the domain was prepared",
                domain=state.domain, hint=slot_promise.what_next(state.domain, armed=True),
            )  # fmt: skip
        position = slots.prepare(site.store(store), name, site.domain.targets(store), store)
        if not known:
            site.begin_anew(store, position, epoch)
        return position

    def unprepare(self) -> DomainState:
        """Take the gates and slots away again; the stores stay closed to the application's roles."""
        state = self.logbook.state
        if Phase(state.phase) is not Phase.PREPARED:
            raise Refused(f"domain {state.domain} is {state.phase}", hint="See: crossfade cutover status")
        site = self.site
        hosts = site.gate().hosts(site.domain.table_ids)
        if hosts:
            raise Refused(
                f"other triggers have the gate of {state.domain} in them, and would refuse every write without its row",
                triggers=", ".join(hosts), hint="Make them anew without it, then try again.",
            )  # fmt: skip
        site.reverse.stop()
        site.gate().remove(site.domain.table_ids)
        for store in site.domain.stores:
            site.store_gate(store).remove()
        self._give_up_way_back()
        return self.logbook.move(state, Phase.FOLLOWING, boundary={})

    def rehearse(self) -> dict[str, Any]:
        """Everything before the fence, against live traffic: prepare, measure, compare. Gives the figures.

        Raises Refused by a gate.
        """
        self.prepare()
        found = self._gates(CUTOVER)
        refuse(found, "the cutover")
        parts = predicted(self.site)
        low, high = span(parts)
        return {
            "gates": found,
            "predicted_write_stop_s": [round(low, 3), round(high, 3)],
            "parts": {part.step: [round(part.low_s, 4), round(part.high_s, 4)] for part in parts},
        }

    # -- the cutover

    def cut_over(self) -> dict[str, Any]:
        """Run it. Raises Refused (nothing changed), Aborted (undone), Fenced, or CrossfadeError when it is in doubt."""
        state = self.prepare()
        gates = self._gates(CUTOVER)
        refuse(gates, "the cutover")
        site = self.site
        followers = site.followers
        since = {store: followers.seq_of(store) for store in site.domain.stores}
        followers.keep_after(min(since.values()))
        row = site.gate().must_read()
        run = Run(max(state.epoch, row.epoch) + 1, row.epoch, threading.Event(), since=since)
        self.logbook.note(run.epoch, ("gates", Kind.OBSERVED, shown(gates)))
        try:
            with closing(self._final_check()) as run.check:
                run.check.warm(since)
                site.warm()
                # Rows that change from here on are compared behind the gate; all before is the verification's.
                run.since = {store: followers.seq_of(store) for store in site.domain.stores}
                state = self.logbook.move(state, Phase.CUTTING_OVER, epoch=run.epoch)
                self._run = run
                try:
                    advance(cutover_steps.BEFORE, site, run, self.logbook)
                except Fenced:
                    raise
                except CrossfadeError as error:
                    state = self._settle_cutover(state, error, run)
                    if state.phase != Phase.LIVE:
                        raise Aborted(
                            f"the cutover was aborted and undone: {error}", hint=error.hint, domain=state.domain
                        ) from error
                    return self._told(state, run)
                finally:
                    self._run = None
            state = self._finish_cutover(state, run)
        finally:
            followers.keep_after(None)
        return self._told(state, run)

    def _final_check(self) -> FinalCheck:
        site = self.site
        return FinalCheck(site.settings, site.domain, site.info, self._tables)

    def _settle_cutover(
        self, state: DomainState, error: CrossfadeError | None = None, run: Run | None = None
    ) -> DomainState:
        """Before the point of no return undo, after it finish; the gate row says which. Asks until it answers."""
        chosen = run if run is not None else self._recovered(state)
        passed: list[bool] = []

        def decide() -> None:
            final = not self.site.gate().abandon(state.epoch, state.epoch + 1)
            if final:
                # Asked again from the row on until it is so: a failover meanwhile may have lost the closing.
                cutover_steps.closing_is_kept(self.site, state.epoch, cutover_steps.REPLICA_S, self._stop)
            passed[:] = [final]

        self.site.drop()
        if not until_done(decide, self.site, self.logbook, self._stop):
            raise _unsettled(state)
        if passed[0]:
            return self._finish_cutover(state, chosen)
        if Phase(state.phase) is not Phase.ABORTING:
            state = self.logbook.move(state, Phase.ABORTING)
        facts: dict[str, Any] = {"because": str(error) if error else "a daemon ended"}
        for step in reversed(cutover_steps.BEFORE):
            try:
                step.undo(self.site, chosen)
            except Fenced:
                raise
            except CrossfadeError as trouble:
                log.warning("undo_failed", step=step.name, error=str(trouble))
                facts[f"undo_{step.name}"] = str(trouble)
        try:
            refused = self.site.gate().turned_away(self.site.domain.table_ids)
            facts["still_refused"] = [str(table) for table in refused]
        except CrossfadeError as trouble:
            facts["still_refused"] = f"not known: {trouble}"
        self.logbook.note(state.epoch, ("abort", Kind.UNDONE, facts))
        return self.logbook.move(state, Phase.PREPARED, epoch=state.epoch + 1)

    def _finish_cutover(self, state: DomainState, run: Run) -> DomainState:
        if Phase(state.phase) is not Phase.SWITCHING:
            state = self.logbook.move(state, Phase.SWITCHING, seen=True, boundary=run.boundary, side=str(Side.STORES))
        # Nothing of the source is applied to these tables from here on: every store has all there was (drain).
        self.site.followers.watch(self.site.domain.name, self.site.domain.table_ids)
        self.site.gate().set_pass(self._secret)
        if not insist(cutover_steps.AFTER, self.site, run, self.logbook, self._stop):
            raise _unsettled(state)
        return self.logbook.move(state, Phase.LIVE)

    # -- the way back

    def roll_back(self, *, diverging: bool = False) -> dict[str, Any]:
        """Run it. Raises Refused (nothing changed), Aborted (undone), Fenced, or CrossfadeError when it is in doubt.

        `diverging`: what the source has not got is written to a file and given up, instead of waited for.
        """
        state = self.logbook.state
        if Phase(state.phase) is not Phase.LIVE:
            raise Refused(f"domain {state.domain} is {state.phase}, not live", hint="See: crossfade cutover status")
        self._revive(state)
        gates = self._gates(DIVERGING if diverging else ROLLBACK)
        refuse(gates, "the rollback")
        self._take_identities(state)
        steps = divergence_steps.BEFORE if diverging else rollback_steps.BEFORE
        site = self.site
        row = site.gate().must_read()
        run = Run(max(state.epoch, row.epoch) + 1, row.epoch, threading.Event())
        self.logbook.note(run.epoch, ("gates", Kind.OBSERVED, shown(gates)))
        run.sent_before = None if diverging else self._sent_before()
        with closing(self._final_check()) as run.check:
            site.warm()
            state = self.logbook.move(state, Phase.ROLLING_BACK, epoch=run.epoch)
            self._run = run
            try:
                advance(steps, site, run, self.logbook)
            except Fenced:
                raise
            except CrossfadeError as error:
                state = self._settle_rollback(state, error, run)
                if state.phase == Phase.LIVE:
                    raise Aborted(
                        f"the rollback was aborted and undone: {error}",
                        hint=error.hint or "See: crossfade rollback status",
                        domain=state.domain,
                    ) from error
                return self._told(state, run)
            finally:
                self._run = None
        state = self._finish_rollback(state, run)
        return {**self._told(state, run), **run.left_behind}

    def _sent_before(self) -> int | None:
        """Rows that had been sent back when the last cutover's boundary was drawn."""
        for entry in reversed(self.logbook.entries()):
            if entry.step == "boundary" and entry.kind is Kind.OBSERVED and ROWS_SENT in entry.values:
                return int(entry.values[ROWS_SENT])
        return None

    def _revive(self, state: DomainState) -> None:
        """Let a reverse stream that has halted try again: what stopped it may have been mended."""
        if not self.site.reverse.up:
            self._run_reverse(state)

    def _settle_rollback(
        self, state: DomainState, error: CrossfadeError | None = None, run: Run | None = None
    ) -> DomainState:
        chosen = run if run is not None else self._recovered(state)
        passed: list[bool] = []

        def decide() -> None:
            gate = self.site.gate()
            row = gate.must_read()
            reopened = row.epoch == state.epoch and not row.closed
            if not reopened and row.epoch <= state.epoch:
                # Only now can an older daemon's compare-and-set not open the source behind our back.
                try:
                    gate.renumber(row.epoch, state.epoch + 1)
                except Busy:
                    if chosen.in_doubt:
                        raise
                    # It was our own, and has ended: an application that holds the row must not keep the stores closed.
                row = gate.must_read()
                reopened = row.epoch == state.epoch and not row.closed
            if not reopened and (run is None or chosen.in_doubt):
                # Nor may it find its row again behind a failover.
                rollback_steps.epoch_is_kept(self.site, state.epoch + 1, self._stop)
            passed[:] = [reopened]

        self.site.drop()
        if not until_done(decide, self.site, self.logbook, self._stop):
            raise _unsettled(state)
        if passed[0]:
            return self._finish_rollback(state, chosen)
        if Phase(state.phase) is not Phase.RESTORING:
            state = self.logbook.move(state, Phase.RESTORING)

        def undo() -> None:
            for step in reversed(rollback_steps.BEFORE):
                step.undo(self.site, chosen)

        if not until_done(undo, self.site, self.logbook, self._stop):
            raise _unsettled(state)
        self.logbook.note(state.epoch, ("abort", Kind.UNDONE, {"because": str(error) if error else "a daemon ended"}))
        state = self.logbook.move(state, Phase.LIVE, epoch=state.epoch + 1)
        self.site.followers.watch(self.site.domain.name, self.site.domain.table_ids)
        self._revive(state)
        return state

    def _finish_rollback(self, state: DomainState, run: Run) -> DomainState:
        if Phase(state.phase) is not Phase.RETURNING:
            state = self.logbook.move(state, Phase.RETURNING, seen=True, boundary=run.boundary, side=str(Side.SOURCE))

        def open_for_good() -> None:
            rollback_steps.keep_open(self.site, state.epoch, self._stop)

        if not until_done(open_for_good, self.site, self.logbook, self._stop):
            raise _unsettled(state)
        if not insist(rollback_steps.AFTER, self.site, run, self.logbook, self._stop):
            raise _unsettled(state)
        return self.logbook.move(state, Phase.PREPARED)

    def finalize(self, *, before_soak: bool = False) -> DomainState:
        """No way back any more: the reverse streams end, their slots go; the source's gate stays closed for ever.

        Raises Refused before the domain has been served by its stores for `cutover.soak_s`, unless `before_soak`.
        """
        state = self.logbook.state
        if Phase(state.phase) is not Phase.LIVE:
            raise Refused(f"domain {state.domain} is {state.phase}, not live", hint="See: crossfade cutover status")
        site = self.site
        served_s, soak_s = time.time() - state.since_s, site.settings.cutover.soak_s
        if served_s < soak_s and not before_soak:
            raise Refused(
                f"domain {state.domain} has been served by its stores for {served_s / 3600:.1f} h, "
                f"cutover.soak_s asks for {soak_s / 3600:.1f} h",
                hint=f"Wait, or if you mean it: crossfade finalize {state.domain} --before-soak",
            )
        for store in site.domain.stores:
            with translated(f"store {store}"):
                leaked = leaks.count_open(site.store(store), site.settings.name, site.domain.name)
            if leaked:
                raise Refused(
                    f"{leaked} foreign writes to the source of domain {state.domain} were not looked at",
                    hint=f"crossfade cutover leaks {state.domain}",
                )
        site.reverse.stop()
        state = self.logbook.move(state, Phase.COMPLETE)
        self._give_up_way_back()
        return state

    def _give_up_way_back(self) -> None:
        """Take away what a way back needs in the stores. Idempotent."""
        site = self.site
        for store in site.domain.stores:
            site.value_guard(store).remove()
            slots.drop(site.store(store), slots.stream_name(site.settings.name, site.domain.name, store))

    def _told(self, state: DomainState, run: Run) -> dict[str, Any]:
        stopped = run.write_stop_s
        return {
            "phase": state.phase,
            "epoch": state.epoch,
            "side": state.side,
            "write_stop_s": None if stopped is None else round(stopped, 4),
        }


def _unsettled(state: DomainState) -> CrossfadeError:
    return CrossfadeError(
        f"the daemon ended while domain {state.domain} was {state.phase}",
        hint="The next daemon finishes or undoes it: crossfade start",
    )
