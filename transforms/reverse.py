"""Inverse plans: how a row of a store's table becomes a row of the source's table again, and how faithful that is.

Built from a forward `TablePlan`. A column that no target column gives back keeps the source's value: an UPDATE does not
set it, an INSERT leaves it to its default. Every column says what the way back does to it (`Reversibility`), so that a
cutover can be refused before anything is lost. No I/O.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from model.errors import ConfigError, ValueRefused
from model.rows import ABSENT, Field, Row
from model.tables import ColumnDef, DefaultKind, TableDef
from transforms.pgtypes import PgType, parse_type
from transforms.plan import ColumnKind, ColumnPlan, CompiledExpression, Inverse, TablePlan
from transforms.reverse_casts import back_through
from transforms.reverse_expression import compile_reverse
from transforms.reverse_forms import form_of, implicit_default
from transforms.reverse_printed import printed
from transforms.types import family

TRANSACTIONAL = frozenset({"innodb", "rocksdb", "tokudb", "ndbcluster", "xtradb", ""})
OUR_TRIGGERS = "crossfade"
"""Prefix of the names of our own triggers; they let the reverse stream through."""


class Reversibility(StrEnum):
    """What the way back does to a value, from best to worst."""

    EXACT = "exact"
    EXACT_WITH_KEPT_VALUE = "exact, legacy value kept"
    """The store does not have the column; the source keeps what it has, new rows get the default."""
    LOSSY = "lossy"
    """A value comes back changed, or a value that the source had cannot be told from another."""
    ONE_WAY = "one-way"
    """There is no way back."""


_ORDER = tuple(Reversibility)


def worst(ways: Iterable[Reversibility]) -> Reversibility:
    """The worst of several; EXACT of none."""
    return max(ways, key=_ORDER.index, default=Reversibility.EXACT)


@dataclass(frozen=True, slots=True)
class ColumnVerdict:
    """What the way back does to one column, for people and gates."""

    column: str
    way: Reversibility
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReverseColumn:
    """One source column that is written from the store."""

    column: ColumnDef
    ordinal: int
    """In the source table."""
    reads: tuple[str, ...]
    """Target columns that it is made of."""
    convert: Callable[[Row], Field] = field(compare=False, repr=False)
    """From PostgreSQL's output of `reads` to the neutral form. Raises ValueRefused."""
    compared: bool = True
    """Whether the source's value must equal the store's old value: not where the way back is lossy."""
    always_set: bool = False
    """Set by every UPDATE, also when it stays: the source would set it by itself (ON UPDATE CURRENT_TIMESTAMP)."""


@dataclass(frozen=True, slots=True)
class KeptColumn:
    """One source column that the store does not give back."""

    column: ColumnDef
    insert: Field = ABSENT
    """Neutral form for new rows; ABSENT: the column's own default."""
    hold: bool = False
    """An UPDATE must set it to itself, or the source would change it (ON UPDATE CURRENT_TIMESTAMP)."""


@dataclass(frozen=True, slots=True)
class ReversePlan:
    """One target table → its source table."""

    plan: TablePlan
    columns: tuple[ReverseColumn, ...]
    kept: tuple[KeptColumn, ...]
    key: tuple[int, ...]
    """Indexes into `columns` of the source's key; () when the source table has none (rows are found by all columns)."""
    verdicts: tuple[ColumnVerdict, ...]
    guard: CompiledExpression | None = None
    """The plan's `where`, when it reads columns that the store does not have: no other row may be touched."""
    shared: bool = False
    """Other plans make other parts of the same source rows: a row may be there already, or be gone already."""
    follows: bool = False
    """Nothing goes back, for the plan has no part of the rows but their key (a masked copy): others make them."""

    @property
    def source(self) -> TableDef:
        """The table that is written."""
        return self.plan.source

    @property
    def id(self) -> str:
        """The forward plan's id."""
        return self.plan.id

    @property
    def way(self) -> Reversibility:
        """The worst of the columns."""
        return worst(verdict.way for verdict in self.verdicts)

    @property
    def told_by(self) -> tuple[tuple[str, bytes], ...]:
        """(target column, value) of every row that is the plan's, where several plans share the target table."""
        columns = [self.plan.columns[index] for index in self.plan.told_by]
        return tuple((item.target.name, item.constant) for item in columns if isinstance(item.constant, bytes))

    @property
    def reads(self) -> frozenset[str]:
        """Target columns that the way back needs."""
        return frozenset(name for column in self.columns for name in column.reads)


def reverse_plans(plans: Iterable[TablePlan]) -> tuple[ReversePlan, ...]:
    """The inverse of each plan. `plans`: all plans of the migration, so that shared source rows are seen.

    Raises ConfigError for a `reverse` expression that cannot work.
    """
    plans = tuple(plans)
    made = [
        reverse_plan(plan, [other for other in plans if other.source.id == plan.source.id and other is not plan])
        for plan in plans
    ]
    givers = {back.source.id for back in made if not _key_only(back)}
    return tuple(_following(back) if back.source.id in givers and _key_only(back) else back for back in made)


def _key_only(back: ReversePlan) -> bool:
    return back.shared and bool(back.key) and len(back.columns) == len(back.key)


def _following(back: ReversePlan) -> ReversePlan:
    """The plan of a side table: its rows must neither take the parts of others away nor make half a row."""
    reason = "no part of the source's rows but their key is here: rows that come and go here are not sent back"
    verdict = ColumnVerdict("", Reversibility.EXACT, reason)
    return dataclasses.replace(back, follows=True, verdicts=(*back.verdicts, verdict))


def reverse_plan(plan: TablePlan, siblings: Iterable[TablePlan] = ()) -> ReversePlan:
    """The inverse of one plan; `siblings` are other plans that read the same source table.

    Raises ConfigError for a `reverse` expression that cannot work.
    """
    siblings = tuple(siblings)
    columns: dict[int, ReverseColumn] = {}
    verdicts: list[ColumnVerdict] = []
    for item in plan.columns:
        if item.kind in (ColumnKind.COPY, ColumnKind.MAP):
            assert item.source is not None
            column = plan.source.columns[item.source]
            if column.generated:
                verdicts.append(ColumnVerdict(column.name, Reversibility.EXACT, "computed by the source"))
                continue
            way, reason = _judged(item, column)
            if item.source not in columns:
                columns[item.source] = _made(item, column, item.source, way)
                verdicts.append(ColumnVerdict(column.name, way, reason))
        elif item.kind is ColumnKind.CONSTANT and not item.one_way:
            verdicts.append(ColumnVerdict(item.target.name, Reversibility.EXACT, "added by us; not sent back"))
    for item in plan.columns:
        if item.reverse is not None:
            _declared(plan, item, columns, verdicts)
        elif item.inverse is not None:
            _by_function(plan, item, item.inverse, columns, verdicts)
    kept: list[KeptColumn] = []
    for ordinal, column in enumerate(plan.source.columns):
        if ordinal not in columns and not column.generated:
            kept.append(_kept(column))
            verdicts.append(_kept_verdict(plan, siblings, column, ordinal, kept[-1]))
    for item in plan.columns:
        if item.kind is ColumnKind.EXPRESSION and item.reverse is None and item.inverse is None and not item.one_way:
            verdicts.append(ColumnVerdict(item.target.name, Reversibility.EXACT, "derived; not sent back"))
    for target in plan.target.columns:
        if target.lookup is not None:
            reason = f"looked up in {target.lookup.other}; not sent back"
            verdicts.append(ColumnVerdict(target.name, Reversibility.EXACT, reason))
    ordered = tuple(columns[ordinal] for ordinal in sorted(columns))
    key, problem = _key(plan.source, ordered)
    verdicts += [ColumnVerdict("", way, reason) for way, reason in [*problem, *_table_verdicts(plan)]]
    return ReversePlan(
        plan, ordered, tuple(kept), key, tuple(verdicts), _guard(plan, columns), bool(siblings) and not plan.routed
    )


# ---------------------------------------------------------------- columns


def _judged(item: ColumnPlan, column: ColumnDef) -> tuple[Reversibility, str]:
    """How faithful a copied or mapped column comes back, and why not exactly."""
    if item.kind is ColumnKind.MAP:
        if not item.strict:
            return Reversibility.LOSSY, "the map's default '*' stands for several values"
        assert item.mapping is not None
        values = [*item.mapping.values(), *([None] if column.nullable else [])]
        if len(set(values)) < len(values):
            return Reversibility.LOSSY, "the map makes one value of several"
        return Reversibility.EXACT, ""
    lost = [step.reason for step in item.casts if not step.reversible]
    if lost:
        return Reversibility.LOSSY, "; ".join(lost)
    target = _target_type(item)
    kind = family(column)
    if kind == "text" and target is not None and target.base in _RESPELLED:
        return Reversibility.LOSSY, f"the spelling of a text that was read as {target} is not kept"
    if kind == "json" and target == PgType("jsonb") and column.type != "json":
        return Reversibility.LOSSY, "the spelling of documents (spaces, order, duplicates) is not kept"
    if kind == "float" and column.type == "float" and target is not None and target.base not in ("real", "text"):
        return Reversibility.LOSSY, "numbers are rounded to the 24 bits of a FLOAT"
    return Reversibility.EXACT, NO_EMPTY_SHAPE if column.no_empty_shape else ""


NO_EMPTY_SHAPE: Final = (
    "GEOMETRYCOLLECTION EMPTY is refused when it is written in the store, for the source, MySQL 5.6, has no empty shape"
)
_RESPELLED = frozenset(
    {
        "smallint", "integer", "bigint", "numeric", "real", "double precision", "boolean", "jsonb",
        "timestamp without time zone",
    }
)  # fmt: skip


def _target_type(item: ColumnPlan) -> PgType | None:
    """The target's type taken apart; None for an enum type of our own, whose labels are text."""
    return None if item.target.type.endswith('"') else parse_type(item.target.type)


def from_printed(item: ColumnPlan, column: ColumnDef) -> Callable[[bytes], bytes]:
    """The chain for a copied column: PostgreSQL's output → casts backwards → the source's neutral form."""
    target = _target_type(item)
    steps = [
        printed(target) if target is not None else None,
        *(back_through(cast, column) for cast in reversed(item.casts)),
    ]
    if target == PgType("boolean") and family(column) == "text":
        steps.append(lambda value: b"1" if value == b"t" else b"0")
    steps.append(form_of(column))
    return _chained([step for step in steps if step is not None])


def _chained(steps: list[Callable[[bytes], bytes]]) -> Callable[[bytes], bytes]:
    if len(steps) == 1:
        return steps[0]
    if len(steps) == 2:
        first, second = steps
        return lambda value: second(first(value))

    def chain(value: bytes) -> bytes:
        for step in steps:
            value = step(value)
        return value

    return chain


def _made(item: ColumnPlan, column: ColumnDef, ordinal: int, way: Reversibility) -> ReverseColumn:
    convert = _unmapped(item, column) if item.kind is ColumnKind.MAP else from_printed(item, column)
    empty: Field = None
    if item.kind is ColumnKind.MAP and item.mapping is not None:
        sources = [source for source, value in item.mapping.items() if value is None]
        empty = None if column.nullable or not sources else form_of(column)(sources[0])
    elif not column.nullable and any(cast.name == "zero_date_null" for cast in item.casts):
        empty = implicit_default(column)

    def whole(fields: Row) -> Field:
        value = fields[0]
        if value is None:
            if empty is None and not column.nullable:
                raise ValueRefused("a NULL cannot go back: the source's column is NOT NULL", column=column.name)
            return empty
        assert isinstance(value, bytes)
        return convert(value)

    return ReverseColumn(
        column,
        ordinal,
        (item.target.name,),
        whole,
        compared=way is Reversibility.EXACT,
        always_set=column.on_update_now,
    )


def _unmapped(item: ColumnPlan, column: ColumnDef) -> Callable[[bytes], bytes]:
    assert item.mapping is not None
    form = form_of(column)
    spelled = printed_alike(item.target.type)
    inverse: dict[bytes, bytes] = {}
    for source, value in item.mapping.items():
        if isinstance(value, bytes):
            inverse.setdefault(spelled(value), form(source))

    def convert(value: bytes) -> bytes:
        found = inverse.get(spelled(value))
        if found is None:
            raise ValueRefused(
                f"the value map has no source value for {value[:60].decode(errors='replace')!r}",
                hint="Add the value to the column's map, or mend the row in the store.",
                column=column.name,
            )
        return found

    return convert


def printed_alike(type_text: str) -> Callable[[bytes], bytes]:
    """Brings a value and its other spellings of the same type to one, so that the map's and the store's meet."""
    target = parse_type(type_text)
    if target.base == "boolean":
        return lambda value: b"t" if value in (b"t", b"true", b"1") else b"f"
    if target.base in ("smallint", "integer", "bigint"):
        return lambda value: b"%d" % int(value)
    if target.base in ("real", "double precision"):
        return lambda value: repr(float(value)).encode()
    if target.base.startswith("timestamp"):
        return lambda value: value.rstrip(b"0").rstrip(b".") if b"." in value else value
    return lambda value: value


def _declared(
    plan: TablePlan, item: ColumnPlan, columns: dict[int, ReverseColumn], verdicts: list[ColumnVerdict]
) -> None:
    """A computed column with `reverse: column = expression`."""
    assert item.reverse is not None
    found = compile_reverse(plan, item.reverse, item.target.name)
    if found.ordinal in columns:
        raise ConfigError(
            f"`reverse` of {item.target.name} gives the column {found.column.name}, which is copied anyway",
            hint="Leave `reverse` out, or exclude the source column.",
            table=plan.source.id,
            column=found.column.name,
        )

    def convert(fields: Row) -> Field:
        value = found.evaluate(fields)
        if value is None and not found.column.nullable:
            raise ValueRefused("a NULL cannot go back: the source's column is NOT NULL", column=found.column.name)
        return value

    columns[found.ordinal] = ReverseColumn(
        found.column, found.ordinal, found.reads, convert, always_set=found.column.on_update_now
    )
    verdicts.append(ColumnVerdict(found.column.name, Reversibility.EXACT, f"as declared: {item.reverse}"))


def _by_function(
    plan: TablePlan,
    item: ColumnPlan,
    inverse: Inverse,
    columns: dict[int, ReverseColumn],
    verdicts: list[ColumnVerdict],
) -> None:
    """A column of a Python function that has an inverse."""
    column = plan.source.columns[inverse.gives]
    if inverse.gives in columns:
        raise ConfigError(
            f"the inverse of {item.target.name} gives the column {column.name}, which comes back anyway",
            hint="Leave `inverse` out, or exclude the source column.",
            table=plan.source.id,
            column=column.name,
        )
    form, target = form_of(column), _target_type(item)
    spelled = printed(target) if target is not None else None

    def convert(fields: Row) -> Field:
        value = fields[0]
        if isinstance(value, bytes) and spelled is not None:
            value = spelled(value)
        result = inverse.call(value.decode() if isinstance(value, bytes) else None)
        if result is None and not column.nullable:
            raise ValueRefused("a NULL cannot go back: the source's column is NOT NULL", column=column.name)
        return form(result) if isinstance(result, bytes) else None

    columns[inverse.gives] = ReverseColumn(
        column, inverse.gives, (item.target.name,), convert, always_set=column.on_update_now
    )
    verdicts.append(ColumnVerdict(column.name, Reversibility.EXACT, f"as declared: {inverse.name}"))


# ---------------------------------------------------------------- what stays


def _kept(column: ColumnDef) -> KeptColumn:
    needs = not column.nullable and not column.auto_increment and column.default_kind is DefaultKind.NONE
    value = implicit_default(column) if needs else None
    return KeptColumn(column, ABSENT if value is None else value, hold=column.on_update_now)


def _kept_verdict(
    plan: TablePlan, siblings: tuple[TablePlan, ...], column: ColumnDef, ordinal: int, kept: KeptColumn
) -> ColumnVerdict:
    for other in siblings:
        if any(item.source == ordinal for item in other.columns):
            return ColumnVerdict(column.name, Reversibility.EXACT, f"comes back from {other.target}")
    return _only_once(_lacking_verdict(plan, column, ordinal, kept), plan.source, kept)


def _lacking_verdict(plan: TablePlan, column: ColumnDef, ordinal: int, kept: KeptColumn) -> ColumnVerdict:
    """The verdict of a column that no store gives back."""
    masked = [item for item in plan.columns if item.one_way and item.expression and ordinal in item.expression.columns]
    if masked:
        return ColumnVerdict(column.name, Reversibility.LOSSY, masked[0].one_way)
    derived = [
        item.target.name
        for item in plan.columns
        if item.expression is not None
        and item.reverse is None
        and item.inverse is None
        and ordinal in item.expression.columns
    ]
    if derived:
        reason = f"only {', '.join(derived)} is made of it, and no `reverse` says how to turn that back"
        return ColumnVerdict(column.name, Reversibility.LOSSY, reason)
    if kept.insert is not ABSENT:
        shown = kept.insert.decode(errors="replace") if isinstance(kept.insert, bytes) else ""
        return ColumnVerdict(column.name, Reversibility.LOSSY, f"not in the store; new rows get {shown!r}")
    if not column.nullable and not column.auto_increment and column.default_kind is DefaultKind.NONE:
        return ColumnVerdict(column.name, Reversibility.ONE_WAY, "not in the store, NOT NULL and without a default")
    return ColumnVerdict(
        column.name, Reversibility.EXACT_WITH_KEPT_VALUE, "not in the store; new rows get the column's default"
    )


def _only_once(verdict: ColumnVerdict, source: TableDef, kept: KeptColumn) -> ColumnVerdict:
    """The verdict of a column that no store gives back, with what a unique index over it makes of new rows."""
    column = kept.column
    filled = kept.insert if kept.insert is not ABSENT else column.default
    if column.auto_increment or filled is None or column.default_kind is DefaultKind.EXPRESSION:
        return verdict
    for index in source.indexes:
        if index.unique and any((part.column or "").lower() == column.name.lower() for part in index.parts):
            why = f"new rows get the same value, and the unique index {index.name} takes only the first of them"
            reason = f"{verdict.reason}; {why}" if verdict.reason else why
            return ColumnVerdict(column.name, worst((verdict.way, Reversibility.LOSSY)), reason)
    return verdict


# ---------------------------------------------------------------- the table


def _key(
    source: TableDef, columns: tuple[ReverseColumn, ...]
) -> tuple[tuple[int, ...], list[tuple[Reversibility, str]]]:
    """Where the source's key is among the columns, and what is wrong with it."""
    positions = {column.column.name: index for index, column in enumerate(columns)}
    missing = [name for name in source.key if source.column(name).name not in positions]
    if missing:
        return (), [(Reversibility.ONE_WAY, f"the source's key column {missing[0]} is not in the store")]
    if not source.key:
        compared = sum(column.compared for column in columns)
        if not compared:
            return (), [(Reversibility.ONE_WAY, "the source table has no key and no column to find rows by")]
        return (), [(Reversibility.EXACT, "no key: rows are found by all of their columns")]
    key = tuple(positions[source.column(name).name] for name in source.key)
    loose = [columns[index].column.name for index in key if not columns[index].compared]
    if loose:
        return key, [(Reversibility.ONE_WAY, f"the key column {loose[0]} does not come back as it was")]
    return key, []


def _table_verdicts(plan: TablePlan) -> list[tuple[Reversibility, str]]:
    found: list[tuple[Reversibility, str]] = []
    if plan.deleted is not None and not plan.deleted.marks:
        reason = "a delete in the store deletes the row, for delete_when does not tell how a row is marked (add `set`)"
        found.append((Reversibility.LOSSY, reason))
    if plan.source.engine.lower() not in TRANSACTIONAL:
        reason = f"{plan.source.engine} is not transactional: nothing can be applied exactly once"
        found.append((Reversibility.ONE_WAY, reason))
    triggers = [name for name in plan.source.triggers if not name.lower().startswith(OUR_TRIGGERS)]
    if triggers:
        reason = f"triggers of the source fire again on what comes back: {', '.join(triggers)}"
        found.append((Reversibility.LOSSY, reason))
    return found


def _guard(plan: TablePlan, columns: Mapping[int, ReverseColumn]) -> CompiledExpression | None:
    if plan.where is None or all(ordinal in columns for ordinal in plan.where.columns):
        return None
    return plan.where
