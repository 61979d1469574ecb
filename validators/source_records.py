"""A plan's rows on the source as digests that are computed here: the compiled path for what cannot be pushed down."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from model.rows import ABSENT
from sync.mysql.kernel import LineColumn
from sync.mysql.lines import guard_of
from sync.mysql.result_forms import result_form
from sync.mysql.result_records import Hashed, RecordColumn, ResultDigests, SourceField
from transforms.plan import ColumnKind, ColumnPlan, TablePlan
from validators.canonical.record import RecordForm, piece
from validators.canonical.target_forms import TargetForm
from validators.leaves import Leaves


def result_digests(
    plan: TablePlan,
    form: RecordForm,
    ordinals: Sequence[int],
    leaves: Leaves,
    key: int,
    refused: Callable[[list[bytes | None]], Hashed],
) -> ResultDigests:
    """The digests of rows that are selected as the source columns `ordinals`.

    `key` is the target column that leaves are cut by, -1 for buckets of the hash. `refused` takes the selected values
    of a row with a value that the plan refuses. Raises Refused for an unknown character set.
    """
    places = {ordinal: place for place, ordinal in enumerate(ordinals)}
    needed = set(plan.where.columns) if plan.where else set()
    for column in plan.columns:
        if column.kind is not ColumnKind.COPY:
            needed |= column.reads
    return ResultDigests(
        [_column(column, target, plan, places) for column, target in zip(plan.columns, form.targets, strict=True)],
        [SourceField(one, places[one], result_form(plan.source.columns[one])) for one in sorted(needed)],
        len(plan.source.columns),
        max(1, len(ordinals)),
        key,
        leaves.divisor,
        plan.accepts if plan.where else None,
        leaves.of,
        refused,
    )


def _column(column: ColumnPlan, target: TargetForm, plan: TablePlan, places: dict[int, int]) -> RecordColumn:
    line = value = fixed = None
    if column.kind is ColumnKind.CONSTANT and column.constant is not ABSENT:
        constant = column.constant
        fixed = piece(target, target.canonical(constant) if isinstance(constant, bytes) else None)
    elif column.kind is ColumnKind.COPY and column.source is not None:
        guard, limit = guard_of(column.casts)
        converts = tuple(cast.convert for cast in column.casts)
        line = LineColumn(
            places[column.source], result_form(plan.source.columns[column.source]), converts, guard, limit
        )
    else:
        value = column.value
    return RecordColumn(line, value, fixed, target.how, target.digits, target.free, target.canonical)
