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
from stores.mysql import ServerInfo
from stores.postgres import connect_store
from sync.mysql.snapshot import connect_reader
from transforms.plan import TablePlan
from validators.canonical.record import CanonicalRow, RecordForm
from validators.changed_keys import ChangedKeys
from validators.row_check import finding
from validators.source_side import SourceSide
from validators.target_side import TargetSide

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


class FinalCheck:
    """Opened before the write stop, so that only the reads count. For one thread."""

    def __init__(
        self,
        settings: Settings,
        domain: DomainPlan,
        info: ServerInfo,
        tables: Mapping[TableId, TableDef],
    ) -> None:
        self._stack = ExitStack()
        self._sides: list[_Side] = []
        self._changed: dict[str, ChangedKeys] = {}
        try:
            reader = self._stack.enter_context(closing(connect_reader(settings.source, info)))
            for store in domain.stores:
                dsn = settings.stores[store].dsn
                connection = self._stack.enter_context(closing(connect_store(dsn, application="crossfade cutover")))
                forms = {one.id: RecordForm.of(one) for one in domain.plans_of(store)}
                changed = ChangedKeys(settings, connection, domain.plans_of(store), forms, tables, mariadb=info.mariadb)
                self._changed[store] = self._stack.enter_context(closing(changed))
                for one in domain.plans_of(store):
                    form = forms[one.id]
                    source = SourceSide(reader, info, one, form, pushed=form.pushable)
                    self._sides.append(_Side(one, form, source, TargetSide(connection, one, form)))
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        self._stack.close()

    def warm(self, since: Mapping[str, int]) -> None:
        """Read the relay up to `since` now: finding a place in it for the first time scans a whole segment."""
        for store, changed in self._changed.items():
            changed.between(max(0, since[store] - 1), since[store])

    def compare(self, spans: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
        """Compare; `spans`: store → (after which, up to which transaction) rows have changed.

        Gives what was covered, in all and by table: numbers of rows, and a checksum of those that were compared by
        value. Raises SidesDiffer.
        """
        notes: list[str] = []
        tables: dict[str, dict[str, Any]] = {}
        touched = {store: self._changed[store].between(*span) for store, span in spans.items()}
        for side in self._sides:
            facts = tables[side.plan.id] = {"rows": None, "changed": 0, "checksum": None}
            found = touched[side.plan.target.store]
            if isinstance(found, str):
                notes.append(f"{side.plan.source.id}: {found}")
            elif not side.form.key:
                notes.append(f"{side.plan.source.id}: no key, counted only")
            elif len(found[side.plan.id]) > MOST_KEYS:
                notes.append(f"{side.plan.source.id}: too many changed keys for a write stop")
            else:
                facts["changed"] = len(found[side.plan.id])
                facts["checksum"] = self._compare_rows(side, found[side.plan.id])
            facts["rows"] = self._counted(side)
            if facts["rows"] is None:
                notes.append(
                    f"{side.plan.source.id}: not counted: its filter is ours alone, or too large for a write stop"
                )
        return {
            "keys": sum(facts["changed"] for facts in tables.values()),
            "rows_counted": sum(facts["rows"] or 0 for facts in tables.values()),
            "notes": notes,
            "tables": tables,
        }

    def _compare_rows(self, side: _Side, keys: set[CanonicalRow]) -> str:
        """The sum of the hashes of the rows with these keys, equal on both sides: 16 hex digits."""
        total = 0
        ordered = sorted(keys, key=lambda key: tuple(part or b"" for part in key))
        for batch in _batches(ordered):
            here = side.source.lookup(batch, locking=False)
            there = side.target.lookup(batch)
            for key in batch:
                one, other = here.get(key, []), there.get(key, [])
                if len(one) != len(other) or not all(map(side.form.same, one, other)):
                    found = finding(side.form, key, one, other)
                    raise SidesDiffer(
                        f"a row is {found.kind}: {', '.join(f'{column}={value}' for column, value in found.key)}",
                        table=side.plan.source.id,
                        columns=", ".join(column.column for column in found.columns) or None,
                    )
                total += sum(map(side.form.hash, other))
        return f"{total % 2**64:016x}"

    def count(self) -> None:
        """Count what a comparison would count, for the time that it takes; both sides may be moving."""
        for side in self._sides:
            if self._countable(side):
                side.source.count()
                side.target.count()

    def _countable(self, side: _Side) -> bool:
        counted = side.plan.where is None or side.source.pushed
        return side.plan.source.rows_estimate <= COUNTED_ROWS and counted

    def _counted(self, side: _Side) -> int | None:
        if not self._countable(side):
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
