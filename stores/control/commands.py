"""Commands from the CLI to the daemon, through rows of the control store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from psycopg.types.json import Jsonb

from stores.postgres import PostgresConnection


class CommandState(StrEnum):
    """How far a command has come."""

    NEW = "new"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Command:
    """One order. `name` is the migration's, `verb` what to do, `actor` who asked."""

    id: int
    name: str
    verb: str
    args: Mapping[str, Any]
    actor: str
    state: CommandState
    result: Mapping[str, Any] | None = None


_COLUMNS = b"id, name, verb, args, actor, state, result"


def _command(row: tuple[Any, ...]) -> Command:
    identifier, name, verb, args, actor, state, result = row
    return Command(identifier, name, verb, args, actor, CommandState(state), result)


def send(connection: PostgresConnection, name: str, verb: str, args: Mapping[str, Any], actor: str) -> int:
    """Enter a command; gives its id. The daemon is woken by NOTIFY on channel `crossfade_<name>`."""
    row = connection.execute(
        "INSERT INTO crossfade.command (name, verb, args, actor) VALUES (%s, %s, %s, %s) RETURNING id",
        (name, verb, Jsonb(dict(args)), actor),
    ).fetchone()
    connection.execute("SELECT pg_notify(%s, %s)", (f"crossfade_{name}", verb))
    assert row is not None
    return int(row[0])


def claim(connection: PostgresConnection, name: str) -> Command | None:
    """Take the oldest new command, which becomes RUNNING; None when there is none."""
    row = connection.execute(
        b"UPDATE crossfade.command SET state = 'running' WHERE id = (SELECT id FROM crossfade.command "
        b"WHERE name = %s AND state = 'new' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING " + _COLUMNS,
        (name,),
    ).fetchone()
    return _command(row) if row else None


def finish(connection: PostgresConnection, identifier: int, state: CommandState, result: Mapping[str, Any]) -> None:
    """Close a command with its result (for FAILED: message, hint and exit code of the error)."""
    connection.execute(
        "UPDATE crossfade.command SET state = %s, result = %s, finished_at = clock_timestamp() WHERE id = %s",
        (str(state), Jsonb(dict(result)), identifier),
    )


def read(connection: PostgresConnection, identifier: int) -> Command | None:
    """One command by id."""
    row = connection.execute(b"SELECT " + _COLUMNS + b" FROM crossfade.command WHERE id = %s", (identifier,)).fetchone()
    return _command(row) if row else None


def abandoned(connection: PostgresConnection, name: str) -> tuple[Command, ...]:
    """Commands that a daemon left RUNNING; a new daemon closes or repeats them."""
    rows = connection.execute(
        b"SELECT " + _COLUMNS + b" FROM crossfade.command WHERE name = %s AND state = 'running' ORDER BY id", (name,)
    ).fetchall()
    return tuple(_command(row) for row in rows)
