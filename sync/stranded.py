"""Reads what a store committed and the source has not got, without confirming any of it: whole transactions in order.

For counting what a rollback now would leave behind, and for writing it down before somebody accepts that. The slot must
not be read by anybody else meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr

from model.errors import CrossfadeError, TimedOut
from model.rows import Op
from stores.control.names import SCHEMA
from stores.mysql import ServerInfo
from sync.mysql.reverse_statements import ReverseStatements
from sync.postgres import slots
from sync.postgres.changes import Keepalive, SlotReader
from sync.postgres.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    Lsn,
    Message,
    Relation,
    Truncate,
    Update,
    Values,
    lsn_text,
)
from sync.reverse_rows import RelationBinding, SourceChange
from transforms.reverse import ReversePlan

SILENCE_S: Final = 60.0
"""No message for so long though the end was not reached."""
_FOLLOWS: Final = "a side table has no part of the source's rows but their key: nothing of it goes back"


@dataclass(frozen=True, slots=True)
class StrandedChange:
    """One change of one row, as the store has it and as the source would take it."""

    op: str
    """insert, update, delete, truncate; clear: what the insert after it takes the place of, a row marked as deleted."""
    table: str
    """`schema.table` in the store."""
    source: str
    """`database.table` in the source; "" for a table that the plan does not know."""
    old: Mapping[str, str | None] | None
    """The whole row before, by the store's column names, in PostgreSQL's text."""
    new: Mapping[str, str | None] | None
    statement: str | None
    """What brings it about on the source, None when the source cannot hold it."""
    refused: str = ""
    """Why there is no statement."""


@dataclass(frozen=True, slots=True)
class StrandedTransaction:
    """One transaction of the store; `lsn` is its end, as text, `committed_s` epoch seconds."""

    store: str
    lsn: str
    xid: int
    committed_s: float
    changes: tuple[StrandedChange, ...]
    found_by: str = "log"
    """log, or comparison: one row that differs, for the log was lost. There `lsn` is the end of all, xid and time are
    0, and `old` is what the source has, as the copy would write it."""

    @property
    def rows(self) -> int:
        """Changes of rows that an application made."""
        return sum(change.op != "clear" for change in self.changes)


@dataclass(slots=True)
class StrandedReader:
    """One store's slot, read from `after` on up to `until`. For one thread; use `transactions` once."""

    dsn: SecretStr
    store: str
    slot: str
    plans: Iterable[ReversePlan]
    info: ServerInfo
    after: Lsn
    """What the source has: its progress row."""
    until: Lsn
    """A boundary message written after the last change that counts."""
    _plans: dict[tuple[str, str], list[ReversePlan]] = field(default_factory=dict)
    _statements: dict[str, ReverseStatements] = field(default_factory=dict)
    _relations: dict[int, Relation] = field(default_factory=dict)
    _bindings: dict[int, RelationBinding | None] = field(default_factory=dict)
    _marks: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        for plan in self.plans:
            self._plans.setdefault((plan.plan.target.schema, plan.plan.target.name), []).append(plan)

    def transactions(self, stop: threading.Event) -> Iterator[StrandedTransaction]:
        """Every transaction of others. Raises ConnectionLost, SlotUnusable, TimedOut; SlotUnusable when WAL is gone."""
        with contextlib.closing(SlotReader(self.dsn, self.slot, self.slot, self.after)) as reader:
            began: Begin | None = None
            changes: list[StrandedChange] = []
            ours = False
            heard = time.monotonic()
            for found in reader.messages(stop):
                if found is None:
                    if time.monotonic() - heard > SILENCE_S:
                        raise TimedOut(f"store {self.store} did not show {lsn_text(self.until)}", slot=self.slot)
                    continue
                if isinstance(found, Keepalive):
                    if began is None and found.wal_end >= self.until:
                        return
                    continue
                heard = time.monotonic()
                message = found[1]
                if isinstance(message, Begin):
                    began, changes, ours = message, [], False
                elif isinstance(message, Commit):
                    assert began is not None
                    if changes and not ours and message.commit_lsn >= self.after:
                        yield StrandedTransaction(
                            self.store, lsn_text(message.end_lsn), began.xid, message.commit_time, tuple(changes)
                        )
                    began = None
                    if message.end_lsn >= self.until:
                        return
                elif isinstance(message, Relation):
                    self._bind(message)
                elif isinstance(message, Insert | Update | Delete) and message.relation in self._marks:
                    ours = True
                else:
                    changes += self._changes(message)

    def _bind(self, relation: Relation) -> None:
        self._relations[relation.oid] = relation
        self._marks.discard(relation.oid)
        self._bindings.pop(relation.oid, None)
        if relation.schema == SCHEMA and relation.table in slots.MARK_TABLES:
            self._marks.add(relation.oid)
            return
        plans = self._plans.get((relation.schema, relation.table))
        with contextlib.suppress(CrossfadeError):  # a table that has changed: its rows are told, without a statement
            self._bindings[relation.oid] = RelationBinding(relation, plans) if plans is not None else None

    def _changes(self, message: Message) -> Iterator[StrandedChange]:
        if isinstance(message, Truncate):
            for oid in message.relations:
                if oid in self._relations and oid not in self._marks:
                    yield from self._emptied(oid)
        elif isinstance(message, Insert):
            yield from self._told("insert", None, message.new, message)
        elif isinstance(message, Update):
            new = message.new
            if message.old is not None and message.whole:
                new = tuple(was if now is UNCHANGED else now for was, now in zip(message.old, new, strict=True))
            yield from self._told("update", message.old, new, message)
        elif isinstance(message, Delete):
            yield from self._told("delete", message.old, None, message)

    def _told(
        self, op: str, old: Values | None, new: Values | None, message: Insert | Update | Delete
    ) -> Iterator[StrandedChange]:
        """The change of a row; two when it moves from one source table to another."""
        relation = self._relations[message.relation]
        binding = self._bindings.get(message.relation)
        table, before, after = f"{relation.schema}.{relation.table}", named(relation, old), named(relation, new)
        if binding is None:
            yield StrandedChange(op, table, "", before, after, None, "the plan does not know the table")
            return
        try:
            changes = binding.changes(message)
            told = [(change, self._statement(change)) for change in changes]
        except CrossfadeError as error:
            source = str(binding.tables[0].plan.source.id) if len(binding.tables) == 1 else ""
            yield StrandedChange(op, table, source, before, after, None, str(error))
            return
        for change, statement in told:
            if change.plan.follows:
                yield StrandedChange(op, table, str(change.plan.source.id), before, after, None, _FOLLOWS)
                continue
            yield from cleared(self._sql(change.plan), change, table)
            yield StrandedChange(
                str(change.op), table, str(change.plan.source.id), None if change.op is Op.INSERT else before,
                None if change.op is Op.DELETE else after, statement.decode(),
            )  # fmt: skip

    def _emptied(self, oid: int) -> Iterator[StrandedChange]:
        relation, binding = self._relations[oid], self._bindings.get(oid)
        table = f"{relation.schema}.{relation.table}"
        if binding is None:
            yield StrandedChange("truncate", table, "", None, None, None, "the plan does not know the table")
            return
        for plan in (one.plan for one in binding.tables):
            # Of rows that other tables have parts of it is not known which go.
            statement = None if plan.shared else self._sql(plan).delete_all().decode()
            refused = "its rows are shared with other tables of the stores" if plan.shared else ""
            refused = _FOLLOWS if plan.follows else refused
            yield StrandedChange("truncate", table, str(plan.source.id), None, None, statement, refused)

    def _statement(self, change: SourceChange) -> bytes:
        return wording(self._sql(change.plan), change)

    def _sql(self, plan: ReversePlan) -> ReverseStatements:
        found = self._statements.get(plan.id)
        if found is None:
            found = self._statements[plan.id] = ReverseStatements(plan, self.info)
        return found


def wording(sql: ReverseStatements, change: SourceChange) -> bytes:
    """The statement that brings a change of one row to the source. Raises ValueRefused."""
    if change.op is Op.INSERT:
        assert change.new is not None
        return sql.insert([sql.values(change.new)])
    if change.op is Op.UPDATE:
        assert change.old is not None and change.new is not None
        return sql.update(change.old, change.new, change.changed)
    assert change.old is not None
    return sql.delete(change.old)


def cleared(sql: ReverseStatements, change: SourceChange, table: str) -> Iterator[StrandedChange]:
    """What makes room for an INSERT where a row that is marked as deleted may have its key."""
    if change.op is Op.INSERT and sql.clears:
        assert change.new is not None
        yield StrandedChange("clear", table, str(change.plan.source.id), None, None, sql.clear(change.new).decode())


def named(relation: Relation, values: Values | None) -> dict[str, str | None] | None:
    """A row of the store by its columns' names, values that were not sent left out."""
    if values is None:
        return None
    return {
        column.name: value.decode() if isinstance(value, bytes) else None
        for column, value in zip(relation.columns, values, strict=True)
        if value is not UNCHANGED
    }
