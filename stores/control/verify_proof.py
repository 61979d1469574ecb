"""What is proven equal, and since when: one row per chunk of a table plan in `crossfade.verify_proof`.

The daemon's continuous verification and every run of `verify` that compares a table whole write here
(`verify_proof_notes.py`). Who shows or judges it (status, reports, the cutover gate) reads:

- `coverage(connection, name)`: plan id → `TableProof`: rows, rows proven, age of the oldest proof, chunks that differ.
  `share` is 0…1; `complete` says that every chunk has a proof. Ages are seconds by the control store's clock, never by
  the caller's, so that hosts with wrong clocks do no harm. A proof from the future has a negative age: `complete`
  does not count it.
- `chunks_of(connection, name, plan_id)`: the same chunk by chunk in key order, for a strip of a table.
- `history(connection, name, since_s)`: rows and proven rows over time, oldest first.

All of them give nothing (not an error) when the tables are not there yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from stores.postgres import PostgresConnection

CLOCK_STEP_S: Final = 5.0
"""A proof that lies further than this in the future tells of a clock that was set back: it proves nothing."""


class ProofState(StrEnum):
    """What the last look at a chunk said."""

    UNPROVEN = "unproven"
    PROVEN = "proven"
    DIFFERS = "differs"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class ChunkProof:
    """One chunk of a plan. Ages in seconds; None: never."""

    plan_id: str
    chunk_no: int
    span: Mapping[str, Any]
    """JSON form of `validators.spans.Span`."""
    rows: int
    """As counted by the last look, an estimate before it."""
    state: ProofState
    why: str
    proven_age_s: float | None
    """Since the begin of the last comparison that found every row equal, whatever came after it."""
    checked_age_s: float | None
    changed: bool
    """Rows changed after the proof that were not compared one by one."""
    seq: int
    position: str
    transform: str
    canonical: int
    seconds: float

    @property
    def proven(self) -> bool:
        """Whether the last look found every row equal."""
        age = self.proven_age_s
        return self.state is ProofState.PROVEN and age is not None and age > -CLOCK_STEP_S


@dataclass(frozen=True, slots=True)
class TableProof:
    """All chunks of one plan together."""

    plan_id: str
    chunks: int
    chunks_proven: int
    chunks_differing: int
    chunks_undecided: int
    rows: int
    rows_proven: int
    oldest_age_s: float | None
    """Age of the oldest proof among the proven chunks; None when there is none."""
    newest_age_s: float | None
    transforms: tuple[str, ...]
    """Transform hashes that the proofs hold for; more than one after a change of the mapping."""
    why: str = ""
    """Of the first chunk that is not proven."""

    @property
    def complete(self) -> bool:
        """Whether every chunk is proven."""
        return 0 < self.chunks == self.chunks_proven

    @property
    def share(self) -> float:
        """Proven rows, 0…1."""
        if self.complete:
            return 1.0
        return self.rows_proven / self.rows if self.rows else 0.0

    def document(self) -> dict[str, Any]:
        """JSON form, as the status shows it."""
        return {
            "plan": self.plan_id,
            "rows": self.rows,
            "rows_proven": self.rows_proven,
            "percent": round(100 * self.share, 2),
            "oldest_age_s": None if self.oldest_age_s is None else round(self.oldest_age_s, 1),
            "newest_age_s": None if self.newest_age_s is None else round(self.newest_age_s, 1),
            "chunks": self.chunks,
            "chunks_proven": self.chunks_proven,
            "chunks_differing": self.chunks_differing,
            "chunks_undecided": self.chunks_undecided,
            "complete": self.complete,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class CoverageMoment:
    """How much was proven at one time, over all tables of the migration."""

    at: datetime
    rows: int
    rows_proven: int
    oldest_age_s: float | None


def coverage(connection: PostgresConnection, name: str) -> dict[str, TableProof]:
    """Plan id → its proof; {} before anything was verified."""
    return by_plan(chunks_of(connection, name))


def chunks_of(connection: PostgresConnection, name: str, plan_id: str | None = None) -> tuple[ChunkProof, ...]:
    """Chunks in key order, of one plan or of all; () before anything was verified."""
    if not _there(connection, "verify_proof"):
        return ()
    rows = connection.execute(
        "SELECT plan_id, chunk_no, span, rows, state, why, "
        "extract(epoch from clock_timestamp() - proven_at)::float8, "
        "extract(epoch from clock_timestamp() - checked_at)::float8, "
        "changed_at > proven_at IS TRUE, seq, position, transform, canonical, seconds "
        "FROM crossfade.verify_proof WHERE name = %s AND (%s::text IS NULL OR plan_id = %s) ORDER BY plan_id, chunk_no",
        (name, plan_id, plan_id),
    ).fetchall()
    return tuple(_chunk(*row) for row in rows)


def history(connection: PostgresConnection, name: str, since_s: float = 86_400.0) -> tuple[CoverageMoment, ...]:
    """Coverage of the last `since_s` seconds, oldest first; () when the daemon noted none."""
    if not _there(connection, "verify_coverage"):
        return ()
    rows = connection.execute(
        "SELECT at, rows, rows_proven, oldest_age_s FROM crossfade.verify_coverage "
        "WHERE name = %s AND at > clock_timestamp() - make_interval(secs => %s) ORDER BY at",
        (name, since_s),
    ).fetchall()
    return tuple(CoverageMoment(*row) for row in rows)


def by_plan(chunks: Sequence[ChunkProof]) -> dict[str, TableProof]:
    """Plan id → its proof."""
    found: dict[str, list[ChunkProof]] = {}
    for chunk in chunks:
        found.setdefault(chunk.plan_id, []).append(chunk)
    return {plan_id: summed(plan_id, some) for plan_id, some in found.items()}


def summed(plan_id: str, chunks: Sequence[ChunkProof]) -> TableProof:
    """The chunks of one plan as one value."""
    proven = [chunk for chunk in chunks if chunk.proven]
    ages = [chunk.proven_age_s for chunk in proven if chunk.proven_age_s is not None]
    states = [chunk.state for chunk in chunks]
    return TableProof(
        plan_id,
        len(chunks),
        len(proven),
        states.count(ProofState.DIFFERS),
        states.count(ProofState.UNDECIDED),
        sum(chunk.rows for chunk in chunks),
        sum(chunk.rows for chunk in proven),
        max(ages, default=None),
        min(ages, default=None),
        tuple(sorted({chunk.transform for chunk in proven})),
        next((chunk.why for chunk in chunks if not chunk.proven and chunk.why), ""),
    )


def _chunk(plan_id: str, number: int, span: Mapping[str, Any], rows: int, state: str, *rest: Any) -> ChunkProof:
    return ChunkProof(plan_id, number, span, rows, ProofState(state), *rest)


def _there(connection: PostgresConnection, table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"crossfade.{table}",)).fetchone()
    return bool(row and row[0])
