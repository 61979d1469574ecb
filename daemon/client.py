"""How the command line asks a running daemon to do something: a row in the control store, answered by the daemon."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from config.settings import Settings
from daemon.lock import daemon_lock_held
from model.errors import LockHeld
from stores.control import commands, daemons
from stores.control.command_answers import CommandFailed, answered
from stores.control.daemons import Daemon
from stores.errors import translated
from stores.postgres import connect_store

__all__ = ["CommandFailed", "NoDaemon", "actor", "ask", "look"]

ALIVE_S = 10.0
"""A daemon whose heartbeat is older than this is not taken for alive."""


class NoDaemon(LockHeld):
    """No daemon runs this migration."""

    default_hint = "Start one: crossfade start"


@dataclass(frozen=True, slots=True)
class DaemonSeen:
    """The daemon's row and whether it lives."""

    daemon: Daemon | None
    alive: bool


def actor() -> str:
    """Who asks, for the audit: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def look(settings: Settings) -> DaemonSeen:
    """The daemon of this migration as the control store knows it."""
    with closing(connect_store(settings.control_dsn, application="crossfade cli")) as connection:
        with translated("control store"):
            row = connection.execute("SELECT to_regclass('crossfade.daemon') IS NOT NULL").fetchone()
            daemon = daemons.read(connection, settings.name) if row and row[0] else None
        held = daemon_lock_held(connection, settings.name)
    return DaemonSeen(daemon, held and daemon is not None and daemon.silent_s < ALIVE_S)


def ask(
    settings: Settings, verb: str, args: Mapping[str, Any] | None = None, *, timeout_s: float = 30.0
) -> Mapping[str, Any]:
    """Send a command and wait for its result.

    Raises NoDaemon, CommandFailed (with the daemon's message, hint and exit code) or TimedOut.
    """
    if not look(settings).alive:
        raise NoDaemon(f"no daemon runs {settings.name}")
    with (
        closing(connect_store(settings.control_dsn, application="crossfade cli")) as connection,
        translated("control store"),
    ):
        identifier = commands.send(connection, settings.name, verb, args or {}, actor())
        return answered(connection, identifier, verb, timeout_s)
