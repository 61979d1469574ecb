"""What a plan does to one row, step by step, and what its way back would give: values, for people and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from model.errors import ValueRefused
from model.rows import Field, Row
from transforms.plan import ColumnKind, ColumnPlan, TablePlan
from transforms.reverse import ReversePlan, Reversibility


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a value: what was done, and what came of it."""

    what: str
    value: Field


@dataclass(frozen=True, slots=True)
class PreviewedColumn:
    """How one target column gets its value."""

    target: str
    reads: tuple[tuple[str, Field], ...]
    """(source column, value) of everything that it is made of."""
    steps: tuple[Step, ...]
    value: Field
    refused: str = ""
    """Why there is no value: the row would be set aside."""


@dataclass(frozen=True, slots=True)
class Returned:
    """What one source column would be after the way back."""

    column: str
    before: Field
    after: Field
    way: Reversibility
    reason: str = ""
    kept: bool = False
    """The source keeps what it has: the store does not give the column back."""

    @property
    def same(self) -> bool:
        """Whether the source's value comes back as it was."""
        return self.kept or self.before == self.after


@dataclass(frozen=True, slots=True)
class PreviewedRow:
    """What becomes of a source row in one target table."""

    plan: TablePlan
    key: tuple[tuple[str, Field], ...]
    taken: bool
    why: str
    """Why the row is not in the target, or is refused."""
    columns: tuple[PreviewedColumn, ...]


def preview(plan: TablePlan, row: Row) -> PreviewedRow:
    """Follow a source row through a plan. Never raises for a value."""
    source = plan.source
    key = tuple((name, row[source.index_of(name)]) for name in source.key)
    columns = tuple(_column(plan, column, row) for column in plan.columns)
    try:
        taken = plan.accepts(row)
    except ValueRefused as error:
        return PreviewedRow(plan, key, False, f"set aside: {error.message}", columns)
    refused = next((column for column in columns if column.refused), None)
    if taken and refused is not None:
        return PreviewedRow(plan, key, False, f"set aside: column {refused.target}: {refused.refused}", columns)
    why = "" if taken else _why_not(plan)
    return PreviewedRow(plan, key, taken, why, columns)


def _why_not(plan: TablePlan) -> str:
    assert plan.where is not None
    if plan.deleted is None:
        return f"does not meet: {plan.where.text}"
    others = f" or does not meet: {plan.deleted.others}" if plan.deleted.others else ""
    return f"counts as deleted ({plan.deleted.text}){others}"


def _column(plan: TablePlan, column: ColumnPlan, row: Row) -> PreviewedColumn:
    reads = _reads(plan, column, row)
    steps: list[Step] = []
    refused = ""
    try:
        value = _first(column, row, steps)
        for cast in column.casts:
            changed = cast.convert(value)
            if changed != value:
                steps.append(Step(cast.name, changed))
            value = changed
    except ValueRefused as error:
        value, refused = None, error.message
    return PreviewedColumn(column.target.name, reads, tuple(steps), value, refused)


def _reads(plan: TablePlan, column: ColumnPlan, row: Row) -> tuple[tuple[str, Field], ...]:
    ordinals = sorted(column.reads)
    return tuple((plan.source.columns[ordinal].name, row[ordinal]) for ordinal in ordinals)


def _first(column: ColumnPlan, row: Row, steps: list[Step]) -> Field:
    """The value before its casts; how it was made is noted."""
    value = column.before_casts(row)
    if column.kind is ColumnKind.MAP:
        steps.append(Step("map", value))
    elif column.expression is not None:
        steps.append(Step(column.expression.text, value))
    elif column.kind is ColumnKind.CONSTANT:
        steps.append(Step("constant", value))
    return value


def returned(back: ReversePlan, row: Row, printed: Mapping[str, Field]) -> tuple[Returned, ...]:
    """What would come back of a taken row. `printed`: target column → its value as PostgreSQL prints it."""
    verdicts = {verdict.column: verdict for verdict in back.verdicts}
    found: dict[int, Returned] = {}
    for column in back.columns:
        before = row[column.ordinal]
        verdict = verdicts.get(column.column.name)
        way, reason = (verdict.way, verdict.reason) if verdict else (Reversibility.EXACT, "")
        try:
            after = column.convert(tuple(printed[name] for name in column.reads))
        except ValueRefused as error:
            after, way, reason = None, Reversibility.ONE_WAY, error.message
        found[column.ordinal] = Returned(column.column.name, before, after, way, reason)
    for ordinal, source in enumerate(back.source.columns):
        if ordinal not in found:
            verdict = verdicts.get(source.name)
            way, reason = (verdict.way, verdict.reason) if verdict else (Reversibility.EXACT, "")
            found[ordinal] = Returned(source.name, row[ordinal], row[ordinal], way, reason, kept=True)
    return tuple(found[ordinal] for ordinal in sorted(found))
