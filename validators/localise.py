"""From differing leaves to the keys whose hashes differ: candidates, not findings, for both sides were read apart.

Memory is bounded by a batch of leaves. Whether a candidate is a difference is decided at a known position
(`row_check.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from validators.canonical.record import CanonicalRow
from validators.leaves import MOST_RANGES, Digests, Leaves, batches
from validators.source_side import SourceSide
from validators.spans import Span
from validators.target_side import TargetSide

BATCH_ROWS: Final = 20_000
"""Rows of leaves that are read together, by ranges of the key."""
BUCKET_ROWS: Final = 100_000
"""The same of buckets: each batch is a scan of the whole table."""
ENOUGH_KEYS: Final = 1_000
"""Keys that are given together if there are so many: each group costs its taker a few round trips."""


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
    within, _ = span.conditions(source.plan)
    sizes = {leaf: max(source_digests.get(leaf, (0, 0))[0], target_digests.get(leaf, (0, 0))[0]) for leaf in chosen}
    given: set[CanonicalRow] = set()
    waiting: list[CanonicalRow] = []
    with ThreadPoolExecutor(1, "verify-source") as executor:
        most = (BATCH_ROWS, MOST_RANGES) if leaves.by_key else (BUCKET_ROWS, BUCKET_ROWS)
        for group in batches(chosen, sizes, *most):
            on_source, on_target = leaves.conditions(group, (source.hash_sql, target.hash_sql), source.plan, span)
            reading = executor.submit(list, source.hashes(leaves, group, on_source, within))
            there = target.hashes(on_target)
            here = reading.result()
            unequal = unequal_hashes([row_hash for _, row_hash in here], [row_hash for _, row_hash in there])
            found = dict.fromkeys(source.read_key(key) for key, row_hash in here if row_hash in unequal)
            found.update(dict.fromkeys(target.read_key(key) for key, row_hash in there if row_hash in unequal))
            waiting += [key for key in found if key not in given]
            if not leaves.by_key:
                # A changed row left one bucket and entered another: it would come again.
                given.update(found)
            if len(waiting) >= ENOUGH_KEYS:
                yield waiting
                waiting = []
    if waiting:
        yield waiting


def unequal_hashes(source: Iterable[int], target: Iterable[int]) -> set[int]:
    """Hashes that one side has more often than the other. Equal hashes are equal rows: a record holds its key."""
    return {row_hash for row_hash, _ in Counter(source).items() ^ Counter(target).items()}
