"""The frame of one table's copy: gate at S, chunks proven to contain S, definition unchanged, H, indexes, COPIED.

Every step is one transaction in the store that can be repeated as a whole: it reads the ledger and the state first and
holds the fence. Retries and what a failure means are the caller's (`backfill.py`).
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog

from config.settings import SnapshotSettings
from model.errors import Busy, SchemaDrift
from model.position import Position
from model.tables import TableDef
from stores.control import checkpoints, quarantine, schema_history, table_states
from stores.control import chunks as ledger
from stores.control.chunks import Chunk
from stores.control.quarantine import QuarantineState
from stores.errors import translated
from stores.mysql import binlog_end
from stores.postgres import PostgresConnection
from sync.copy_board import Board, Job, Task
from sync.copy_refusals import park_refusal
from sync.copy_session import CopySession
from sync.mysql import chunks as cutting
from sync.mysql.catalog import read_tables
from sync.mysql.chunks import ChunkKey, Span
from sync.mysql.snapshot import ChunkReader, ChunkRows
from sync.mysql.visibility import Visibility
from sync.postgres.copy import CopyLoader, Loaded, Refusal, empty_target
from sync.postgres.schema_reset import drop_uniques
from sync.relay.values import RelayTail
from sync.table_phase import Phase, TableState, moved

log = structlog.get_logger(__name__)

LOCKED_BYTES: Final = 1 << 20
"""About how much is read under share locks at once."""
LANES_PER_WORKER: Final = 2
SHARED_BYTES: Final = 4 << 20
"""A part of a table that is worth the statements which find its bounds."""
RELAY_WAIT_S: Final = 30.0
LOOK_S: Final = 5.0
"""How often a copy looks whether the definition is still its plan's; it also does at its end."""
ROWS_PER_LOOK: Final = 4096
"""After how many rows we look whether to stop."""
_Item = TypeVar("_Item")


class DefinitionChanged(SchemaDrift):
    """The definition of a source table changed while it was copied."""

    default_hint = (
        "Copy it when it stays as it is: crossfade stop; crossfade schema recopy TABLE --confirm TABLE; crossfade start"
    )


class SourceTableGone(SchemaDrift):
    """The source table does not exist any more."""

    default_hint = "Take it out of the configuration, or create it again and release the table."


class CopyStopped(Exception):
    """The copy was asked to stop; not an error."""


class RelayEntry(Protocol):
    """What the copy needs to know of a transaction in the relay."""

    @property
    def seq(self) -> int:
        """Its number."""

    @property
    def position(self) -> Position:
        """Its end."""


class RelayView(Protocol):
    """What the copy asks of the relay (`sync.relay.reader.RelayReader` is one)."""

    @property
    def tail(self) -> RelayTail | None:
        """The durable tail."""

    @property
    def first_seq(self) -> int:
        """The first transaction that can still be read; 0 for an empty relay."""

    def transactions(self, after_seq: int) -> Iterator[RelayEntry]:
        """Durable transactions after `after_seq`."""


class Relay:
    """The relay as the workers of a copy share it."""

    def __init__(self, view: RelayView, halt: threading.Event) -> None:
        self._view = view
        self._halt = halt
        self._lock = threading.Lock()

    @property
    def tail(self) -> RelayTail:
        """The durable tail. Raises Busy before the relay has begun."""
        with self._lock:
            tail = self._view.tail
        if tail is None:
            raise Busy("the relay has not begun yet", hint="The reader starts it; it is waited for.")
        return tail

    def has_after(self, seq: int) -> bool:
        """Whether everything after transaction `seq` is in the relay."""
        with self._lock:
            return 0 < self._view.first_seq <= seq + 1

    def wait_for(self, position: Position) -> None:
        """Wait until nothing before `position` is missing. Raises Busy when the reader is too far behind."""
        deadline = time.monotonic() + RELAY_WAIT_S
        while self.tail.position.coordinate < position.coordinate:
            if time.monotonic() > deadline:
                raise Busy("the relay does not reach the position of a read; the reader is behind", position=position)
            if self._halt.wait(0.05):
                raise CopyStopped

    def seq_at(self, position: Position, low: RelayTail) -> int:
        """Number of the last transaction that ends at or before a position which is not before `low`."""
        self.wait_for(position)
        found = low.seq
        with self._lock:
            for transaction in self._view.transactions(low.seq):
                if transaction.position.coordinate > position.coordinate:
                    break
                found = transaction.seq
        return found


class TableCopy:
    """The steps; stateless but for what all workers share."""

    def __init__(
        self,
        settings: SnapshotSettings,
        board: Board,
        relay: Relay,
        visibility: Visibility,
        halt: threading.Event,
    ) -> None:
        self._settings = settings
        self._board = board
        self._relay = relay
        self._visibility = visibility
        self._halt = halt

    def open(self, job: Job, session: CopySession) -> None:
        """Close the gate, or find out what a copy that is resumed still has to read. Raises DefinitionChanged."""
        definition = _definition(job, session)
        job.looked_s = time.monotonic()
        if definition.fingerprint() != job.plan.source.fingerprint():
            self._replan(job, session, definition)
        job.key = ChunkKey.of(job.plan.source)
        job.row_bytes = cutting.mean_row_bytes(job.plan.source)
        # The plan can be older than most of the rows.
        size = max(definition.bytes_estimate, job.plan.source.bytes_estimate)
        connection = session.store(job.store)
        with translated(f"store {job.store.name}"):
            state = table_states.load(connection, job.store.stream).get(job.plan.id) or TableState(job.plan.id)
            if state.phase is Phase.COPYING and not self._resumable(job, state, connection):
                log.warning("copy begins anew", table=str(job.plan.source.id), gate_seq=state.gate_seq)
                state = self.clear(job, connection)
            known: tuple[Chunk, ...] = ()
            if state.phase is Phase.COPYING:
                known = ledger.load(connection, job.store.stream, job.plan.id)
                low = self._relay.tail
            else:
                low = self._begin(job, state, connection)
        self._board.opened(job, low, self._spans(job, session, known, size), known)

    def _replan(self, job: Job, session: CopySession, definition: TableDef) -> None:
        store = job.store
        if store.replan is None:
            raise DefinitionChanged("the source table is not as the plan was made for", table=job.plan.source.id)
        # S must not lie before the change of the definition that we have just seen.
        self._relay.wait_for(binlog_end(session.control, session.info))
        connection = session.store(store)
        with translated(f"store {store.name}"), connection.transaction():
            checkpoints.hold_fence(connection, store.stream, store.fence)
            plan = store.replan(connection, job.plan, definition, self._relay.tail.seq)
        log.warning("copied by another definition", table=str(plan.source.id), store=store.name)
        job.plan = plan

    def _resumable(self, job: Job, state: TableState, connection: PostgresConnection) -> bool:
        """Whether the chunks that are there still fit: S is in the relay, and the definition at S is the plan's."""
        if state.gate_seq is None or not self._relay.has_after(state.gate_seq):
            return False
        at_start = schema_history.load(connection, job.store.stream).at(job.plan.source.id, state.gate_seq)
        return at_start is None or at_start.fingerprint() == job.plan.source.fingerprint()

    def _begin(self, job: Job, state: TableState, connection: PostgresConnection) -> RelayTail:
        """S is the relay's tail now; the applier leaves the table alone from here on."""
        while True:
            with connection.transaction():
                checkpoints.hold_fence(connection, job.store.stream, job.store.fence)
                ledger.clear(connection, job.store.stream, job.plan.id)
                if job.plan.told_by:
                    drop_uniques(connection, job.plan.target)
                low = self._relay.tail
                marks = {"gate_seq": low.seq, "high": None, "applied_seq": None, "rows_copied": 0}
                state = (
                    moved(state, Phase.COPYING, **marks)
                    if state.phase is not Phase.COPYING
                    else dataclasses.replace(state, gate_seq=low.seq)
                )
                table_states.save(connection, job.store.stream, state)
            job.store.phases.set(state)
            # Until this state was published, the relay could be purged beyond S.
            if self._relay.has_after(low.seq):
                return low
            if self._halt.is_set():
                raise CopyStopped

    def _spans(self, job: Job, session: CopySession, known: tuple[Chunk, ...], size: int) -> tuple[Span, ...]:
        """What is to be read: of a table of `size` bytes with an integer key several ranges that workers share."""
        if job.whole:
            return () if known else (Span(),)
        assert job.key is not None
        if known or not job.key.integer:
            return cutting.missing(known, job.key.integer)
        workers = self._settings.workers
        parts = min(workers * LANES_PER_WORKER, size // min(SHARED_BYTES, self._settings.chunk_bytes))
        if workers == 1 or parts < 2:
            return (Span(),)
        return _cut_evenly(session.chunk_reader(job), Span(), parts)

    def _shared(self, job: Job, session: CopySession, rest: Span) -> tuple[Span, ...]:
        """What is left of a span, in parts for the workers that have nothing to do: no estimate is always right."""
        idle = self._board.idle
        if not idle or job.key is None or not job.key.integer:
            return (rest,)
        return _cut_evenly(session.chunk_reader(job), rest, idle + 1)

    def chunk(self, task: Task, session: CopySession) -> None:
        """Copy the next chunk of the task's span: rows and ledger row in one transaction."""
        job, span = task.job, task.span
        assert span is not None and job.low is not None
        if time.monotonic() - job.looked_s > LOOK_S and self.changed(job, session):
            raise DefinitionChanged(table=job.plan.source.id)
        reading = session.reading(job.low, self._visibility)
        limit = cutting.rows_per_chunk(self._settings.chunk_bytes, job.row_bytes)
        locked = min(limit, cutting.rows_per_chunk(LOCKED_BYTES, job.row_bytes))
        connection = session.store(job.store)
        gate = job.store.phases.get(job.plan.id).gate_seq
        assert gate is not None
        loaded = Loaded()
        with translated(f"store {job.store.name}"), connection.transaction():
            checkpoints.hold_fence(connection, job.store.stream, job.store.fence)
            # After an unknown commit the ledger knows, memory does not.
            entered = _entered(job, task.number, connection)
            if entered is not None:
                high = entered.high
            else:
                rows = session.chunk_reader(job).chunk(span, limit, reading, locked)
                loaded = self._load(job, connection, gate, rows)
                high = rows.last if rows.more else span.high
                entry = Chunk(job.plan.id, task.number, span.low, high, loaded.rows, gate)
                ledger.record(connection, job.store.stream, entry)
        self._board.copied(job, loaded, () if high == span.high else self._shared(job, session, Span(high, span.high)))

    def whole(self, task: Task, session: CopySession) -> None:
        """Copy a table without a key: one exact read, one transaction; S is moved to the position of the read."""
        job = task.job
        assert job.low is not None
        connection = session.store(job.store)
        state = job.store.phases.get(job.plan.id)
        loaded = Loaded()
        with translated(f"store {job.store.name}"), connection.transaction():
            checkpoints.hold_fence(connection, job.store.stream, job.store.fence)
            if _entered(job, task.number, connection) is None:
                with self._visibility.exact(session.new_reader, session.control, job.plan.source, job.low.position) as (
                    reader,
                    position,
                ):
                    gate = self._relay.seq_at(position, job.low)
                    rows = ChunkReader(reader, session.info, job.plan.source, None).everything()
                    loaded = self._load(job, connection, gate, rows)
                entry = Chunk(job.plan.id, task.number, None, None, loaded.rows, gate)
                ledger.record(connection, job.store.stream, entry)
                state = dataclasses.replace(state, gate_seq=gate)
                table_states.save(connection, job.store.stream, state)
            else:
                state = table_states.load(connection, job.store.stream)[job.plan.id]
        job.store.phases.set(state)
        self._board.copied(job, loaded)

    def finish(self, job: Job, session: CopySession) -> None:
        """Everything is read: check the definition, take H, build indexes, COPIED. Raises DefinitionChanged."""
        if self.changed(job, session):
            raise DefinitionChanged(table=job.plan.source.id)
        high = binlog_end(session.control, session.info)
        connection, store = session.store(job.store), job.store
        with translated(f"store {store.name}"):
            store.build_indexes(connection, job.plan)
        with translated(f"store {store.name}"), connection.transaction():
            checkpoints.hold_fence(connection, store.stream, store.fence)
            # After an unknown commit this can be COPIED already, and even further.
            state = table_states.load(connection, store.stream)[job.plan.id]
            if state.phase is Phase.COPYING:
                if state.gate_seq is None or not self._relay.has_after(state.gate_seq):
                    raise DefinitionChanged(
                        "the relay was purged beyond the start of the copy", table=job.plan.source.id
                    )
                rows = sum(chunk.rows for chunk in ledger.load(connection, store.stream, job.plan.id))
                state = moved(state, Phase.COPIED, high=high.coordinate, rows_copied=rows)
                table_states.save(connection, store.stream, state)
        store.phases.set(state)
        log.info("table copied", table=str(job.plan.source.id), store=store.name, rows=state.rows_copied)
        self._board.finished(job, copied=True)

    def changed(self, job: Job, session: CopySession) -> bool:
        """Whether the source table is another now than its plan was made for. Raises SourceTableGone."""
        job.looked_s = time.monotonic()
        return _definition(job, session).fingerprint() != job.plan.source.fingerprint()

    def clear(self, job: Job, connection: PostgresConnection) -> TableState:
        """Empty the target, the ledger and the quarantine of what the copy could not load, back to PENDING."""
        with connection.transaction():
            checkpoints.hold_fence(connection, job.store.stream, job.store.fence)
            state = table_states.load(connection, job.store.stream).get(job.plan.id) or TableState(job.plan.id)
            if state.phase is not Phase.PENDING:
                empty_target(connection, job.plan)
                ledger.clear(connection, job.store.stream, job.plan.id)
                parked = quarantine.waiting(connection, job.store.stream, [job.plan.id])
                quarantine.settle(connection, job.store.stream, [row.id for row in parked], QuarantineState.DISCARDED)
                state = moved(state, Phase.PENDING, gate_seq=None, high=None, rows_copied=0)
                table_states.save(connection, job.store.stream, state)
        job.store.phases.set(state)
        return state

    def hold(self, job: Job, session: CopySession, reason: str) -> None:
        """Put a table aside with the reason; its rows stay for a look, its changes wait in the relay."""
        connection = session.store(job.store)
        with translated(f"store {job.store.name}"), connection.transaction():
            checkpoints.hold_fence(connection, job.store.stream, job.store.fence)
            state = table_states.load(connection, job.store.stream)[job.plan.id]
            if state.phase is not Phase.HELD:
                state = moved(state, Phase.HELD, reason=reason)
                table_states.save(connection, job.store.stream, state)
        job.store.phases.set(state)
        log.error("table held", table=str(job.plan.source.id), store=job.store.name, reason=reason)
        self._board.finished(job, copied=False)

    def _load(self, job: Job, connection: PostgresConnection, gate: int, rows: ChunkRows) -> Loaded:
        loader = CopyLoader(connection, job.plan, partial(self._park, job, connection, gate))
        rows.on_refusal(loader.refuse)
        lines = rows.lines(job.plan)
        if lines is not None:
            return loader.load_lines(self._until_halted(lines, 1))
        return loader.load(self._until_halted(rows, ROWS_PER_LOOK))

    @staticmethod
    def _park(job: Job, connection: PostgresConnection, gate: int, refusal: Refusal) -> None:
        park_refusal(connection, job.store.stream, job.plan, refusal, gate)

    def _until_halted(self, items: Iterable[_Item], every: int) -> Iterator[_Item]:
        for number, item in enumerate(items):
            if number % every == 0 and self._halt.is_set():
                raise CopyStopped
            yield item


def _entered(job: Job, number: int, connection: PostgresConnection) -> Chunk | None:
    return ledger.find(connection, job.store.stream, job.plan.id, number)


def _cut_evenly(reader: ChunkReader, span: Span, parts: int) -> tuple[Span, ...]:
    """A span of an integer key in about so many parts, by the values of the leading column; fewer when it has gaps."""
    limits = reader.leading_range()
    if limits is None:
        return (span,)
    first, last = cutting.leading(span.low, limits[0]), cutting.leading(span.high, limits[1])
    bounds = [reader.key_from(value) for value in cutting.even_values(first, last, parts)]
    return cutting.cut((bound for bound in bounds if bound is not None), span)


def _definition(job: Job, session: CopySession) -> TableDef:
    table = job.plan.source.id
    found = read_tables(session.control, session.info, [table]).get(table)
    if found is None:
        raise SourceTableGone(table=table)
    return found
