"""Writes folded segments, cascades, table states and the checkpoint into one store, in one PostgreSQL transaction.

A writer belongs to one connection. After any error the connection is closed and the writer is thrown away: the next
one reads the checkpoint row anew (exactly once rests on the row, never on memory).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain

import psycopg
import structlog
from psycopg.adapt import Dumper
from psycopg.pq import Format

from model.errors import AccessDenied, ApplyError, ConnectionLost, Refused, ValueRefused
from model.position import Position
from model.rows import ABSENT, Field, Op, Row
from stores.control import checkpoints, ddl_log, leaks, table_states
from stores.control.checkpoints import Checkpoint
from stores.control.ddl_log import DdlEntry
from stores.control.leaks import Leak
from stores.control.table_states import TableState
from stores.errors import translated
from stores.postgres import PostgresConnection
from sync.cascades import CascadeGraph, Trigger
from sync.fold import Fate, PlanFold, Segment, in_fields
from sync.line_fold import LineFold, prefixed
from sync.parking import Parking
from sync.postgres.cascading import run_triggers
from sync.postgres.row_array import RowArrays, arrays_of_lines, arrays_of_values
from sync.postgres.stages import Stages
from sync.postgres.staging import copy_blocks, copy_field
from sync.postgres.statements import Mask, PlanStatements
from sync.routing import TargetChange
from transforms.plan import TablePlan

log = structlog.get_logger(__name__)

ARRAY_ROWS = 3
"""From this many rows of one plan in a segment on, a statement with an array of them is cheaper than one for each."""
STAGE_ROWS = 2_000
"""From this many rows on, they go by COPY into staging: an array has to be whole in memory on both sides. (It costs the
servers no more: by processor time an array takes two thirds of staging at any number of rows of five columns.)"""
FRESH_ROWS = 200
"""From this many new rows on, a COPY of their own is cheaper than a place in an array or in staging."""
STAGE_BYTES = 1 << 18
"""From this many bytes on, fewer rows are staged, and fewer new ones are copied."""
_WHOLE_READS = "enable_hashjoin", "enable_mergejoin"
"""Ways to join that read the whole target table."""


class _TextForm(Dumper):
    """Sends bytes as a text parameter whose type PostgreSQL infers from where it stands."""

    format = Format.TEXT
    oid = 0

    def dump(self, obj: bytes) -> bytes:
        return obj


@dataclass(frozen=True, slots=True)
class _Ways:
    """The parts of a segment by the way they are written. A plan may be in two of them."""

    new: list[LineFold] = field(default_factory=list)
    """The fresh lines of these go by COPY into the table, the others by another way."""
    staged_lines: list[LineFold] = field(default_factory=list)
    staged: list[PlanFold] = field(default_factory=list)
    arrays: list[RowArrays] = field(default_factory=list)
    single: list[PlanFold] = field(default_factory=list)
    partial: list[PlanFold] = field(default_factory=list)
    """Rows without some columns of plans that are staged or in arrays."""
    ordered: list[PlanFold] = field(default_factory=list)
    """Plans without a key."""


class StoreWriter:
    """One store's open connection, its checkpoint as last read or written, and the statements of its plans."""

    def __init__(self, connection: PostgresConnection, store: str, checkpoint: Checkpoint, graph: CascadeGraph) -> None:
        self.connection = connection
        self.store = store
        self.checkpoint = checkpoint
        self._where = f"store {store}"
        self._graph = graph
        self._statements: dict[str, PlanStatements] = {}
        self._stages = Stages(connection)
        self._open = self._marked = False
        connection.adapters.register_dumper(bytes, _TextForm)
        connection.prepare_threshold = 2
        connection.prepared_max = 2000

    def prepare_session(self) -> None:
        """Session settings of the apply path. Raises Refused when triggers and foreign keys cannot be switched off."""
        with translated(self._where):
            self.connection.execute("SET lock_timeout = '10s'")
            try:
                # Triggers of the target must not fire (their rows come in the stream), nor its own cascades.
                self.connection.execute("SET session_replication_role = replica")
            except psycopg.errors.InsufficientPrivilege as error:
                role = self.connection.info.user
                raise Refused(
                    f"{self._where}: role {role} may not set session_replication_role",
                    hint=f'As a superuser: GRANT SET ON PARAMETER session_replication_role TO "{role}"',
                ) from error

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._open

    def begin(self) -> None:
        """Open the transaction unless it is open."""
        if not self._open:
            with translated(self._where):
                self.connection.execute("BEGIN")
            self._open = True

    def close(self) -> None:
        """Drop the connection, and with it an open transaction."""
        self._open = self._marked = False
        self.connection.close()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What is written inside is undone when it raises ApplyError; the transaction goes on. Opens it."""
        mark = self._stages.mark()
        # The savepoint before is let go with the next, and the last one by COMMIT: round trips cost more than they do.
        before = "RELEASE SAVEPOINT crossfade_part; " if self._marked else "" if self._open else "BEGIN; "
        with translated(self._where):
            self.connection.execute(f"{before}SAVEPOINT crossfade_part".encode())
        self._open = self._marked = True
        try:
            yield
        except ApplyError:
            with translated(self._where):
                self.connection.execute("ROLLBACK TO SAVEPOINT crossfade_part")
            self._stages.back(mark)
            raise

    def lookup(self, plan: TablePlan, key: Row) -> Row | None:
        """The row of a key as the store has it now, as text forms."""
        self.begin()
        with translated(self._where):
            row = self.connection.execute(self._of(plan).fetch, key).fetchone()
        return tuple(None if field is None else field.encode() for field in row) if row else None

    def apply(
        self,
        segment: Segment,
        triggers: Sequence[Trigger] = (),
        reach: frozenset[str] | None = None,
        exact: Callable[[str], bool] = lambda plan_id: False,
    ) -> None:
        """Write a segment: every delete, then every insert and update; then the cascades. Opens the transaction.

        `reach`: plans that cascades may change; None: all. `exact`: whether a plan's table is known to hold what the
        source held, so that rows which the source inserted are new to it.
        """
        self.begin()
        ways = self._ways(segment, exact)
        with translated(self._where):
            for fold in ways.staged:
                self._stage(fold)
            staged = [fold for fold in ways.staged_lines if self._stage_lines(fold, with_fresh=fold not in ways.new)]
            with self.connection.pipeline(), self.connection.cursor() as cursor:
                for rows in ways.arrays:
                    if rows.gone or rows.written:
                        self._stages.have_row_type(self._of(rows.plan))
                self._delete_sets(
                    cursor,
                    [*(fold.plan for fold in ways.staged), *(fold.plan for fold in staged if fold.gone or fold.moved)],
                    [rows for rows in ways.arrays if rows.gone],
                )
                for fold in ways.single:
                    self._delete_small(cursor, fold)
                for fold in ways.staged:
                    cursor.execute(self._of(fold.plan).upsert_staged)
                for lines in staged:
                    cursor.execute(self._of(lines.plan).upsert_staged)
                for rows in ways.arrays:
                    if rows.written:
                        cursor.execute(self._of(rows.plan).upsert_array, (rows.written,))
                for fold in ways.single:
                    self._write_small(cursor, fold)
                for fold in ways.partial:
                    self._write_partial(cursor, fold)
            for lines in ways.new:
                self._copy_fresh(lines)
            for fold in ways.ordered:
                self._write_ordered(fold)
            if triggers:
                run_triggers(self.connection, self._graph, triggers, reach)

    def hold_fence(self) -> None:
        """For transactions that do not move the checkpoint. Raises Fenced."""
        self.begin()
        with translated(self._where):
            checkpoints.hold_fence(self.connection, self.checkpoint.stream, self.checkpoint.fence)

    def save_state(self, state: TableState) -> None:
        """Write a table's state in the open transaction."""
        self.begin()
        with translated(self._where):
            table_states.save(self.connection, self.checkpoint.stream, state)

    def load_state(self, plan_id: str) -> TableState | None:
        """A table's state as the store has it, with marks that were made while others held it."""
        self.begin()
        with translated(self._where):
            return table_states.load(self.connection, self.checkpoint.stream).get(plan_id)

    def park(self, parking: Parking) -> Counter[str]:
        """Write what is newly parked into the open transaction; gives the number per plan."""
        self.begin()
        with translated(self._where):
            return parking.write(self.connection)

    def log_ddl(self, entry: DdlEntry) -> None:
        """Record in the open transaction what became of a statement of the source."""
        self.begin()
        with translated(self._where):
            ddl_log.append(self.connection, self.checkpoint.stream, entry)

    def log_leak(self, leak: Leak) -> None:
        """Record in the open transaction what was not applied because its domain is served by the stores."""
        self.begin()
        with translated(self._where):
            leaks.append(self.connection, self.checkpoint.stream, leak)
        log.error("source_leak", domain=leak.domain, table=leak.table, position=leak.position, rows=leak.row_count)

    def run_ddl(self, statements: Iterable[str]) -> None:
        """Run statements that follow a change of the source's definitions in the open transaction.

        Raises ApplyError for one that the store refuses, also because the table is not ours to change.
        """
        self.begin()
        try:
            with translated(self._where):
                for statement in statements:
                    self.connection.execute(statement.encode())
        except AccessDenied as error:
            raise ApplyError(str(error), hint=error.hint) from error

    def clear_sweep(self, plan_id: str) -> None:
        """Take back the mark of a sweep in the open transaction that has swept."""
        self.begin()
        with translated(self._where):
            table_states.clear_sweep(self.connection, self.checkpoint.stream, plan_id)

    def save_applied(self, plan_ids: Iterable[str], seq: int) -> None:
        """Write how far a replay has come in the open transaction."""
        self.begin()
        with translated(self._where):
            table_states.save_applied(self.connection, self.checkpoint.stream, plan_ids, seq)

    def mark_sweep(self, plan_ids: Iterable[str]) -> None:
        """Remember in the open transaction that children of these plans must be swept."""
        self.begin()
        with translated(self._where):
            table_states.mark_sweep(self.connection, self.checkpoint.stream, plan_ids)

    def commit(
        self, seq: int, position: Position, commit_time: float | None, *, rows: int = 0, transactions: int = 0
    ) -> Checkpoint:
        """Move the checkpoint and commit: the last statement is the compare-and-set. Raises Fenced."""
        self.begin()
        with translated(self._where):
            moved = checkpoints.advance(
                self.connection, self.checkpoint, seq, position, commit_time, rows=rows, transactions=transactions
            )
        self.commit_only()
        self.checkpoint = moved
        return moved

    def commit_only(self) -> None:
        """Commit a transaction that holds the fence but leaves the checkpoint where it is."""
        with translated(self._where):
            done = self.connection.execute("COMMIT").statusmessage
        self._open = self._marked = False
        self._stages.committed()
        if done != "COMMIT":
            raise ConnectionLost(f"{self._where} answered {done} to COMMIT")

    @contextmanager
    def aside(self) -> Iterator[PostgresConnection]:
        """The connection outside a transaction, with translated errors, for DDL of table phases."""
        assert not self._open
        with translated(self._where):
            yield self.connection

    def _of(self, plan: TablePlan) -> PlanStatements:
        found = self._statements.get(plan.id)
        if found is None:
            found = self._statements[plan.id] = PlanStatements(plan, len(self._statements))
        return found

    def _ways(self, segment: Segment, exact: Callable[[str], bool]) -> _Ways:
        """How each plan's rows are written, by how many there are and how long."""
        ways = _Ways()
        for lines in segment.lines:
            long = lines.weighs(STAGE_BYTES)
            fresh = len(lines.fresh)
            new = 2 * fresh >= len(lines) and (fresh >= FRESH_ROWS or long) and exact(lines.plan.id)
            if new:
                ways.new.append(lines)
            left = len(lines) - fresh if new else len(lines)
            if long or left >= STAGE_ROWS:
                ways.staged_lines.append(lines)
            elif new or left >= ARRAY_ROWS:
                if left:
                    ways.arrays.append(arrays_of_lines(lines, with_fresh=not new))
            else:
                ways.single.append(in_fields(lines))
        for fold in segment:
            if not fold.plan.key:
                ways.ordered.append(fold)
            elif len(fold.entries) < ARRAY_ROWS:
                ways.single.append(fold)
            else:
                if len(fold.entries) >= STAGE_ROWS or fold.size >= STAGE_BYTES:
                    ways.staged.append(fold)
                else:
                    ways.arrays.append(arrays_of_values(fold))
                ways.partial.append(fold)
        return ways

    def _stage(self, fold: PlanFold) -> None:
        statements = self._of(fold.plan)
        self._stages.open(statements)
        keys: list[Row] = []
        rows: list[Row] = []
        fates = {Fate.DELETE: b"0", Fate.MOVE: b"1", Fate.UPSERT: b"2"}
        for key, folded in fold.entries.items():
            if folded.fate is Fate.PATCH:
                continue
            row = folded.row
            if row is None:
                keys.append((b"0", *key))
            elif ABSENT in row:
                if folded.fate is Fate.MOVE:
                    keys.append((b"0", *key))
            else:
                rows.append((fates[folded.fate], *row))
        self._stages.copy(statements.copy_stage_keys, copy_blocks(keys))
        self._stages.copy(statements.copy_stage, copy_blocks(rows))

    def _stage_lines(self, fold: LineFold, *, with_fresh: bool) -> bool:
        """Put into staging what must not go straight into the table; whether there was any."""
        fresh = fold.fresh.by_key.values() if with_fresh else ()
        if not (fold.gone or fold.moved or fold.kept or fresh):
            return False
        statements = self._of(fold.plan)
        self._stages.open(statements)
        self._stages.copy(statements.copy_stage_keys, prefixed(b"0\t", fold.gone))
        rows = (b"1\t", fold.moved.values()), (b"2\t", fold.kept.values()), (b"2\t", fresh)
        self._stages.copy(statements.copy_stage, chain.from_iterable(prefixed(fate, lines) for fate, lines in rows))
        return True

    def _delete_sets(
        self, cursor: psycopg.Cursor[tuple[object, ...]], staged: Sequence[TablePlan], arrays: Sequence[RowArrays]
    ) -> None:
        if not staged and not arrays:
            return
        # Nothing is known of the size of a set, and a table that is read whole costs more the larger it is.
        for method in _WHOLE_READS:
            cursor.execute(f"SET LOCAL {method} = off".encode())
        for plan in staged:
            cursor.execute(self._of(plan).delete_staged)
        for rows in arrays:
            cursor.execute(self._of(rows.plan).delete_array, (rows.gone,))
        for method in _WHOLE_READS:
            cursor.execute(f"SET LOCAL {method} TO DEFAULT".encode())

    def _copy_fresh(self, fold: LineFold) -> None:
        """COPY new rows straight into the table; should one be there, though it cannot be, go by staging."""
        statements = self._of(fold.plan)
        try:
            with self.connection.transaction():
                self._stages.copy(statements.copy_table, prefixed(b"", fold.fresh.lines))
        except psycopg.errors.UniqueViolation as error:
            log.warning("rows that the source inserted were in the store", table=fold.plan.id, error=str(error))
            self._stage_lines(LineFold(fold.plan, kept=fold.fresh.by_key), with_fresh=False)
            self.connection.execute(statements.upsert_staged)

    def _delete_small(self, cursor: psycopg.Cursor[tuple[object, ...]], fold: PlanFold) -> None:
        keys = [key for key, folded in fold.entries.items() if folded.fate in (Fate.DELETE, Fate.MOVE)]
        if keys:
            cursor.executemany(self._of(fold.plan).delete, [_checked(fold.plan, key) for key in keys])

    def _write_small(self, cursor: psycopg.Cursor[tuple[object, ...]], fold: PlanFold) -> None:
        whole = [
            _checked(fold.plan, folded.row)
            for folded in fold.entries.values()
            if folded.row is not None and folded.fate is not Fate.PATCH and ABSENT not in folded.row
        ]
        statements = self._of(fold.plan)
        if whole:
            cursor.executemany(statements.upsert(statements.every), whole)
        self._write_partial(cursor, fold)

    def _write_partial(self, cursor: psycopg.Cursor[tuple[object, ...]], fold: PlanFold) -> None:
        """Rows that lack columns, grouped by which."""
        groups: dict[tuple[bool, Mask], list[Sequence[Field]]] = {}
        for key, folded in fold.entries.items():
            row = folded.row
            if row is None:
                continue
            if folded.fate is Fate.PATCH:
                mask = tuple(
                    index for index, field in enumerate(row) if field is not ABSENT and index not in fold.plan.key
                )
                if mask:
                    values = [*(row[index] for index in mask), *key]
                    groups.setdefault((True, mask), []).append(_checked(fold.plan, values))
            elif ABSENT in row:
                mask = tuple(index for index, field in enumerate(row) if field is not ABSENT)
                values = [row[index] for index in mask]
                groups.setdefault((False, mask), []).append(_checked(fold.plan, values))
        statements = self._of(fold.plan)
        for (patch, mask), rows in groups.items():
            cursor.executemany(statements.patch(mask) if patch else statements.upsert(mask), rows)

    def _write_ordered(self, fold: PlanFold) -> None:
        """A keyless table: inserts by COPY in runs, updates and deletes one by one, each of exactly one row."""
        statements = self._of(fold.plan)
        run: list[Row] = []
        for change in fold.ordered:
            if change.op is Op.INSERT and change.row is not None and ABSENT not in change.row:
                run.append(change.row)
                continue
            self._copy_in(statements, run)
            self._write_one(statements, change)
        self._copy_in(statements, run)

    def _copy_in(self, statements: PlanStatements, run: list[Row]) -> None:
        if not run:
            return
        with self.connection.cursor() as cursor, cursor.copy(statements.copy_table) as copy:
            for block in copy_blocks(run):
                copy.write(block)
        run.clear()

    def _write_one(self, statements: PlanStatements, change: TargetChange) -> None:
        plan = change.plan
        if change.op is Op.INSERT:
            assert change.row is not None
            mask = tuple(index for index, field in enumerate(change.row) if field is not ABSENT)
            values = [change.row[index] for index in mask]
            self.connection.execute(statements.upsert(mask), _checked(plan, values))
            return
        assert change.before is not None
        if change.op is Op.DELETE:
            done = self.connection.execute(statements.delete_like, _checked(plan, change.before))
        else:
            assert change.row is not None
            done = self.connection.execute(statements.update_like, _checked(plan, [*change.row, *change.before]))
        if done.rowcount != 1:
            raise ApplyError(
                f"a row of the keyless table {plan.source.id} to {change.op} is not in {plan.target}",
                hint="Give the table a key, or copy anew: crossfade start --fresh --confirm NAME",
                plan=plan.id,
                row=b",".join(copy_field(field) for field in change.before).decode(errors="replace")[:500],
            )


def _checked(plan: TablePlan, values: Sequence[Field]) -> Sequence[Field]:
    """The parameters, unless one holds a NUL: the client library would cut the text there without a word."""
    for value in values:
        if isinstance(value, bytes) and b"\0" in value:
            raise ValueRefused(
                "a text with a NUL character cannot be held by PostgreSQL",
                hint="Set `nul_characters: strip` for the column, or mend the row at the source.",
                plan=plan.id,
            )
    return values
