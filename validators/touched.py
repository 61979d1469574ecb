"""Which rows of a table plan changed between two transactions, by the relay. Reads the relay beside its writer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from model.errors import CrossfadeError
from model.rows import ABSENT, Op, Row
from model.tables import TableDef, TableId
from stores.control.schema_history import SchemaHistory
from sync.cascades import CascadeGraph
from sync.changes import ChangeReader
from sync.mysql.decode import TableDecoder
from sync.relay.reader import RelayReader
from sync.routing import PlanRouter, TargetChange
from transforms.plan import TablePlan
from validators.canonical.record import CanonicalRow, RecordForm


@dataclass(slots=True)
class Touched:
    """Canonical keys (whole rows for keyless tables) that changed, and what that did to the number of rows."""

    last: dict[CanonicalRow, CanonicalRow | None] = field(default_factory=dict)
    """Key → the row as the last change left it (None: deleted), of whole row images."""
    keys: set[CanonicalRow] = field(default_factory=set)
    everything: bool = False
    """A cascade reached the table, or its changes cannot be read: any row may have changed."""
    unknown: str = ""
    """Why the changes cannot be read at all."""
    nets: list[tuple[int, int]] = field(default_factory=list)
    """(seq, rows inserted minus rows deleted) per transaction."""
    moves: list[Counter[int]] = field(default_factory=list)
    """Keyless tables: row hash → how often it came (positive) or went, per transaction in order."""

    def __contains__(self, key: object) -> bool:
        return self.everything or key in self.keys


class TouchedRows:
    """Reads the changes of one store's plans. For one thread."""

    def __init__(
        self,
        directory: Path,
        tables: Mapping[TableId, TableDef],
        history: SchemaHistory,
        graph: CascadeGraph,
        *,
        mariadb: bool,
    ) -> None:
        self.relay = RelayReader(directory)
        self._graph = graph
        # What a reverse stream wrote to the source counts too.
        self._changes = ChangeReader(tables, history, TableDecoder, mariadb=mariadb, mark=None)

    def between(self, plan: TablePlan, form: RecordForm, after_seq: int, to_seq: int) -> Touched:
        """Rows of the plan that transactions `after_seq` + 1 … `to_seq` changed."""
        touched = Touched()
        if to_seq <= after_seq:
            return touched
        try:
            self._read(plan, form, after_seq, to_seq, touched)
        except (CrossfadeError, OSError) as error:
            touched.everything = True
            touched.unknown = f"the relay cannot be read: {error}"
        return touched

    def latest(self, plan: TablePlan, form: RecordForm, to_seq: int, transactions: int) -> Touched:
        """Rows that the last transactions up to `to_seq` changed; less when the relay no longer has them all."""
        first = max(to_seq - transactions, self.relay.first_seq - 1, 0)
        return self.between(plan, form, first, to_seq)

    def close(self) -> None:
        """Close the relay."""
        self.relay.close()

    def _read(self, plan: TablePlan, form: RecordForm, after_seq: int, to_seq: int, touched: Touched) -> None:
        router = PlanRouter(plan)
        wanted = frozenset({plan.source.id}) | self._graph.parents_of([plan])
        reached = after_seq
        for transaction in self.relay.transactions(after_seq):
            if transaction.seq > to_seq:
                return
            reached = transaction.seq
            net = 0
            moves: Counter[int] = Counter()
            for batch in self._changes.batches(transaction, wanted):
                for change in batch.changes:
                    if batch.table == plan.source.id:
                        target = router.route(change)
                        if target is not None:
                            if form.key:
                                _note(target, form, touched)
                            else:
                                _move(target, form, touched, moves)
                            net += {Op.INSERT: 1, Op.DELETE: -1, Op.UPDATE: 0}[target.op]
                    if batch.cascades and change.op is not Op.INSERT and not touched.everything:
                        touched.everything = any(
                            plan.id in {reached_plan.id for reached_plan in self._graph.closure([trigger.edge])}
                            for trigger in self._graph.triggers(change)
                        )
            if net:
                touched.nets.append((transaction.seq, net))
            if moves:
                touched.moves.append(moves)
        if reached < to_seq:
            touched.everything = True
            touched.unknown = f"the relay ends at transaction {reached}, before {to_seq}"


def _note(target: TargetChange, form: RecordForm, touched: Touched) -> None:
    before, after = _key(target.key_before, form), _key(target.key_after, form)
    for key in (before, after):
        if key is not None:
            touched.keys.add(key)
            touched.last.pop(key, None)
    if before is not None and before != after:
        touched.last[before] = None
    if after is not None and target.row is not None and ABSENT not in target.row:
        touched.last[after] = form.canonical(target.row)


def _key(fields: Row | None, form: RecordForm) -> CanonicalRow | None:
    if fields is None:
        return None
    return tuple(
        form.targets[index].canonical(field) if isinstance(field, bytes) else None
        for index, field in zip(form.key, fields, strict=True)
    )


def _move(target: TargetChange, form: RecordForm, touched: Touched, moves: Counter[int]) -> None:
    for fields, number in ((target.before, -1), (target.row, 1)):
        if fields is not None:
            row = form.canonical(fields)
            touched.keys.add(row)
            moves[form.hash(row)] += number
