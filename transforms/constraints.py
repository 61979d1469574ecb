"""Keys, indexes, uniques, checks and foreign keys of a target table.

What the target cannot keep is dropped with a note; a key that cannot identify rows is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.errors import ConfigError
from model.tables import ForeignKeyDef, IndexDef, IndexPart, TableDef
from transforms import names
from transforms.columns import OutputColumns
from transforms.plan import ColumnKind, ColumnPlan, TablePlan
from transforms.rules import Output
from transforms.target import TargetForeignKey, TargetIndex

INDEX_ENTRY_BYTES = 2704
"""The largest B-tree entry of an 8 kB page; longer keys make PostgreSQL refuse the row."""
_FULLTEXT_CHARACTERS = 200_000
_UNINDEXABLE = frozenset({"json", "point"})


@dataclass(frozen=True, slots=True)
class KeyColumns:
    """The target's key: names, and indexes into the plan's columns."""

    names: tuple[str, ...]
    positions: tuple[int, ...]


def keeps_apart(plan: ColumnPlan) -> bool:
    """Whether two different source values always give two different target values."""
    if plan.kind is ColumnKind.COPY:
        return all(cast.reversible for cast in plan.casts)
    if plan.kind is ColumnKind.MAP:
        assert plan.mapping is not None
        values = list(plan.mapping.values())
        return plan.strict and None not in values and len(set(values)) == len(values)
    return plan.apart


def _source_keys(table: TableDef) -> list[tuple[str, ...]]:
    """Every set of NOT NULL columns that identifies a source row, the table's own key first."""
    keys = [table.key] if table.key else []
    for index in table.indexes:
        parts = [part.column for part in index.parts if part.column and part.prefix is None]
        if index.unique and len(parts) == len(index.parts) and all(not table.column(name).nullable for name in parts):
            keys.append(tuple(parts))
    return keys


def derive_key(output: Output, columns: OutputColumns) -> KeyColumns:
    """The target's key: the rule's when it is unique, else the source's. Raises ConfigError when it cannot be kept."""
    table = output.source
    if output.rule.key is not None:
        return _stated_key(output, columns)
    positions = []
    for name in table.key:
        position = columns.of_source.get(name, columns.masked.get(name))
        if position is None:
            raise ConfigError(
                "a column of the key is left out, so changes could not find their rows",
                hint="Take the column along, or name another unique key with `key`.",
                table=table.id,
                column=name,
            )
        if not keeps_apart(columns.plans[position]):
            lost = next(
                (c.reason for c in columns.plans[position].casts if not c.reversible), "the map or mask joins values"
            )
            raise ConfigError(
                f"the key would not be unique in the store: {lost}",
                hint="Keep the column's default type, or name another unique key with `key`.",
                table=table.id,
                column=name,
            )
        if columns.plans[position].target.nullable:
            raise ConfigError(
                "a column of the key could become NULL",
                hint="Use zero_dates: infinity or quarantine for this table.",
                table=table.id,
                column=name,
            )
        positions.append(position)
    return KeyColumns(tuple(columns.plans[p].target.name for p in positions), tuple(positions))


def _stated_key(output: Output, columns: OutputColumns) -> KeyColumns:
    table, stated = output.source, output.rule.key or ()
    positions = []
    for name in stated:
        position = columns.position(name)
        if position is None:
            raise ConfigError(
                f"key names {name!r}, which is not a written column of the target",
                hint=f"The target's columns are {', '.join(plan.target.name for plan in columns.plans)}.",
                table=table.id,
            )
        if columns.plans[position].target.nullable:
            raise ConfigError(f"the key column {name!r} can be NULL", hint="Choose NOT NULL columns.", table=table.id)
        positions.append(position)
    if len(set(positions)) < len(positions):
        raise ConfigError("key names a column twice", hint="Name every column once.", table=table.id)
    covered = {
        source
        for source, position in {**columns.masked, **columns.of_source}.items()
        if position in positions and keeps_apart(columns.plans[position])
    }
    for position, sources in columns.surrogates:
        if position in positions:
            covered |= sources
    if not any(covered.issuperset(key) for key in _source_keys(table)):
        raise ConfigError(
            f"nothing makes ({', '.join(stated)}) unique in the source",
            hint="The key must hold every column of the source's primary key or of a unique index without NULL.",
            table=table.id,
        )
    return KeyColumns(tuple(stated), tuple(positions))


# ---------------------------------------------------------------- indexes


def _wide_bytes(plan: ColumnPlan, table: TableDef) -> int:
    """The longest entry that the column can make, bytes; 0 for narrow types."""
    assert plan.source is not None
    column = table.columns[plan.source]
    if plan.target.type.startswith(("character varying", "text", "citext")):
        return 4 * (column.length or 0) if column.type in ("char", "varchar") else 0
    return (column.length or 0) if plan.target.type == "bytea" and column.type in ("binary", "varbinary") else 0


def _part_sql(part: IndexPart, plan: ColumnPlan, table: TableDef) -> tuple[str, bool]:
    """SQL of an index part, and whether it is the whole column."""
    assert plan.source is not None
    name, column = names.quoted(plan.target.name), table.columns[plan.source]
    order = " DESC" if part.descending else ""
    whole = part.prefix is None or (
        column.type in ("char", "varchar", "binary", "varbinary") and part.prefix >= (column.length or 0)
    )
    if whole:
        return name + order, True
    if plan.target.type == "bytea":
        return f"(substring({name} from 1 for {part.prefix})){order}", False
    if plan.target.type.startswith(("character varying", "text")) and not plan.target.type.endswith("[]"):
        return f"(left({name}, {part.prefix})){order}", False
    return name + order, True


def build_indexes(
    output: Output, columns: OutputColumns, key: KeyColumns, relation_names: names.RelationNames
) -> tuple[list[TargetIndex], list[tuple[int, ...]]]:
    """The target's indexes, and the plan positions of unique ones made of whole columns. Notes go to `columns`."""
    indexes: list[TargetIndex] = []
    uniques: list[tuple[int, ...]] = []
    for index in output.source.indexes:
        made = _index(output, columns, index, relation_names)
        if made is None:
            continue
        target, positions = made
        if target.unique and target.columns and set(target.columns) == set(key.names):
            continue
        if target.unique and target.columns:
            uniques.append(positions)
        indexes.append(target)
    return indexes, uniques


def _why_dropped(columns: OutputColumns, index: IndexDef) -> str | None:
    """Why the target cannot have the index, None when it can."""
    for part in index.parts:
        if part.column is None:
            return "a part of it is an expression"
        position = columns.of_source.get(part.column)
        if position is None and part.column in columns.masked:
            return f"the column {part.column} is masked"
        if position is None:
            return f"the column {part.column} is not written by the copy"
        plan = columns.plans[position]
        spatial = plan.target.type.startswith("geometry")
        if index.kind == "spatial":
            return None if spatial else f"spatial indexes need PostGIS' geometry, {part.column} is {plan.target.type}"
        if plan.target.type in _UNINDEXABLE or spatial:
            return f"{plan.target.type} has no B-tree order"
        if index.unique and not keeps_apart(plan):
            return "a conversion could make two of its values equal"
    return None


def _index(
    output: Output, columns: OutputColumns, index: IndexDef, relation_names: names.RelationNames
) -> tuple[TargetIndex, tuple[int, ...]] | None:
    why = _why_dropped(columns, index)
    if why is not None:
        columns.notes.append(f"index {index.name}: dropped, {why}")
        return None
    positions = [columns.of_source[part.column] for part in index.parts if part.column]
    plans = [columns.plans[position] for position in positions]
    name = relation_names.index(output.table, index.name)
    if index.kind == "spatial":
        return TargetIndex(name, tuple(names.quoted(plan.target.name) for plan in plans), method="gist"), ()
    if index.kind == "fulltext":
        texts = " || ' ' || ".join(f"coalesce({names.quoted(plan.target.name)}::text, '')" for plan in plans)
        vector = f"to_tsvector('simple'::regconfig, left({texts}, {_FULLTEXT_CHARACTERS}))"
        columns.notes.append(
            f"index {index.name}: full text becomes GIN over to_tsvector('simple'); queries must be rewritten"
        )
        return TargetIndex(name, (vector,), method="gin"), ()
    parts = [_part_sql(part, plan, output.source) for part, plan in zip(index.parts, plans, strict=True)]
    whole = all(is_whole for _, is_whole in parts)
    bytes_wide = sum(
        min(_wide_bytes(plan, output.source), 4 * (part.prefix or 1 << 20))
        for part, plan in zip(index.parts, plans, strict=True)
    )
    if bytes_wide > INDEX_ENTRY_BYTES:
        columns.notes.append(
            f"index {index.name}: a key of up to {bytes_wide} bytes may exceed PostgreSQL's {INDEX_ENTRY_BYTES};"
            " such a row is refused"
        )
    if index.unique and any(_folds_case(output.source, part) for part in index.parts):
        columns.notes.append(f"index {index.name}: unique in the source regardless of case; in the store case counts")
    return (
        TargetIndex(
            name,
            tuple(sql for sql, _ in parts),
            unique=index.unique,
            columns=tuple(plan.target.name for plan in plans) if whole else (),
        ),
        tuple(positions),
    )


def _folds_case(table: TableDef, part: IndexPart) -> bool:
    return part.column is not None and (table.column(part.column).collation or "").endswith("_ci")


# ---------------------------------------------------------------- foreign keys


def foreign_keys_of(plan: TablePlan, store_plans: Sequence[TablePlan]) -> tuple[list[TargetForeignKey], list[str]]:
    """The foreign keys that a table can keep among the plans of its store, and notes about the others."""
    kept: list[TargetForeignKey] = []
    notes: list[str] = []
    for key in plan.source.foreign_keys:
        parents = [other for other in store_plans if other.source.id == key.ref_table]
        reasons: list[str] = []
        for parent in parents:
            made = _foreign_key(plan, key, parent)
            if isinstance(made, TargetForeignKey):
                kept.append(made)
                if any(_case_matters(plan.source, name) for name in key.columns):
                    notes.append(f"foreign key {key.name}: references that differ in case only would break it")
                break
            reasons.append(made)
        else:
            why = reasons[0] if reasons else f"{key.ref_table} is not in the store {plan.target.store}"
            notes.append(f"foreign key {key.name}: dropped, {why}")
    return kept, notes


def _case_matters(table: TableDef, name: str) -> bool:
    return (table.column(name).collation or "").endswith("_ci")


def _foreign_key(plan: TablePlan, key: ForeignKeyDef, parent: TablePlan) -> TargetForeignKey | str:
    """The foreign key in the store, or why it cannot be kept."""
    if parent.where is not None:
        return f"{parent.target.name} holds only some rows of {key.ref_table}"
    mine: list[str] = []
    theirs: list[str] = []
    for own, referenced in zip(key.columns, key.ref_columns, strict=True):
        child_column, parent_column = _copied(plan, own), _copied(parent, referenced)
        if child_column is None or parent_column is None:
            return f"{own if child_column is None else referenced} is not copied as it is"
        if child_column.target.type.partition("(")[0] != parent_column.target.type.partition("(")[0]:
            return f"{own} is {child_column.target.type}, {referenced} is {parent_column.target.type}"
        if any(not cast.reversible for cast in (*child_column.casts, *parent_column.casts)):
            return f"{own} or {referenced} loses information"
        mine.append(child_column.target.name)
        theirs.append(parent_column.target.name)
    unique = [set(parent.target.key)] + [set(index.columns) for index in parent.target.indexes if index.unique]
    if set(theirs) not in [columns for columns in unique if columns]:
        return f"nothing makes ({', '.join(theirs)}) of {parent.target.name} unique"
    return TargetForeignKey(
        names.shorten(key.name),
        tuple(mine),
        parent.target.schema,
        parent.target.name,
        tuple(theirs),
        key.on_delete.upper(),
        key.on_update.upper(),
    )


def _copied(plan: TablePlan, source_name: str) -> ColumnPlan | None:
    ordinal = plan.source.index_of(source_name)
    for column in plan.columns:
        if column.kind is ColumnKind.COPY and column.source == ordinal:
            return column
    return None
