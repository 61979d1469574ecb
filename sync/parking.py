"""Which keys of a store wait in quarantine, and what is to be put there with the next commit.

Later changes of a parked key wait behind it, in order; everything else flows. Belongs to one connection's life: the
store is the truth and is read anew after every connect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from model.errors import ValueRefused
from model.rows import Op, RowChange
from stores.control import quarantine
from stores.control.quarantine import Parked
from stores.postgres import PostgresConnection
from sync.parked_rows import Key, fields_text, from_payload, keys_of, overlaid, row_key, storable, to_payload
from transforms.plan import TablePlan

WAITS: Final = "waits behind an earlier change of its key"
WAITS_FOR_PARENT: Final = "waits behind a change of the row that it refers to"


@dataclass(frozen=True, slots=True)
class _New:
    ordinal: int
    seq: int
    plan: TablePlan
    change: RowChange
    error: str


@dataclass(frozen=True, slots=True)
class _Reference:
    """A foreign key to the key of another plan's table, as places in the columns of the plan that has it."""

    parent: str
    columns: tuple[int, ...]


class Parking:
    """The parked keys of one store's plans."""

    def __init__(self, stream: str, plans: Iterable[TablePlan]) -> None:
        self._stream = stream
        self._plans = {plan.id: plan for plan in plans}
        self._references = {plan.id: tuple(_references(plan, self._plans.values())) for plan in self._plans.values()}
        self._keys: dict[str, set[Key]] = {}
        self._counts: Counter[str] = Counter()
        self._new: list[_New] = []

    def load(self, connection: PostgresConnection, plan_ids: Collection[str] | None = None) -> None:
        """Read what the store holds, of some plans or of all. Needs nothing unwritten of them."""
        wanted = self._plans.keys() if plan_ids is None else self._plans.keys() & set(plan_ids)
        for plan_id in wanted:
            self._keys.pop(plan_id, None)
            self._counts.pop(plan_id, None)
        for row in quarantine.waiting(connection, self._stream, wanted):
            self._keys.setdefault(row.plan_id, set()).update(parked_keys(self._plans[row.plan_id], row))
            self._counts[row.plan_id] += 1

    @property
    def counts(self) -> Mapping[str, int]:
        """Plan id → number of parked changes, those that are not committed yet included."""
        return {plan_id: count for plan_id, count in self._counts.items() if count}

    @property
    def unwritten(self) -> int:
        """How many changes wait for `write`."""
        return len(self._new)

    def concerns(self, plan_id: str) -> bool:
        """Whether a change of the plan may have to wait: a key of it, or of a plan that it refers to, is parked."""
        if not self._keys:
            return False
        referred = (reference.parent for reference in self._references.get(plan_id, ()))
        return any(self._keys.get(one) for one in (plan_id, *referred))

    def holds(self, plan: TablePlan, plan_id: str, change: RowChange) -> str | None:
        """Why the change has to wait: its key is parked, or one that it refers to by a foreign key; None: it flows."""
        keys = self._keys.get(plan_id)
        if keys is not None and not keys.isdisjoint(keys_of(plan, change)):
            return WAITS
        return WAITS_FOR_PARENT if self.lacks_parent(plan, change) else None

    def lacks_parent(self, plan: TablePlan, change: RowChange) -> bool:
        """Whether the row as the change leaves it refers to a row that is parked."""
        if change.after is None:
            return False
        for reference in self._references.get(plan.id, ()):
            parked = self._keys.get(reference.parent)
            if parked:
                after = overlaid(change.before, change.after) if change.before is not None else change.after
                own = row_key(plan, after) if reference.parent == plan.id else None
                referred = fields_text(plan, reference.columns, after)
                # A row may refer to itself.
                if referred != own and referred in parked:
                    return True
        return False

    def park(self, plan: TablePlan, change: RowChange, seq: int, ordinal: int, error: ValueRefused | str) -> None:
        """Set a change aside; `ordinal` is its place among those that are written together.

        `error`: why, see also `holds`.
        """
        self._keys.setdefault(plan.id, set()).update(keys_of(plan, change))
        self._counts[plan.id] += 1
        self._new.append(_New(ordinal, seq, plan, change, storable(str(error))))

    def write(self, connection: PostgresConnection) -> Counter[str]:
        """Put what is new into the open transaction, in the order of the stream; gives the number per plan."""
        done: Counter[str] = Counter()
        for new in sorted(self._new, key=lambda one: one.ordinal):
            quarantine.park(
                connection,
                self._stream,
                new.plan.id,
                key=keys_of(new.plan, new.change)[0],
                seq=new.seq,
                op=new.change.op,
                payload=to_payload(new.plan, new.change),
                error=new.error,
            )
            done[new.plan.id] += 1
        self._new.clear()
        return done


def _references(plan: TablePlan, plans: Iterable[TablePlan]) -> Iterator[_Reference]:
    places = {column.target.name: place for place, column in enumerate(plan.columns)}
    for key in plan.target.foreign_keys:
        for parent in plans:
            target = parent.target
            pairs = dict(zip(key.ref_columns, key.columns, strict=True))
            same = (target.schema, target.name) == (key.ref_schema, key.ref_table)
            if same and pairs.keys() == set(target.key) and set(key.columns) <= places.keys():
                yield _Reference(parent.id, tuple(places[pairs[name]] for name in target.key))


def parked_keys(plan: TablePlan, row: Parked) -> set[Key]:
    """The keys that wait because of a stored row: the key under which it is stored, and the one it moves to."""
    found: set[Key] = {tuple(row.key)}
    if row.op == Op.UPDATE:
        found.update(keys_of(plan, from_payload(plan, Op.UPDATE, row.payload)))
    return found
