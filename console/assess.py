"""`assess`: is this source and are these stores fit for the migration, and what statement mends what is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from config.load import load_settings
from console.output import Invocation
from model.errors import ExitCode
from sync.assess import Finding, assess, grants_script

SHOWN = 8
"""More good findings than these of one check are counted, not shown."""
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
    findings = assess(settings, only=tuple(only or ())).findings
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
    for level, check, subject, text in _lines(findings, show_all=show_all):
        # As Text: a finding may hold brackets, [mysqld] for one, which are no markup.
        table.add_row(Text(level, style=COLOURS.get(level, "")), check, Text(subject), Text(text))
    invocation.say(table)
    counts = {level: sum(str(finding.level) == level for finding in findings) for level in COLOURS}
    invocation.say(f"{counts['OK']} OK · {counts['WARN']} WARN · {counts['BLOCK']} BLOCK")
    invocation.say("next: mend what blocks, then run it again" if blocked else "next: crossfade schema apply")
    return code


def _lines(findings: Sequence[Finding], *, show_all: bool) -> list[tuple[str, str, str, str]]:
    """Level, check, subject and text: what blocks first, then warnings with their cure, then a line per good check."""
    lines = [
        (str(finding.level), finding.check, finding.subject, _text(finding))
        for level in ("BLOCK", "WARN")
        for finding in findings
        if finding.level == level
    ]
    good: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.level == "OK":
            good.setdefault(finding.check, []).append(finding)
    wanting = {finding.check for finding in findings if finding.level != "OK"}
    for check, group in good.items():
        if show_all:
            lines += [("OK", check, finding.subject, finding.message) for finding in group]
        elif check not in wanting:
            texts = list(dict.fromkeys(finding.message for finding in group))
            if len(group) > SHOWN:
                more = f"{len(group)} things to know, each by itself: crossfade assess --only {check} --all"
                lines.append(("OK", check, f"{len({finding.subject for finding in group})} subjects", more))
            else:
                lines.append(("OK", check, ", ".join(finding.subject for finding in group), " · ".join(texts)))
    return lines


def _text(finding: Finding) -> str:
    return finding.message + (f"\n→ {finding.fix}" if finding.fix else "")
