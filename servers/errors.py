"""What can go wrong with a private database server: it cannot be had, or it was had and does not run."""

from __future__ import annotations

from model.errors import CrossfadeError, ExitCode, Unreachable


class ServerUnavailable(Unreachable):
    """A database server cannot be had on this machine."""

    transient = False
    default_hint = "Install the server from your distribution, then try again."


class ServerFailed(CrossfadeError):
    """A private database server did not start or stopped unexpectedly."""

    exit_code = ExitCode.UNREACHABLE
    default_hint = "Read the end of the server's log above."


class RouteFailed(Exception):
    """One way of getting a server did not work here; the next is tried. The text says why."""
