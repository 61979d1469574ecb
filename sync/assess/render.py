"""An assessment as plain text and as JSON values. The command line makes its own tables of the findings."""

from __future__ import annotations

import dataclasses
from typing import Any

from sync.assess.findings import Assessment, Level


def assessment_text(assessment: Assessment, *, every: bool = False) -> str:
    """One line a finding, the fix below it; OK findings only with `every` or when their check has no other."""
    lines: list[str] = []
    for finding in assessment.findings:
        bad = any(other.level is not Level.OK for other in assessment.of(finding.check))
        if finding.level is Level.OK and bad and not every:
            continue
        lines.append(f"{finding.level.value:5}  {finding.check:24}  {finding.subject}: {finding.message}")
        if finding.fix:
            lines.append(f"{'':5}  {'':24}  → {finding.fix}")
    counts = {level: sum(finding.level is level for finding in assessment.findings) for level in Level}
    lines.append(" · ".join(f"{count} {level.value}" for level, count in counts.items()))
    return "\n".join(lines)


def assessment_json(assessment: Assessment) -> dict[str, Any]:
    """`blocked` and the findings as plain values."""
    return {
        "blocked": assessment.blocked,
        "findings": [{**dataclasses.asdict(finding), "level": finding.level.value} for finding in assessment.findings],
    }
