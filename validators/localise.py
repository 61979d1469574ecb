"""From differing leaves to the keys whose hashes differ: candidates, not findings, for both sides were read apart.

Memory is bounded by a batch of leaves. Whether a candidate is a difference is decided at a known position
(`row_check.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from validators.canonical.record import CanonicalRow
from validators.leaves import Digests, Leaves, batches
from validators.source_side import SourceSide
from validators.target_side import TargetSide

BATCH_ROWS: Final = 100_000


def candidates(
    source: SourceSide,
    target: TargetSide,
    leaves: Leaves,
    chosen: Sequence[int],
    source_digests: Digests,
    target_digests: Digests,
    within: tuple[str, str],
) -> list[CanonicalRow]:
    """Keys of the rows in the chosen leaves whose hashes differ, or that one side has more often.

    `within`: conditions on source and store that hold for all rows to be looked at.
    """
    sizes = {leaf: max(source_digests.get(leaf, (0, 0))[0], target_digests.get(leaf, (0, 0))[0]) for leaf in chosen}
    found: dict[CanonicalRow, None] = {}
    for group in batches(chosen, sizes, BATCH_ROWS):
        on_source, on_target = leaves.conditions(group, (source.hash_sql, target.hash_sql))
        expected: dict[CanonicalRow, int] = {}
        for key, row_hash in source.hashes(leaves, group, on_source, within[0]):
            if key in expected:
                found[key] = None
            expected[key] = row_hash
        for key, row_hash in target.hashes(f"{on_target} AND {within[1]}"):
            if expected.pop(key, None) != row_hash:
                found[key] = None
        found.update(dict.fromkeys(expected))
    return list(found)
