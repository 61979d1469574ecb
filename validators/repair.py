"""Mends rows that a verification found to differ: each is read from the source anew, at the store's own position.

The frame is that of the snapshot: the checkpoint row is held (so that the store stands still at T), T is proven visible
to the source's reads, the rows are read, and a row is written only when the relay shows no change of it between T and
the end of the binlog after the read. It is then exactly the row that belongs to T; what follows is the applier's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import psycopg

from config.settings import Settings
from model.errors import ApplyError, Busy, CrossfadeError, ValueRefused
from model.rows import Row
from model.tables import TableDef, TableId
from stores.control import checkpoints
from stores.control.checkpoints import Checkpoint
from stores.control.verify_runs import StoredFinding
from stores.errors import translated
from stores.mysql import ServerInfo
from sync.mysql.visibility import Reading
from sync.postgres.statements import PlanStatements
from transforms.plan import MigrationPlan, TablePlan
from validators.canonical.record import CanonicalRow, RecordForm
from validators.computed_verdict import LOOKUP, READ_MODEL
from validators.findings import Mode, TableVerdict
from validators.invariant_check import PREFIX
from validators.row_check import RowCheck, disclosed
from validators.spans import Span
from validators.table_access import TableAccess
from validators.table_check import TableCheck

BATCH_KEYS: Final = 200
PAUSE_S: Final = 0.2
RELAY_WAIT_S: Final = 5.0

Values = Mapping[str, str | None]


class Action(StrEnum):
    """What becomes of a row."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    NONE = "none"
    """It is right already."""
    LEFT = "left"
    """It was not mended; `why` says why."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """One finding and what was done about it."""

    finding: StoredFinding
    action: Action
    statement: str = ""
    """The SQL, for people."""
    before: Values | None = None
    after: Values | None = None
    seq: int = 0
    why: str = ""
    proven: bool = False
    """Whether the row was compared again afterwards and is equal."""


Journal = Callable[[Repaired], None]


@dataclass(frozen=True, slots=True)
class _Pending:
    key: CanonicalRow
    finding: StoredFinding


class Repair:
    """Repairs of one migration."""

    def __init__(
        self,
        settings: Settings,
        info: ServerInfo,
        tables: Mapping[TableId, TableDef],
        plan: MigrationPlan,
        stop: threading.Event,
        *,
        deadline_s: float,
        dry_run: bool,
        journal: Journal,
    ) -> None:
        """`journal` is called for each row right after the transaction that mended it."""
        self._access = TableAccess(settings, info, tables, plan, stop)
        self._stream = settings.name
        self._plans = {item.id: item for item in plan.plans}
        self._deadline_s = deadline_s
        self._dry_run = dry_run
        self._journal = journal

    def compare(self, plan: TablePlan, span: Span) -> TableVerdict:
        """Look for what differs in a span now. Raises what the servers raise."""
        form = RecordForm.of(plan)
        with self._access.opened(
            plan, form, self._access.store(plan.target.store), self._deadline_s, push=True
        ) as check:
            return check.run(Mode.CHECKSUM if check.source.pushed else Mode.ROWS, span)

    def run(self, findings: Sequence[StoredFinding]) -> list[Repaired]:
        """Mend the rows of these findings. Raises what the servers raise."""
        done: list[Repaired] = []
        for plan_id in dict.fromkeys(finding.plan_id for finding in findings):
            chosen = [finding for finding in findings if finding.plan_id == plan_id]
            plan = self._plans.get(plan_id)
            if plan_id.startswith(PREFIX):
                done += [_left(finding, "an invariant has no rows to mend; mend the tables") for finding in chosen]
            elif plan_id.startswith(READ_MODEL):
                name = plan_id.rpartition(".")[2]
                done += [_left(one, f"a read model is made anew: crossfade readmodel rebuild {name}") for one in chosen]
            elif plan_id.startswith(LOOKUP):
                name = ".".join(plan_id.rsplit(".", 2)[1:])
                done += [_left(one, f"the store looks it up: crossfade readmodel rebuild {name}") for one in chosen]
            elif plan is None:
                done += [_left(finding, "the configuration has no such table any more") for finding in chosen]
            elif not plan.key:
                done += [_left(finding, "the table has no key; copy it anew") for finding in chosen]
            else:
                done += self._table(plan, chosen)
        return done

    def _table(self, plan: TablePlan, findings: Sequence[StoredFinding]) -> list[Repaired]:
        form = RecordForm.of(plan)
        names = [form.names[index] for index in form.key]
        pending = [
            _Pending(tuple(_bytes(finding.key.get(name)) for name in names), finding)
            for finding in findings
            if set(finding.key) == set(names)
        ]
        done = [_left(f, "the key of the table is another one by now") for f in findings if set(f.key) != set(names)]
        store = self._access.store(plan.target.store)
        with self._access.opened(plan, form, store, self._deadline_s, push=False) as check:
            statements = PlanStatements(plan, 0)
            why = ""
            while pending:
                left: list[_Pending] = []
                for start in range(0, len(pending), BATCH_KEYS):
                    batch = pending[start : start + BATCH_KEYS]
                    try:
                        mended, again, why = self._batch(check, statements, batch)
                    except Busy as error:
                        mended, again, why = [], batch, str(error)
                    done += mended
                    left += again
                pending = left
                if not pending or check.alignment.expired:
                    break
                check.alignment.pause(PAUSE_S)
            done += [_left(item.finding, why or "the deadline passed") for item in pending]
            return self._proven(check, done)

    def _batch(
        self, check: TableCheck, statements: PlanStatements, batch: Sequence[_Pending]
    ) -> tuple[list[Repaired], list[_Pending], str]:
        """One transaction: rows that were mended, rows that must be tried again, and why."""
        alignment, keys = check.alignment, [item.key for item in batch]
        mended: list[Repaired] = []
        with translated(f"store {check.plan.target.store}"), check.target.connection.transaction():
            if not self._dry_run:
                alignment.hold()
                # Like the applier: no trigger fires, a cutover's gate among them, and no reverse stream sends it back.
                check.target.connection.execute("SET LOCAL session_replication_role = replica")
                checkpoints.touch(check.target.connection, self._stream)
            low = alignment.low()
            if low is None:
                return [], list(batch), "the store has no checkpoint"
            checkpoint, reading = low
            rows = check.source.find(keys, locking=reading is Reading.LOCKING)
            late = alignment.wait_relay(alignment.high(), checkpoint, RELAY_WAIT_S)
            if late:
                return [], list(batch), late
            tail = check.changes.relay.tail
            upto = max(checkpoint.seq, tail.seq if tail is not None else 0)
            touched = check.changes.between(check.plan, check.form, checkpoint.seq, upto)
            found = check.target.lookup(keys)
            again = [item for item in batch if item.key in touched]
            for item in batch:
                if item.key not in touched:
                    mended.append(
                        self._row(check, statements, item, rows.get(item.key, []), found.get(item.key, []), checkpoint)
                    )
        if not self._dry_run:
            for repaired in mended:
                self._journal(repaired)
        return mended, again, touched.unknown or "the rows change all the time"

    def _row(
        self,
        check: TableCheck,
        statements: PlanStatements,
        item: _Pending,
        rows: Sequence[Row],
        found: Sequence[CanonicalRow],
        checkpoint: Checkpoint,
    ) -> Repaired:
        form = check.form
        expected = [check.source.canonical(row) for row in rows]
        if len(expected) > 1 or len(found) > 1:
            return _left(item.finding, "the key is there more than once; the store's primary key is missing")
        before = _values(form, found[0]) if found else None
        after = _values(form, expected[0]) if expected else None
        if len(expected) == len(found) and (not expected or form.same(expected[0], found[0])):
            return Repaired(item.finding, Action.NONE, "", before, after, checkpoint.seq)
        try:
            if expected:
                fields = check.plan.project(rows[0])
                action = Action.UPDATE if found else Action.INSERT
                statement: Any = statements.upsert(statements.every)
                values = [_text(field) for field in fields]
            else:
                action, statement = Action.DELETE, statements.delete
                values = [_given(check.plan, position, value) for position, value in enumerate(item.key)]
            shown_sql = psycopg.ClientCursor(check.target.connection).mogrify(statement, values)
            if not self._dry_run:
                with translated("store"), check.target.connection.transaction():
                    check.target.connection.execute(statement, values)
        except ValueRefused as error:
            return _left(item.finding, f"no store can hold the row: {error.message}")
        except ApplyError as error:
            return _left(item.finding, str(error))
        return Repaired(item.finding, action, shown_sql, before, after, checkpoint.seq)

    def _proven(self, check: TableCheck, done: list[Repaired]) -> list[Repaired]:
        """The same, with what a comparison after the repair says."""
        names = [check.form.names[index] for index in check.form.key]
        mended = {
            tuple(_bytes(item.finding.key.get(name)) for name in names): item
            for item in done
            if item.action is not Action.LEFT
        }
        if self._dry_run or not mended:
            return done
        rows = RowCheck(check.source, check.target, check.form, check.alignment, check.changes, len(mended) + 1)
        try:
            result = rows.run(list(mended))
        except CrossfadeError as error:
            return [item if item.action is Action.LEFT else _because(item, str(error)) for item in done]
        open_keys = {tuple(_bytes(value) for _, value in finding.key) for finding in result.findings}
        open_keys |= set(result.unresolved)
        proven = {id(item) for key, item in mended.items() if key not in open_keys}
        return [_with_proof(item) if id(item) in proven else item for item in done]


def _with_proof(item: Repaired) -> Repaired:
    return Repaired(item.finding, item.action, item.statement, item.before, item.after, item.seq, item.why, proven=True)


def _because(item: Repaired, why: str) -> Repaired:
    return Repaired(item.finding, item.action, item.statement, item.before, item.after, item.seq, why)


def _left(finding: StoredFinding, why: str) -> Repaired:
    return Repaired(finding, Action.LEFT, why=why)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _text(field: object) -> str | None:
    return field.decode() if isinstance(field, bytes) else None


def _given(plan: TablePlan, position: int, value: bytes | None) -> str | None:
    """A canonical key value in the form that PostgreSQL reads."""
    kind = plan.columns[plan.key[position]].target.type
    return None if value is None else ("\\x" if kind == "bytea" else "") + value.decode()


def _values(form: RecordForm, row: CanonicalRow) -> Values:
    return {name: disclosed(form, index, row) for index, name in enumerate(form.names)}
