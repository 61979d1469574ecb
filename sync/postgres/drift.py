"""Compares a store's tables with the plan: every difference as a value, and which of them make writing impossible.

Never changes anything. What is only not there yet (an index that comes after the copy) is a difference too, but no
misfit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from model.errors import SchemaDrift
from sync.postgres.store_catalog import StoreCatalog, StoreTable
from transforms.target import TargetTable


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the plan says."""

    table: str
    """`schema.table` in the store."""
    object: str
    """`table`, `column NAME`, `key`, `index NAME`, `foreign key NAME`, `check NAME`."""
    expected: str | None
    """None when the plan does not have it."""
    found: str | None
    """None when the store does not have it."""
    misfit: bool = False
    """Rows of the plan cannot be written as long as it stays so."""


def differences(catalog: StoreCatalog, tables: Iterable[TargetTable]) -> tuple[Difference, ...]:
    """Everything in which the store differs from the plan's tables; () when it fits exactly."""
    found: list[Difference] = []
    for table in tables:
        place = f"{table.schema}.{table.name}"
        if (kind := catalog.other_relations.get((table.schema, table.name))) is not None:
            found.append(Difference(place, "table", "table", kind, misfit=True))
            continue
        present = catalog.tables.get((table.schema, table.name))
        if present is None:
            found.append(Difference(place, "table", "table", None))
            continue
        found += _columns(place, table, present)
        if present.key != table.key:
            found.append(Difference(place, "key", _listed(table.key), _listed(present.key), misfit=bool(table.key)))
        found += _indexes(place, table, present)
        keys = {key.name: key.validated for key in present.foreign_keys}
        for key in table.foreign_keys:
            if not keys.get(key.name):
                state = "not validated" if key.name in keys else None
                found.append(Difference(place, f"foreign key {key.name}", _listed(key.columns), state))
        for check in table.checks:
            if check.name not in present.checks:
                found.append(Difference(place, f"check {check.name}", check.expression, None))
    return tuple(found)


def _columns(place: str, table: TargetTable, present: StoreTable) -> list[Difference]:
    found: list[Difference] = []
    columns = {column.name: column for column in present.columns}
    for column in table.columns:
        name, other = f"column {column.name}", columns.pop(column.name, None)
        if other is None:
            found.append(Difference(place, name, column.type, None, misfit=True))
        elif other.type != column.type:
            found.append(Difference(place, name, column.type, other.type, misfit=True))
        elif other.generated != (column.generated is not None):
            words = ("plain", "generated")
            found.append(
                Difference(place, name, words[not other.generated], words[other.generated], misfit=other.generated)
            )
        elif other.nullable != column.nullable:
            words = ("not null", "null")
            found.append(Difference(place, name, words[column.nullable], words[other.nullable], misfit=column.nullable))
    for extra in columns.values():
        blocks = not extra.nullable and not extra.has_default
        found.append(Difference(place, f"column {extra.name}", None, extra.type, misfit=blocks))
    return found


def _indexes(place: str, table: TargetTable, present: StoreTable) -> list[Difference]:
    found: list[Difference] = []
    indexes = {index.name: index for index in present.indexes}
    for index in table.indexes:
        word = "unique index" if index.unique else "index"
        other = indexes.get(index.name)
        expected = f"{word} ({', '.join(index.parts)})"
        if other is None:
            found.append(Difference(place, f"index {index.name}", expected, None))
        elif not other.valid:
            found.append(Difference(place, f"index {index.name}", expected, "not valid: its build has not ended"))
        elif other.unique != index.unique or (index.columns and other.columns != index.columns):
            is_now = f"{'unique index' if other.unique else 'index'} {_listed(other.columns)}"
            found.append(Difference(place, f"index {index.name}", expected, is_now, misfit=other.unique))
    return found


def _listed(columns: Sequence[str]) -> str:
    return f"({', '.join(columns)})"


def render(found: Sequence[Difference]) -> str:
    """The differences as a diff: `-` is what the store has, `+` what the plan wants. "" when there are none."""
    lines: list[str] = []
    table = None
    for difference in found:
        if difference.table != table:
            table = difference.table
            lines.append(f"@@ {table}")
        mark = "  ! does not fit" if difference.misfit else ""
        lines.append(f"  {difference.object}{mark}")
        if difference.found is not None:
            lines.append(f"-   {difference.found}")
        if difference.expected is not None:
            lines.append(f"+   {difference.expected}")
    return "\n".join(lines)


def require_fit(catalog: StoreCatalog, tables: Iterable[TargetTable], store: str) -> None:
    """Raises SchemaDrift, showing the diff, when a table that exists cannot take the plan's rows."""
    misfits = [difference for difference in differences(catalog, tables) if difference.misfit]
    if misfits:
        first = misfits[0]
        raise SchemaDrift(
            f"{len(misfits)} {'parts do' if len(misfits) > 1 else 'part does'} not fit the plan in the store {store}:\n"
            + render(misfits),
            hint="Drop or mend the tables in the store, or give the rule another `table` or type.",
            table=first.table,
        )
