"""The reverse stream of one domain and store: what applications write into the store goes back to the source.

Slot → decode → invert → apply. The slot is confirmed only after the source has committed; the progress row (epoch
and position, compare-and-set with the rows) makes it exactly once whatever dies in between. A conflict, a value that
the source cannot hold, a write before the cutover, or a slot that cannot have everything (`sync/slot_promise.py`) halts
it; nothing is skipped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterable
from typing import Any, Final

import structlog

from config.settings import Settings, SourceSettings
from model.errors import (
    ApplyError,
    ConnectionLost,
    CrossfadeError,
    ReverseConflict,
    RogueWrite,
    SchemaDrift,
    TimedOut,
    ValueRefused,
)
from model.rows import Op
from stores.control.names import SCHEMA
from stores.mysql import MysqlConnection, connect_source
from stores.postgres import connect_store
from stores.retry import retrying
from sync import slot_promise
from sync.mysql import reverse_apply, reverse_tables
from sync.mysql.reverse_apply import ReverseWriter
from sync.postgres import slots
from sync.postgres.changes import Keepalive, SlotReader
from sync.postgres.pgoutput import (
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Lsn,
    Message,
    Relation,
    Truncate,
    Update,
    lsn_text,
)
from sync.reverse_rows import RelationBinding, SourceChange
from sync.reverse_state import ReverseMode, ReverseState
from transforms.reverse import ReversePlan

log = structlog.get_logger(__name__)

PROMISE_S: Final = 2.0
"""How often the progress row moves over transactions that are not sent back, and the slot after it."""
GROUP_ROWS: Final = 5000
GROUP_AGE_S: Final = 0.1
"""Under backlog several transactions of the store go into one of the source, at most of this size and age."""
HELD_ROWS: Final = 20_000
HELD_BYTES: Final = 32 << 20
"""A transaction of the store is kept in memory up to this size, then it is sent while it is read."""


class ReverseStream:
    """Reads one store's slot and applies it to the source. `run` in one thread; the rest from any."""

    def __init__(
        self,
        settings: Settings,
        domain: str,
        store: str,
        plans: Iterable[ReversePlan],
        *,
        epoch: int,
        start_lsn: Lsn,
        armed: bool = False,
        source: SourceSettings | None = None,
        database: str = reverse_tables.DATABASE,
    ) -> None:
        """`start_lsn`: what the store committed before is not sent back (R0 of the cutover, exactly).

        `armed`: before the cutover; any foreign write after `start_lsn` halts instead of being sent. `epoch`: the
        domain's fence; a stream with a lower one can write nothing any more. `source`: settings of the reverse user.
        """
        self.name = slots.stream_name(settings.name, domain, store)
        self._settings = settings
        self._source = source or settings.source
        self._domain = domain
        self._store = store
        self._dsn = settings.stores[store].dsn
        self._plans: dict[tuple[str, str], list[ReversePlan]] = {}
        for plan in plans:
            self._plans.setdefault((plan.plan.target.schema, plan.plan.target.name), []).append(plan)
        self._epoch = epoch
        self._start = start_lsn
        self._armed = armed
        self._database = database
        self._state = ReverseState(domain, store)
        self._moved = threading.Condition()
        self._commits = 0
        self._singly = False
        self._waiting_since: float | None = None
        self._received: Lsn = 0

    # -- for other threads

    @property
    def state(self) -> ReverseState:
        """The stream now."""
        state = self._state
        since = self._waiting_since
        follows = state.mode in (ReverseMode.ARMED, ReverseMode.STREAMING)
        lag = max(0.0, time.time() - since) if since is not None else 0.0 if follows else None
        behind = max(0, self._received - state.confirmed_lsn) if self._received else 0
        return dataclasses.replace(state, lag_s=lag, behind_bytes=behind)

    def open_from(self, lsn: Lsn) -> None:
        """The cutover's R0 is `lsn`: what is committed after it goes back from now on. Before the stores are opened."""
        self._start = max(self._start, lsn)
        self._armed = False

    def round_trip(self, timeout_s: float = 10.0) -> float:
        """Send a message through the whole way and wait until the source shows it; seconds it took.

        Raises TimedOut, or why the stream does not run.
        """
        began = time.monotonic()
        with contextlib.closing(connect_store(self._dsn, application="crossfade reverse")) as connection:
            lsn = slots.emit_message(connection, "ping", self._domain)
        self.wait_for(lsn, timeout_s)
        return time.monotonic() - began

    def wait_for(self, lsn: Lsn, timeout_s: float, asked: MysqlConnection[Any] | None = None) -> None:
        """Wait until everything before `lsn` (from `slots.emit_message`) is in the source, as its progress row says.

        `asked`: a connection to the source to read that row by, so that none has to be opened while writers wait.
        Raises TimedOut; ApplyError with the stream's error when it has halted.
        """
        deadline = time.monotonic() + timeout_s
        with self._moved:
            while self._state.lsn < lsn:
                if self._state.mode is ReverseMode.HALTED:
                    raise ApplyError(
                        f"the reverse stream has halted: {self._state.error}", hint=self._state.hint, store=self._store
                    )
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimedOut(
                        f"the reverse stream did not reach {lsn_text(lsn)} within {timeout_s:g} s",
                        hint="See its state: crossfade rollback status",
                        store=self._store,
                        reached=lsn_text(self._state.lsn),
                        error=self._state.error,
                    )
                self._moved.wait(min(left, 0.5))
        # Not our memory but the source has the last word.
        with contextlib.ExitStack() as stack:
            if asked is None:
                asked = stack.enter_context(contextlib.closing(connect_source(self._source)))
            progress = reverse_tables.read(asked, self._domain, self._store, self._database)
        if progress is None or progress.lsn < lsn:
            raise CrossfadeError("the source's progress row is behind what was committed to it", store=self._store)

    # -- the thread

    def run(self, stop: threading.Event) -> None:
        """Stream until `stop` is set or an error needs somebody (then the state is HALTED and this returns)."""
        try:
            while not stop.is_set():
                for attempt in retrying(self._settings.retry, stop, f"reverse stream {self.name}"):
                    with attempt:
                        self._session(stop)
            self._set(mode=ReverseMode.STOPPED)
        except CrossfadeError as error:
            if stop.is_set() and error.transient:
                self._set(mode=ReverseMode.STOPPED)
                return
            self._halt(error)
        except BaseException as error:
            self._set(
                mode=ReverseMode.HALTED, error=f"{type(error).__name__}: {error}", hint=CrossfadeError.default_hint
            )
            raise

    def _halt(self, error: CrossfadeError) -> None:
        conflicts = self._state.conflicts + isinstance(error, ReverseConflict | ValueRefused)
        hint = self._refused_hint() if isinstance(error, ValueRefused) else error.hint
        self._set(mode=ReverseMode.HALTED, error=str(error), hint=hint, conflicts=conflicts)
        log.error("reverse stream halted", stream=self.name, error=str(error), hint=hint)

    def _refused_hint(self) -> str:
        """What is left to do: a change that was committed stays in the store's log, whatever becomes of its row."""
        again = f"crossfade rollback run {self._domain} --confirm {self._domain} --accept-divergence {self._domain}"
        return (
            f"The way back ends before this change. To go back without it and what came after it (all of it is "
            f"written to a file): {again}; to stay with the stores: crossfade finalize {self._domain}"
        )

    def _session(self, stop: threading.Event) -> None:
        """One life of both connections. Returns on `stop`, and after a loss that followed progress (call it again)."""
        before = self._commits
        session: _Session | None = None
        try:
            session = _Session(self, stop)
            session.run()
        except (ReverseConflict, ValueRefused) as error:
            if session is None or self._singly:
                if error.transient:
                    self._set(mode=ReverseMode.RETRYING, error=str(error), hint=error.hint)
                raise
            # Go there again one transaction and one row at a time: all before it is kept, and the error names its row.
            self._singly = True
            log.warning("reverse conflict, reading again singly", stream=self.name)
        except CrossfadeError as error:
            if not error.transient:
                raise
            self._set(mode=ReverseMode.RETRYING, error=str(error), hint=error.hint, retries=self._state.retries + 1)
            if self._commits == before:
                raise
            log.warning("reverse stream lost, connecting again", stream=self.name, error=str(error))
        finally:
            if session is not None:
                session.close()

    def _set(self, **changes: object) -> None:
        with self._moved:
            self._state = dataclasses.replace(self._state, **changes)  # type: ignore[arg-type]
            self._moved.notify_all()


class _Session:
    """One life of the connections to both sides. Its memory ends with it."""

    def __init__(self, stream: ReverseStream, stop: threading.Event) -> None:
        self._stream = stream
        self._stop = stop
        connection, info = reverse_apply.connect(stream._source)
        try:
            progress = reverse_tables.take(
                connection, stream._domain, stream._store, stream._start, stream._epoch, stream._database
            )
            self._reader = SlotReader(stream._dsn, stream.name, stream.name, progress.lsn)
            try:
                # Only now that the slot is ours can nobody drop it, or move it on, behind our back.
                self._still_there(connection, progress)
                progress = self._trusted(connection, progress)
            except BaseException:
                self._reader.close()
                raise
            self._writer = ReverseWriter(connection, info, progress, database=stream._database, singly=stream._singly)
        except BaseException:
            connection.close()
            raise
        self._bindings: dict[int, RelationBinding | None] = {}
        self._marks: set[int] = set()
        self._group = 0
        """Transactions of the store in the open transaction of the source."""
        self._group_since = 0.0
        self._end: Lsn = progress.lsn
        self._commit_time: float | None = None
        self._began: Begin | None = None
        self._skipping = False
        self._ours = False
        self._echo = False
        self._foreign: str | None = None
        """Table of a change that is not ours."""
        self._held: list[SourceChange] = []
        self._held_bytes = 0
        self._sent = False
        """The open transaction of the store is being sent while it is read."""
        self._after_lsn = progress.lsn
        self._promised_at = time.monotonic()
        self._show()

    def _still_there(self, connection: MysqlConnection[Any], progress: reverse_tables.Progress) -> None:
        """Whoever had the slot before us may have gone on until we got it. Raises ConnectionLost: begin anew."""
        stream = self._stream
        found = reverse_tables.read(connection, stream._domain, stream._store, stream._database)
        if found is None or (found.lsn, found.epoch) != (progress.lsn, progress.epoch):
            raise ConnectionLost(
                "another stream moved the progress before it left its slot to us", domain=stream._domain,
                store=stream._store,
            )  # fmt: skip

    def _trusted(self, connection: MysqlConnection[Any], progress: reverse_tables.Progress) -> reverse_tables.Progress:
        """The progress from which the slot has everything. Raises SlotGap when it begins later."""
        stream = self._stream
        with contextlib.closing(connect_store(stream._dsn, application="crossfade reverse")) as store:
            found = slot_promise.read(
                connection, store, stream._dsn, stream.name, stream._domain, stream._store, stream._database
            )
        if found.gap:
            raise slot_promise.SlotGap(found.gap, hint=slot_promise.what_next(stream._domain, armed=stream._armed))
        if found.promised == found.now:
            return progress
        # The first session, or the first one behind a failover. An older version confirmed what it did not write down.
        begins = progress.lsn if found.promised else max(progress.lsn, found.confirmed or 0)
        return reverse_tables.adopt(connection, progress, begins, found.now, stream._database)

    def close(self) -> None:
        """Drop both connections."""
        self._reader.close()
        self._writer.close()

    def run(self) -> None:
        """Read and apply until told to stop."""
        stream = self._stream
        for found in self._reader.messages(self._stop):
            stream._received = self._reader.received
            if found is None:
                self._finish_group()
                if self._began is None:
                    stream._waiting_since = None
                    stream._singly = False
                self._show_mode()
            elif isinstance(found, Keepalive):
                if self._began is None and not self._group:
                    self._pass_over(found.wal_end)
            else:
                self._take(found[1])

    # -- one message

    def _take(self, message: Message) -> None:
        if isinstance(message, Insert | Update | Delete):
            if not self._skipping and not self._ours:
                self._row(message)
            elif message.relation in self._marks:
                self._ours = True
        elif isinstance(message, Begin):
            self._begin(message)
        elif isinstance(message, Commit):
            self._commit(message)
        elif isinstance(message, Relation):
            self._bind(message)
        elif isinstance(message, Truncate):
            if not self._skipping:
                self._truncate(message)
        elif isinstance(message, LogicalMessage) and message.prefix.startswith(slots.PREFIX + "."):
            self._echo = True

    def _begin(self, message: Begin) -> None:
        self._began = message
        self._skipping = message.commit_lsn < max(self._after_lsn, self._stream._start)
        self._ours = self._echo = self._sent = False
        self._foreign = None
        self._held, self._held_bytes = [], 0
        if self._stream._waiting_since is None:
            self._stream._waiting_since = message.commit_time

    def _bind(self, relation: Relation) -> None:
        self._marks.discard(relation.oid)
        if relation.schema == SCHEMA and relation.table in slots.MARK_TABLES:
            self._marks.add(relation.oid)
            return
        plans = self._stream._plans.get((relation.schema, relation.table))
        if plans is None:
            self._bindings[relation.oid] = None
            return
        binding = self._bindings[relation.oid] = RelationBinding(relation, plans)
        notes = {f"{binding.target}: column {name} is only in the store" for name in binding.unknown}
        if notes - set(self._stream._state.notes):
            self._stream._set(notes=tuple(sorted({*self._stream._state.notes, *notes})))

    def _row(self, message: Insert | Update | Delete) -> None:
        if message.relation in self._marks:
            self._ours = True
            self._held = []
            return
        binding = self._bindings.get(message.relation)
        if binding is None:
            raise SchemaDrift(
                "the publication has a table that the plan does not know",
                hint="Prepare the domain's reverse stream again.",
                relation=message.relation,
            )
        if binding.kept_by_store(message):
            return
        self._foreign = binding.target
        if self._stream._armed:
            return
        for change in binding.changes(message):
            self._keep(change)

    def _truncate(self, message: Truncate) -> None:
        for oid in message.relations:
            if oid in self._marks:
                self._ours = True
            binding = self._bindings.get(oid)
            if binding is not None and not self._ours:
                self._foreign = binding.target
                if not self._stream._armed:
                    for table in binding.tables:
                        self._keep(SourceChange(table.plan, None))

    def _keep(self, change: SourceChange) -> None:
        if change.plan.follows:
            return
        if self._sent:
            self._write(change)
            return
        self._held.append(change)
        self._held_bytes += change.bytes
        if len(self._held) >= HELD_ROWS or self._held_bytes >= HELD_BYTES:
            self._finish_group()
            self._sent = True
            for held in self._held:
                self._write(held)
            self._held = []

    def _write(self, change: SourceChange) -> None:
        writer = self._writer
        if change.op is Op.INSERT:
            assert change.new is not None
            writer.insert(change.plan, change.new)
        elif change.op is Op.UPDATE:
            assert change.old is not None and change.new is not None
            writer.update(change.plan, change.old, change.new, change.changed)
        elif change.op is Op.DELETE:
            assert change.old is not None
            writer.delete(change.plan, change.old)
        else:
            writer.delete_all(change.plan)

    def _commit(self, message: Commit) -> None:
        self._began = None
        if self._ours and self._sent:
            # Only now it is known that these were our own rows: nothing else is in the open transaction.
            self._writer.rollback()
        if self._skipping or self._ours or not (self._foreign or self._echo):
            if self._ours:
                self._stream._set(skipped=self._stream._state.skipped + 1)
            self._nothing(message)
            return
        if self._foreign and self._stream._armed:
            raise RogueWrite(store=self._stream._store, table=self._foreign, lsn=lsn_text(message.commit_lsn))
        if not self._group:
            self._group_since = time.monotonic()
        for change in self._held:
            self._write(change)
        self._held = []
        self._group += 1
        self._end, self._commit_time = message.end_lsn, message.commit_time
        full = self._writer.rows >= GROUP_ROWS or time.monotonic() - self._group_since >= GROUP_AGE_S
        if full or self._sent or self._stream._singly:
            self._finish_group()

    def _nothing(self, message: Commit) -> None:
        """A transaction that is not sent back. It is passed over when nothing before it is open."""
        if self._group and time.monotonic() - self._group_since >= GROUP_AGE_S:
            self._finish_group()
        if not self._group:
            self._pass_over(message.end_lsn)

    def _pass_over(self, lsn: Lsn) -> None:
        """Nothing is to be sent back up to `lsn`. Also this the source has in writing before the store may forget it:

        a slot that is ahead of what is written was made anew, or moved on, by somebody else.
        """
        if lsn <= self._writer.progress.lsn or time.monotonic() - self._promised_at < PROMISE_S:
            return
        self._commit_source(lsn, None, 0)

    def _finish_group(self) -> None:
        """Commit on the source what is open, then let the store forget it."""
        if not self._group:
            return
        group, self._group = self._group, 0
        stream = self._stream
        self._commit_source(self._end, self._commit_time, group)
        stream._commits += 1
        stream._waiting_since = None if self._began is None else self._began.commit_time

    def _commit_source(self, lsn: Lsn, commit_time: float | None, transactions: int) -> None:
        """Commit on the source, then confirm exactly that to the slot: never more."""
        progress = self._writer.commit(lsn, commit_time, transactions)
        self._promised_at = time.monotonic()
        self._reader.confirm(progress.lsn)
        if progress.lsn > self._stream._state.confirmed_lsn:
            self._stream._set(confirmed_lsn=progress.lsn)
        self._show()

    def _show(self) -> None:
        progress = self._writer.progress
        self._stream._set(lsn=progress.lsn, transactions=progress.transactions, rows=progress.rows)
        self._show_mode()

    def _show_mode(self) -> None:
        mode = ReverseMode.ARMED if self._stream._armed else ReverseMode.STREAMING
        if self._stream._state.mode is not mode:
            self._stream._set(mode=mode, error=None, hint=None)
