"""Collects routed changes and cascade triggers into segments and writes them in the order the source had.

A segment may hold triggers only of cascades whose reach its own changes do not meet, so that both can be done one after
the other; otherwise it is flushed first. Several segments make one PostgreSQL transaction. A change that is refused is
parked in that transaction, and so is what waits behind it. Commits nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from model.errors import ValueRefused
from model.rows import Op, RowChange
from model.tables import TableId
from stores.control.ddl_log import PASSED, DdlEntry
from stores.control.leaks import Leak
from sync.cascades import CascadeGraph, Edge, Trigger
from sync.changes import EncodedRows, RowsBatch
from sync.fold import Segment
from sync.parked_rows import require_text
from sync.parking import Parking
from sync.postgres.apply import StoreWriter
from sync.routing import PlanRouter, Router, TargetChange
from transforms.plan import TablePlan

BULK_BYTES: Final = 64 << 10
"""An event of so many bytes is worth a flush to be taken without a look at its values."""


@dataclass(frozen=True, slots=True)
class _Added:
    """A change as it went into the segment, to find the one that a store refuses."""

    target: TargetChange
    change: RowChange
    seq: int
    ordinal: int


class _AddedLines(NamedTuple):
    """An event that went into the segment as lines; its changes are decoded when the store refuses one of them."""

    router: PlanRouter
    rows: EncodedRows
    seq: int
    ordinal: int
    """Of its first row."""


_Item = _Added | _AddedLines | Trigger


class ChangeGroup:
    """Changes on their way into one PostgreSQL transaction.

    `active`: the plans that are written in this pass. `exact`: whether a plan is known to hold what the source held;
    cascades through rows of plans that are not mark their children for a sweep.
    """

    def __init__(
        self,
        writer: StoreWriter,
        graph: CascadeGraph,
        active: Iterable[TablePlan],
        exact: Callable[[str], bool],
        *,
        max_rows: int,
        max_bytes: int,
        parking: Parking | None = None,
    ) -> None:
        """Without `parking` a refused change is raised."""
        self._parking = parking
        self._items: list[_Item] = []
        self._ordinal = 0
        self._writer = writer
        self._graph = graph
        self._parents = graph.parents
        self._exact = exact
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._segment = Segment(writer.lookup)
        self._segment_bytes = 0
        self._triggers: list[Trigger] = []
        self._reached: set[str] = set()
        self._closures: dict[int, tuple[TablePlan, ...]] = {}
        self.set_active(active)
        self._by_value: set[str] = set()
        """Plans whose lines were flushed for a change by value since the last commit. One that gets both in turn, as
        a parent of cascades does from its customers, would be flushed for every change."""
        self._passed: list[tuple[int, str]] = []
        self._leaks: list[Leak] = []
        self.rows = 0
        """Changes since the last commit."""
        self.bytes = 0
        self.counts: Counter[str] = Counter()
        """Changes per plan since the last commit."""
        self.swept: set[str] = set()
        """Plans that were marked for a sweep since the last commit."""
        self.parked: Counter[str] = Counter()
        """Changes that were parked since the last commit, per plan; `counts` and `rows` are without them."""

    def set_active(self, plans: Iterable[TablePlan]) -> None:
        """Which plans are written from here on. Flushes nothing: call it between transactions."""
        plans = tuple(plans)
        self.active = frozenset(plan.id for plan in plans)
        by_source: dict[TableId, list[TablePlan]] = {}
        for plan in plans:
            by_source.setdefault(plan.source.id, []).append(plan)
        self._routers = {table: Router(found) for table, found in by_source.items()}
        self._keyed = {table: [plan for plan in found if plan.key] for table, found in by_source.items()}
        self.wanted = frozenset(by_source) | self._graph.parents_of(plans)

    @property
    def full(self) -> bool:
        """Whether the transaction is as large as it should get."""
        return self.rows + self.parked.total() >= self._max_rows or self.bytes >= self._max_bytes

    @property
    def dirty(self) -> bool:
        """Whether anything was added since the last commit."""
        waiting = bool(self._triggers or self._passed or self._leaks) or self._unwritten > 0
        return self.rows > 0 or waiting or self._writer.in_transaction

    def add(self, batch: RowsBatch, seq: int = 0) -> None:
        """Take the changes of one event of transaction `seq`.

        Raises ApplyError and what the store raises; ValueRefused only without `parking`.
        """
        if batch.passed:
            self._passed.append((seq, batch.passed))
        found = self._routers.get(batch.table)
        routers: Sequence[PlanRouter] = found.routers if found is not None else ()
        sets_off = self._sets_off(batch)
        encoded = batch.encoded
        if encoded is not None and not sets_off:
            routers = [one for one in routers if not self._add_lines(one, encoded, seq, batch.bytes)]
        if routers or sets_off:
            for place, change in enumerate(batch.changes):
                for one in routers:
                    self._route(one, change, seq, whole=place not in batch.refused)
                if batch.cascades and change.op is not Op.INSERT:
                    self._add_triggers(change)
        self.bytes += batch.bytes
        self._segment_bytes += batch.bytes
        if self._segment.changes + self._unwritten >= self._max_rows or self._segment_bytes >= self._max_bytes:
            self.flush()

    def prepare(self, batch: RowsBatch) -> None:
        """Decode what `add` will ask for, in any thread while the plans stay as they are. Raises what decoding does."""
        if batch.encoded is not None and not self._sets_off(batch):
            batch.encoded.prepare(self._keyed.get(batch.table, ()))

    def leaked(self, leaks: Iterable[Leak]) -> None:
        """Write these down instead of applying them."""
        self._leaks += leaks

    def _sets_off(self, batch: RowsBatch) -> bool:
        """Whether values of the batch must be looked at for cascades."""
        if not self._parents or not batch.cascades:
            return False
        inserts = batch.encoded is not None and batch.encoded.op is Op.INSERT
        return not inserts and batch.table in self._parents

    def _add_lines(self, router: PlanRouter, rows: EncodedRows, seq: int, size: int) -> bool:
        """Take an event without looking at its values; False when they must be looked at for this plan."""
        plan, plan_id = router.plan, router.plan_id
        if not plan.key or (self._parking is not None and self._parking.concerns(plan_id)):
            return False
        by_value = self._segment.has_values(plan_id)
        if size < BULK_BYTES and (by_value or plan_id in self._by_value):
            return False
        lines = rows.lines(plan)
        if lines is None:
            return False
        if by_value:
            self.flush()
        if plan_id in self._reached:
            self._make_room(plan_id, rows.op)
        count = self._segment.add_lines(plan, plan_id, rows.op, lines)
        if self._parking is not None:
            self._items.append(_AddedLines(router, rows, seq, self._ordinal + 1))
        self._ordinal += count
        self.rows += count
        self.counts[plan_id] += count
        return True

    def flush(self) -> None:
        """Write the segment, and what was parked, into the open transaction."""
        segment, triggers, items = self._segment, self._triggers, self._items
        self._segment = Segment(self._writer.lookup)
        self._segment_bytes = 0
        self._triggers, self._items = [], []
        self._reached = set()
        if len(segment) or triggers:
            if self._parking is None:
                self._writer.apply(segment, triggers, self.active, self._exact)
            else:
                self._write(segment, triggers, items, self._parking)
        if self._parking is not None and self._parking.unwritten:
            self.parked += self._writer.park(self._parking)
        for seq, statement in self._passed:
            self._writer.log_ddl(DdlEntry(seq, statement, PASSED))
        self._passed = []
        for leak in self._leaks:
            self._writer.log_leak(leak)
        self._leaks = []
        self._ordinal = 0

    @property
    def _unwritten(self) -> int:
        return self._parking.unwritten if self._parking is not None else 0

    def _write(self, segment: Segment, triggers: Sequence[Trigger], items: Sequence[_Item], parking: Parking) -> None:
        """Apply a segment; when the store refuses a value, apply its halves, down to the change that it refuses."""
        try:
            with self._writer.savepoint():
                self._writer.apply(segment, triggers, self.active, self._exact)
            return
        except ValueRefused as error:
            if any(isinstance(item, _AddedLines) for item in items):
                self._write_again(items, parking)
                return
            if len(items) == 1:
                only = items[0]
                if not isinstance(only, _Added):
                    raise
                self._unapply(only, parking, error)
                return
        middle = len(items) // 2
        for half in (items[:middle], items[middle:]):
            # The first half may have parked keys of the second.
            segment, triggers, kept = Segment(self._writer.lookup), [], []
            for item in half:
                if isinstance(item, Trigger):
                    triggers.append(item)
                elif isinstance(item, _AddedLines):
                    raise AssertionError("lines were decoded before")
                elif why := parking.holds(item.target.plan, item.target.plan_id, item.change):
                    self._unapply(item, parking, why)
                    continue
                else:
                    segment.add(item.target)
                kept.append(item)
            if kept:
                self._write(segment, triggers, kept, parking)

    def _write_again(self, items: Sequence[_Item], parking: Parking) -> None:
        """Apply the same items with their lines decoded, so that the refused change can be found."""
        segment, triggers, found = Segment(self._writer.lookup), [], []
        for item in items:
            for one in self._decoded(item) if isinstance(item, _AddedLines) else (item,):
                if isinstance(one, Trigger):
                    triggers.append(one)
                elif isinstance(one, _Added):
                    segment.add(one.target)
                found.append(one)
        self._write(segment, triggers, found, parking)

    def _decoded(self, item: _AddedLines) -> Iterator[_Added]:
        for number, change in enumerate(item.rows.decode()[0]):
            target = item.router.route(change)
            assert target is not None  # a plan with a filter has no lines
            yield _Added(target, change, item.seq, item.ordinal + number)

    def _unapply(self, item: _Added, parking: Parking, error: ValueRefused | str) -> None:
        parking.park(item.target.plan, item.change, item.seq, item.ordinal, error)
        self.rows -= 1
        self.counts[item.target.plan_id] -= 1

    def committed(self) -> None:
        """Start counting anew after a commit."""
        self.rows = self.bytes = 0
        self._by_value.clear()
        self.counts.clear()
        self.swept.clear()
        self.parked.clear()

    def _route(self, router: PlanRouter, change: RowChange, seq: int, *, whole: bool = True) -> None:
        """`whole`: every field is there as text."""
        parking = self._parking
        self._ordinal += 1
        try:
            if not whole:
                require_text(router.plan, change)
            target = router.route(change)
        except ValueRefused as error:
            if parking is None:
                raise
            why = parking.holds(router.plan, router.plan_id, change)
            parking.park(router.plan, change, seq, self._ordinal, why or error)
            return
        if target is None:
            return
        if parking is not None:
            if why := parking.holds(router.plan, router.plan_id, change):
                parking.park(router.plan, change, seq, self._ordinal, why)
                return
            self._add_target(target)
            self._items.append(_Added(target, change, seq, self._ordinal))
        else:
            self._add_target(target)

    def _add_target(self, target: TargetChange) -> None:
        plan_id = target.plan_id
        if self._segment.has_lines(plan_id):
            self._by_value.add(plan_id)
            self.flush()
        self._make_room(plan_id, target.op)
        self._segment.add(target)
        self.rows += 1
        self.counts[plan_id] += 1

    def _make_room(self, plan_id: str, op: Op) -> None:
        """Flush before a change of a plan that waiting cascades reach."""
        if plan_id in self._reached:
            deletes_only = op is Op.DELETE and all(trigger.new is None for trigger in self._triggers)
            # Deletes commute with cascaded deletes: each logged delete brings its own triggers.
            if not deletes_only:
                self.flush()

    def _add_triggers(self, change: RowChange) -> None:
        for trigger in self._graph.triggers(change):
            reach = self._reach(trigger.edge)
            if not any(plan.id in self.active for plan in reach):
                continue
            self._mark_unseen(trigger.edge, reach)
            if any(self._segment.writes(plan.id) for plan in reach):
                self.flush()
            self._triggers.append(trigger)
            self._items.append(trigger)
            self._reached.update(plan.id for plan in reach)

    def _reach(self, edge: Edge) -> tuple[TablePlan, ...]:
        found = self._closures.get(id(edge))
        if found is None:
            found = self._closures[id(edge)] = self._graph.closure([edge])
        return found

    def _mark_unseen(self, edge: Edge, reach: tuple[TablePlan, ...]) -> None:
        """A chain of cascades is looked up in rows of this store; where these are not exact, children may be missed."""
        if not edge.onward or all(plan.id in self.active and self._exact(plan.id) for plan in reach):
            return
        chained = {plan.id for onward in edge.onward for plan in self._graph.closure([self._graph.edges[onward.edge]])}
        fresh = chained - self.swept
        if fresh:
            self._writer.mark_sweep(fresh)
            self.swept |= fresh
