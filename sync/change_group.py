"""Collects routed changes and cascade triggers into segments and writes them in the order the source had.

A segment may hold triggers only of cascades whose reach its own changes do not meet, so that both can be done one after
the other; otherwise it is flushed first. Several segments make one PostgreSQL transaction. Commits nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from model.rows import Op, RowChange
from model.tables import TableId
from sync.cascades import CascadeGraph, Edge, Trigger
from sync.changes import RowsBatch
from sync.fold import Segment
from sync.postgres.apply import StoreWriter
from sync.routing import Router, TargetChange
from transforms.plan import TablePlan


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
    ) -> None:
        self._writer = writer
        self._graph = graph
        self._exact = exact
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._segment = Segment(writer.lookup)
        self._segment_bytes = 0
        self._triggers: list[Trigger] = []
        self._reached: set[str] = set()
        self._closures: dict[int, tuple[TablePlan, ...]] = {}
        self.set_active(active)
        self.rows = 0
        """Changes since the last commit."""
        self.bytes = 0
        self.counts: Counter[str] = Counter()
        """Changes per plan since the last commit."""
        self.swept: set[str] = set()
        """Plans that were marked for a sweep since the last commit."""

    def set_active(self, plans: Iterable[TablePlan]) -> None:
        """Which plans are written from here on. Flushes nothing: call it between transactions."""
        plans = tuple(plans)
        self.active = frozenset(plan.id for plan in plans)
        by_source: dict[TableId, list[TablePlan]] = {}
        for plan in plans:
            by_source.setdefault(plan.source.id, []).append(plan)
        self._routers = {table: Router(found) for table, found in by_source.items()}
        self.wanted = frozenset(by_source) | self._graph.parents_of(plans)

    @property
    def full(self) -> bool:
        """Whether the transaction is as large as it should get."""
        return self.rows >= self._max_rows or self.bytes >= self._max_bytes

    @property
    def dirty(self) -> bool:
        """Whether anything was added since the last commit."""
        return self.rows > 0 or bool(self._triggers) or self._writer.in_transaction

    def add(self, batch: RowsBatch) -> None:
        """Take the changes of one event. Raises ValueRefused, ApplyError and what the store raises."""
        router = self._routers.get(batch.table)
        for change in batch.changes:
            if router is not None:
                for target in router.route(change):
                    self._add_target(target)
            if batch.cascades and change.op is not Op.INSERT:
                self._add_triggers(change)
        self.bytes += batch.bytes
        self._segment_bytes += batch.bytes
        if self._segment.changes >= self._max_rows or self._segment_bytes >= self._max_bytes:
            self.flush()

    def flush(self) -> None:
        """Write the segment into the open transaction."""
        if len(self._segment) or self._triggers:
            self._writer.apply(self._segment, self._triggers, self.active)
        self._segment = Segment(self._writer.lookup)
        self._segment_bytes = 0
        self._triggers = []
        self._reached = set()

    def committed(self) -> None:
        """Start counting anew after a commit."""
        self.rows = self.bytes = 0
        self.counts.clear()
        self.swept.clear()

    def _add_target(self, target: TargetChange) -> None:
        plan_id = target.plan_id
        if plan_id in self._reached:
            deletes_only = target.op is Op.DELETE and all(trigger.new is None for trigger in self._triggers)
            # Deletes commute with cascaded deletes: each logged delete brings its own triggers.
            if not deletes_only:
                self.flush()
        self._segment.add(target)
        self.rows += 1
        self.counts[plan_id] += 1

    def _add_triggers(self, change: RowChange) -> None:
        for trigger in self._graph.triggers(change):
            reach = self._reach(trigger.edge)
            if not any(plan.id in self.active for plan in reach):
                continue
            self._mark_unseen(trigger.edge, reach)
            if any(self._segment.writes(plan.id) for plan in reach):
                self.flush()
            self._triggers.append(trigger)
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
