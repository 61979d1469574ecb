"""Reads a logical slot by PostgreSQL's streaming replication protocol: messages in, confirmations out. Decides nothing.

Why streaming and not the SQL functions: `pg_logical_slot_peek_binary_changes` decodes everything since the slot's
restart position on every call, and that position moves only every 15 s or when the oldest transaction ends; polling it
would decode the same WAL again and again, exactly when there is much of it. The stream decodes once and has no poll
interval. psycopg has no replication cursor, so its thin libpq wrapper is driven directly.
(Format: PostgreSQL manual, "Streaming Replication Protocol".)
"""

from __future__ import annotations

import select
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import pq, sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from model.errors import ConnectionLost, SourceError
from stores.errors import translated
from stores.postgres import dsn_label
from sync.postgres.pgoutput import EPOCH_2000, Lsn, Message, decode, lsn_text

STATUS_INTERVAL_S: Final = 1.0
"""How often the server hears of us while nothing else is said; far below its wal_sender_timeout (60 s)."""
BUSY_INTERVAL_S: Final = 5.0
"""The same while messages come without a pause."""
SILENCE_S: Final = 30.0
"""No byte for so long, though every confirmation asks for an answer: the connection is dead."""
_WAIT_S: Final = 0.25
"""How long one wait for the socket may last before `stop` is looked at."""
_DATA = struct.Struct(">cQQq")
_KEEPALIVE = struct.Struct(">cQqB")
_STATUS = struct.Struct(">cQQQqB")
_SETTINGS: Final = (
    "-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex"
)


class SlotUnusable(SourceError):
    """A replication slot cannot be read."""

    default_hint = "The way back has a gap; see: crossfade rollback check"


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Everything that concerns the slot before `wal_end` has been sent; nothing has been for a moment."""

    wal_end: Lsn


class SlotReader:
    """One open replication connection, streaming one slot from `start` on (or from its confirmed position if later)."""

    def __init__(self, dsn: SecretStr, slot: str, publication: str, start: Lsn) -> None:
        """Connect and start. Raises Unreachable, AccessDenied, SlotUnusable, or Busy while another reads the slot."""
        self._where = f"store {dsn_label(dsn)}"
        self._confirmed: Lsn = start
        self._said = self._heard = time.monotonic()
        self.received: Lsn = start
        """The end of the WAL as the server last told."""
        conninfo = make_conninfo(
            dsn.get_secret_value(),
            replication="database",
            application_name=f"crossfade reverse {slot}"[:63],
            connect_timeout=10,
            client_encoding="UTF8",
            options=_SETTINGS,
        )
        with translated(self._where):
            # The connection is made by psycopg (which lets other threads run meanwhile), then only its libpq is used.
            self._connection = psycopg.connect(conninfo, autocommit=True)
            self._pg = self._connection.pgconn
            try:
                self._start(slot, publication, start)
            except BaseException:
                self.close()
                raise

    def _start(self, slot: str, publication: str, start: Lsn) -> None:
        command = sql.SQL(
            "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names {}, messages 'true')"
        ).format(
            sql.Identifier(slot),
            sql.SQL(lsn_text(start)),
            sql.Literal(sql.Identifier(publication).as_string(None)),
        )
        self._pg.send_query(command.as_bytes(None))
        deadline = time.monotonic() + SILENCE_S
        while self._pg.flush() or self._pg.is_busy():
            self._drain(deadline)
        result = self._pg.get_result()
        if result is None:
            raise ConnectionLost(f"{self._where} does not answer")
        if result.status == pq.ExecStatus.COPY_BOTH:
            return
        error = psycopg.errors.error_from_result(result)
        if error.sqlstate == "55006":
            raise ConnectionLost(f"{self._where}: slot {slot} is being read by another connection")
        if error.sqlstate in ("42704", "55000"):
            raise SlotUnusable(f"{self._where}: {error.diag.message_primary}", slot=slot) from error
        raise error

    def messages(self, stop: threading.Event) -> Iterator[tuple[Lsn, Message] | Keepalive | None]:
        """Messages as they come; None when there is none at the moment (once per pause, then every quarter second).

        Ends when `stop` is set. Raises ConnectionLost, SlotUnusable, MalformedMessage.
        """
        idle = False
        while not stop.is_set():
            with translated(self._where):
                size, view = self._pg.get_copy_data(1)
                if size == 0:
                    if not idle:
                        # All that had arrived is handed out. Look at the socket once before calling it a pause.
                        idle = not self._wait(0.0)
                        if not idle:
                            continue
                    else:
                        idle = not self._wait(_WAIT_S)
                        if not idle:
                            continue
                    self._keep_in_touch()
                    yielded: Keepalive | tuple[Lsn, Message] | None = None
                elif size < 0:
                    raise self._ended()
                else:
                    idle = False
                    self._heard = time.monotonic()
                    if self._heard - self._said >= BUSY_INTERVAL_S:
                        self._tell()
                    found = self._parsed(bytes(view))
                    if found is None:
                        continue
                    yielded = found
            yield yielded

    def confirm(self, lsn: Lsn) -> None:
        """Everything before `lsn` is safe with us: the server may forget it, and never sends it again."""
        if lsn > self._confirmed:
            self._confirmed = lsn
            with translated(self._where):
                self._tell()

    def close(self) -> None:
        """Drop the connection; what was not confirmed will be sent again."""
        self._connection.close()

    def _wait(self, seconds: float) -> bool:
        """Wait for bytes and take them in; False when none came."""
        ready, _, _ = select.select([self._pg.socket], [], [], seconds)
        if ready:
            self._pg.consume_input()
        return bool(ready)

    def _parsed(self, data: bytes) -> Keepalive | tuple[Lsn, Message] | None:
        kind = data[:1]
        if kind == b"w":
            _, start, end, _ = _DATA.unpack_from(data)
            self.received = max(self.received, end)
            return start, decode(data[_DATA.size :])
        if kind == b"k":
            _, end, _, answer = _KEEPALIVE.unpack_from(data)
            self.received = max(self.received, end)
            if answer:
                self._tell()
            return Keepalive(end)
        raise SlotUnusable(f"{self._where} sent a replication packet of an unknown kind: {kind!r}")

    def _keep_in_touch(self) -> None:
        now = time.monotonic()
        if now - self._heard > SILENCE_S:
            raise ConnectionLost(f"{self._where} has said nothing for {SILENCE_S:.0f} s")
        if now - self._said >= STATUS_INTERVAL_S:
            self._tell(answer=True)

    def _tell(self, *, answer: bool = False) -> None:
        """Standby status update: written, flushed and applied are the same to us."""
        micros = int((time.time() - EPOCH_2000) * 1_000_000)
        lsn = self._confirmed
        self._said = time.monotonic()
        deadline = self._said + SILENCE_S
        while self._pg.put_copy_data(_STATUS.pack(b"r", lsn, lsn, lsn, micros, int(answer))) == 0:
            self._drain(deadline)
        while self._pg.flush():
            self._drain(deadline)

    def _drain(self, deadline: float) -> None:
        """Wait a moment for the server, taking in what comes, or both sides would wait for each other."""
        if time.monotonic() > deadline:
            raise ConnectionLost(f"{self._where} does not answer")
        readable, _, _ = select.select([self._pg.socket], [], [], _WAIT_S)
        if readable:
            self._pg.consume_input()

    def _ended(self) -> Exception:
        """Why the stream ended: the server shut down or said an error."""
        result = self._pg.get_result()
        if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
            error = psycopg.errors.error_from_result(result)
            if error.sqlstate in ("42704", "55000", "58P01"):
                return SlotUnusable(f"{self._where}: {error.diag.message_primary}")
            return error
        return ConnectionLost(f"{self._where} ended the replication stream")
