"""`assess`: is this source and are these stores fit for the migration, and what statement mends what is not."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.table import Table

from config.load import load_settings
from console.output import Invocation
from model.errors import ExitCode
from sync.assess import assess, grants_script

COLOURS = {"OK": "green", "WARN": "yellow", "BLOCK": "bold red"}


def register(app: typer.Typer) -> None:
    """Add this command to the root."""
    app.command("assess")(run)


def run(
    context: typer.Context,
    only: Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Only these checks.")] = None,
    grants: Annotated[bool, typer.Option("--grants", help="Print the script that creates the least users.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Also list every OK subject by itself.")] = False,
) -> int:
    """Check source and stores. Exit 3 when something blocks."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    if grants:
        invocation.say(grants_script(settings))
        return ExitCode.CLEAN
    assessment = assess(settings)
    findings = [finding for finding in assessment.findings if not only or finding.check in only]
    blocked = any(finding.level == "BLOCK" for finding in findings)
    code = ExitCode.REFUSED if blocked else ExitCode.CLEAN
    if invocation.json:
        invocation.emit(
            "crossfade.assess/1",
            {"blocked": blocked, "findings": [dataclasses.asdict(finding) for finding in findings]},
        )
        return code
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("LEVEL", "CHECK", "SUBJECT", "FINDING"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        level = str(finding.level)
        if (
            level == "OK"
            and not show_all
            and any(other.check == finding.check and other.level != "OK" for other in findings)
        ):
            continue
        text = finding.message + (f"\n→ {finding.fix}" if finding.fix and level != "OK" else "")
        table.add_row(f"[{COLOURS.get(level, 'white')}]{level}[/]", finding.check, finding.subject, text)
    invocation.say(table)
    counts = {level: sum(str(finding.level) == level for finding in findings) for level in COLOURS}
    invocation.say(f"{counts['OK']} OK · {counts['WARN']} WARN · {counts['BLOCK']} BLOCK")
    invocation.say("next: mend what blocks, then run it again" if blocked else "next: crossfade schema apply")
    return code
