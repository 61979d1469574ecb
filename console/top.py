"""`top`: the status, full screen, again and again. Off a terminal it prints one status, as `status --tables` does."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer
from rich.live import Live

from config.load import load_settings
from console.output import Invocation
from console.render import status_text
from daemon.lifecycle import Stop
from daemon.snapshot import current_status


def register(app: typer.Typer) -> None:
    """Add this command to the root."""
    app.command("top")(top)


def top(
    context: typer.Context,
    every: Annotated[float, typer.Option(metavar="SECONDS", min=0.2, help="How often it is drawn.")] = 2.0,
) -> None:
    """Show state, lag and every table, full screen, until Ctrl-C."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    document = current_status(settings)
    if invocation.json or not invocation.stdout.is_terminal:
        if invocation.json:
            invocation.emit("crossfade.status/1", document)
        else:
            invocation.say(status_text(document, tables=True))
        return
    pause = Stop()
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(console=invocation.stdout, screen=True, auto_refresh=False) as live,
    ):
        while True:
            live.update(status_text(document, tables=True), refresh=True)
            pause.wait(every)
            document = current_status(settings)
