"""From a change of a source row to changes of target rows: projection, where-filters, key changes, partial images.

Pure. A value that a target column cannot hold raises ValueRefused with the plan and the key in `where`; a partial row
image that leaves the outcome open raises ApplyError, nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter

from model.errors import ApplyError, ValueRefused
from model.rows import ABSENT, Op, Row, RowChange
from transforms.plan import TablePlan

_IMAGE_HINT = "Set binlog_row_image=FULL on the source (also in sessions that change it)."


@dataclass(frozen=True, slots=True)
class TargetChange:
    """One change of one target row. Fields are in the order of `plan.columns`.

    INSERT: `row` is the whole row; ABSENT means the column's default. UPDATE: ABSENT means unchanged. DELETE: no `row`.
    `before` is there for keyless tables only (the row to find). Keys are () for keyless tables.
    """

    op: Op
    plan: TablePlan
    plan_id: str
    """`plan.id`"""
    key_before: Row | None
    key_after: Row | None
    row: Row | None
    before: Row | None = None
    unique_changed: bool = False
    """UPDATE: a value of a secondary unique index changed."""
    partial: bool = False
    """UPDATE: `row` holds ABSENT, the rest of the row is known to the store only."""


class PlanRouter:
    """Routes the changes of one source table version through one plan; computes the plan's shortcuts once."""

    def __init__(self, plan: TablePlan) -> None:
        self.plan = plan
        self.plan_id = self._plan_id = plan.id
        self._key = _picker(plan.key)
        self._unique_columns = tuple(sorted({index for columns in plan.uniques for index in columns}))
        self._unique = _picker(self._unique_columns)
        sources = tuple(column.source for column in plan.columns if column.source is not None)
        self._direct = plan.plain and not any(column.casts for column in plan.columns)
        self._pick = _picker(sources)
        self._identity = sources == tuple(range(len(plan.source.columns)))
        self._where = plan.where.columns if plan.where else ()
        self._old_key = self._fields(plan.key)
        self._old_unique = self._fields(self._unique_columns)

    def route(self, change: RowChange) -> TargetChange | None:
        """The change of the target row; None when the row is not the target's business."""
        before, after = change.before, change.after
        if change.op is Op.INSERT:
            assert after is not None
            return self._insert(after) if self._accepts(after) is not False else None
        assert before is not None
        if change.op is Op.DELETE:
            return self._delete(before) if self._held(before) is not False else None
        assert after is not None
        return self._update(before, after)

    def _update(self, before: Row, after: Row) -> TargetChange | None:
        merged: Row = after
        if ABSENT in after:
            merged = tuple(old if new is ABSENT else new for old, new in zip(before, after, strict=True))
        if self._where and any(after[column] is not ABSENT for column in self._where):
            was, now = self._held(before), self._accepts(merged)
            if now is None:
                raise self._open_image("whether the row belongs to the target", before)
            if not now:
                return None if was is False else self._delete(before)
            if was is False:
                if ABSENT in merged:
                    raise self._open_image("the whole row that enters the target", before)
                return self._insert(merged)
            if was is None and ABSENT in merged:
                raise self._open_image("whether the row is new to the target", before)
        elif self._where and self._held(before) is False:
            return None
        return self._changed(before, merged)

    def _changed(self, before: Row, merged: Row) -> TargetChange:
        if not self.plan.key:
            old = self._whole(self._project(before), before)
            return TargetChange(Op.UPDATE, self.plan, self._plan_id, (), (), self._project(merged), old)
        key_before = self._checked_key(self._old_key(before))
        row = self._project(merged)
        key_after = self._checked_key(self._key(row))
        unique_changed = False
        if self._unique_columns:
            # A MINIMAL before-image lacks the old value: what is present in the new one then counts as changed.
            new = self._unique(row)
            old_unique = self._old_unique(before)
            unique_changed = any(n is not ABSENT and n != o for o, n in zip(old_unique, new, strict=True))
        return TargetChange(
            Op.UPDATE, self.plan, self._plan_id, key_before, key_after, row, None, unique_changed, partial=ABSENT in row
        )

    def _insert(self, after: Row) -> TargetChange:
        row = self._project(after)
        return TargetChange(
            Op.INSERT, self.plan, self._plan_id, None, self._checked_key(self._key(row)) if self.plan.key else (), row
        )

    def _delete(self, before: Row) -> TargetChange:
        if not self.plan.key:
            return TargetChange(
                Op.DELETE, self.plan, self._plan_id, (), None, None, self._whole(self._project(before), before)
            )
        return TargetChange(Op.DELETE, self.plan, self._plan_id, self._checked_key(self._old_key(before)), None, None)

    def _accepts(self, row: Row) -> bool | None:
        """Whether `where` takes the row; None when the image lacks a column it reads."""
        if not self._where and self.plan.where is None:
            return True
        if any(row[column] is ABSENT for column in self._where):
            return None
        return self.plan.accepts(row)

    def _held(self, row: Row) -> bool | None:
        """Whether the target holds an old row; None when it may be an older one: the filter refused it."""
        try:
            return self._accepts(row)
        except ValueRefused:
            return None

    def _project(self, row: Row) -> Row:
        if self._direct:
            return row if self._identity else self._pick(row)
        try:
            return self.plan.project(row)
        except ValueRefused as error:
            error.where.setdefault("plan", self.plan.id)
            error.where.setdefault("key", _shown(self._source_key(row)))
            raise

    def _fields(self, indexes: tuple[int, ...]) -> Callable[[Row], Row]:
        """Reads some target fields of a source row: a value refused elsewhere must not stop an old row's delete."""
        columns = tuple(self.plan.columns[index] for index in indexes)
        if self._direct:
            return _picker(tuple(column.source for column in columns if column.source is not None))
        return lambda row: tuple(column.value(row) for column in columns)

    def _checked_key(self, key: Row) -> Row:
        if ABSENT in key or None in key:
            raise ApplyError(
                "a row image lacks the key or its key is NULL", hint=_IMAGE_HINT, plan=self.plan.id, key=_shown(key)
            )
        return key

    def _source_key(self, row: Row) -> Row:
        source = self.plan.source
        return tuple(row[source.index_of(name)] for name in source.key)

    def _whole(self, row: Row, source_row: Row) -> Row:
        if ABSENT in row:
            raise self._open_image("the whole old row, which a table without a key needs", source_row)
        return row

    def _open_image(self, what: str, row: Row) -> ApplyError:
        return ApplyError(
            f"a partial row image does not tell {what}",
            hint=_IMAGE_HINT,
            plan=self.plan.id,
            key=_shown(self._source_key(row)),
        )


class Router:
    """Routes changes of one source table version through all plans that read it."""

    def __init__(self, plans: Iterable[TablePlan]) -> None:
        self.routers = tuple(PlanRouter(plan) for plan in plans)

    def route(self, change: RowChange) -> list[TargetChange]:
        """Changes of target rows, one per plan that the row concerns. Raises ValueRefused, ApplyError."""
        return [target for router in self.routers if (target := router.route(change)) is not None]


def _picker(indexes: tuple[int, ...]) -> Callable[[Row], Row]:
    if not indexes:
        return lambda row: ()
    if len(indexes) == 1:
        index = indexes[0]
        return lambda row: (row[index],)
    return itemgetter(*indexes)


def _shown(key: Row) -> str:
    return ",".join(field.decode(errors="replace") if isinstance(field, bytes) else str(field) for field in key)
