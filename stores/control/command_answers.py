"""Waits for the daemon's answer to a command and turns a failure back into the error that it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from model.errors import CrossfadeError, ExitCode, TimedOut
from stores.control import commands
from stores.control.commands import CommandState
from stores.postgres import PostgresConnection


class CommandFailed(CrossfadeError):
    """The daemon could not carry out the command."""


def answered(connection: PostgresConnection, identifier: int, verb: str, timeout_s: float) -> Mapping[str, Any]:
    """The result of a command that was sent.

    Raises CommandFailed (with the daemon's message, hint and exit code) or TimedOut.
    """
    pause = threading.Event()
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        command = commands.read(connection, identifier)
        if command is not None and command.state in (CommandState.DONE, CommandState.FAILED):
            result = command.result or {}
            if command.state is CommandState.DONE:
                return result
            error = CommandFailed(str(result.get("error")), hint=str(result.get("hint") or ""))
            error.exit_code = ExitCode(int(result.get("exit_code", ExitCode.BUG)))
            raise error
        pause.wait(0.1)
    raise TimedOut(f"the daemon did not answer `{verb}` within {timeout_s:.0f} s", hint="See: crossfade status")
