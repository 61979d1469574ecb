"""Retries and gives up what waits in a store's quarantine, on the applier's thread and connection, between groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from model.rows import Op
from stores.control import quarantine
from stores.control.quarantine import Parked, QuarantineState
from stores.errors import translated
from sync.applier_ports import StorePlan
from sync.parked_retry import Retried, apply_family, families
from sync.parked_rows import from_payload
from sync.parking import WAITS_FOR_PARENT, Parking
from sync.postgres.apply import StoreWriter
from transforms.plan import TablePlan


class ParkedSteps:
    """The quarantine of one store during one session of its applier."""

    def __init__(self, writer: StoreWriter, plan: StorePlan, parking: Parking) -> None:
        self._writer = writer
        self._plan = plan
        self._parking = parking

    def retry(self, chosen: Callable[[Parked], bool]) -> list[Retried]:
        """Apply parked changes again, key by key, with everything of the key that waits behind a chosen one.

        Rows that others refer to come first; what refers to a row that stays parked stays parked too.
        """
        done: list[Retried] = []
        waiting = [
            (plan, family)
            for plan in self._plan.plans
            for family in families(plan, self._waiting(plan))
            if any(map(chosen, family))
        ]
        while waiting:
            blocked = [one for one in waiting if self._lacks_parent(*one)]
            free = [one for one in waiting if one not in blocked]
            if not free:
                done += [
                    Retried(plan.id, tuple(family[0].key), tuple(row.id for row in family), WAITS_FOR_PARENT)
                    for plan, family in blocked
                ]
                break
            for plan, family in free:
                self._writer.hold_fence()
                result = apply_family(self._writer, plan, family)
                if result.error is None:
                    with translated(f"store {self._plan.store}"):
                        quarantine.settle(
                            self._writer.connection, self._plan.stream, result.ids, QuarantineState.RETRIED
                        )
                self._writer.commit_only()
                done.append(result)
            for plan_id in dict.fromkeys(plan.id for plan, _ in free):
                self._reload(plan_id)
            waiting = blocked
        return done

    def _lacks_parent(self, plan: TablePlan, family: Sequence[Parked]) -> bool:
        return any(self._parking.lacks_parent(plan, from_payload(plan, Op(row.op), row.payload)) for row in family)

    def discard(self, identifier: int) -> Parked | None:
        """Give up one parked change for ever (its row stays as a record); what waits behind it can be retried."""
        with translated(f"store {self._plan.store}"):
            found = quarantine.find(self._writer.connection, self._plan.stream, identifier)
        if found is None or found.state is not QuarantineState.PARKED:
            return None
        self._writer.hold_fence()
        with translated(f"store {self._plan.store}"):
            quarantine.settle(self._writer.connection, self._plan.stream, [identifier], QuarantineState.DISCARDED)
        self._writer.commit_only()
        for plan in self._plan.plans:
            if plan.id == found.plan_id:
                self._reload(plan.id)
        return found

    def _waiting(self, plan: TablePlan) -> tuple[Parked, ...]:
        with translated(f"store {self._plan.store}"):
            return quarantine.waiting(self._writer.connection, self._plan.stream, [plan.id])

    def _reload(self, plan_id: str) -> None:
        with translated(f"store {self._plan.store}"):
            self._parking.load(self._writer.connection, [plan_id])
