"""The one error tree. Each error says what happened, where, and what to do next, and knows its exit code.

The docstring of a class is its default message. `where` holds facts (table, column, key, position) that are printed
after the message; `hint` is the next thing to do, a command when there is one. Never put a secret into either.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line: an interface that scripts rely on."""

    CLEAN = 0
    BUG = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    DIFFERENCES = 5
    INCOMPLETE = 6
    THRESHOLD = 7
    LOCKED = 8
    ABORTED = 9
    IN_DOUBT = 10
    CONFIRM = 11
    TIMEOUT = 124
    INTERRUPTED = 130


class CrossfadeError(Exception):
    """Something went wrong."""

    exit_code: ExitCode = ExitCode.BUG
    transient: bool = False
    """True when trying again later, unchanged, can succeed (a lost connection, a lock timeout)."""
    default_hint: str = "Run again with --debug and report the output."

    def __init__(self, message: str | None = None, *, hint: str | None = None, **where: object) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.hint = hint if hint is not None else self.default_hint
        self.where = {name: value for name, value in where.items() if value is not None}
        super().__init__(self.message)

    def __str__(self) -> str:
        facts = ", ".join(f"{name} {value}" for name, value in self.where.items())
        return f"{self.message} ({facts})" if facts else self.message


class ConfigError(CrossfadeError):
    """The configuration is not valid."""

    exit_code = ExitCode.USAGE
    default_hint = "Mend the file, then run: crossfade config validate"


class UsageError(CrossfadeError):
    """The command cannot be used like this."""

    exit_code = ExitCode.USAGE
    default_hint = "See: crossfade --help"


class Refused(CrossfadeError):
    """Refused; nothing was changed."""

    exit_code = ExitCode.REFUSED
    default_hint = "See what is wrong with: crossfade assess"


class Unreachable(CrossfadeError):
    """A server cannot be reached."""

    exit_code = ExitCode.UNREACHABLE
    transient = True
    default_hint = "Check host, port and network, then try again."


class AccessDenied(CrossfadeError):
    """A server refused our credentials or a privilege is missing."""

    exit_code = ExitCode.UNREACHABLE
    default_hint = "Check user, password and grants: crossfade assess --grants prints the statements."


class ConnectionLost(Unreachable):
    """The connection to a server was lost."""


class Busy(CrossfadeError):
    """The server asked us to try again (deadlock, lock timeout, serialization failure)."""

    exit_code = ExitCode.UNREACHABLE
    transient = True
    default_hint = "It is retried by itself; see who holds the lock with: crossfade status"


class StatementTimeout(Busy):
    """A statement ran for longer than it was allowed to."""

    default_hint = "Raise verify.statement_timeout_s in the configuration, or look who holds the table."


class LockHeld(CrossfadeError):
    """Another daemon already runs this migration."""

    exit_code = ExitCode.LOCKED
    default_hint = "Stop the other daemon first: crossfade stop"


class Fenced(CrossfadeError):
    """Another daemon has taken over this store; this one must not write any more."""

    exit_code = ExitCode.LOCKED
    default_hint = "Look for a second daemon: crossfade status"


class SourceError(CrossfadeError):
    """The source's stream cannot be followed."""

    exit_code = ExitCode.REFUSED


class PositionPurged(SourceError):
    """The source no longer has the binlog that we must continue from."""

    default_hint = "Binlogs were purged; the tables must be copied anew: crossfade start --fresh"


class UnknownEvent(SourceError):
    """The binlog holds an event of a type that crossfade does not know; nothing is skipped in silence."""


class CorruptEvent(SourceError):
    """A binlog event's checksum or framing is wrong."""


class UndecodableRow(SourceError):
    """A row event does not fit the schema history."""


class UnsupportedChange(SourceError):
    """The stream holds a statement that crossfade does not apply by itself."""


class ApplyError(CrossfadeError):
    """A change cannot be applied to a store."""

    exit_code = ExitCode.REFUSED


class ValueRefused(ApplyError):
    """A value cannot be held by its target column."""

    raw: bytes = b""
    """Bytes that are no text of their character set, when that is the reason."""


class ReverseConflict(ApplyError):
    """The source's row is not what the store's change was made on; the way back has stopped."""

    default_hint = "Nothing was overwritten. Compare the row on both sides, then: crossfade rollback check"


class RowElsewhere(ReverseConflict):
    """A row of a routed table has the key of one that the source has from another store.

    It may be on its way out: rows move by a deletion in one store and an insertion in another.
    """

    transient = True
    default_hint = "It is retried until the other store's row is deleted. Are they two rows with one id? Mend one."


class RogueWrite(ApplyError):
    """A store was written by somebody else before its cutover; the change would be lost."""

    default_hint = (
        "Find the writer: stores are closed to applications until the cutover. Then: crossfade cutover cancel DOMAIN "
        "--remove, crossfade verify, crossfade repair, crossfade cutover rehearse DOMAIN"
    )


class SchemaDrift(CrossfadeError):
    """A store's tables differ from the plan."""

    exit_code = ExitCode.REFUSED
    default_hint = "See the difference with: crossfade schema plan"


class Incomplete(CrossfadeError):
    """The work could not be finished within its limits."""

    exit_code = ExitCode.INCOMPLETE


class TimedOut(CrossfadeError):
    """The deadline passed."""

    exit_code = ExitCode.TIMEOUT
