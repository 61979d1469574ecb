"""The verdict of a report: one word, and every reason that it is not better. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """The word, worst last."""

    PASS = "pass"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"


def judge(document: Mapping[str, Any]) -> dict[str, Any]:
    """`outcome` with `reasons`, each with what to do next.

    FAIL: something is known to differ. INCONCLUSIVE: something was not proven, or not seen. PASS: every table streams,
    passed its last verification, has no open finding and nothing in quarantine.
    """
    reasons = [*_differences(document), *_unproven(document)]
    outcomes = [reason["outcome"] for reason in reasons]
    worst = max(outcomes, key=list(Outcome).index, default=Outcome.PASS)
    return {"outcome": str(worst), "reasons": [{**reason, "outcome": str(reason["outcome"])} for reason in reasons]}


def _differences(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for state, count in document["findings"]["states"].items():
        if state == "open" and count:
            found.append(_reason(Outcome.FAIL, f"{count:,} rows are known to differ", "crossfade repair --dry-run"))
    for table in document["tables"]:
        if table["outcome"] == "fail":
            found.append(_reason(Outcome.FAIL, f"{table['plan']}: differs", "crossfade verify"))
    for part, command in (("schema_parity", "crossfade schema plan --diff"), ("totals", "crossfade verify")):
        if document[part]["outcome"] == "fail":
            found.append(_reason(Outcome.FAIL, f"{part.replace('_', ' ')}: differs", command))
    return found


def _unproven(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for store in document["stores"]:
        if store["problem"]:
            found.append(
                _reason(Outcome.INCONCLUSIVE, f"store {store['name']}: {store['problem']}", "crossfade status")
            )
    if not document["tables"]:
        found.append(_reason(Outcome.INCONCLUSIVE, "no table is migrated yet", "crossfade start"))
    for table in document["tables"]:
        plan = table["plan"]
        if table["phase"] != "streaming":
            why = f": {table['phase_reason']}" if table["phase_reason"] else ""
            found.append(_reason(Outcome.INCONCLUSIVE, f"{plan}: {table['phase']}{why}", "crossfade status --tables"))
        if table["parked"]:
            waits = f"{plan}: {table['parked']:,} changes in quarantine"
            found.append(_reason(Outcome.INCONCLUSIVE, waits, "crossfade errors list"))
        if table["outcome"] is None:
            found.append(_reason(Outcome.INCONCLUSIVE, f"{plan}: never verified", "crossfade verify"))
        elif table["outcome"] == "inconclusive":
            found.append(_reason(Outcome.INCONCLUSIVE, f"{plan}: {table['why']}", "crossfade verify"))
    return found


def _reason(outcome: Outcome, text: str, next_step: str) -> dict[str, Any]:
    return {"outcome": outcome, "text": text, "next": next_step}
