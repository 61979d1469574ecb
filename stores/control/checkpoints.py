"""The checkpoint row: how far a store has come, and the fence that keeps a displaced daemon from writing.

Exactly once rests on `advance` being the last statement of the transaction that holds the rows. Every other writer of
our tables calls `hold_fence` first in its transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.errors import CrossfadeError, Fenced
from model.position import BinlogCoordinate, Flavour, Position
from stores.postgres import PostgresConnection


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything up to and with `seq` is in the store; `position` is the end of that transaction."""

    stream: str
    seq: int
    position: Position
    fence: int
    commit_time: float | None = None
    """Epoch seconds of the source's commit; None before the first."""
    applied_rows: int = 0
    applied_transactions: int = 0


_COLUMNS = (
    "stream, seq, flavour, binlog_file, binlog_offset, gtids, fence, extract(epoch from commit_time)::float8, "
    "applied_rows, applied_transactions"
)


def read(connection: PostgresConnection, stream: str) -> Checkpoint | None:
    """The checkpoint of a stream in this store, None before `create`."""
    row = connection.execute(
        b"SELECT " + _COLUMNS.encode() + b" FROM crossfade.checkpoint WHERE stream = %s", (stream,)
    ).fetchone()
    if row is None:
        return None
    name, seq, flavour, file, offset, gtids, fence, commit_time, rows, transactions = row
    position = Position(Flavour(flavour), BinlogCoordinate(file, offset), gtids)
    return Checkpoint(name, seq, position, fence, commit_time, rows, transactions)


def create(connection: PostgresConnection, stream: str, position: Position, seq: int = 0, fence: int = 0) -> Checkpoint:
    """Write the first checkpoint of a stream unless there is one; gives the one that is there now.

    `fence` must be above that of any earlier, erased stream of this name.
    """
    connection.execute(
        "INSERT INTO crossfade.checkpoint (stream, seq, flavour, binlog_file, binlog_offset, gtids, fence) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (stream) DO NOTHING",
        (
            stream,
            seq,
            str(position.flavour),
            position.coordinate.file,
            position.coordinate.offset,
            position.gtids,
            fence,
        ),
    )
    found = read(connection, stream)
    if found is None:
        raise CrossfadeError("the checkpoint vanished while it was being written", stream=stream)
    return found


def take_over(connection: PostgresConnection, stream: str) -> int:
    """Raise the fence and give its new value; waits for the writers of the old one, in its own transaction.

    FOR UPDATE waits for `hold_fence`'s FOR KEY SHARE, which a plain UPDATE of these columns would not.
    """
    with connection.transaction():
        connection.execute("SELECT 1 FROM crossfade.checkpoint WHERE stream = %s FOR UPDATE", (stream,))
        row = connection.execute(
            "UPDATE crossfade.checkpoint SET fence = fence + 1, updated_at = clock_timestamp() "
            "WHERE stream = %s RETURNING fence",
            (stream,),
        ).fetchone()
    if row is None:
        raise CrossfadeError("the store has no checkpoint to take over", hint="Run: crossfade start", stream=stream)
    return int(row[0])


def hold_fence(connection: PostgresConnection, stream: str, fence: int) -> None:
    """Make sure that `fence` is still ours until this transaction ends. Raises Fenced. Does not block the applier."""
    row = connection.execute(
        "SELECT fence FROM crossfade.checkpoint WHERE stream = %s FOR KEY SHARE", (stream,)
    ).fetchone()
    if row is None or row[0] != fence:
        raise Fenced(stream=stream, ours=fence, theirs=row[0] if row else None)


def touch(connection: PostgresConnection, stream: str) -> None:
    """Write to the stream's row without moving it: so the open transaction is known as ours by the reverse streams."""
    connection.execute("UPDATE crossfade.checkpoint SET updated_at = clock_timestamp() WHERE stream = %s", (stream,))


def advance(
    connection: PostgresConnection,
    previous: Checkpoint,
    seq: int,
    position: Position,
    commit_time: float | None,
    *,
    rows: int,
    transactions: int,
) -> Checkpoint:
    """Compare-and-set of the checkpoint, the last statement before COMMIT. Raises Fenced unless it hits one row."""
    done = connection.execute(
        "UPDATE crossfade.checkpoint SET seq = %s, flavour = %s, binlog_file = %s, binlog_offset = %s, gtids = %s, "
        "commit_time = coalesce(to_timestamp(%s::float8), commit_time), applied_rows = applied_rows + %s, "
        "applied_transactions = applied_transactions + %s, updated_at = clock_timestamp() "
        "WHERE stream = %s AND fence = %s AND seq = %s",
        (
            seq,
            str(position.flavour),
            position.coordinate.file,
            position.coordinate.offset,
            position.gtids,
            commit_time,
            rows,
            transactions,
            previous.stream,
            previous.fence,
            previous.seq,
        ),
    )
    if done.rowcount != 1:
        raise Fenced(stream=previous.stream, fence=previous.fence, seq=previous.seq)
    return Checkpoint(
        previous.stream,
        seq,
        position,
        previous.fence,
        commit_time if commit_time is not None else previous.commit_time,
        previous.applied_rows + rows,
        previous.applied_transactions + transactions,
    )
