"""Verdicts over what a store computes by itself: read models and looked-up columns."""

from __future__ import annotations

import time
from typing import Final

from transforms.lookup import Lookup
from transforms.read_model import ReadModel
from validators.findings import Finding, FindingKind, Mode, Outcome, TableVerdict

Computed = ReadModel | Lookup
READ_MODEL: Final = "read model>"
LOOKUP: Final = "lookup>"
"""Begin the plan ids of their verdicts."""
MOST_FINDINGS: Final = 1_000
"""So many differing rows are looked for."""


def computed_id(one: Computed) -> str:
    """The plan id of its verdict."""
    return f"{LOOKUP if isinstance(one, Lookup) else READ_MODEL}{one}"


def computed_verdict(
    one: Computed,
    mode: Mode,
    begun: float,
    outcome: Outcome,
    why: str,
    next_step: str = "",
    *,
    rows: tuple[int, int] | None = None,
    findings: tuple[Finding, ...] = (),
) -> TableVerdict:
    """The verdict. `begun`: by `time.monotonic()`; `rows`: how many should be there, and how many are.

    With `rows` all were compared, in one piece.
    """
    plan_id = computed_id(one)
    kinds = [finding.kind for finding in findings]
    return TableVerdict(
        plan_id=plan_id,
        source=plan_id.partition(">")[0],
        store=one.store,
        target=one.place,
        mode=Mode.ROWS if mode is Mode.AUTO else mode,
        outcome=outcome,
        why=why,
        next_step=next_step,
        source_rows=rows[0] if rows else None,
        target_rows=rows[1] if rows else None,
        leaves=1 if rows and len(findings) < MOST_FINDINGS else 0,
        rows_compared_again=rows[1] if rows else 0,
        missing=kinds.count(FindingKind.MISSING),
        extra=kinds.count(FindingKind.EXTRA),
        different=kinds.count(FindingKind.DIFFERS),
        findings=findings,
        transform_hash=one.fingerprint,
        duration_s=time.monotonic() - begun,
    )
