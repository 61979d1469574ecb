"""The reader: follows the source's binlog and fills the relay, whole transactions only, each exactly once.

Resumes from the relay's durable tail and nowhere else, after any failure. Numbers transactions, judges silence,
server-id clashes and changes of server. It never looks at rows and never waits for an applier (but for disk budget).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from config.settings import RetrySettings, SourceSettings
from model.errors import CrossfadeError, SourceError
from model.position import BinlogCoordinate, Position
from stores.mysql import ServerInfo, connect_source, probe
from stores.retry import retrying
from sync.mysql.dump import FILE_START, MAX_OFFSET, DumpMode, DumpStart, ServerIdClash, StreamEnded, open_dump
from sync.mysql.event_types import CONTROL, IGNORABLE, MARIADB_COMPRESSED, ROWS, TRANSACTIONAL, EventType, require_known
from sync.mysql.events import EventHeader, parse_incident, parse_xa_prepare
from sync.mysql.resume import check_available, check_server_id, choose_mode, gtids_at
from sync.mysql.stream import EventStream
from sync.mysql.transactions import GTID_EVENTS, Boundary, TransactionTracker, xid_of
from sync.relay.prepared import PreparedTransactions
from sync.relay.records import RecordKind, RelayUnwritable
from sync.relay.values import RelayTail, TransactionEnd
from sync.relay.writer import RelayWriter

log = structlog.get_logger(__name__)

_SYNC_BYTES: Final = 1 << 20
_SYNC_AFTER_S: Final = 0.02
_CLASH_WINDOW_S: Final = 60.0
_STEADY_S: Final = 30.0
"""A connection that lived this long was no failed attempt, even without a transaction."""
_STREAMED: Final = (ROWS | frozenset(MARIADB_COMPRESSED) | {EventType.TRANSACTION_PAYLOAD}) - {
    EventType.MARIADB_QUERY_COMPRESSED
}
"""Events of any size that need not be whole in memory."""
_NOTHING: Final[tuple[bytes, ...]] = ()
_LOOKED_INTO: Final = GTID_EVENTS | {EventType.QUERY, EventType.MARIADB_QUERY_COMPRESSED, EventType.XA_PREPARE}


@dataclass(frozen=True, slots=True)
class ReaderState:
    """What the reader is doing, for status. Times are seconds since the epoch, 0 for never."""

    connected: bool
    mode: DumpMode | None
    tail: RelayTail | None
    events: int
    transactions: int
    bytes: int
    """Received from the source, since the reader was made."""
    last_event_at: float
    last_packet_at: float
    """Of anything, heartbeats too."""
    last_commit_time: float
    """Commit time on the source of the last transaction read."""
    reconnects: int
    over_budget: bool
    """The relay is full: the reader waits for the appliers."""
    error: str | None


class BinlogReader:
    """Reads the source's stream into `relay`.

    An empty relay begins after `start`, its first transaction gets the number `first_seq`; a relay that has been
    begun is continued and `start` is not looked at. `server_id` is our id as a replica.
    """

    def __init__(
        self,
        source: SourceSettings,
        retry: RetrySettings,
        relay: RelayWriter,
        start: Position,
        *,
        server_id: int,
        first_seq: int = 1,
    ) -> None:
        self._source = source
        self._retry = retry
        self._relay = relay
        self._start = start
        self._server_id = server_id
        self._first_seq = first_seq
        self._where = f"source {source.host}:{source.port}"
        self._stop = threading.Event()
        self._tracker = TransactionTracker()
        self._prepared = PreparedTransactions(relay.directory, relay.last_seq, relay.count_aside)
        self._settled = False
        """Whether the stream has reached what the relay does not have yet (a dump by GTID begins before it)."""
        self._skip_until = 0
        self._unsynced_bytes = 0
        self._unsynced_since = 0.0
        self._clashes: list[float] = []
        self._ended_by_source_at: float | None = None
        self._connected = False
        self._mode: DumpMode | None = None
        self._events = self._transactions = self._bytes = self._connects = 0
        self._last_event_at = self._last_packet_at = self._last_commit_time = 0.0
        self._error: str | None = None

    @property
    def state(self) -> ReaderState:
        """A snapshot; from any thread."""
        return ReaderState(
            connected=self._connected,
            mode=self._mode,
            tail=self._relay.tail,
            events=self._events,
            transactions=self._transactions,
            bytes=self._bytes,
            last_event_at=self._last_event_at,
            last_packet_at=self._last_packet_at,
            last_commit_time=self._last_commit_time,
            reconnects=max(0, self._connects - 1),
            over_budget=self._relay.over_budget,
            error=self._error,
        )

    def run(self, stop: threading.Event) -> None:
        """Follow the source until `stop` is set. Raises what no retry mends (SourceError, RelayUnwritable …)."""
        self._stop = stop
        while not stop.is_set():
            try:
                for attempt in retrying(self._retry, stop, "source stream"):
                    with attempt:
                        self._attempt()
            except CrossfadeError as error:
                if stop.is_set() and error.transient:
                    return
                raise
            except OSError as error:  # the network's were translated where they arose
                self._error = str(error)
                raise RelayUnwritable(
                    f"the relay cannot be written: {error}", directory=self._relay.directory
                ) from error

    def _attempt(self) -> None:
        """One connection. A failure after progress counts as a new beginning, not as one more failed attempt."""
        began, transactions = time.monotonic(), self._transactions
        try:
            self._session()
        except CrossfadeError as error:
            self._error = str(error)
            self._ended_by_source_at = time.monotonic() if isinstance(error, StreamEnded) else None
            if isinstance(error, ServerIdClash):
                self._note_clash(error)
            progress = self._transactions > transactions or time.monotonic() - began > _STEADY_S
            if not (error.transient and progress) or self._stop.is_set():
                raise
            log.warning("reader.reconnecting", error=str(error))
            self._stop.wait(self._retry.first_wait_s)
        finally:
            self._connected = False
            self._discard_open()

    def _discard_open(self) -> None:
        self._relay.discard_open()
        self._prepared.durable(self._relay.last_seq)
        self._prepared.discard()

    def _note_clash(self, error: ServerIdClash) -> None:
        now = time.monotonic()
        self._clashes = [at for at in self._clashes if now - at < _CLASH_WINDOW_S] + [now]
        if len(self._clashes) >= 2:
            raise SourceError(
                f"another replica of the source uses our server id and takes the stream from us: {error.message}",
                hint=ServerIdClash.default_hint,
                server_id=self._server_id,
            ) from error

    # -- one connection

    def _session(self) -> None:
        start = self._prepare()
        dump = open_dump(self._source, self._info, start, self._server_id, self._stop)
        self._connects += 1
        self._connected = True
        self._error = None
        self._mode = start.mode
        log.info("reader.connected", mode=start.mode.value, position=str(start.coordinate), gtids=start.gtids or None)
        try:
            stream = EventStream(dump.packets, start.coordinate, self._where)
            self._tracker.reset()
            self._settled = start.mode is DumpMode.FILE
            self._unsynced_bytes = 0
            before = dump.packets.received_bytes
            while not self._stop.is_set():
                if not self._take_run(stream):
                    event = stream.next_event()
                    if event is None:
                        return
                    self._bytes += dump.packets.received_bytes - before
                    before = dump.packets.received_bytes
                    if not self._take(stream, *event):
                        return
                self._sync_when_due(dump.packets.ready)
        finally:
            dump.close()

    def _prepare(self) -> DumpStart:
        """Ask the source who it is and whether it still has what we need; begin an empty relay."""
        connection = connect_source(self._source, read_timeout_s=self._timeout_s, write_timeout=self._timeout_s)
        try:
            info = probe(connection)
            self._info: ServerInfo = info
            if self._ended_by_source_at is not None:
                check_server_id(connection, info, time.monotonic() - self._ended_by_source_at)
            relay = self._relay
            if relay.tail is None:
                start = self._start
                if info.gtids and not start.gtids:
                    gtids = gtids_at(self._source, connection, info, start.coordinate, self._server_id, self._stop)
                    start = Position(start.flavour, start.coordinate, gtids)
                mode = choose_mode(self._source, info, start, gtids_known=info.gtids)
                check_available(connection, info, mode, start, same_server=False)
                relay.begin(RelayTail(self._first_seq - 1, start), info.server_uuid, gtids_known=info.gtids)
            tail = relay.tail
            assert tail is not None
            same = info.server_uuid == relay.source
            mode = choose_mode(self._source, info, tail.position, gtids_known=relay.gtids_known)
            if not same and mode is DumpMode.FILE:
                raise SourceError(
                    "the source is another server than the one we followed, and positions carry over by GTID only",
                    hint="Point `source` at the old server, or copy anew: crossfade start --fresh",
                    expected=relay.source,
                    found=info.server_uuid,
                )
            check_available(connection, info, mode, tail.position, same_server=same)
            if not same:
                log.warning("reader.source_changed", before=relay.source, now=info.server_uuid)
                relay.change_source(info.server_uuid)
        finally:
            connection.close()
        coordinate = tail.position.coordinate
        self._skip_until = 0
        if mode is DumpMode.FILE and coordinate.offset > MAX_OFFSET:
            # The command names 32 bits only: the file is read from its start and what we have is passed over.
            self._skip_until = coordinate.offset
            coordinate = BinlogCoordinate(coordinate.file, FILE_START)
        return DumpStart(mode, coordinate, tail.position.gtids if mode is DumpMode.GTID else "")

    @property
    def _timeout_s(self) -> float:
        return max(3 * self._source.heartbeat_s, self._source.connect_timeout_s)

    # -- events

    def _take_run(self, stream: EventStream) -> bool:
        """Put the row events that are here into the transaction they stand in; whether there were any."""
        if not self._tracker.takes_rows or not self._settled or self._skip_until:
            return False
        count, raw = stream.next_run()
        if not count:
            return False
        self._relay.append_run(raw, count, stream.file)
        self._tracker.inside(count)
        self._unsynced_bytes += len(raw)
        self._events += count
        self._last_event_at = self._last_packet_at = time.time()
        return True

    def _take(self, stream: EventStream, header: EventHeader, raw: bytes) -> bool:
        """Put one event where it belongs; False when told to stop in the middle of it."""
        kind = header.type
        self._last_packet_at = time.time()
        if kind in TRANSACTIONAL:
            self._events += 1
            self._last_event_at = self._last_packet_at
            return self._transactional(stream, header, raw)
        if stream.in_pieces:
            for piece in stream.pieces(header):
                if piece is None:
                    return False
        if kind in CONTROL:
            self._control(stream, header, raw)
            return True
        self._events += 1
        self._last_event_at = self._last_packet_at
        require_known(kind, stream.coordinate)
        if kind == EventType.INCIDENT:
            raise SourceError(
                f"the source says that its binlog has lost changes: {parse_incident(stream.body(raw))}",
                hint="The tables must be copied anew: crossfade start --fresh",
                position=stream.coordinate,
            )
        if kind in IGNORABLE:
            self._passed(stream)
        return True

    def _control(self, stream: EventStream, header: EventHeader, raw: bytes) -> None:
        if header.type in (EventType.ROTATE, EventType.FORMAT_DESCRIPTION) and self._tracker.open:
            # The source died inside a transaction and wrote it no further: it is not committed.
            log.warning("reader.unfinished_transaction_dropped", position=str(stream.coordinate))
            self._tracker.reset()
            self._discard_open()
        if header.type == EventType.FORMAT_DESCRIPTION:
            self._relay.set_format(raw)
            self._passed(stream)
            return
        if header.type != EventType.ROTATE:
            self._settled = True
        self._passed(stream)

    def _passed(self, stream: EventStream) -> None:
        """Nothing is missing up to here, when no transaction is open."""
        if self._settled and not self._tracker.open and stream.offset >= self._skip_until:
            self._relay.move(stream.coordinate)
            self._dirty(0)

    def _transactional(self, stream: EventStream, header: EventHeader, raw: bytes) -> bool:
        kind = header.type
        pieces = stream.pieces(header) if stream.in_pieces else _NOTHING
        if pieces and kind not in _STREAMED:
            parts = [raw, *pieces]
            if parts[-1] is None:
                return False
            raw, pieces = b"".join(part for part in parts if part is not None), _NOTHING
        if stream.offset <= self._skip_until:
            return all(piece is not None for piece in pieces)
        self._skip_until = 0
        tracker = self._tracker
        body = stream.body(raw) if kind in _LOOKED_INTO else b""
        boundary = tracker.feed(header, body)
        if boundary is Boundary.NEXT:
            self._end(stream.file, stream.start, header.timestamp)
            boundary = tracker.feed(header, body)
        if boundary is Boundary.DUMMY:
            self._passed(stream)
            return True
        if not self._settled:
            self._settled = True
            self._relay.move(BinlogCoordinate(stream.file, stream.start))
        aside = tracker.preparing and kind not in GTID_EVENTS
        if tracker.verdict is not None:
            self._write_prepared(stream)
        self._append(RecordKind.EVENT, raw, stream.file, aside=aside)
        for piece in pieces:
            if piece is None:
                return False
            self._append(RecordKind.PART, piece, stream.file, aside=aside)
        if boundary is Boundary.END:
            if aside:
                self._put_aside(stream, kind, body)
            self._end(stream.file, stream.offset, header.timestamp)
        return True

    def _append(self, kind: int, raw: bytes, file: str, *, aside: bool = False) -> None:
        """Write an event or a part of one into the relay, or to the prepared transactions."""
        self._unsynced_bytes += len(raw)
        if aside:
            self._prepared.append(kind, raw)
        elif kind == RecordKind.EVENT:
            self._relay.append_event(raw, file)
        else:
            self._relay.append_part(raw)

    def _put_aside(self, stream: EventStream, kind: int, body: bytes) -> None:
        """The end of a transaction of XA: prepared, its rows wait for the verdict; anything else, they count now."""
        prepared = parse_xa_prepare(body) if kind == EventType.XA_PREPARE else None
        if prepared is not None and not prepared.one_phase:
            xid = xid_of(prepared.format_id, prepared.gtrid, prepared.bqual)
            self._prepared.keep(xid, self._relay.last_seq + 1, stream.checksum_bytes)
            return
        for record, raw in self._prepared.records():
            self._append(record, raw, stream.file)

    def _write_prepared(self, stream: EventStream) -> None:
        """The verdict over a prepared transaction: when it is committed its events come before the verdict's own."""
        verdict = self._tracker.verdict
        assert verdict is not None
        waiting = self._prepared.decided(verdict.xid, self._relay.last_seq + 1)
        if waiting is not None and verdict.committed:
            for record, raw in self._prepared.committed(waiting, stream.checksum_bytes):
                self._append(record, raw, stream.file)

    def _end(self, file: str, offset: int, timestamp: int) -> None:
        tracker, relay = self._tracker, self._relay
        gtid = tracker.gtid
        tail_seq = relay.last_seq
        time_us = gtid.commit_time_us if gtid and gtid.commit_time_us else timestamp * 1_000_000
        relay.end_transaction(
            TransactionEnd(
                seq=tail_seq + 1,
                gtid=gtid.gtid if gtid else "",
                coordinate=BinlogCoordinate(file, offset),
                commit_time_us=time_us,
                rolled_back=tracker.rolled_back,
            )
        )
        tracker.reset()
        self._transactions += 1
        self._last_commit_time = time_us / 1_000_000
        self._error = None
        self._dirty(1)

    def _dirty(self, size: int) -> None:
        if not self._unsynced_since:
            self._unsynced_since = time.monotonic()
        self._unsynced_bytes += size

    def _sync_when_due(self, more: Callable[[], bool]) -> None:
        """Group what is ready: sync when the socket is drained, or after 1 MB or 20 ms."""
        if not self._unsynced_since:
            return
        if (
            self._unsynced_bytes >= _SYNC_BYTES
            or time.monotonic() - self._unsynced_since >= _SYNC_AFTER_S
            or not more()
        ):
            self._relay.sync()
            self._prepared.durable(self._relay.last_seq)
            self._unsynced_bytes, self._unsynced_since = 0, 0.0
