"""`start`, `stop`, `pause`, `resume`: the daemon's life, from the terminal."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from config.load import load_settings
from config.logging import configure_logging
from console.live import observer_for
from console.output import Invocation
from daemon.client import ask, look
from daemon.lifecycle import Stop, signals_stop
from daemon.supervisor import Supervisor, Until
from model.errors import ExitCode, TimedOut


def register(app: typer.Typer) -> None:
    """Add these commands to the root."""
    app.command("start")(start)
    app.command("stop")(stop)
    app.command("pause")(pause)
    app.command("resume")(resume)


def start(
    context: typer.Context,
    until: Annotated[
        str | None,
        typer.Option(metavar="caught-up|POSITION", help="End when caught up, or at FILE:OFFSET or a GTID set."),
    ] = None,
    fresh: Annotated[bool, typer.Option(help="Copy everything anew; needs --confirm NAME.")] = False,
    confirm: Annotated[str | None, typer.Option(metavar="NAME", help="The migration's name, typed.")] = None,
    skip_assess: Annotated[bool, typer.Option("--skip-assess", help="Start although assess would block.")] = False,
) -> int:
    """Copy, then stream, in the foreground. SIGTERM or Ctrl-C ends it cleanly; the next start resumes by itself."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    observer = observer_for(invocation)
    level = "warning" if observer.interactive else settings.log.level
    configure_logging(settings.log.model_copy(update={"level": level}))
    end = Stop()
    supervisor = Supervisor(
        settings,
        end,
        until=Until.parse(until),
        fresh_confirmation=confirm if fresh else None,
        fresh=fresh,
        assess_first=not skip_assess,
        observer=observer.show,
    )
    with signals_stop(end), observer:
        report = supervisor.run()
    if invocation.json:
        invocation.emit("crossfade.status/1", report)
    else:
        invocation.say(f"{settings.name}: {end.reason or 'ended'}; resumes by itself: crossfade start")
    return ExitCode.INTERRUPTED if end.interrupted else ExitCode.CLEAN


def stop(
    context: typer.Context,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for its end.")] = 60.0,
) -> None:
    """End the daemon cleanly and wait for it."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    ask(settings, "stop")
    deadline = time.monotonic() + timeout
    waiting = Stop()
    while look(settings).alive:
        if time.monotonic() > deadline:
            raise TimedOut(f"the daemon still runs after {timeout:.0f} s", hint="See: crossfade status")
        waiting.wait(0.2)
    _done(invocation, "stopped")


def pause(
    context: typer.Context,
    stores: Annotated[list[str] | None, typer.Argument(help="Stores; default: all.")] = None,
    reason: Annotated[str, typer.Option(help="Why; shown by status.")] = "",
) -> None:
    """Stop applying (the binlog is still read into the relay)."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    ask(settings, "pause", {"stores": stores or [], "reason": reason})
    _done(invocation, "paused")


def resume(
    context: typer.Context,
    stores: Annotated[list[str] | None, typer.Argument(help="Stores; default: all.")] = None,
) -> None:
    """Go on applying."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    ask(settings, "resume", {"stores": stores or []})
    _done(invocation, "resumed")


def _done(invocation: Invocation, what: str) -> None:
    if invocation.json:
        invocation.emit("crossfade.command/1", {"result": what})
    else:
        invocation.say(what)
