"""Cuts a large table into spans that are verified, leased and proven one by one.

Only a key column that leads an index on both sides can bound a span: any other range would be a scan of the whole
table each time. Tables without such a column are one span. Where values are dense the cut is arithmetic; else the
source's index is walked, so that a few rows with far-off keys do not leave everything in one span.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from model.tables import TableDef
from sync.mysql.literals import quoted_name
from sync.mysql.snapshot import raw_rows
from transforms.plan import TablePlan
from validators.leaves import KeyRange, integer_key_columns
from validators.source_side import SourceSide
from validators.spans import Span, between

DENSE: Final = 4
"""Fewer values than this per row, and equal ranges of values hold about equal numbers of rows."""
MOST_SPANS: Final = 20_000


def spans_of(source: SourceSide, chunk_rows: int) -> list[tuple[Span, int]]:
    """Spans of about `chunk_rows` rows with their estimated rows, in key order; together they hold every row."""
    plan, rows = source.plan, source.size()
    position = leading_column(plan)
    if rows <= chunk_rows or position is None:
        return [(Span(), rows)]
    found = next(iter(source.ranges((position,))), None)
    if found is None:
        return [(Span(), rows)]
    column = plan.columns[position].target.name
    wanted = min(MOST_SPANS, -(-rows // chunk_rows))
    dense = found.high - found.low < rows * DENSE
    starts = _even(found, wanted) if dense else list(_walk(source, position, found, rows // wanted))
    spans = between(column, starts)
    return [(span, rows // len(spans)) for span in spans]


def leading_column(plan: TablePlan) -> int | None:
    """Index into `plan.columns` of a key column that can bound spans; None when there is none."""
    leads_in_store = {plan.target.key[0]} if plan.target.key else set()
    leads_in_store |= {index.columns[0] for index in plan.target.indexes if index.unique and index.columns}
    leads_on_source = _leading(plan.source)
    for position in integer_key_columns(plan):
        ordinal = plan.columns[position].source
        assert ordinal is not None
        source = plan.source.columns[ordinal]
        leads = source.name in leads_on_source and plan.columns[position].target.name in leads_in_store
        if leads and not source.nullable:
            return position
    return None


def _leading(table: TableDef) -> set[str | None]:
    found: set[str | None] = {
        index.parts[0].column for index in table.indexes if index.kind == "btree" and index.visible and index.parts
    }
    return found | set(table.primary_key[:1])


def _even(found: KeyRange, wanted: int) -> list[int]:
    values = found.high - found.low + 1
    width = max(1, -(-values // wanted))
    return [found.low + width * number for number in range(1, -(-values // width))]


def _walk(source: SourceSide, position: int, found: KeyRange, step: int) -> Iterator[int]:
    """First values of all spans but the first: every `step`-th row of the source's index."""
    ordinal = source.plan.columns[position].source
    assert ordinal is not None
    table = source.plan.source
    name, place = quoted_name(table.columns[ordinal].name), quoted_name(table.id.schema, table.id.name)
    at = found.low
    while True:
        query = f"SELECT {name} + 0 FROM {place} WHERE {name} >= {at} ORDER BY {name} LIMIT 1 OFFSET {max(1, step)}"
        values = [int(row[0] or 0) for row in list(raw_rows(source.connection, query))]
        if values == [at]:
            # More rows than a span should have share one value.
            query = f"SELECT MIN({name}) + 0 FROM {place} WHERE {name} > {at}"
            values = [int(row[0]) for row in list(raw_rows(source.connection, query)) if row[0] is not None]
        if not values:
            return
        at = values[0]
        yield at
