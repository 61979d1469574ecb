"""Leaves: groups of rows that are compared by count and sum of hashes. How a table is cut into them, on both servers.

A table whose key has an integer column is cut by that column's value; any other by the row's own hash, so that a
changed row leaves one bucket and enters another, and both differ. Names come from plans, numbers from us: statements
are built here and nowhere else. No I/O.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from model.tables import TableDef
from transforms.names import quoted, quoted_mysql
from transforms.plan import ColumnKind, TablePlan
from transforms.types import INTEGER_BITS
from validators.canonical.target_forms import INTEGERS, base_of
from validators.spans import Span
from validators.weights import MOST_VALUES, guessed_places, weighted_hash, weighted_sql

Digest = tuple[int, int]
"""Number of rows, sum of their hashes (`weights.py` for leaves that are weighted)."""
Digests = Mapping[int, Digest]

MOST_LEAVES: Final = 200_000
MOST_BUCKETS: Final = 1 << 16
MOST_RANGES: Final = 100
"""Ranges in one statement. Both servers hold each row that they find against one range after the other."""
FINER: Final = 16
COARSER: Final = 100
SPARSE: Final = 4
"""A key column is fine enough when it can tell at least a quarter as many leaves as are wanted."""


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Lowest and highest value of an integer key column on the source."""

    position: int
    """Index of the column in `plan.columns`."""
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Leaves:
    """The cut of one table."""

    source_column: str | None
    """Integer column of the source; None: buckets of the row's hash."""
    target_column: str | None
    divisor: int
    """Values of the column per leaf, or number of buckets (a power of two)."""
    unsigned: bool = False
    """Whether the source's column holds no negative numbers."""
    weighted: bool = False
    """Whether a hash counts as often as its row's place in the leaf says."""

    @property
    def by_key(self) -> bool:
        """Whether leaves are ranges of a key column."""
        return self.source_column is not None

    def of(self, key_value: int | None, row_hash: int) -> int:
        """The leaf of a row, as the servers' division (towards zero) gives it."""
        if key_value is None:
            return row_hash & (self.divisor - 1)
        return key_value // self.divisor if key_value >= 0 else -(-key_value // self.divisor)

    def name_of(self, key_value: int) -> str:
        """The leaf of a value of the column, for people."""
        low, high = self.range_of(self.of(key_value, 0))
        return f"{self.target_column} {low}…{high}"

    def mysql_digests(self, table: TableDef, row_hash: str, where: str) -> str:
        """Leaf, count, sum of hashes."""
        source = _mysql_name(table)
        if self.source_column is not None:
            column = quoted_mysql(self.source_column)
            leaf = f"({column} DIV {self.divisor})"
            added = weighted_sql(row_hash, f"{column} MOD {self.divisor}") if self.weighted else row_hash
            return (
                f"SELECT {leaf} AS leaf, COUNT(*), SUM({added}) FROM {source} WHERE {where} GROUP BY leaf ORDER BY NULL"
            )
        # LIMIT keeps the inner select from being merged, which would compute every hash twice.
        inner = f"SELECT {row_hash} AS h FROM {source} WHERE {where} LIMIT {2**64 - 1}"
        bucket = f"h & {self.divisor - 1}"
        return f"SELECT {bucket} AS leaf, COUNT(*), SUM(h) FROM ({inner}) AS hashes GROUP BY leaf ORDER BY NULL"

    def postgres_digests(self, plan: TablePlan, row_hash: str, where: str) -> str:
        """Leaf, count, sum of hashes."""
        target = postgres_name(plan)
        if self.target_column is not None:
            column = quoted(self.target_column)
            leaf = f"div({column}::numeric, {self.divisor})::bigint"
            place = f"mod({column}::numeric, {self.divisor})::bigint"
            if base_of(plan.target.column(self.target_column)).base in INTEGERS:
                leaf, place = f"({column}::bigint / {self.divisor})", f"{column} % {self.divisor}"
            added = weighted_sql(row_hash, place) if self.weighted else row_hash
            return f"SELECT {leaf} AS leaf, count(*), sum({added}) FROM {target} WHERE {where} GROUP BY 1"
        inner = f"SELECT {row_hash} AS h FROM {target} WHERE {where} OFFSET 0"
        return f"SELECT (h & {self.divisor - 1})::bigint AS leaf, count(*), sum(h) FROM ({inner}) AS hashes GROUP BY 1"

    def finer(self) -> Leaves:
        """Buckets of about a sixteenth of the size."""
        return Leaves(None, None, min(MOST_BUCKETS * FINER, self.divisor * FINER))

    def coarser(self) -> Leaves:
        """Ranges that are each a hundred of these; only for ranges of a key column."""
        assert self.by_key
        return dataclasses.replace(self, divisor=self.divisor * COARSER, weighted=False)

    def conditions(
        self, leaves: Iterable[int], row_hash: tuple[str, str], plan: TablePlan, span: Span
    ) -> tuple[str, str]:
        """Conditions of the rows of some leaves in a span on source and store; `row_hash` is their SQL on both.

        Ranges of the span's own column are cut to it instead of a second condition: given both, PostgreSQL may read
        the whole span and hold each of its rows against all ranges.
        """
        if self.target_column is not None and span.column == self.target_column:
            return self._ranges(span.clipped(*self.range_of(leaf)) for leaf in sorted(leaves))
        here, there = self._chosen(leaves, row_hash)
        within = span.conditions(plan)
        return f"{here} AND {within[0]}", f"{there} AND {within[1]}"

    def guesses(self, leaf: int, difference: int) -> list[int]:
        """Values of the key column whose rows alone could make a difference of a weighted leaf's sums."""
        low, high = self.range_of(leaf)
        first = leaf * self.divisor
        return [first + place for place in guessed_places(difference, low - first, high - first)]

    def share(self, value: int, row_hash: int) -> int:
        """What a row with this value of the key column adds to the sum of its weighted leaf."""
        return weighted_hash(row_hash, value - self.of(value, 0) * self.divisor)

    def of_values(self, values: Sequence[int], plan: TablePlan, span: Span) -> tuple[str, str]:
        """Conditions of the rows of a span with these values of the key column, on source and store."""
        assert self.source_column is not None and self.target_column is not None
        listed = ", ".join(map(str, values))
        here, there = span.conditions(plan)
        return (
            f"{quoted_mysql(self.source_column)} IN ({listed}) AND {here}",
            f"{quoted(self.target_column)} IN ({listed}) AND {there}",
        )

    def _chosen(self, leaves: Iterable[int], row_hash: tuple[str, str]) -> tuple[str, str]:
        if self.by_key:
            return self._ranges(self.range_of(leaf) for leaf in sorted(leaves))
        listed = ", ".join(map(str, sorted(leaves)))
        mask = self.divisor - 1
        return f"({row_hash[0]}) & {mask} IN ({listed})", f"(({row_hash[1]}) & {mask}) IN ({listed})"

    def _ranges(self, of_leaves: Iterable[tuple[int, int]]) -> tuple[str, str]:
        assert self.source_column is not None and self.target_column is not None
        source, target = quoted_mysql(self.source_column), quoted(self.target_column)
        ranges = merged(of_leaves)
        # BETWEEN a negative number and another is no range of an unsigned column: the source would scan the table.
        least = 0 if self.unsigned else min((low for low, _ in ranges), default=0)
        return (
            "(" + " OR ".join(f"{source} BETWEEN {max(low, least)} AND {high}" for low, high in ranges) + ")",
            "(" + " OR ".join(f"{target} BETWEEN {low} AND {high}" for low, high in ranges) + ")",
        )

    def range_of(self, leaf: int) -> tuple[int, int]:
        """First and last value of the key column in a leaf."""
        if leaf == 0:
            return 1 - self.divisor, self.divisor - 1
        edge = leaf * self.divisor
        return (edge, edge + self.divisor - 1) if leaf > 0 else (edge - self.divisor + 1, edge)


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbouring ranges joined. `ranges` in order."""
    found: list[tuple[int, int]] = []
    for low, high in ranges:
        if found and found[-1][1] + 1 >= low:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return found


def integer_key_columns(plan: TablePlan) -> tuple[int, ...]:
    """Key columns that are whole numbers on both sides, as indexes into `plan.columns`."""
    found = []
    for index in plan.key:
        column = plan.columns[index]
        if column.kind is not ColumnKind.COPY or column.source is None:
            continue
        to = base_of(column.target)
        whole = to.base in INTEGERS or (to.base == "numeric" and bool(to.arguments) and not to.arguments[1])
        if plan.source.columns[column.source].type in INTEGER_BITS and whole and not to.array:
            found.append(index)
    return tuple(found)


def cut(plan: TablePlan, rows: int, ranges: Iterable[KeyRange], leaf_rows: int, *, pushed: bool = False) -> Leaves:
    """Choose the cut of a table of about `rows` rows, given the ranges of its integer key columns.

    `pushed`: both servers compute the hashes, so that they can weight them too.
    """
    wanted = max(1, min(MOST_LEAVES, -(-rows // leaf_rows)))
    for found in ranges:
        values = found.high - found.low + 1
        if values * SPARSE >= wanted:
            column = plan.columns[found.position]
            assert column.source is not None
            source = plan.source.columns[column.source]
            divisor = max(1, values // wanted)
            weighted = pushed and divisor <= MOST_VALUES
            return Leaves(source.name, column.target.name, divisor, source.unsigned, weighted)
    buckets = 1
    while buckets < wanted and buckets < MOST_BUCKETS:
        buckets *= 2
    return Leaves(None, None, buckets)


def differing(source: Digests, target: Digests) -> list[int]:
    """Leaves whose count or sum differ, in order; a leaf that only one side has differs."""
    found = [leaf for leaf, digest in source.items() if target.get(leaf) != digest]
    found += [leaf for leaf in target if leaf not in source]
    return sorted(found)


def batches(
    leaves: Iterable[int], sizes: Mapping[int, int], most_rows: int, most_ranges: int = MOST_RANGES
) -> Iterable[list[int]]:
    """Leaves in groups of at most about `most_rows` rows and `most_ranges` ranges."""
    group: list[int] = []
    rows = gaps = 0
    for leaf in leaves:
        if group and (rows >= most_rows or gaps >= most_ranges):
            yield group
            group, rows, gaps = [], 0, 0
        gaps += 0 if group and leaf == group[-1] + 1 else 1
        group.append(leaf)
        rows += sizes.get(leaf, 0)
    if group:
        yield group


def _mysql_name(table: TableDef) -> str:
    return f"{quoted_mysql(table.id.schema)}.{quoted_mysql(table.id.name)}"


def postgres_name(plan: TablePlan) -> str:
    """The target table in double quotes."""
    return f"{quoted(plan.target.schema)}.{quoted(plan.target.name)}"
