"""The report as CSV: one row per table plan, for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any, Final

COLUMNS: Final = (
    "plan", "store", "phase", "outcome", "mode", "verified_at", "source_rows", "target_rows", "difference", "in_flight",
    "rows_proven_percent", "oldest_proof_s", "quarantined", "open_findings", "why",
)  # fmt: skip


def csv_form(document: Mapping[str, Any]) -> str:
    """The text, with a heading row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # as RFC 4180 has it; both characters are quoted
    writer.writerow(COLUMNS)
    for table in document["tables"]:
        proof = table["proof"] or {}
        findings = sum(one["plan"] == table["plan"] for one in document["findings"]["open"])
        writer.writerow(
            [
                _safe(table["plan"]), _safe(table["store"]), table["phase"], table["outcome"] or "",
                table["mode"] or "", table["verified_at"] or "", _number(table["source_rows"]),
                _number(table["target_rows"]),
                _number(difference(table)), _number(table["in_flight"]), _number(proof.get("percent")),
                _number(proof.get("oldest_age_s")), table["parked"], findings, _safe(table["why"]),
            ]
        )  # fmt: skip
    return out.getvalue()


def difference(table: Mapping[str, Any]) -> int | None:
    """Rows of the store minus rows of the source, as far as both were counted."""
    if table["source_rows"] is None or table["target_rows"] is None:
        return None
    return int(table["target_rows"]) - int(table["source_rows"])


def _number(value: float | None) -> str:
    return "" if value is None else str(value)


def _safe(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
