"""The last comparison behind the closed gate: rows that changed since the preparation, by value, and numbers of rows.

Both sides stand still, so one read of each decides. It is linear in what changed, not in the tables' size: the whole
tables were compared before (gate `verified`). Tables too large to be counted within the write stop are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, Final

from config.settings import Settings
from cutover.domain import DomainPlan
from model.errors import CrossfadeError, ExitCode
from model.tables import TableDef, TableId
from stores.control import schema_history
from stores.control.schema_history import SchemaVersion
from stores.errors import translated
from stores.mysql import ServerInfo
from stores.postgres import connect_store
from sync.cascades import build_graph
from sync.mysql.snapshot import connect_reader
from transforms.plan import MigrationPlan, TablePlan
from validators.canonical.record import CanonicalRow, RecordForm
from validators.row_check import finding
from validators.source_side import SourceSide
from validators.target_side import TargetSide
from validators.touched import TouchedRows

MOST_KEYS: Final = 20_000
"""More changed keys than these are not compared within a write stop; the counts still are."""
COUNTED_ROWS: Final = 200_000
"""Tables that are estimated to be larger are not counted within a write stop."""


class SidesDiffer(CrossfadeError):
    """Source and stores differ behind the closed gate."""

    exit_code = ExitCode.DIFFERENCES
    default_hint = "See and mend the rows: crossfade verify, crossfade repair; then cut over again."


@dataclass(slots=True)
class _Side:
    plan: TablePlan
    form: RecordForm
    source: SourceSide
    target: TargetSide
    changes: TouchedRows


class FinalCheck:
    """Opened before the write stop, so that only the reads count. For one thread."""

    def __init__(
        self,
        settings: Settings,
        domain: DomainPlan,
        info: ServerInfo,
        plan: MigrationPlan,
        tables: Mapping[TableId, TableDef],
    ) -> None:
        self._stack = ExitStack()
        self._sides: list[_Side] = []
        try:
            reader = self._stack.enter_context(closing(connect_reader(settings.source, info)))
            for store in domain.stores:
                dsn = settings.stores[store].dsn
                connection = self._stack.enter_context(closing(connect_store(dsn, application="crossfade cutover")))
                with translated(f"store {store}"):
                    history = schema_history.load(connection, settings.name)
                known = history.tables()
                history = history.extended(
                    SchemaVersion(table, 0, definition) for table, definition in tables.items() if table not in known
                )
                graph = build_graph(tables, plan.of_store(store))
                changes = TouchedRows(settings.relay.directory, dict(tables), history, graph, mariadb=info.mariadb)
                self._stack.enter_context(closing(changes))
                for one in domain.plans_of(store):
                    form = RecordForm.of(one)
                    source = SourceSide(reader, info, one, form, pushed=False)
                    self._sides.append(_Side(one, form, source, TargetSide(connection, one, form), changes))
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        self._stack.close()

    def warm(self, since: Mapping[str, int]) -> None:
        """Read the relay up to `since` now: finding a place in it for the first time scans a whole segment."""
        seen: set[int] = set()
        for side in self._sides:
            if id(side.changes) not in seen:
                seen.add(id(side.changes))
                until = since[side.plan.target.store]
                side.changes.between(side.plan, side.form, max(0, until - 1), until)

    def compare(self, spans: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
        """Compare; `spans`: store → (after which, up to which transaction) rows have changed.

        Gives what was covered. Raises SidesDiffer.
        """
        keys = rows = 0
        notes: list[str] = []
        for side in self._sides:
            after, until = spans[side.plan.target.store]
            compared, note = self._changed(side, after, until)
            keys += compared
            notes += [note] if note else []
            counted = self._counted(side)
            if counted is None:
                notes.append(f"{side.plan.source.id}: too large to be counted within a write stop")
            else:
                rows += counted
        return {"keys": keys, "rows_counted": rows, "notes": notes}

    def _changed(self, side: _Side, after: int, until: int) -> tuple[int, str]:
        touched = side.changes.between(side.plan, side.form, after, until)
        name = str(side.plan.source.id)
        if not side.form.key:
            return 0, f"{name}: no key, counted only"
        if touched.unknown:
            return 0, f"{name}: {touched.unknown}"
        if len(touched.keys) > MOST_KEYS:
            return 0, f"{name}: {len(touched.keys)} keys changed, too many for a write stop"
        keys = sorted(touched.keys, key=lambda key: tuple(part or b"" for part in key))
        for batch in _batches(keys):
            here = side.source.lookup(batch, locking=False)
            there = side.target.lookup(batch)
            for key in batch:
                one, other = here.get(key, []), there.get(key, [])
                same = len(one) == len(other) and all(map(side.form.same, one, other))
                if not same:
                    found = finding(side.form, key, one, other)
                    raise SidesDiffer(
                        f"a row is {found.kind}: {', '.join(f'{column}={value}' for column, value in found.key)}",
                        table=name,
                        columns=", ".join(column.column for column in found.columns) or None,
                    )
        return len(keys), ""

    def _counted(self, side: _Side) -> int | None:
        if side.plan.source.rows_estimate > COUNTED_ROWS or (side.plan.where is not None):
            return None
        here, there = side.source.count(), side.target.count()
        if here != there:
            raise SidesDiffer(
                f"the source has {here} rows and the store {there}",
                table=side.plan.source.id,
                store=side.plan.target.store,
            )
        return here


def _batches(keys: list[CanonicalRow], size: int = 1000) -> Iterator[list[CanonicalRow]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
