"""The parts of a report that come from verification: per table, coverage, findings, parity, business totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from stores.control import verify_proof, verify_runs
from stores.control.verify_runs import StoredRun
from stores.postgres import PostgresConnection

DAY_S: Final = 86_400.0
STRIP: Final = 96
"""A table's heat strip has at most so many cells; more chunks share them, each cell showing its worst."""


def tables_of(control: PostgresConnection, name: str, stores: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry per table plan: phase, last verdict with its numbers of rows and window, proof, quarantine."""
    verdicts = last_verdicts(control, name)
    proofs = verify_proof.coverage(control, name)
    differing = verify_runs.open_counts(control, name)
    chunks: dict[str, list[verify_proof.ChunkProof]] = {}
    for chunk in verify_proof.chunks_of(control, name):
        chunks.setdefault(chunk.plan_id, []).append(chunk)
    found = []
    for store in stores:
        plans = set(store.get("phases", {}))
        for plan in sorted(plans):
            verdict, at, run = verdicts.get(plan, ({}, None, None))
            proof = proofs.get(plan)
            found.append(
                {
                    "plan": plan,
                    "store": store["name"],
                    "phase": store["phases"][plan],
                    "phase_reason": store["reasons"].get(plan, ""),
                    "parked": store["parked"].get(plan, 0),
                    "verified_by": run,
                    "verified_at": _stamp(at),
                    "mode": verdict.get("mode"),
                    "outcome": verdict.get("outcome"),
                    "why": verdict.get("why", ""),
                    "source_rows": verdict.get("source_rows"),
                    "target_rows": verdict.get("target_rows"),
                    "in_flight": _in_flight(verdict),
                    "window": verdict.get("window"),
                    "control": verdict.get("control"),
                    "excluded": verdict.get("excluded", []),
                    "transform": verdict.get("transform_hash", ""),
                    "proof": proof_document(proof, differing.get(plan, 0)) if proof else None,
                    "strip": strip(chunks.get(plan, ())),
                }
            )
    return found


def proof_document(proof: verify_proof.TableProof, open_findings: int) -> dict[str, Any]:
    """JSON form. Rows that are known to differ are not proven, even where no chunk has been compared since."""
    document = proof.document()
    if open_findings and proof.complete:
        rows_proven = max(0, proof.rows - open_findings)
        document |= {
            "rows_proven": rows_proven,
            "percent": percent_proven(rows_proven, proof.rows, complete=False) or 0.0,
            "complete": False,
            "why": f"{open_findings} open findings",
        }
    return document


def last_verdicts(control: PostgresConnection, name: str) -> dict[str, tuple[Mapping[str, Any], datetime, int]]:
    """Plan → the last verdict that counted its rows (or the last of all), when, and in which run."""
    found: dict[str, tuple[Mapping[str, Any], datetime, int]] = {}
    for run in verify_runs.latest(control, name, 50):
        if run.mode in ("schema", "invariants"):
            continue
        for verdict in run.verdict.get("tables", ()):
            found.setdefault(str(verdict.get("plan_id")), (verdict, run.finished_at, run.id))
    return found


def _in_flight(verdict: Mapping[str, Any]) -> int | None:
    """By how many rows the counts may differ without a difference: what changed between the two reads.

    The rows that were settled by value or by the stream at a common position.
    """
    if verdict.get("source_rows") is None or verdict.get("target_rows") is None:
        return None
    apart = abs(int(verdict["source_rows"]) - int(verdict["target_rows"]))
    return max(apart, int(verdict.get("rows_by_stream", 0))) if verdict.get("outcome") == "pass" else 0


def strip(chunks: Sequence[verify_proof.ChunkProof]) -> list[list[Any]]:
    """Cells of a heat strip: [state, age of the proof in seconds or None, rows]; the worst of each cell's chunks."""
    cells: list[list[Any]] = []
    if not chunks:
        return cells
    per_cell = max(1, -(-len(chunks) // STRIP))
    order = {"differs": 0, "undecided": 1, "unproven": 2, "proven": 3}
    for begin in range(0, len(chunks), per_cell):
        part = chunks[begin : begin + per_cell]
        worst = min(part, key=lambda chunk: (order[str(chunk.state)], -(chunk.proven_age_s or 0.0)))
        ages = [chunk.proven_age_s for chunk in part if chunk.proven_age_s is not None]
        cells.append([str(worst.state), round(max(ages), 1) if ages else None, sum(chunk.rows for chunk in part)])
    return cells


def coverage(control: PostgresConnection, name: str, since_s: float) -> dict[str, Any]:
    """How much is proven now, how much of it within a day, the oldest proof, and both over time."""
    chunks = verify_proof.chunks_of(control, name)
    rows = sum(chunk.rows for chunk in chunks)
    proven = [chunk for chunk in chunks if chunk.proven]
    recent = [chunk for chunk in proven if (chunk.proven_age_s or 0.0) <= DAY_S]
    ages = [chunk.proven_age_s for chunk in proven if chunk.proven_age_s is not None]
    differ = sum(verify_runs.open_counts(control, name).values())
    whole, lately = (0 < len(chunks) == len(part) and not differ for part in (proven, recent))
    moments = verify_proof.history(control, name, since_s)
    every = max(1, len(moments) // 400)
    return {
        "rows": rows,
        "rows_proven": max(0, sum(chunk.rows for chunk in proven) - differ),
        "percent": percent_proven(max(0, sum(chunk.rows for chunk in proven) - differ), rows, complete=whole),
        "percent_within_day": percent_proven(sum(chunk.rows for chunk in recent), rows, complete=lately),
        "oldest_age_s": round(max(ages), 1) if ages else None,
        "history": [
            [
                round(one.at.timestamp(), 1),
                percent_proven(one.rows_proven, one.rows, complete=0 < one.rows == one.rows_proven),
            ]
            for one in moments[::every]
        ],
    }


def percent_proven(part: int, whole: int, *, complete: bool) -> float | None:
    """Share of rows that are proven, 0…100; None when there are none and nobody looked."""
    if complete:
        return 100.0
    # Nothing to prove is not "all is proven", and nothing is rounded up to 100.
    return None if not whole else min(99.99, round(100 * part / whole, 2))


def findings(control: PostgresConnection, name: str, limit: int) -> dict[str, Any]:
    """Numbers per state, and those that are open by key. Keys and columns only: values stay in the control store."""
    listed = verify_runs.findings_of(control, name)
    return {
        "states": verify_runs.finding_states(control, name),
        "open": [
            {
                "plan": one.plan_id,
                "key": dict(one.key),
                "kind": one.kind,
                "columns": [str(column.get("column")) for column in one.columns],
                "note": one.note,
            }
            for one in listed[:limit]
        ],
        "not_listed": max(0, len(listed) - limit),
        "repaired": verify_runs.repairs(control, name),
    }


def schema_parity(control: PostgresConnection, name: str) -> dict[str, Any]:
    """Types, constraints, indexes and sequences: the last verification in mode schema."""
    return _of_mode(control, name, "schema", "crossfade verify --mode schema")


def totals(control: PostgresConnection, name: str) -> dict[str, Any]:
    """Business figures on both sides: the last verification in mode invariants."""
    return _of_mode(control, name, "invariants", "crossfade verify --mode invariants")


def _of_mode(control: PostgresConnection, name: str, mode: str, command: str) -> dict[str, Any]:
    run: StoredRun | None = next((one for one in verify_runs.latest(control, name, 200) if one.mode == mode), None)
    if run is None:
        return {"outcome": None, "why": f"never checked; {command}", "items": []}
    return {
        "outcome": run.outcome,
        "why": "",
        "run": run.id,
        "at": _stamp(run.finished_at),
        "items": list(run.verdict.get("tables", ())),
    }


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
