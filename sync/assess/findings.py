"""What an assessment says: findings with the exact statement that mends each. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is."""

    OK = "OK"
    WARN = "WARN"
    """Works, at a price that somebody should know."""
    BLOCK = "BLOCK"
    """The migration must not start."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of one check about one subject (a server, a table, a store)."""

    check: str
    level: Level
    subject: str
    message: str
    fix: str = ""
    """What to run or to write, ready to paste; empty for OK."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """All findings, in the order of the checks."""

    findings: tuple[Finding, ...]

    @property
    def blocked(self) -> bool:
        """Whether anything forbids the start."""
        return any(finding.level is Level.BLOCK for finding in self.findings)

    def of(self, check: str) -> tuple[Finding, ...]:
        """The findings of one check."""
        return tuple(finding for finding in self.findings if finding.check == check)
