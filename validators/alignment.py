"""Positions of a comparison: S proven visible before the source is read, P after it, T of the store's own transaction.

S is the store's checkpoint; rule R1 of the architecture proves that the source's reads contain it. P is the flush-side
end of the binlog, read after the source (R2). The store is read when its checkpoint has reached P, in one REPEATABLE
READ transaction whose first statement reads T. What changed in (S, T] is known from the relay.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from model.errors import AccessDenied, Busy, Refused
from model.position import BinlogCoordinate, Position
from stores.control import checkpoints
from stores.control.checkpoints import Checkpoint
from stores.errors import translated
from stores.mysql import MysqlConnection, ServerInfo, binlog_end
from stores.postgres import PostgresConnection
from sync.mysql.literals import quoted_name
from sync.mysql.snapshot import raw_rows
from sync.mysql.visibility import Reading, Visibility
from sync.relay.reader import RelayReader

POLL_S: Final = 0.05
GRACE_S: Final = 2.0
"""How long a store may stand still before we ask whether anybody moves it."""
LOOK_AFTER_S: Final = 0.3
"""How long a store may stand still before the source is asked whether anything lies between it and P."""
_SILENT: Final = frozenset(
    {
        "format_desc", "previous_gtids", "rotate", "stop", "gtid_list", "binlog_checkpoint", "heartbeat",
        "start_encryption",
    }
)  # fmt: skip
"""Events that change nothing, as SHOW BINLOG EVENTS names them."""


class Proofs:
    """Which S are proven visible, for all threads of a run: what one statement sees, every later one sees."""

    def __init__(self, info: ServerInfo, stop: threading.Event) -> None:
        self._visibility = Visibility(info, stop, patience_s=5.0)
        self._lock = threading.Lock()
        self._found: dict[str, Reading] = {}

    def reading(self, connection: MysqlConnection[Any], low: Position) -> Reading:
        """How the source has to be read from now on to contain S. Raises Busy when a commit hangs."""
        with self._lock:
            found = self._found.get(str(low))
            if found is None:
                found = self._found[str(low)] = self._visibility.prove(connection, low)
            return found


class Alignment:
    """Positions of one store. For one thread; the connections are its owner's."""

    def __init__(
        self,
        info: ServerInfo,
        stream: str,
        source: MysqlConnection[Any],
        store: PostgresConnection,
        relay: RelayReader,
        proofs: Proofs,
        moving: Callable[[], bool],
        stop: threading.Event,
        patience_s: float,
    ) -> None:
        """`source` gives raw bytes; `moving`: whether a daemon is alive; `patience_s` counts from the first S."""
        self._info = info
        self._stream = stream
        self._source = source
        self._store = store
        self._relay = relay
        self._moving = moving
        self._stop = stop
        self._patience_s = patience_s
        self._deadline: float | None = None
        self._proofs = proofs
        self.late = False
        """Whether the store did not come to where the source was read before the deadline."""

    def restart(self, patience_s: float) -> None:
        """Give the next comparison a deadline of its own, counted from its first S."""
        self._patience_s, self._deadline, self.late = patience_s, None, False

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed or the run was stopped."""
        return self._stop.is_set() or self._left() <= 0

    def pause(self, seconds: float) -> None:
        """Let traffic pass."""
        self._stop.wait(max(0.0, min(seconds, self._left())))

    def _left(self) -> float:
        if self._deadline is None:
            self._deadline = time.monotonic() + self._patience_s
        return self._deadline - time.monotonic()

    def checkpoint(self) -> Checkpoint | None:
        """The store's checkpoint; None when the store has none of this migration."""
        with translated("store"):
            row = self._store.execute("SELECT to_regclass('crossfade.checkpoint') IS NOT NULL").fetchone()
            return checkpoints.read(self._store, self._stream) if row and row[0] else None

    def low(self) -> tuple[Checkpoint, Reading] | None:
        """S, and how the source must be read to contain it; None without a checkpoint. Raises Busy."""
        self._left()
        found = self.checkpoint()
        if found is None:
            return None
        if self._info.mariadb and self._covers(found, self.high()):
            # Nothing comes after S that could make the snapshot's position trustworthy.
            return found, Reading.LOCKING
        return found, self._proofs.reading(self._source, found.position)

    def hold(self) -> None:
        """Keep the store at its checkpoint until the open transaction ends; the applier waits. Raises Busy."""
        with translated("store"):
            self._store.execute("SET LOCAL lock_timeout = '3s'")
            self._store.execute(
                "SELECT 1 FROM crossfade.checkpoint WHERE stream = %s FOR NO KEY UPDATE", (self._stream,)
            )

    def wait_relay(self, high: Position, found: Checkpoint, patience_s: float) -> str:
        """Wait until the relay has everything up to P. Returns why not, "" when it does, or the store itself does."""
        end = time.monotonic() + patience_s
        while not self._covers(found, high):
            tail = self._relay.tail
            if tail is not None and tail.position.coordinate >= high.coordinate:
                return ""
            if time.monotonic() > end or self._stop.is_set():
                return f"the relay does not reach {high.coordinate}, where the source was read"
            self._stop.wait(POLL_S)
        return ""

    def high(self) -> Position:
        """P: the end of the binlog now."""
        with translated("source"), self._source.cursor() as cursor:
            modern = not self._info.mariadb and self._info.version >= (8, 2, 0)
            cursor.execute("SHOW BINARY LOG STATUS" if modern else "SHOW MASTER STATUS")
            row = cursor.fetchone()
        if not row:
            return binlog_end(self._source, self._info)
        file = row[0].decode() if isinstance(row[0], bytes) else str(row[0])
        return Position(self._info.flavour, BinlogCoordinate(file, int(row[1])))

    def wait(self, high: Position) -> str:
        """Wait until the store holds everything up to P. Returns why not, "" when it does."""
        still_since, last_seq = time.monotonic(), -1
        while True:
            found = self.checkpoint()
            if found is None:
                return "the store has no checkpoint"
            now = time.monotonic()
            if self._covers(found, high, look=now - still_since > LOOK_AFTER_S):
                return ""
            if found.seq != last_seq:
                still_since, last_seq = now, found.seq
            behind = f"the store is at {found.position.coordinate}, the source was read at {high.coordinate}"
            if self.expired:
                self.late = True
                return f"{behind}; the deadline passed"
            if now - still_since > GRACE_S and not self._moving():
                self.late = True
                return f"{behind}, and no daemon runs"
            self._stop.wait(POLL_S)

    @contextmanager
    def target(self) -> Iterator[Checkpoint]:
        """A REPEATABLE READ transaction on the store's connection, and its T."""
        with translated("store"):
            self._store.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            found = self.checkpoint()
            if found is None:
                raise Refused("the store lost its checkpoint while it was compared", hint="See: crossfade status")
            yield found
        finally:
            if not self._store.closed:
                self._store.execute("ROLLBACK")

    def _covers(self, found: Checkpoint, high: Position, *, look: bool = True) -> bool:
        """Whether the store holds everything up to P. `look`: ask the source what lies between if need be."""
        if found.position.coordinate >= high.coordinate:
            return True
        tail = self._relay.tail
        if tail is not None and found.seq >= tail.seq and tail.position.coordinate >= high.coordinate:
            return True
        return look and self._nothing_between(found.position.coordinate, high.coordinate)

    def _nothing_between(self, low: BinlogCoordinate, high: BinlogCoordinate) -> bool:
        """Whether only events that change nothing lie between two places of the binlog (a rotation, a restart)."""
        try:
            files = [(row[0] or b"").decode() for row in list(raw_rows(self._source, "SHOW BINARY LOGS"))]
            for file in files:
                index = BinlogCoordinate(file, 0).index
                if not low.index <= index <= high.index:
                    continue
                start = f" FROM {low.offset}" if index == low.index else ""
                query = f"SHOW BINLOG EVENTS IN '{quoted_name(file)[1:-1]}'{start} LIMIT 8"
                for row in list(raw_rows(self._source, query)):
                    if index == high.index and int(row[1] or 0) >= high.offset:
                        break
                    if (row[2] or b"").decode().lower() not in _SILENT:
                        return False
        except (AccessDenied, Busy, Refused):
            return False
        return True
