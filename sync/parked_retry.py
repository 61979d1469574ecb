"""Applies parked changes of a key again, in order, as one: all of them get into the store, or none.

A change that is still refused is passed over when a later parked change of the same row replaces what it wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from model.errors import ApplyError, ValueRefused
from model.rows import ABSENT, Op, Row, RowChange
from stores.control.quarantine import Parked
from sync.fold import Segment
from sync.parked_rows import Key, from_payload, overlaid, require_text, row_key
from sync.parking import parked_keys
from sync.postgres.apply import StoreWriter
from sync.routing import PlanRouter, TargetChange
from transforms.plan import TablePlan


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of the parked changes of one key, and of the keys that its rows moved to or came from."""

    plan_id: str
    key: tuple[str | None, ...]
    ids: tuple[int, ...]
    error: str | None = None
    """Why they are still parked."""


def families(plan: TablePlan, rows: Iterable[Parked]) -> list[list[Parked]]:
    """Rows of one plan, split so that no two groups share a key; each group in the order of the stream."""
    groups: list[tuple[set[Key], list[Parked]]] = []
    for row in sorted(rows, key=lambda row: row.id):
        keys, members = parked_keys(plan, row), [row]
        apart = []
        for group in groups:
            if group[0].isdisjoint(keys):
                apart.append(group)
            else:
                keys |= group[0]
                members = group[1] + members
        groups = [*apart, (keys, members)]
    return [sorted(members, key=lambda row: row.id) for _, members in groups]


def targets_of(plan: TablePlan, changes: Iterable[RowChange]) -> list[TargetChange]:
    """Changes of target rows that have the effect of `changes`. Raises ValueRefused for a value that stays refused."""
    return _Replay(plan).run(changes)


def apply_family(writer: StoreWriter, plan: TablePlan, rows: Sequence[Parked]) -> Retried:
    """Apply one family in the open transaction. A refusal is an answer, not an error; nothing is written then."""
    ids = tuple(row.id for row in rows)
    try:
        with writer.savepoint():
            segment = Segment(writer.lookup)
            for target in targets_of(plan, [from_payload(plan, Op(row.op), row.payload) for row in rows]):
                segment.add(target)
            if len(segment):
                writer.apply(segment)
    except ApplyError as error:
        return Retried(plan.id, tuple(rows[0].key), ids, str(error))
    return Retried(plan.id, tuple(rows[0].key), ids)


class _Replay:
    def __init__(self, plan: TablePlan) -> None:
        self._plan = plan
        self._router = PlanRouter(plan)
        self._images: dict[Key, Row] = {}
        self._refused: dict[Key, ValueRefused] = {}
        self._inserted: dict[Key, TargetChange] = {}
        """Of a table without a key: rows that only an insert of this run brings."""
        self._found: list[TargetChange] = []

    def run(self, changes: Iterable[RowChange]) -> list[TargetChange]:
        for change in changes:
            self._one(change)
        for error in self._refused.values():
            raise error
        return self._found

    def _route(self, change: RowChange) -> TargetChange | None:
        require_text(self._plan, change)
        return self._router.route(change)

    def _one(self, change: RowChange) -> None:
        old = row_key(self._plan, change.before) if change.before is not None else None
        after = change.after
        if after is not None and ABSENT in after and old in self._images:
            # A partial image on top of a row that never got into the store.
            after = overlaid(self._images[old], after)
        base = change.before
        new = None
        if after is not None:
            new = row_key(self._plan, overlaid(base, after) if base is not None else after)
        replaced = self._refused.pop(old, None) if old is not None else None
        if old is not None:
            self._images.pop(old, None)
        if new is not None and after is not None:
            self._images[new] = after
        if replaced is None and not self._plan.key and old in self._inserted:
            # An insert of this very row waits before it: the two make one.
            self._found.remove(self._inserted.pop(old))
            if after is None:
                return
            change, base = RowChange(Op.INSERT, change.table, None, after), None
        if replaced is not None:
            self._replace(change, after, old, new, replaced)
            return
        try:
            target = self._route(RowChange(change.op, change.table, base, after))
        except ValueRefused as error:
            if new is None:
                raise
            self._refused[new] = error
            if old is not None and old != new:
                self._leave(change, after, error)
            return
        if target is not None:
            self._found.append(target)
            if not self._plan.key and change.op is Op.INSERT and new is not None:
                self._inserted[new] = target

    def _replace(
        self, change: RowChange, after: Row | None, old: Key | None, new: Key | None, error: ValueRefused
    ) -> None:
        """A change of a row whose last image was refused: what was there before that image may still be stored."""
        if after is None or new is None:
            self._remove(change)
            return
        if ABSENT in after:
            # Only what changed is known: it can go on top of the stored row, if there is one, but not replace it.
            target = self._route(RowChange(change.op, change.table, change.before, after))
            if target is not None:
                self._found.append(target)
            return
        try:
            target = self._route(RowChange(Op.INSERT, change.table, None, after))
        except ValueRefused as again:
            self._refused[new] = again
            target = None
        if old != new or target is None:
            self._remove(change)
        if target is not None:
            self._found.append(target)

    def _leave(self, change: RowChange, after: Row | None, error: ValueRefused) -> None:
        """A refused change moved the row: its old key goes, which is only right when the whole new row is known."""
        if after is None or ABSENT in after:
            raise error
        self._remove(change)

    def _remove(self, change: RowChange) -> None:
        if not self._plan.key or change.before is None:
            return  # a row of a keyless table whose image was refused is not in the store
        try:
            target = self._route(RowChange(Op.DELETE, change.table, change.before, None))
        except ValueRefused:
            return  # nor is a row whose key was refused
        if target is not None:
            self._found.append(target)
