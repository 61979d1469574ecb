"""Limits that a pipeline puts on a report: `verdict,findings,lag>30s,coverage<99,age>24h`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from model.errors import UsageError
from reports.words import age, lag, percent

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What must not be. Seconds and percent; None: not asked."""

    verdict: bool = False
    findings: bool = False
    lag_s: float | None = None
    coverage: float | None = None
    age_s: float | None = None

    @staticmethod
    def parse(text: str | None) -> Thresholds:
        """Read the limits. Raises UsageError."""
        found: dict[str, Any] = {}
        for part in (text or "").split(","):
            match = re.fullmatch(
                r"\s*(?:(verdict|findings)|(lag|age)>(\d+(?:\.\d+)?)([smhd]?)|coverage<(\d+(?:\.\d+)?)%?)\s*", part
            )
            if match is None:
                if part.strip():
                    raise UsageError(
                        f"--fail-on does not know {part.strip()!r}",
                        hint="Use verdict, findings, lag>30s, coverage<99, age>24h, separated by commas.",
                    )
            elif match[1]:
                found[match[1]] = True
            elif match[2]:
                found[f"{match[2]}_s"] = float(match[3]) * _UNITS[match[4]]
            else:
                found["coverage"] = float(match[5])
        return Thresholds(**found)

    def broken(self, document: Mapping[str, Any]) -> list[str]:
        """Every limit that the report does not keep, in words; what is not known keeps none."""
        found = []
        outcome = document["verdict"]["outcome"]
        if self.verdict and outcome != "pass":
            found.append(f"the verdict is {outcome}")
        count = document["findings"]["states"].get("open", 0)
        if self.findings and count:
            found.append(f"{count:,} open findings")
        coverage = document["coverage"]
        if self.coverage is not None and (coverage["percent"] is None or coverage["percent"] < self.coverage):
            found.append(f"{percent(coverage['percent'])} of the rows are proven, below {self.coverage:g} %")
        oldest = coverage["oldest_age_s"]
        if self.age_s is not None and (oldest is None or oldest > self.age_s):
            found.append(f"the oldest proof: {age(oldest)}, limit {age(self.age_s)}")
        if self.lag_s is not None:
            figures = {one["store"]: one["p99_s"] for one in document["series"]["figures"]}
            for store in (one["name"] for one in document["stores"]):
                seen = figures.get(store)
                if seen is None or seen > self.lag_s:
                    found.append(f"p99 lag of {store}: {lag(seen)}, limit {lag(self.lag_s)}")
        return found
