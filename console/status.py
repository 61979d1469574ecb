"""`status`: how the migration is. Works with and without a running daemon; then from what the stores remember."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from config.load import load_settings
from console.output import Invocation
from console.render import status_text
from daemon.lifecycle import Stop
from daemon.snapshot import current_status
from model.errors import ExitCode, TimedOut, UsageError


def register(app: typer.Typer) -> None:
    """Add this command to the root."""
    app.command("status")(status)


def status(
    context: typer.Context,
    tables: Annotated[bool, typer.Option("--tables", "-t", help="List every table.")] = False,
    watch: Annotated[float | None, typer.Option(metavar="SECONDS", help="Show again every so many seconds.")] = None,
    wait_for: Annotated[str | None, typer.Option(metavar="STATE", help="Wait for this state.")] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Limit of --wait-for.")] = 600.0,
    fail_on: Annotated[str | None, typer.Option(metavar="lag>SECONDS,error", help="Exit 7 when it holds.")] = None,
) -> int:
    """Show state, reason, since when, lag, and what to do next."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    limits = _limits(fail_on)
    pause = Stop()
    waited = 0.0
    while True:
        document = current_status(settings)
        reached = wait_for is None or document["state"] == wait_for.upper()
        if reached or watch is not None:
            if invocation.json:
                invocation.emit("crossfade.status/1", document)
            else:
                invocation.say(status_text(document, tables=tables))
        if wait_for is not None and reached:
            break
        if watch is None and wait_for is None:
            break
        if wait_for is not None and waited >= timeout:
            raise TimedOut(
                f"{settings.name} is {document['state']}, not {wait_for.upper()}, after {timeout:.0f} s",
                hint="; ".join(document["next_steps"]) or "See: crossfade status",
            )
        pause.wait(watch or 0.5)
        waited += watch or 0.5
    lag = max((store["lag_s"] or 0.0 for store in document["stores"]), default=0.0)
    broken = "error" in limits and document["health"] == "failed"
    return ExitCode.THRESHOLD if broken or lag > limits.get("lag", float("inf")) else ExitCode.CLEAN


def _limits(text: str | None) -> dict[str, float]:
    limits: dict[str, float] = {}
    for part in (text or "").split(","):
        match = re.fullmatch(r"\s*(?:(error)|lag>([0-9.]+)s?)\s*", part)
        if match and match[1]:
            limits["error"] = 0.0
        elif match:
            limits["lag"] = float(match[2])
        elif part.strip():
            raise UsageError(
                f"--fail-on does not know {part.strip()!r}", hint="Use lag>30s, error, or both with a comma."
            )
    return limits
