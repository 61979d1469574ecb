"""What becomes of a table's plan when its copy finds another definition than the plan was made for."""

from __future__ import annotations

from daemon.store_schema import DaemonSchema
from model.errors import Refused
from model.tables import TableDef
from stores.control import ddl_log, schema_history, table_states
from stores.control.ddl_log import DdlEntry
from stores.control.schema_history import SchemaVersion
from stores.postgres import PostgresConnection
from sync.postgres.schema_reset import make_again
from sync.table_phase import Phase
from transforms.plan import TablePlan

_NOT_COPIED = frozenset({Phase.PENDING, Phase.COPYING})


class CopyPlans:
    """`Replan` for one store."""

    def __init__(self, stream: str, schema: DaemonSchema) -> None:
        self._stream = stream
        self._schema = schema

    def __call__(self, connection: PostgresConnection, plan: TablePlan, definition: TableDef, seq: int) -> TablePlan:
        """The plan by `definition`, with its target table made anew, in the caller's transaction.

        Raises Refused when another plan of the same table is further, and ConfigError when the file does not fit.
        """
        history = schema_history.load(connection, self._stream)
        table = plan.source.id
        latest = history.latest(table)
        known = latest is not None and latest.fingerprint() == definition.fingerprint()
        plans = self._schema.trial(history, {} if known else {table: definition})
        found = next((one for one in plans if one.id == plan.id), None)
        if found is None:
            raise Refused("the configuration makes no such table of its new definition", table=table)
        if not known:
            self._require_not_copied(connection, plans, found)
            schema_history.append(connection, self._stream, [SchemaVersion(table, seq + 1, definition)])
        make_again(connection, found)
        note = DdlEntry(seq, f"-- {table} as the copy found it", f"copied by another definition: {plan.id}")
        ddl_log.append(connection, self._stream, note)
        return found

    def _require_not_copied(
        self, connection: PostgresConnection, plans: tuple[TablePlan, ...], found: TablePlan
    ) -> None:
        states = table_states.load(connection, self._stream)
        for other in plans:
            same = other.source.id == found.source.id and other.id in states
            if same and states[other.id].phase not in _NOT_COPIED:
                name = found.source.id.name
                raise Refused(
                    f"the source table changed while it was copied, and {other.id} has a copy of it already",
                    hint=f"crossfade stop; crossfade schema recopy {name} --confirm {name}; crossfade start",
                    table=found.source.id,
                )
