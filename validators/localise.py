"""From differing leaves to the keys whose hashes differ: candidates, not findings, for both sides were read apart.

Memory is bounded by a batch of leaves. Whether a candidate is a difference is decided at a known position
(`row_check.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from validators.canonical.record import CanonicalRow
from validators.leaves import MOST_RANGES, Digests, Leaves, batches
from validators.source_side import SourceSide
from validators.target_side import TargetSide

BATCH_ROWS: Final = 100_000

Hashed = tuple[CanonicalRow, int]


def candidates(
    source: SourceSide,
    target: TargetSide,
    leaves: Leaves,
    chosen: Sequence[int],
    source_digests: Digests,
    target_digests: Digests,
    within: tuple[str, str],
) -> Iterator[list[CanonicalRow]]:
    """Keys of the rows in the chosen leaves whose hashes differ, or that one side has more often; each once.

    `within`: conditions on source and store that hold for all rows to be looked at.
    """
    sizes = {leaf: max(source_digests.get(leaf, (0, 0))[0], target_digests.get(leaf, (0, 0))[0]) for leaf in chosen}
    given: set[CanonicalRow] = set()
    with ThreadPoolExecutor(1, "verify-source") as executor:
        for group in batches(chosen, sizes, BATCH_ROWS, MOST_RANGES if leaves.by_key else BATCH_ROWS):
            on_source, on_target = leaves.conditions(group, (source.hash_sql, target.hash_sql))
            reading = executor.submit(list, source.hashes(leaves, group, on_source, within[0]))
            there = list(target.hashes(f"{on_target} AND {within[1]}"))
            found = dict.fromkeys(key for key in _different(reading.result(), there) if key not in given)
            if not leaves.by_key:
                # A changed row left one bucket and entered another: it would come again.
                given.update(found)
            yield list(found)


def _different(expected: Iterable[Hashed], found: Iterable[Hashed]) -> Iterator[CanonicalRow]:
    """Keys whose hashes differ, that one side lacks, or that the source has several times."""
    hashes: dict[CanonicalRow, int] = {}
    for key, row_hash in expected:
        if key in hashes:
            yield key
        hashes[key] = row_hash
    for key, row_hash in found:
        if hashes.pop(key, None) != row_hash:
            yield key
    yield from hashes
