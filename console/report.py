"""`report`: make, list, show and verify reconciliation reports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from config.load import load_settings
from config.settings import ReportFormat, Settings
from console.output import Invocation
from cutover.report import SCHEMA as CUTOVER_REPORT
from cutover.report import check_report
from daemon.client import actor
from model.errors import ExitCode, Refused, UsageError
from reports.check import Finding, check_file
from reports.deliver import deliver
from reports.make import MadeReport, make_report
from reports.markdown_form import markdown_form
from reports.thresholds import Thresholds
from stores.control import reports
from stores.control.reports import Entry
from stores.errors import translated
from stores.postgres import connect_store

COLOURS = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}
group = typer.Typer(name="report", help="Reconciliation reports.", no_args_is_help=True)


class Edited(Refused):
    """The file is not what was made."""

    default_hint = "Take the original from report.directory, or make a new one: crossfade report make"


def register(app: typer.Typer) -> None:
    """Add these commands to the root."""
    app.add_typer(group)


@group.command("make")
def make(
    context: typer.Context,
    formats: Annotated[
        str | None, typer.Option("--format", metavar="html,json,md,csv,junit", help="Forms; default: report.formats.")
    ] = None,
    since: Annotated[str, typer.Option(metavar="24h", help="Period of lag, throughput and coverage.")] = "24h",
    directory: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to; default: report.directory.")
    ] = None,
    to_all: Annotated[bool, typer.Option("--deliver", help="Also bring it to copy_to, webhook and mail.")] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(metavar="LIMITS", help="Exit 7 when one holds: verdict,findings,lag>30s,coverage<99,age>24h."),
    ] = None,
) -> int:
    """Make a report and enter it in the chain. Exit 7 when a limit of --fail-on holds, 6 when it was not delivered."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    limits = Thresholds.parse(fail_on)
    made = make_report(
        settings,
        _formats(formats, settings),
        actor=actor(),
        since_s=period(since),
        directory=directory.absolute() if directory else None,
    )
    broken = limits.broken(made.document)
    lost = _delivered(settings, made) if to_all else {}
    if invocation.json:
        files = {str(form): str(path) for form, path in made.files.items()}
        invocation.emit("crossfade.report-made/1", {"number": made.entry.number, "outcome": made.entry.outcome,
                        "files": files, "link": made.entry.link, "thresholds": broken, "not_delivered": lost,
                        "next_steps": _next_steps(made.document)})  # fmt: skip
    else:
        outcome = made.entry.outcome
        invocation.say(Text.assemble(f"report {made.entry.number}: ", (outcome.upper(), COLOURS[outcome])))
        for path in made.files.values():
            invocation.say(f"  {path}")
        for way, problem in lost.items():
            invocation.say(Text(f"not delivered by {way}: {problem}", "red"))
        for text in broken:
            invocation.say(Text(f"limit: {text}", "red"))
        for step in _next_steps(made.document):
            invocation.say(f"next: {step}")
    if broken:
        return ExitCode.THRESHOLD
    return ExitCode.INCOMPLETE if lost else ExitCode.CLEAN


def _delivered(settings: Settings, made: MadeReport) -> dict[str, str]:
    """Bring it to everywhere that is configured; gives what failed."""
    outcome = deliver(made, settings.report)
    with (
        closing(connect_store(settings.control_dsn, application="crossfade cli")) as connection,
        translated("control store"),
    ):
        reports.delivered(connection, settings.name, made.entry.number, outcome)
    return {way: problem for way, problem in outcome.items() if problem}


def _next_steps(document: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(reason["next"] for reason in document["verdict"]["reasons"]))[:5]


def _formats(text: str | None, settings: Settings) -> tuple[ReportFormat, ...]:
    if text is None:
        return settings.report.formats
    try:
        return tuple(ReportFormat(part.strip().lower()) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--format does not know {text!r}", hint=f"Known: {', '.join(ReportFormat)}, separated by commas."
        ) from None


def period(text: str) -> float:
    """Seconds of `90s`, `30m`, `24h`, `7d`. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if match is None or not float(match[1]):
        raise UsageError(f"{text!r} is no period", hint="Such as 90s, 30m, 24h or 7d.")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]]


@group.command("list")
def list_(context: typer.Context) -> None:
    """Every report with its verdict, files and delivery."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    entries = _register(settings)
    if invocation.json:
        invocation.emit("crossfade.reports/1", {"reports": [_document(entry) for entry in entries]})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("#", "MADE", "VERDICT", "BY", "FILES"):
        table.add_column(heading)
    for entry in entries:
        files = ", ".join(Path(path).name for path in (entry.files or {}).values())
        verdict = Text(entry.outcome, COLOURS.get(entry.outcome, ""))
        table.add_row(str(entry.number), f"{entry.made_at:%Y-%m-%d %H:%M:%S}", verdict, entry.actor, files)
    invocation.say(table if entries else "no report yet; next: crossfade report make")


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "made_at": entry.made_at,
        "outcome": entry.outcome,
        "made_by": entry.actor,
        "files": dict(entry.files or {}),
        "digests": dict(entry.digests),
        "link": entry.link,
        "slot": entry.slot,
        "delivery": dict(entry.delivery or {}),
    }


def _register(settings: Settings) -> tuple[Entry, ...]:
    with (
        closing(connect_store(settings.control_dsn, application="crossfade cli")) as connection,
        translated("control store"),
    ):
        return reports.every(connection, settings.name)


@group.command("show")
def show(context: typer.Context, number: Annotated[int | None, typer.Argument(metavar="[NUMBER]")] = None) -> None:
    """A report as text, the last without a number; with -o json the whole document."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    with (
        closing(connect_store(settings.control_dsn, application="crossfade cli")) as connection,
        translated("control store"),
    ):
        row = connection.execute("SELECT to_regclass('crossfade.report') IS NOT NULL").fetchone()
        found = reports.document_of(connection, settings.name, number) if row and row[0] else None
    if found is None:
        what = "there is no report yet" if number is None else f"report {number} is not there, or its time is over"
        raise UsageError(what, hint="See: crossfade report list; make one: crossfade report make")
    if invocation.json:
        document = dict(found)
        invocation.emit(str(document.pop("schema")), document)
    else:
        invocation.say(markdown_form(found).rstrip())


@group.command("verify")
def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `report make` or a cutover wrote.")],
    offline: Annotated[bool, typer.Option("--offline", help="Ask no control store.")] = False,
) -> int:
    """Check that nothing in a report's file was edited: digest, seal, signature, register and chain. Exit 3 if so."""
    invocation: Invocation = context.obj
    if _of_cutover(file):
        return _verify_cutover(invocation, file)
    settings = None if offline and not invocation.config.exists() else load_settings(invocation.config)
    register = None if offline or settings is None else _register(settings)
    key = settings.report.signing_key if settings else None
    seal, findings = check_file(file, register, key)
    if invocation.json:
        looked = [{"what": one.what, "holds": one.holds, "detail": one.detail} for one in findings]
        invocation.emit("crossfade.report-check/1", {"file": str(file), "number": seal.number, "checks": looked})
    else:
        invocation.say(f"{seal.name} report {seal.number} · {seal.outcome} · {seal.made_at} · {seal.actor}")
        for one in findings:
            invocation.say(_line(one))
    bad = [one for one in findings if one.holds is False]
    if bad:
        raise Edited(f"{file.name}: {bad[0].what}: {bad[0].detail}")
    return ExitCode.CLEAN


def _line(finding: Finding) -> Text:
    mark = {True: ("ok ", "green"), False: ("NO ", "bold red"), None: ("–  ", "")}[finding.holds]
    return Text.assemble("  ", mark, f"{finding.what:<10} {finding.detail}")


def _of_cutover(file: Path) -> bool:
    try:
        return f'"{CUTOVER_REPORT}"'.encode() in file.read_bytes()[:400]
    except OSError:
        return False


def _verify_cutover(invocation: Invocation, file: Path) -> int:
    count, broken = check_report(file)
    if broken is not None:
        raise Edited(f"{file.name}: entry {broken.step} ({broken.kind}) of epoch {broken.epoch} does not follow")
    if invocation.json:
        invocation.emit("crossfade.report-check/1", {"file": str(file), "entries": count})
    else:
        invocation.say(f"{file.name}: {count} entries, each follows from the one before")
    return ExitCode.CLEAN
