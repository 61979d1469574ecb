"""When a chunk is due for its next proof, and how long to rest between two. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from stores.control.verify_proof import ChunkProof

EARLY: Final = 0.8
"""A chunk is due at this share of the period, so that it is proven within it."""
CHANGED: Final = 0.25
"""The same for a chunk with rows that changed and were not compared one by one."""
AGAIN_S: Final = 60.0
"""After a look that found a difference or decided nothing."""
DUTY: Final = 0.25
"""Share of the time that is spent comparing while everything is in time."""
LONGEST_REST_S: Final = 30.0


def due_in_s(chunk: ChunkProof, period_s: float, transform: str) -> float:
    """Seconds until the chunk is due; negative: by how much it is late. Never proven is infinitely late."""
    again = -float("inf") if chunk.checked_age_s is None else min(AGAIN_S, period_s) - chunk.checked_age_s
    if chunk.proven_age_s is None or not chunk.proven or chunk.transform != transform:
        return again
    share = CHANGED if chunk.changed else EARLY
    due = share * period_s - chunk.proven_age_s
    # A look that decided nothing leaves the proof as it was, and is not repeated at once.
    return max(due, again) if chunk.why else due


def most_urgent(
    chunks: Iterable[ChunkProof], period_s: float, transforms: dict[str, str]
) -> tuple[ChunkProof | None, float]:
    """The chunk that is most overdue (None when none is due), and seconds until the next one is."""
    best: ChunkProof | None = None
    soonest = float("inf")
    for chunk in chunks:
        if chunk.plan_id not in transforms:
            continue
        due = due_in_s(chunk, period_s, transforms[chunk.plan_id])
        if best is None or due < soonest:
            best, soonest = chunk, due
    return (best if soonest <= 0 else None), max(0.0, soonest)


def rest_s(worked_s: float, late: float) -> float:
    """How long to rest after `worked_s` of work; `late`: share of the chunks whose proof is older than the period."""
    duty = min(1.0, DUTY + (1 - DUTY) * late)
    return min(LONGEST_REST_S, worked_s * (1 / duty - 1))


def late_share(chunks: Iterable[ChunkProof], period_s: float) -> float:
    """Share of the chunks whose last proof is older than the period; first proofs are in no hurry."""
    known = list(chunks)
    late = sum(chunk.proven_age_s is not None and chunk.proven_age_s > period_s for chunk in known)
    return late / len(known) if known else 0.0
