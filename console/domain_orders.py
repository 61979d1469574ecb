"""What `cutover`, `rollback` and `finalize` have in common: an order to the daemon, its progress, its outcome as text.

The daemon does the work and leaves the outcome in the control store; closing the terminal changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from config.load import load_settings
from config.settings import Settings
from console.output import Invocation
from cutover.errors import NotConfirmed
from cutover.phases import STABLE, Phase
from daemon.client import CommandFailed, ask, look
from model.errors import ExitCode, TimedOut, UsageError
from stores.control import domains, journal
from stores.control.domains import DomainState
from stores.control.journal import Entry, Kind
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store

LONGEST_S = 600.0
LOOK_S = 2.0
"""How often to look whether the daemon lives."""
NEXT_STEPS: dict[Phase, str] = {
    Phase.FOLLOWING: "crossfade cutover rehearse {domain}",
    Phase.PREPARED: "crossfade cutover run {domain}",
    Phase.LIVE: "crossfade rollback check {domain}",
    Phase.COMPLETE: "Remove the domain's tables from the configuration.",
}


def confirmed(invocation: Invocation, domain: str, confirm: str | None, what: str) -> str:
    """The typed name: given by --confirm, or asked for on a terminal. Raises NotConfirmed."""
    if confirm is None and not invocation.no_input and invocation.stderr.is_terminal and not invocation.json:
        confirm = typer.prompt(f"{what}. Type the domain's name to go on", default="", show_default=False, err=True)
    if confirm != domain:
        raise NotConfirmed(f"{what}: the domain's name has to be typed", hint=f"If you mean it: --confirm {domain}")
    return confirm


def order(invocation: Invocation, domain: str, act: str, **args: Any) -> int:
    """Send an order, show its steps while they happen, print the outcome; gives the exit code.

    Raises UsageError, NoDaemon, NotConfirmed, and whatever ended the order.
    """
    settings = load_settings(invocation.config)
    known_domain(settings, domain)
    answer = ask(settings, "domain", {"domain": domain, "act": act, **args})
    if act == "cancel":
        _told(invocation, {"domain": domain, **answer})
        return ExitCode.CLEAN
    result = _followed(invocation, settings, domain, int(answer["request"]))
    if result.get("outcome") != "done":
        error = CommandFailed(str(result.get("error", "it ended in doubt")), hint=str(result.get("hint") or ""))
        error.exit_code = ExitCode(int(result.get("exit_code", ExitCode.BUG)))
        error.where = {"domain": domain, "phase": result.get("phase")}
        raise error
    _told(invocation, {"domain": domain, **result})
    return ExitCode.REFUSED if _closed(result) else ExitCode.CLEAN


def known_domain(settings: Settings, domain: str) -> None:
    """Raises UsageError for a domain that the configuration does not have."""
    if domain not in settings.domains:
        known = ", ".join(settings.domains) or "none is configured"
        raise UsageError(f"there is no domain {domain!r}", hint=f"Domains: {known}.")


def _closed(result: Mapping[str, Any]) -> bool:
    return any(not gate["passed"] for gate in result.get("gates", ()))


def _followed(invocation: Invocation, settings: Settings, domain: str, request: int) -> Mapping[str, Any]:
    pause = threading.Event()
    deadline = time.monotonic() + LONGEST_S
    next_look, alive = time.monotonic() + LOOK_S, True
    with closing(connect_store(settings.control_dsn, application="crossfade cli")) as connection:
        with translated("control store"):
            shown = journal.newer(connection, settings.name, domain, 0)[1]
        while time.monotonic() < deadline:
            with translated("control store"):
                state = domains.read(connection, settings.name, domain)
                shown = _show_new(invocation, connection, settings.name, domain, shown)
            if state is not None and state.result.get("request") == request:
                return state.result
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + LOOK_S
                alive = look(settings).alive
            if not alive:
                raise TimedOut("the daemon has gone", hint="The next one finishes or undoes it: crossfade start")
            pause.wait(0.1)
    raise TimedOut(f"no outcome within {LONGEST_S:.0f} s; the daemon goes on", hint="See: crossfade cutover status")


def _show_new(invocation: Invocation, connection: PostgresConnection, name: str, domain: str, shown: int) -> int:
    found, last = journal.newer(connection, name, domain, shown)
    for entry in found:
        if entry.kind is not Kind.INTENT and not invocation.json:
            invocation.note(entry_line(entry))
    return last


def entry_line(entry: Entry) -> str:
    """One entry of the journal for people."""
    values = entry.values
    took = f"{values['took_s']:.3f} s" if "took_s" in values else ""
    what = {Kind.OBSERVED: "done", Kind.FAILED: "FAILED", Kind.UNDONE: "undone", Kind.PHASE: "phase"}.get(
        entry.kind, ""
    )
    why = str(values.get("error") or values.get("because") or "")
    return f"  {entry.epoch:>3}  {entry.step:<14} {what:<7} {took:>9}  {why}".rstrip()


def _told(invocation: Invocation, result: Mapping[str, Any]) -> None:
    phase = result.get("phase")
    if phase and Phase(phase) in STABLE:
        result = {**result, "next_steps": [NEXT_STEPS[Phase(phase)].format(domain=result["domain"])]}
    if _closed(result):
        result = {**result, "next_steps": [gate["next"] for gate in result["gates"] if not gate["passed"]]}
    if invocation.json:
        invocation.emit("crossfade.domain/1", dict(result))
        return
    if "gates" in result:
        invocation.say(gates_table(result["gates"]))
    facts = [f"{result['domain']}: {phase}" if phase else str(result["domain"])]
    if result.get("write_stop_s") is not None:
        facts.append(f"write stop {result['write_stop_s']:.3f} s")
    if result.get("predicted_write_stop_s"):
        low, high = result["predicted_write_stop_s"]
        facts.append(f"a cutover now would stop writes for {low:.2f} to {high:.2f} s")
    for step, (low, high) in dict(result.get("parts", {})).items():
        invocation.say(f"  {step:<14} {low:7.3f} to {high:.3f} s")
    if result.get("side"):
        facts.append(f"applications write to the {result['side']}")
    if "cancelled" in result:
        facts.append("cancelled" if result["cancelled"] else "nothing to cancel")
    invocation.say(" · ".join(facts))
    left = result.get("stranded")
    if left:
        invocation.say(f"left behind: {left['transactions']:,} transactions, {left['rows']:,} rows, in {left['path']}")
    if result.get("report"):
        invocation.say(f"report: {result['report']}")
    for step in result.get("next_steps", ()):
        invocation.say(f"next: {step}")


def gates_table(gates: list[Mapping[str, Any]]) -> Table:
    """Gates as a table."""
    table = Table(box=None, pad_edge=False)
    for column in ("", "gate", "value", "limit", "what to do"):
        table.add_column(column, overflow="fold")
    for gate in gates:
        mark = Text("ok", "green") if gate["passed"] else Text("NO", "bold red")
        todo = f"overridden: {gate['overridden']}" if gate.get("overridden") else "" if gate["passed"] else gate["next"]
        table.add_row(mark, gate["gate"], Text(str(gate["value"])), Text(str(gate["limit"])), Text(str(todo)))
    return table


def show_status(invocation: Invocation, domain: str | None) -> int:
    """Every domain, or one with its journal."""
    settings = load_settings(invocation.config)
    if domain is not None:
        known_domain(settings, domain)
    chosen = [domain] if domain else list(settings.domains)
    with (
        closing(connect_store(settings.control_dsn, application="crossfade cli")) as connection,
        translated("control store"),
    ):
        row = connection.execute("SELECT to_regclass('crossfade.domain_state') IS NOT NULL").fetchone()
        known = {state.domain: state for state in domains.every(connection, settings.name)} if row and row[0] else {}
        states = [known.get(name) or DomainState(settings.name, name, str(Phase.FOLLOWING)) for name in chosen]
        entries = journal.entries(connection, settings.name, domain) if domain and row and row[0] else ()
    now = _now(settings)
    documents = [_document(state, now) for state in states]
    if invocation.json:
        steps = [{"epoch": e.epoch, "step": e.step, "kind": str(e.kind), "facts": e.values, "actor": e.actor,
                  "at": e.at_us / 1e6, "digest": e.digest} for e in entries]  # fmt: skip
        invocation.emit("crossfade.domains/1", {"domains": documents, "journal": steps})
        return ExitCode.CLEAN
    for document in documents:
        invocation.say(
            f"{document['domain']}: {document['phase']} · epoch {document['epoch']} · "
            f"applications write to the {document['side']}"
        )
        if document["problem"]:
            invocation.say(f"  problem: {document['problem']}")
        ready = document["rollback"]
        if ready:
            invocation.say(f"  {ready['line']}")
            for alarm in ready["alarms"]:
                invocation.say(f"  {alarm['light']} {alarm['code']}: {alarm['message']}", f"    → {alarm['next']}")
        elif document["phase"] == Phase.LIVE:
            invocation.say("  rollback now: not known, no daemon measures it")
        for stream in document["reverse"]:
            lag = "–" if stream["lag_s"] is None else f"{stream['lag_s']:.2f} s"
            facts = [f"reverse stream of {stream['store']}: {stream['mode']}", f"lag {lag}", f"{stream['rows']} rows"]
            invocation.say("  " + " · ".join([*facts, stream["error"] or ""]).rstrip(" ·"))
        invocation.say(f"  next: {document['next_steps'][0]}")
    for index, entry in enumerate(entries):
        if entry.kind is not Kind.INTENT or index + 1 == len(entries):
            invocation.say(entry_line(entry))
    return ExitCode.CLEAN


def _now(settings: Settings) -> Mapping[str, Any]:
    """What the living daemon says, {} without one."""
    seen = look(settings)
    return seen.daemon.status if seen.alive and seen.daemon is not None else {}


def _document(state: DomainState, now: Mapping[str, Any]) -> dict[str, Any]:
    phase = Phase(state.phase)
    next_step = NEXT_STEPS.get(phase, "The daemon finishes or undoes it: crossfade start").format(domain=state.domain)
    streams = [stream for stream in now.get("reverse", ()) if stream.get("domain") == state.domain]
    known: Mapping[str, Any] = next((one for one in now.get("domains", ()) if one["domain"] == state.domain), {})
    ready = known.get("rollback") if phase is Phase.LIVE else None
    return {
        "domain": state.domain,
        "phase": state.phase,
        "epoch": state.epoch,
        "side": state.side,
        "problem": state.problem,
        "can_rollback": ready is not None and ready["light"] != "RED",
        "rollback": ready,
        "round_trips": known.get("round_trips"),
        "reverse": streams,
        "result": dict(state.result),
        "next_steps": [next_step],
    }
