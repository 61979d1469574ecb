"""The verbs of `verify` about what is remembered: runs, findings, coverage. They compare nothing, but for `resume`."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from config.load import load_settings
from config.settings import Settings
from console import verify as command
from console.output import Invocation
from console.render import duration
from model.errors import ExitCode, UsageError
from stores.control import events, verify_chunks, verify_proof, verify_runs
from stores.control.migrations import prepare_control
from stores.control.verify_runs import StoredFinding, StoredRun
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store
from validators.findings import Mode, Verdict
from validators.verdict_documents import table_of

ID = Annotated[str, typer.Argument(metavar="ID", help="Number of a run, or `last`.")]
STATES: Final = ("open", "repaired", "confirmed", "gone", "accepted")


def register(group: typer.Typer) -> None:
    """Add these verbs."""
    for verb, work in (
        ("list", runs), ("show", show), ("resume", resume), ("stop", stop),
        ("findings", findings), ("accept", accept), ("coverage", coverage),
    ):  # fmt: skip
        group.command(verb)(work)


@contextmanager
def _control(context: typer.Context) -> Iterator[tuple[Invocation, Settings, PostgresConnection]]:
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    with (
        closing(connect_store(settings.control_dsn, application="crossfade verify")) as connection,
        translated("control store"),
    ):
        prepare_control(connection)
        yield invocation, settings, connection


def _run(connection: PostgresConnection, name: str, chosen: str) -> StoredRun:
    """The run that `chosen` names; `last` is the newest in any state. Raises UsageError."""
    if chosen == "last":
        found = next(iter(verify_runs.runs_of(connection, name, 1)), None)
    elif chosen.isdigit():
        found = verify_runs.run_of(connection, name, int(chosen))
    else:
        raise UsageError(f"{chosen!r} is no run", hint="Give a number or `last`: crossfade verify list")
    if found is None:
        raise UsageError(
            f"there is no verification run {chosen}", hint="See: crossfade verify list; begin one: crossfade verify"
        )
    return found


def _state(connection: PostgresConnection, run: StoredRun) -> str:
    """The state for people: a run that nobody works on was interrupted."""
    if run.state != "running":
        return run.state
    return "running" if verify_chunks.count(connection, run.id).leased else "interrupted"


def runs(context: typer.Context, limit: Annotated[int, typer.Option(min=1)] = 20) -> None:
    """The last runs, the newest first."""
    with _control(context) as (invocation, settings, connection):
        rows: list[dict[str, Any]] = []
        for run in verify_runs.runs_of(connection, settings.name, limit):
            count = verify_chunks.count(connection, run.id)
            rows.append(
                {
                    "run": run.id, "mode": run.mode, "state": _state(connection, run), "outcome": run.outcome or None,
                    "started_at": run.started_at, "age_s": round(run.age_s, 1), "chunks": count.chunks,
                    "chunks_done": count.done, "rows_done": count.rows_done,
                }
            )  # fmt: skip
    if invocation.json:
        invocation.emit("crossfade.verify_list/1", {"runs": rows})
        return
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("RUN", "MODE", "STATE", "OUTCOME", "BEGUN", "CHUNKS", "ROWS"):
        grid.add_column(heading)
    for row in rows:
        grid.add_row(
            str(row["run"]), row["mode"], row["state"], row["outcome"] or "–", f"{duration(row['age_s'])} ago",
            f"{row['chunks_done']}/{row['chunks']}", f"{row['rows_done']:,}",
        )  # fmt: skip
    invocation.say(grid if rows else "no run yet; next: crossfade verify")


def show(context: typer.Context, run: ID = "last") -> int:
    """The verdict of a run, with its findings; of one that is not finished, how far it is. Exits like the run."""
    with _control(context) as (invocation, settings, connection):
        found = _run(connection, settings.name, run)
        state, count = _state(connection, found), verify_chunks.count(connection, found.id)
        entries = verify_chunks.results(connection, found.id)
        seen = verify_runs.findings_of(connection, settings.name, found.id, STATES)
    if found.state in ("finished", "stopped"):
        verdict = _verdict(settings.name, found, seen)
        command.show_verdict(invocation, verdict, found.id, finished=found.state == "finished")
        return verdict.exit_code
    differing = sum(len(result["findings"]) for *_, result in entries if result is not None)
    told = {
        "run": found.id, "state": state, "mode": found.mode, "chunks": count.chunks, "chunks_done": count.done,
        "rows": count.rows, "rows_done": count.rows_done, "differences": differing,
        "next_steps": [f"crossfade verify resume {found.id}" if state == "interrupted" else "crossfade verify show"],
    }  # fmt: skip
    if invocation.json:
        invocation.emit("crossfade.verify_progress/1", told)
    else:
        invocation.say(
            f"run {found.id} is {state}: {count.done} of {count.chunks} chunks, {count.rows_done:,} of about "
            f"{count.rows:,} rows, {differing:,} rows differ so far",
            f"next: {told['next_steps'][0]}",  # type: ignore[index]
        )
    return ExitCode.INCOMPLETE


def _verdict(name: str, run: StoredRun, seen: tuple[StoredFinding, ...]) -> Verdict:
    kept = run.verdict
    by_plan: dict[str, list[dict[str, Any]]] = {}
    for one in seen:
        by_plan.setdefault(one.plan_id, []).append(
            {
                "kind": one.kind, "key": one.key, "columns": one.columns, "leaf": one.leaf, "position": one.position,
                "note": one.note if one.state == "open" else f"{one.note}, {one.state} by now".strip(", "),
            }
        )  # fmt: skip
    tables = tuple(
        table_of({**table, "findings": by_plan.get(table["plan_id"], ())}) for table in kept.get("tables", ())
    )
    return Verdict(
        name, Mode(run.mode), run.started_at, float(kept.get("duration_s", 0)), tables,
        tuple((item["table"], item["reason"]) for item in kept.get("skipped", ())),
        int(kept.get("canonical_version", 0)), str(kept.get("tool_version", "")),
    )  # fmt: skip


def resume(context: typer.Context, run: ID = "last") -> int:
    """Go on with a run that was stopped or killed; a second process on the same run shares its work."""
    with _control(context) as (invocation, settings, connection):
        found = _run(connection, settings.name, run)
    return command.resume(invocation, settings, found)


def stop(context: typer.Context, run: ID = "last") -> int:
    """Let the workers of a run end after the chunks that they have; it can be resumed."""
    with _control(context) as (invocation, settings, connection):
        found = _run(connection, settings.name, run)
        if not verify_runs.move_run(connection, found.id, "stopping", among=("running", "stopping")):
            raise UsageError(f"run {found.id} is {found.state}", hint="Only a running one can be stopped.")
        if not verify_chunks.count(connection, found.id).leased:
            verify_runs.move_run(connection, found.id, "stopped", among=("stopping",))
        state = verify_runs.state_of(connection, found.id)
    if invocation.json:
        invocation.emit("crossfade.verify_stop/1", {"run": found.id, "state": state})
    else:
        invocation.say(f"run {found.id} is {state}", f"next: crossfade verify resume {found.id}")
    return ExitCode.CLEAN


def findings(
    context: typer.Context,
    state: Annotated[list[str] | None, typer.Option(metavar="STATE", help="Repeat for several; default open.")] = None,
) -> None:
    """Differing rows that are remembered, with their numbers: open, repaired, confirmed, gone or accepted."""
    wanted = tuple(state or ("open",))
    if unknown := [one for one in wanted if one not in STATES]:
        raise UsageError(f"there is no state {unknown[0]!r}", hint=f"Known states: {', '.join(STATES)}.")
    with _control(context) as (invocation, settings, connection):
        found = verify_runs.findings_of(connection, settings.name, states=wanted)
    rows = [
        {
            "id": one.id, "plan": one.plan_id, "key": one.key, "kind": one.kind, "columns": one.columns,
            "state": one.state, "reason": one.reason, "note": one.note, "leaf": one.leaf, "position": one.position,
            "first_seen": one.first_seen, "last_seen": one.last_seen,
        }
        for one in found
    ]  # fmt: skip
    if invocation.json:
        invocation.emit("crossfade.findings/1", {"findings": rows})
        return
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ID", "TABLE", "KEY", "KIND", "STATE", "LEAF", "FIRST SEEN", "LAST SEEN"):
        grid.add_column(heading)
    for one in found:
        grid.add_row(
            str(one.id), one.plan_id.partition(">")[2], " ".join(f"{name}={value}" for name, value in one.key.items()),
            one.kind, f"{one.state} ({one.reason})" if one.reason else one.state, one.leaf or "–",
            f"{one.first_seen:%Y-%m-%d %H:%M:%S}", f"{one.last_seen:%Y-%m-%d %H:%M:%S}",
        )  # fmt: skip
    invocation.say(grid if found else "none")


def accept(
    context: typer.Context,
    finding: Annotated[int, typer.Argument(metavar="FINDING", help="Its number: crossfade verify findings")],
    reason: Annotated[str, typer.Option(help="Why the difference may stay; kept with it.")],
) -> None:
    """Accept a difference: later runs still show it, but it holds no cutover back and is not repaired."""
    if not reason.strip():
        raise UsageError("a difference is accepted for a reason", hint="Say it: --reason '…'")
    with _control(context) as (invocation, settings, connection):
        found = verify_runs.finding_of(connection, settings.name, finding)
        if found is None:
            raise UsageError(f"there is no finding {finding}", hint="See: crossfade verify findings")
        if found.state in ("confirmed", "gone"):
            raise UsageError(f"finding {finding} is {found.state}: there is no difference to accept")
        verify_runs.set_state(connection, finding, "accepted", reason.strip())
        events.record(
            connection, settings.name, "finding_accepted", f"finding {finding} was accepted: {reason.strip()}",
            finding=finding, plan=found.plan_id, actor=getpass.getuser(),
        )  # fmt: skip
    if invocation.json:
        invocation.emit("crossfade.verify_accept/1", {"finding": finding, "state": "accepted", "reason": reason})
    else:
        invocation.say(f"finding {finding} is accepted")


def coverage(
    context: typer.Context,
    fail_on: Annotated[
        str | None, typer.Option(metavar="age>SECONDS,percent<NUMBER", help="Exit 7 when it holds for a table.")
    ] = None,
) -> int:
    """How much of every table is proven equal, and how old its oldest proof is."""
    limits = _limits(fail_on)
    with _control(context) as (invocation, settings, connection):
        found = verify_proof.coverage(connection, settings.name)
    documents = [found[plan_id].document() for plan_id in sorted(found)]
    broken = not documents and bool(limits)
    for one in documents:
        age = one["oldest_age_s"] if one["complete"] else float("inf")
        broken |= age > limits.get("age", float("inf")) or one["percent"] < limits.get("percent", 0.0)
    if invocation.json:
        invocation.emit("crossfade.coverage/1", {"tables": documents, "within_limits": not broken})
    else:
        grid = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("TABLE", "ROWS", "PROVEN", "OLDEST PROOF", "CHUNKS", ""):
            grid.add_column(heading)
        for one in documents:
            grid.add_row(
                one["plan"], f"{one['rows']:,}", f"{one['percent']:.1f} %", duration(one["oldest_age_s"]),
                f"{one['chunks_proven']}/{one['chunks']}", one["why"],
            )  # fmt: skip
        invocation.say(grid if documents else "nothing was verified yet; next: crossfade verify")
    return ExitCode.THRESHOLD if broken else ExitCode.CLEAN


def _limits(text: str | None) -> dict[str, float]:
    limits: dict[str, float] = {}
    for part in (text or "").split(","):
        match = re.fullmatch(r"\s*(?:(age)>|(percent)<)([0-9.]+)\s*", part)
        if match:
            limits[match[1] or match[2]] = float(match[3])
        elif part.strip():
            raise UsageError(f"--fail-on does not know {part.strip()!r}", hint="Use age>86400, percent<100, or both.")
    return limits
