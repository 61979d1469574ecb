"""What a verification found, as frozen values: findings per row, a verdict per table, a verdict over all of them.

No I/O, no rendering. A verdict is never a bare boolean: it says what was covered, at which positions, and what was not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from model.errors import ExitCode


class Mode(StrEnum):
    """How tables are compared."""

    AUTO = "auto"
    COUNTS = "counts"
    CHECKSUM = "checksum"
    ROWS = "rows"
    SAMPLE = "sample"
    SCHEMA = "schema"
    """Columns, types, constraints, indexes and sequences of the store's tables against the plan."""
    INVARIANTS = "invariants"
    """The answers to pairs of statements of the configuration."""


class Outcome(StrEnum):
    """The judgement."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


EXIT_CODES = {
    Outcome.PASS: ExitCode.CLEAN,
    Outcome.FAIL: ExitCode.DIFFERENCES,
    Outcome.INCONCLUSIVE: ExitCode.INCOMPLETE,
}


class FindingKind(StrEnum):
    """What is wrong with a row."""

    MISSING = "missing"
    """The source has it, the store does not."""
    EXTRA = "extra"
    """The store has it (or has it once more), the source does not."""
    DIFFERS = "differs"
    COUNT = "count"
    """The numbers of rows differ (mode counts)."""
    SCHEMA = "schema"
    """A part of the store's table is not as the plan says (mode schema)."""


@dataclass(frozen=True, slots=True)
class ColumnDifference:
    """One column of a differing row; values as canonical text, None for NULL."""

    column: str
    source: str | None
    target: str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference."""

    kind: FindingKind
    key: tuple[tuple[str, str | None], ...]
    """(target column, canonical text) of the row's key; of the whole row for a table without key."""
    columns: tuple[ColumnDifference, ...] = ()
    note: str = ""
    leaf: str = ""
    """Which group of rows it lies in, for people; "" when rows are not grouped by key."""
    position: str = ""
    """The source's position at which it was confirmed."""


@dataclass(frozen=True, slots=True)
class Window:
    """The positions between which a comparison is exact."""

    low_seq: int
    """S: every read of the source holds at least this transaction."""
    high: str
    """P: no read of the source holds anything after this binlog position."""
    target_seq: int
    """T: the read of the store holds exactly this transaction."""


@dataclass(frozen=True, slots=True)
class TableVerdict:
    """The judgement over one table plan."""

    plan_id: str
    source: str
    store: str
    target: str
    mode: Mode
    outcome: Outcome
    why: str = ""
    """Why it is not PASS, or what a PASS rests on that is weaker than usual."""
    next_step: str = ""
    source_rows: int | None = None
    target_rows: int | None = None
    leaves: int = 0
    leaves_compared_again: int = 0
    rows_compared_again: int = 0
    """Rows whose values were read on both sides at a known position."""
    rows_by_stream: int = 0
    """Of these, rows that changed all the time and were held against the binlog's last change only."""
    missing: int = 0
    extra: int = 0
    different: int = 0
    unresolved: int = 0
    findings: tuple[Finding, ...] = ()
    columns: tuple[str, ...] = ()
    excluded: tuple[tuple[str, str], ...] = ()
    """(column, why it is not compared)."""
    not_pushed: tuple[tuple[str, str], ...] = ()
    """(column, why the source cannot compute it; it is compared through the plan instead)."""
    window: Window | None = None
    transform_hash: str = ""
    control: bool | None = None
    """Whether the negative control was detected; None when there was no row to flip."""
    duration_s: float = 0.0
    """Time of work; chunks may have been compared at the same time."""
    compared_at: datetime | None = None
    """When the oldest comparison that this rests on began, by the ledger's clock."""
    chunks: int = 1
    chunks_passed: int = 0

    @property
    def differences(self) -> int:
        """Rows that are confirmed to differ."""
        return self.missing + self.extra + self.different


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement over a run."""

    migration: str
    mode: Mode
    started_at: datetime
    duration_s: float
    tables: tuple[TableVerdict, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    """(source table, reason) of tables that the configuration leaves out."""
    canonical_version: int = 1
    tool_version: str = ""

    @property
    def outcome(self) -> Outcome:
        """FAIL when one table fails, else INCONCLUSIVE when one is, or when nothing was compared."""
        outcomes = {table.outcome for table in self.tables}
        if Outcome.FAIL in outcomes:
            return Outcome.FAIL
        return Outcome.INCONCLUSIVE if Outcome.INCONCLUSIVE in outcomes or not outcomes else Outcome.PASS

    @property
    def exit_code(self) -> ExitCode:
        """0, 5 or 6."""
        return EXIT_CODES[self.outcome]
