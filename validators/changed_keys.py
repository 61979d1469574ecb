"""Keys of rows that changed between two transactions, from one reading of the relay for all tables of a store.

Canonical keys as the validators have them. For one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from config.settings import Settings
from model.errors import CrossfadeError
from model.tables import TableDef, TableId
from stores.control import schema_history
from stores.control.schema_history import SchemaVersion
from stores.errors import translated
from stores.postgres import PostgresConnection
from sync.changes import ChangeReader
from sync.mysql.decode import TableDecoder
from sync.relay.reader import RelayReader
from sync.routing import PlanRouter
from transforms.plan import TablePlan
from validators.canonical.record import CanonicalRow, RecordForm


class ChangedKeys:
    """Reads the changes of some plans of one store."""

    def __init__(
        self,
        settings: Settings,
        connection: PostgresConnection,
        plans: Iterable[TablePlan],
        forms: Mapping[str, RecordForm],
        tables: Mapping[TableId, TableDef],
        *,
        mariadb: bool,
    ) -> None:
        """`forms`: plan id → its canonical form. Raises what the store raises."""
        with translated("store"):
            history = schema_history.load(connection, settings.name)
        known = history.tables()
        history = history.extended(
            SchemaVersion(table, 0, definition) for table, definition in tables.items() if table not in known
        )
        self._plans = tuple(plans)
        self._forms = forms
        self._wanted = frozenset(plan.source.id for plan in self._plans)
        self._routers = [PlanRouter(plan) for plan in self._plans]
        self._changes = ChangeReader(dict(tables), history, TableDecoder, mariadb=mariadb, mark=None)
        self._relay = RelayReader(settings.relay.directory)

    def close(self) -> None:
        """Close the relay."""
        self._relay.close()

    @property
    def first(self) -> int:
        """The first transaction that the relay still holds."""
        return self._relay.first_seq

    def between(self, after: int, until: int, most: int | None = None) -> dict[str, set[CanonicalRow]] | str:
        """Plan id → keys changed by transactions `after` + 1 … `until`; or why they are not known.

        Rows that foreign keys changed without the binlog telling are not among them. Of a plan with `most` keys or
        more, those that come after them are left out.
        """
        found: dict[str, set[CanonicalRow]] = {plan.id: set() for plan in self._plans}
        if until <= after:
            return found
        try:
            reached = after
            for transaction in self._relay.transactions(after):
                if transaction.seq > until:
                    break
                reached = transaction.seq
                for batch in self._changes.batches(transaction, self._wanted):
                    for plan, router in zip(self._plans, self._routers, strict=True):
                        if plan.source.id != batch.table:
                            continue
                        form, keys = self._forms[plan.id], found[plan.id]
                        for change in batch.changes:
                            if most is not None and len(keys) >= most:
                                break
                            target = router.route(change)
                            if target is not None and form.key:
                                keys.update(
                                    tuple(
                                        form.targets[index].canonical(field) if isinstance(field, bytes) else None
                                        for index, field in zip(form.key, row, strict=True)
                                    )
                                    for row in (target.key_before, target.key_after)
                                    if row is not None
                                )
        except (CrossfadeError, OSError) as error:
            return f"the relay cannot be read: {error}"
        return found if reached >= until else f"the relay ends at transaction {reached}, before {until}"
