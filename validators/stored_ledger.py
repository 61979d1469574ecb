"""A run's ledger in the control store. Leases are kept alive by a thread of its own, so that a chunk may take long."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, Final, TypeVar

import structlog
from pydantic import SecretStr

from model.errors import CrossfadeError, UsageError
from stores.control import verify_chunks, verify_runs
from stores.control.migrations import prepare_control
from stores.control.verify_runs import StoredRun
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store
from validators.findings import TableVerdict
from validators.ledger import Chunk, Entry, Task
from validators.spans import Span
from validators.verdict_documents import table_document, table_of

log = structlog.get_logger(__name__)

LEASE_S: Final = 30.0
KEPT_LEDGERS: Final = 20
"""Of finished runs; the verdicts of older ones stay."""

Result = TypeVar("Result")


class StoredLedger:
    """One run as one process takes part in it. Connects anew by itself; raises Unreachable when it cannot."""

    def __init__(self, dsn: SecretStr, run: StoredRun) -> None:
        self.run = run
        self._dsn = dsn
        self._lock = threading.Lock()
        self._connection: PostgresConnection | None = None
        self._leases: set[str] = set()
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="verify-leases", daemon=True)
        self._keeper.start()

    @staticmethod
    def new(dsn: SecretStr, name: str, mode: str, options: Mapping[str, Any]) -> StoredLedger:
        """Enter a run of the migration `name` that begins now."""
        with closing(connect_store(dsn, application="crossfade verify")) as connection, translated("control store"):
            prepare_control(connection)
            number, _ = verify_runs.begin_run(connection, name, mode, options)
            verify_chunks.forget(connection, name, KEPT_LEDGERS)
            run = verify_runs.run_of(connection, name, number)
        assert run is not None
        return StoredLedger(dsn, run)

    @staticmethod
    def again(dsn: SecretStr, name: str, run: StoredRun) -> StoredLedger:
        """Take part in a run that is not finished: what it did not decide is taken up again.

        A run that another process works on is shared with it. Raises UsageError when it is finished.
        """
        with closing(connect_store(dsn, application="crossfade verify")) as connection, translated("control store"):
            prepare_control(connection)
            moved = verify_runs.move_run(connection, run.id, "running", among=("running", "stopping", "stopped"))
            if not moved:
                raise UsageError(f"run {run.id} is finished", hint="Begin another one: crossfade verify")
            if run.state != "running":
                verify_chunks.reopen(connection, run.id)
        return StoredLedger(dsn, run)

    @property
    def started_at(self) -> datetime:
        """See `Ledger`."""
        return self.run.started_at

    def close(self) -> None:
        """End the leases' keeper and the connection."""
        self._ended.set()
        self._keeper.join()
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def entries(self) -> list[Entry]:
        """See `Ledger`."""
        rows = self._do(lambda connection: verify_chunks.results(connection, self.run.id))
        return [
            Entry(Chunk(plan_id, Span.of(span), estimate), None if result is None else table_of(result))
            for plan_id, span, estimate, result in rows
        ]

    def begin(self, chunks: Sequence[Chunk]) -> None:
        """See `Ledger`."""

        def enter(connection: PostgresConnection) -> None:
            with connection.transaction():
                verify_chunks.add(
                    connection, self.run.id, [(chunk.plan_id, chunk.span.document(), chunk.rows) for chunk in chunks]
                )

        self._do(enter)

    def take(self) -> Task | None:
        """See `Ledger`."""
        lease = uuid.uuid4().hex
        found = self._do(lambda connection: verify_chunks.take(connection, self.run.id, lease, LEASE_S))
        if found is None:
            return None
        with self._lock:
            self._leases.add(lease)
        chunk = Chunk(found.plan_id, Span.of(found.span), found.rows)
        return Task(found.number, chunk, found.attempts, found.taken_at, lease)

    def open(self) -> bool:
        """See `Ledger`."""

        def asked(connection: PostgresConnection) -> bool:
            count = verify_chunks.count(connection, self.run.id)
            return count.done < count.chunks and verify_runs.state_of(connection, self.run.id) == "running"

        return self._do(asked)

    def found(self, plan_id: str) -> int:
        """See `Ledger`."""
        return self._do(lambda connection: verify_chunks.found(connection, self.run.id, plan_id))

    def done(self, task: Task, verdict: TableVerdict) -> None:
        """See `Ledger`."""
        rows = max(verdict.source_rows or 0, verdict.target_rows or 0) or task.chunk.rows
        document = table_document(verdict)
        self._do(
            lambda connection: verify_chunks.finish(connection, self.run.id, task.number, task.lease, rows, document)
        )
        self._let_go(task)

    def give_back(self, task: Task) -> None:
        """See `Ledger`."""
        self._do(lambda connection: verify_chunks.release(connection, self.run.id, task.number, task.lease))
        self._let_go(task)

    def split(self, task: Task, halves: tuple[Span, Span]) -> None:
        """See `Ledger`."""
        documents = (halves[0].document(), halves[1].document())
        self._do(lambda connection: verify_chunks.split(connection, self.run.id, task.number, task.lease, documents))
        self._let_go(task)

    def _let_go(self, task: Task) -> None:
        with self._lock:
            self._leases.discard(task.lease)

    def _do(self, work: Callable[[PostgresConnection], Result]) -> Result:
        """Work on the one connection; once more on a new one when it was lost."""
        with self._lock:
            for last in (False, True):
                try:
                    if self._connection is None or self._connection.closed:
                        self._connection = connect_store(self._dsn, application="crossfade verify")
                    with translated("control store"):
                        return work(self._connection)
                except CrossfadeError as error:
                    if last or not error.transient:
                        raise
                    if self._connection is not None:
                        self._connection.close()
        raise AssertionError("unreachable")

    def _keep(self) -> None:
        while not self._ended.wait(LEASE_S / 3):
            with self._lock:
                leases = list(self._leases)
            try:
                if leases:
                    self._extend(leases)
            except CrossfadeError as error:
                # The next chunk will say so too; until the lease ends nobody takes ours.
                log.warning("leases_not_extended", error=str(error))

    def _extend(self, leases: Sequence[str]) -> None:
        self._do(lambda connection: verify_chunks.extend(connection, self.run.id, leases, LEASE_S))
