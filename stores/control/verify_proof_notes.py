"""Writes what is proven equal into the control store; `verify_proof.py` says what it means and reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg.types.json import Jsonb

from stores.control.verify_proof import ProofState, TableProof
from stores.postgres import PostgresConnection

KEPT_DAYS: Final = 90
"""How long the coverage over time is kept."""


def replace_chunks(
    connection: PostgresConnection, name: str, plan_id: str, chunks: Sequence[tuple[Mapping[str, Any], int]]
) -> None:
    """Cut a plan anew: `chunks` are (span, estimated rows) in key order; nothing of it is proven then."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM crossfade.verify_proof WHERE name = %s AND plan_id = %s", (name, plan_id))
        cursor.executemany(
            "INSERT INTO crossfade.verify_proof (name, plan_id, chunk_no, span, rows) VALUES (%s, %s, %s, %s, %s)",
            [(name, plan_id, number, Jsonb(dict(span)), rows) for number, (span, rows) in enumerate(chunks)],
        )


def forget(connection: PostgresConnection, name: str, keep: Sequence[str]) -> None:
    """Drop what is known of plans that are not in `keep`: the mapping does not have them any more."""
    connection.execute(
        "DELETE FROM crossfade.verify_proof WHERE name = %s AND NOT plan_id = ANY(%s)", (name, list(keep))
    )


def note_chunk(
    connection: PostgresConnection,
    name: str,
    plan_id: str,
    chunk_no: int,
    state: ProofState,
    *,
    began_ago_s: float,
    rows: int | None = None,
    why: str = "",
    seq: int = 0,
    position: str = "",
    transform: str = "",
    canonical: int = 0,
) -> None:
    """Enter what a look at a chunk said; it began `began_ago_s` seconds ago.

    Only a proof moves `proven_at`. A look that decided nothing takes no proof away: it only grows older.
    """
    began = "clock_timestamp() - make_interval(secs => %(ago)s)"
    connection.execute(
        "UPDATE crossfade.verify_proof SET why = %(why)s, "
        "state = CASE WHEN %(state)s = 'undecided' AND state = 'proven' THEN state ELSE %(state)s END, "
        f"checked_at = {began}, "
        "seconds = %(ago)s, rows = coalesce(%(rows)s, rows), "
        f"proven_at = CASE WHEN %(proven)s THEN {began} ELSE proven_at END, "
        "seq = CASE WHEN %(proven)s THEN %(seq)s ELSE seq END, "
        "position = CASE WHEN %(proven)s THEN %(position)s ELSE position END, "
        "transform = CASE WHEN %(proven)s THEN %(transform)s ELSE transform END, "
        "canonical = CASE WHEN %(proven)s THEN %(canonical)s ELSE canonical END "
        "WHERE name = %(name)s AND plan_id = %(plan)s AND chunk_no = %(chunk)s".encode(),
        {
            "name": name, "plan": plan_id, "chunk": chunk_no, "state": str(state), "why": why, "ago": began_ago_s,
            "rows": rows, "proven": state is ProofState.PROVEN, "seq": seq, "position": position,
            "transform": transform, "canonical": canonical,
        },
    )  # fmt: skip


def note_table(
    connection: PostgresConnection,
    name: str,
    plan_id: str,
    whole: Mapping[str, Any],
    *,
    began_ago_s: float,
    rows: int,
    seq: int,
    position: str,
    transform: str,
    canonical: int,
) -> None:
    """A run found every row of a plan equal: every chunk is proven. `whole` is the span when there are none yet.

    Chunks that were proven later than the run began stay as they are.
    """
    with connection.transaction():
        known = connection.execute(
            "SELECT count(*) FROM crossfade.verify_proof WHERE name = %s AND plan_id = %s", (name, plan_id)
        ).fetchone()
        if not known or not known[0]:
            replace_chunks(connection, name, plan_id, [(whole, rows)])
        connection.execute(
            "UPDATE crossfade.verify_proof SET state = 'proven', why = '', seq = %(seq)s, position = %(position)s, "
            "proven_at = clock_timestamp() - make_interval(secs => %(ago)s), checked_at = clock_timestamp(), "
            "transform = %(transform)s, canonical = %(canonical)s WHERE name = %(name)s AND plan_id = %(plan)s AND "
            "(state <> 'proven' OR proven_at < clock_timestamp() - make_interval(secs => %(ago)s))",
            {
                "name": name, "plan": plan_id, "ago": began_ago_s, "seq": seq, "position": position,
                "transform": transform, "canonical": canonical,
            },
        )  # fmt: skip


def doubt_table(connection: PostgresConnection, name: str, plan_id: str, why: str, *, began_ago_s: float) -> None:
    """A run found rows of a plan that differ: no proof older than its begin counts, and every chunk is due at once."""
    connection.execute(
        "UPDATE crossfade.verify_proof SET state = 'undecided', why = %(why)s, checked_at = NULL "
        "WHERE name = %(name)s AND plan_id = %(plan)s AND state = 'proven' "
        "AND proven_at < clock_timestamp() - make_interval(secs => %(ago)s)",
        {"name": name, "plan": plan_id, "why": why, "ago": began_ago_s},
    )


def note_changes(connection: PostgresConnection, name: str, plan_id: str, chunk_nos: Sequence[int]) -> None:
    """Rows of these chunks changed, more than were compared one by one: they are due sooner."""
    connection.execute(
        "UPDATE crossfade.verify_proof SET changed_at = clock_timestamp() "
        "WHERE name = %s AND plan_id = %s AND chunk_no = ANY(%s)",
        (name, plan_id, list(chunk_nos)),
    )


def note_coverage(connection: PostgresConnection, name: str, proofs: Mapping[str, TableProof]) -> None:
    """Add a moment to the coverage over time, and let go of what is too old."""
    rows = sum(proof.rows for proof in proofs.values())
    proven = sum(proof.rows_proven for proof in proofs.values())
    oldest = max((proof.oldest_age_s for proof in proofs.values() if proof.oldest_age_s is not None), default=None)
    with connection.transaction():
        connection.execute(
            "INSERT INTO crossfade.verify_coverage (name, rows, rows_proven, oldest_age_s) VALUES (%s, %s, %s, %s)",
            (name, rows, proven, oldest),
        )
        connection.execute(
            "DELETE FROM crossfade.verify_coverage WHERE name = %s "
            "AND at < clock_timestamp() - make_interval(days => %s)",
            (name, KEPT_DAYS),
        )
