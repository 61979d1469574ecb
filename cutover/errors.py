"""How a cutover or rollback can end other than well."""

from __future__ import annotations

from model.errors import CrossfadeError, ExitCode, Refused


class Aborted(CrossfadeError):
    """Aborted and undone: everything is as before."""

    exit_code = ExitCode.ABORTED
    default_hint = "See why with: crossfade cutover status; then try again."


class InDoubt(CrossfadeError):
    """It is not known yet whether the point of no return was passed."""

    exit_code = ExitCode.IN_DOUBT
    default_hint = "The daemon asks the source until it answers; watch: crossfade cutover status"


class NotConfirmed(Refused):
    """The name has to be typed."""

    exit_code = ExitCode.CONFIRM


class Cancelled(CrossfadeError):
    """Cancelled by an operator, or the daemon was told to end."""

    default_hint = "Try again: crossfade cutover run"
