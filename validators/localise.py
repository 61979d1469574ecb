"""From differing leaves to the keys whose hashes differ: candidates, not findings, for both sides were read apart.

Memory is bounded by a batch of leaves. Whether a candidate is a difference is decided at a known position
(`row_check.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from validators.canonical.record import CanonicalRow
from validators.leaves import MOST_RANGES, Digests, Leaves, batches
from validators.source_side import SourceSide, leaf_index
from validators.spans import Span
from validators.target_side import TargetSide

BATCH_ROWS: Final = 20_000
"""Rows of leaves that are read together, by ranges of the key."""
BUCKET_ROWS: Final = 100_000
"""The same of buckets: each batch is a scan of the whole table."""
GUESSED_LEAVES: Final = 1_000
"""Leaves whose sums are explained together, by a value or two of the key each."""
ENOUGH_KEYS: Final = 1_000
"""Keys that are given together if there are so many: each group costs its taker a few round trips."""

Hashes = list[tuple[Sequence[Any], int]]
"""Key as the side's `read_key` takes it, and hash."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads hashes of a span's rows on both sides at once."""

    source: SourceSide
    target: TargetSide
    leaves: Leaves
    span: Span
    executor: Executor

    def of(self, group: Sequence[int], conditions: tuple[str, str]) -> tuple[Hashes, Hashes]:
        """Source and store; `group` are the leaves that the conditions choose from."""
        on_source, on_target = conditions
        within, _ = self.span.conditions(self.source.plan)
        reading = self.executor.submit(list, self.source.hashes(self.leaves, group, on_source, within))
        there = self.target.hashes(on_target)
        return reading.result(), there

    def unequal(self, here: Hashes, there: Hashes) -> list[CanonicalRow]:
        """Keys of the rows whose hashes one side has more often, each once."""
        unequal = unequal_hashes([row_hash for _, row_hash in here], [row_hash for _, row_hash in there])
        found = dict.fromkeys(self.source.read_key(key) for key, row_hash in here if row_hash in unequal)
        found.update(dict.fromkeys(self.target.read_key(key) for key, row_hash in there if row_hash in unequal))
        return list(found)


def candidates(
    source: SourceSide,
    target: TargetSide,
    leaves: Leaves,
    chosen: Sequence[int],
    source_digests: Digests,
    target_digests: Digests,
    span: Span,
) -> Iterator[list[CanonicalRow]]:
    """Keys of the rows in the chosen leaves of a span whose hashes one side has more often; each once."""
    sizes = {leaf: max(source_digests.get(leaf, (0, 0))[0], target_digests.get(leaf, (0, 0))[0]) for leaf in chosen}
    given: set[CanonicalRow] = set()
    waiting: list[CanonicalRow] = []
    with ThreadPoolExecutor(1, "verify-source") as executor:
        reading = Reading(source, target, leaves, span, executor)
        if leaves.weighted:
            rest: list[int] = []
            # By rows, too: where the column is a part of the key, one value can name as many as a leaf has.
            for group in batches(chosen, sizes, BATCH_ROWS, GUESSED_LEAVES):
                keys, unexplained = guessed(reading, group, source_digests, target_digests)
                rest += unexplained
                if keys:
                    yield keys
            chosen = rest
        most = (BATCH_ROWS, MOST_RANGES) if leaves.by_key else (BUCKET_ROWS, BUCKET_ROWS)
        for group in batches(chosen, sizes, *most):
            conditions = leaves.conditions(group, (source.hash_sql, target.hash_sql), source.plan, span)
            found = reading.unequal(*reading.of(group, conditions))
            waiting += [key for key in found if key not in given]
            if not leaves.by_key:
                # A changed row left one bucket and entered another: it would come again.
                given.update(found)
            if len(waiting) >= ENOUGH_KEYS:
                yield waiting
                waiting = []
    if waiting:
        yield waiting


def guessed(
    reading: Reading, group: Sequence[int], source_digests: Digests, target_digests: Digests
) -> tuple[list[CanonicalRow], list[int]]:
    """Unequal keys that the sums of weighted leaves give away, and the leaves whose sums they do not explain."""
    leaves, plan = reading.leaves, reading.source.plan
    missing = {leaf: target_digests.get(leaf, (0, 0))[1] - source_digests.get(leaf, (0, 0))[1] for leaf in group}
    guesses = {leaf: leaves.guesses(leaf, difference) for leaf, difference in missing.items()}
    values = [value for found in guesses.values() for value in found]
    if not values:
        return [], list(group)
    here, there = reading.of(group, leaves.of_values(values, plan, reading.span))
    index = leaf_index(plan, leaves)
    assert index is not None
    position = plan.key.index(index)
    for read_key, rows, sign in ((reading.source.read_key, here, 1), (reading.target.read_key, there, -1)):
        for read, row_hash in rows:
            value = int(read_key(read)[position] or 0)
            missing[leaves.of(value, 0)] += sign * leaves.share(value, row_hash)
    explained = {leaf for leaf in group if guesses[leaf] and not missing[leaf]}
    keys = [key for key in reading.unequal(here, there) if leaves.of(int(key[position] or 0), 0) in explained]
    return keys, [leaf for leaf in group if leaf not in explained]


def unequal_hashes(source: Iterable[int], target: Iterable[int]) -> set[int]:
    """Hashes that one side has more often than the other. Equal hashes are equal rows: a record holds its key."""
    return {row_hash for row_hash, _ in Counter(source).items() ^ Counter(target).items()}
