"""The domains of a running daemon: one thread each, requests from operators, and what is known of each for the status.

A request is answered through the domain's row in the control store, so nobody has to stay connected for it. Only one
domain is cut over or rolled back at a time.
"""

from __future__ import annotations

import dataclasses
import queue
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from config.settings import Settings
from cutover import pulse
from cutover.consents import Consents
from cutover.domain import DomainPlan, domain_plan
from cutover.driver import Driver
from cutover.errors import NotConfirmed
from cutover.followers import Followers
from cutover.gate_result import GateResult, documents
from cutover.hooks import Hooks
from cutover.logbook import Logbook
from cutover.phases import STABLE, Phase
from cutover.pulse import Pulse
from cutover.readiness import Alarm, Light
from cutover.report import write_report
from cutover.reverse_side import ReverseSide
from cutover.site import Site
from model.errors import CrossfadeError, ExitCode, Fenced, LockHeld, UsageError
from model.tables import TableDef, TableId
from stores.control import domains
from stores.errors import translated
from stores.mysql import ServerInfo
from stores.postgres import PostgresConnection
from sync.reverse_state import ReverseMode, ReverseState
from transforms.plan import MigrationPlan

log = structlog.get_logger(__name__)

AGAIN_S: Final = 2.0
IDLE_S: Final = 0.2
JOIN_S: Final = 25.0

ACTS: Final = ("check", "rehearse", "run", "back", "cancel", "unprepare", "finalize")
"""What can be asked of a domain."""
CONFIRMED: Final = frozenset({"run", "back", "finalize"})
"""Acts that need the domain's name typed."""


@dataclass(frozen=True, slots=True)
class Request:
    """One order of an operator. `id` is what the answer is known by."""

    id: int
    act: str
    actor: str
    args: Mapping[str, Any]


class Cutovers:
    """All domains of a migration."""

    def __init__(
        self,
        settings: Settings,
        info: ServerInfo,
        plan: MigrationPlan,
        tables: Mapping[TableId, TableDef],
        followers: Followers,
        fence: int,
    ) -> None:
        """`fence`: the daemon's, from `stores.control.daemons.register`. Raises ConfigError."""
        self._settings = settings
        self._stop = threading.Event()
        self._one_at_a_time = threading.Lock()
        secret = secrets.token_hex(32)
        self._followers = followers
        self._workers = {
            name: _Worker(
                settings, domain_plan(settings, name, plan, tables), info, tables, followers, fence, secret,
                self._stop, self._one_at_a_time,
            )
            for name in settings.domains
        }  # fmt: skip

    def watch(self, connection: PostgresConnection) -> None:
        """Before anything is applied: which domains the stores serve. `connection`: to the control store."""
        with translated("control store"):
            states = domains.every(connection, self._settings.name)
        for state in states:
            worker = self._workers.get(state.domain)
            if worker is not None and state.phase in (Phase.SWITCHING, Phase.LIVE, Phase.COMPLETE):
                self._followers.watch(state.domain, worker.domain.table_ids)

    def start(self) -> None:
        """Begin; what an earlier daemon left half-done is finished or undone first."""
        for worker in self._workers.values():
            worker.thread.start()
            worker.pulse.thread.start()

    def close(self) -> None:
        """End the threads; a cutover before its point of no return is undone."""
        self._stop.set()
        for worker in self._workers.values():
            worker.driver.cancel()
        for worker in self._workers.values():
            for thread in (worker.thread, worker.pulse.thread):
                if thread.is_alive():
                    thread.join(JOIN_S)

    def submit(self, request_id: int, actor: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take an order: `domain`, `act`, and for some `confirm`. Raises UsageError, NotConfirmed, LockHeld."""
        domain, act = str(args.get("domain", "")), str(args.get("act", ""))
        worker = self._workers.get(domain)
        if worker is None:
            raise UsageError(
                f"there is no domain {domain!r}", hint=f"Domains: {', '.join(self._workers) or 'none is configured'}."
            )
        if act not in ACTS:
            raise UsageError(f"nothing called {act!r} can be done with a domain")
        if act in CONFIRMED and args.get("confirm") != domain:
            raise NotConfirmed("the domain's name has to be typed", hint=f"If you mean it: --confirm {domain}")
        given_up = args.get("accept_divergence")
        if given_up is not None and given_up != domain:
            raise NotConfirmed(
                "writes are given up only when the domain's name is typed", hint=f"--accept-divergence {domain}"
            )
        if act == "cancel":
            return {"cancelled": worker.driver.cancel()}
        worker.take(Request(request_id, act, actor, dict(args)))
        return {"request": request_id}

    def reverse_states(self) -> tuple[ReverseState, ...]:
        """Every reverse stream now."""
        return tuple(state for worker in self._workers.values() for state in worker.reverse.states())

    def domains(self) -> list[dict[str, Any]]:
        """Every domain now, as JSON values for the status: where it is, round trips, rollback readiness."""
        return [worker.document() for worker in self._workers.values()]

    def alarms(self) -> list[tuple[str, Alarm]]:
        """(domain, alarm) of everything that makes a way back RED or opens a side that must stay closed."""
        return [(name, alarm) for name, worker in self._workers.items() for alarm in worker.alarms()]

    def document(self) -> list[dict[str, Any]]:
        """Every reverse stream now, as JSON values for the status."""
        return [{**dataclasses.asdict(state), "mode": str(state.mode)} for state in self.reverse_states()]


class _Worker:
    """One domain's thread."""

    def __init__(
        self,
        settings: Settings,
        domain: DomainPlan,
        info: ServerInfo,
        tables: Mapping[TableId, TableDef],
        followers: Followers,
        fence: int,
        secret: str,
        stop: threading.Event,
        alone: threading.Lock,
    ) -> None:
        self._settings = settings
        self.domain = self._domain = domain
        self._stop = stop
        self._alone = alone
        self._requests: queue.Queue[Request] = queue.Queue(1)
        self.reverse = ReverseSide(settings, settings.source.with_gate_pass(secret), domain)
        hooks = Hooks.of(domain.name, settings.domains[domain.name].route)
        self._site = Site(settings, domain, info, followers, self.reverse, hooks, tables)
        self._logbook = Logbook(settings, domain.name, fence)
        self.pulse = Pulse(self._site.twin(), self._logbook, stop)
        self.driver = Driver(self._site, self._logbook, tables, secret, stop)
        self.thread = threading.Thread(target=self._run, name=f"domain-{domain.name}", daemon=True)

    def document(self) -> dict[str, Any]:
        """The domain as JSON values."""
        state = self._logbook.latest
        where = {"phase": state.phase, "epoch": state.epoch, "side": state.side} if state else {}
        return {"domain": self._domain.name, **where, **pulse.document(self.pulse, self._site)}

    def alarms(self) -> list[Alarm]:
        """What somebody should look at."""
        ready, open_ = self.pulse.readiness, self.pulse.tombstone_open
        found = [alarm for alarm in ready.alarms if alarm.light is Light.RED] if ready else self._before_it_serves()
        if open_:
            found.append(Alarm("TOMBSTONE_OPEN", Light.RED, open_, f"crossfade cutover status {self._domain.name}"))
        return found

    def _before_it_serves(self) -> list[Alarm]:
        """Of a domain that the source serves: a write in a store that was not ours has halted the armed stream."""
        return [
            Alarm(
                "REVERSE_HALTED", Light.RED, f"store {state.store}: the reverse stream has halted: {state.error}",
                state.hint or f"crossfade cutover check {self._domain.name}",
            )
            for state in self.reverse.states()
            if state.mode is ReverseMode.HALTED
        ]  # fmt: skip

    def take(self, request: Request) -> None:
        """Queue an order. Raises LockHeld when one is under way."""
        try:
            self._requests.put_nowait(request)
        except queue.Full:
            raise LockHeld(
                f"domain {self._domain.name} is busy with another order", hint="See: crossfade cutover status"
            ) from None

    def _run(self) -> None:
        try:
            self._serve()
        except Fenced as error:
            log.error("domain_fenced", domain=self._domain.name, error=str(error))
        except Exception:
            log.exception("domain_failed", domain=self._domain.name)
        finally:
            try:
                self.reverse.stop()
            except CrossfadeError as error:
                log.warning("reverse_stream_hangs", error=str(error))
            self._site.drop()
            self._logbook.close()

    def _serve(self) -> None:
        wait_s = 0.0
        settled = False
        while not self._stop.wait(wait_s):
            wait_s = IDLE_S
            if not settled:
                settled = self._settle()
                if not settled:
                    wait_s = AGAIN_S
                    continue
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                continue
            settled = self._answer(request)

    def _settle(self) -> bool:
        try:
            self.driver.settle()
            return True
        except Fenced:
            raise
        except CrossfadeError as error:
            log.warning("domain_unsettled", domain=self._domain.name, error=str(error), hint=error.hint)
            self._site.drop()
            problem = str(error)
        self._quietly(lambda: self._logbook.complain(problem))
        return False

    def _answer(self, request: Request) -> bool:
        """Carry out an order and leave its outcome; gives whether the domain is settled."""
        self._logbook.actor = request.actor
        result: dict[str, Any] = {"request": request.id, "act": request.act, "exit_code": 0}
        try:
            result |= self._act(request)
            result["outcome"] = "done"
        except Fenced:
            raise
        except CrossfadeError as error:
            log.warning("order_failed", domain=self._domain.name, act=request.act, error=str(error))
            result |= {"outcome": "failed", "error": str(error), "hint": error.hint, "exit_code": int(error.exit_code)}
        except Exception as error:
            log.exception("order_failed", domain=self._domain.name, act=request.act)
            result |= {
                "outcome": "failed", "exit_code": int(ExitCode.BUG),
                "error": f"this is a bug in crossfade: {type(error).__name__}: {error}",
            }  # fmt: skip
        settled = self._quietly(lambda: self._describe(result, request))
        result["at"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        while not self._quietly(lambda: self._logbook.finish(result)):
            self._site.drop()
            if self._stop.wait(AGAIN_S):
                break
        return settled and result.get("phase") in STABLE

    def _describe(self, result: dict[str, Any], request: Request) -> None:
        state = self._logbook.state
        result |= {"phase": state.phase, "epoch": state.epoch, "side": state.side}
        if Phase(state.phase) not in STABLE:
            result |= {"exit_code": int(ExitCode.IN_DOUBT), "outcome": "in_doubt"}
        if request.act in ("run", "back"):
            path = write_report(self._settings.report.directory, self._settings.name, result, self._logbook.entries())
            result["report"] = str(path)

    def _act(self, request: Request) -> dict[str, Any]:
        driver = self.driver
        self._site.consents = Consents.of(self._settings.domains[self._domain.name], request.args)
        if request.act == "check":
            return {"gates": documents(driver.check())}
        if request.act == "rehearse":
            told = driver.rehearse()
            found: list[GateResult] = told["gates"]
            return {**told, "gates": documents(found)}
        if request.act == "unprepare":
            return {"phase": driver.unprepare().phase}
        if request.act == "finalize":
            return {"phase": driver.finalize(before_soak=bool(request.args.get("before_soak"))).phase}
        if not self._alone.acquire(blocking=False):
            raise LockHeld("another domain is being moved", hint="One at a time; see: crossfade cutover status")
        try:
            if request.act == "run":
                return driver.cut_over()
            return driver.roll_back(diverging=request.args.get("accept_divergence") is not None)
        finally:
            self._alone.release()

    def _quietly(self, act: Any) -> bool:
        """Do something for the record; a lost control store is tried again later. Raises Fenced."""
        try:
            act()
            return True
        except Fenced:
            raise
        except CrossfadeError as error:
            log.warning("control_store_lost", error=str(error))
            self._logbook.close()
            return False
