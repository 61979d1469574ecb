"""Judges one table plan: counts, or leaf digests and then rows. Owns the order of the steps, not their details.

Leaves are compared without waiting for each other: rows are applied whole and by key, so a leaf that is equal on both
sides is right whatever the positions of the two reads were. Only what differs is looked at, at known positions.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from sync.mysql.snapshot import raw_rows
from transforms.plan import TablePlan
from validators.alignment import Alignment
from validators.canonical.record import RecordForm
from validators.control import detects_flips
from validators.count_check import compare_counts
from validators.findings import ColumnDifference, Finding, FindingKind, Mode, Outcome, TableVerdict, Window
from validators.keyless_check import KeylessCheck
from validators.leaves import MOST_RANGES, Digests, Leaves, cut, differing
from validators.localise import candidates
from validators.row_check import STOPPED, RowCheck, RowResult
from validators.source_side import SourceSide
from validators.spans import Span
from validators.target_side import TargetSide
from validators.touched import TouchedRows
from validators.transform_hash import transform_hash

REFINE_ROWS: Final = 20_000
CALM: Final = 50
SAMPLE_ROWS: Final = 1_000
SAMPLE_TRANSACTIONS: Final = 1_000
START_HINT: Final = "crossfade start"
WHOLE: Final = Span()


@dataclass(frozen=True, slots=True)
class TableCheck:
    """One plan with everything that is needed to judge it. For one thread."""

    plan: TablePlan
    form: RecordForm
    source: SourceSide
    target: TargetSide
    alignment: Alignment
    changes: TouchedRows
    leaf_rows: int
    max_findings: int
    """After so many differing rows of the table the comparison stops."""

    def run(
        self, mode: Mode, span: Span = WHOLE, rows: int | None = None, found: int = 0, *, calm: bool = False
    ) -> TableVerdict:
        """The verdict over the rows of a span, about `rows`; `found`: differing rows of other spans.

        `calm`: little is expected to differ, so that leaves may be large at first (`few_differ`).
        Raises what the servers raise.
        """
        begun = time.monotonic()
        if mode is Mode.COUNTS:
            verdict = self.counts()
        elif mode is Mode.SAMPLE and self.form.key:
            verdict = self.sample()
        else:
            verdict = self.digests(mode, span, rows, found, calm=calm)
        passed = int(verdict.outcome is Outcome.PASS)
        return dataclasses.replace(verdict, duration_s=time.monotonic() - begun, chunks_passed=passed)

    def counts(self) -> TableVerdict:
        """Exact numbers of rows."""
        found = compare_counts(self.source, self.target, self.form, self.alignment, self.changes)
        base = blank(self.plan, Mode.COUNTS, self.form)
        findings: tuple[Finding, ...] = ()
        apart = found.target - found.source
        if found.agree is False:
            difference = ColumnDifference("count(*)", str(found.source), str(found.target))
            findings = (Finding(FindingKind.COUNT, (), (difference,)),)
        return dataclasses.replace(
            base,
            outcome={True: Outcome.PASS, False: Outcome.FAIL, None: Outcome.INCONCLUSIVE}[found.agree],
            why=found.why,
            next_step=_next(found.why, found.agree),
            source_rows=found.source if found.source >= 0 else None,
            target_rows=found.target if found.target >= 0 else None,
            missing=-apart if found.agree is False and apart < 0 else 0,
            extra=apart if found.agree is False and apart > 0 else 0,
            findings=findings,
            window=found.window,
        )

    def sample(self) -> TableVerdict:
        """Rows by value at a known position: at random, newest and oldest keys, and recently changed ones."""
        keys = dict.fromkeys(self.source.edge_keys(SAMPLE_ROWS // 10))
        keys.update(dict.fromkeys(self.target.random_keys(SAMPLE_ROWS, self.source.size())))
        found = self.alignment.checkpoint()
        if found is not None:
            recent = self.changes.latest(self.plan, self.form, found.seq, SAMPLE_TRANSACTIONS)
            keys.update(dict.fromkeys(list(recent.keys)[:SAMPLE_ROWS]))
        check = RowCheck(self.source, self.target, self.form, self.alignment, self.changes, self.max_findings)
        result = check.run(list(keys))
        verdict = self._by_rows(Mode.SAMPLE, result)
        if verdict.outcome is not Outcome.PASS:
            return verdict
        return dataclasses.replace(verdict, why=f"a sample of {len(keys):,} rows, no proof of the others")

    def _by_rows(self, mode: Mode, result: RowResult) -> TableVerdict:
        """The verdict that compared rows and the negative control give."""
        control = self._control()
        kinds = [finding.kind for finding in result.findings]
        undecided = bool(result.unresolved) or control is False
        outcome = Outcome.FAIL if kinds else Outcome.INCONCLUSIVE if undecided else Outcome.PASS
        why = (
            "the negative control was not detected: this comparison proves nothing" if control is False else result.why
        )
        return dataclasses.replace(
            blank(self.plan, mode, self.form),
            outcome=outcome,
            why=why,
            next_step=_next(result.why, outcome is Outcome.PASS),
            rows_compared_again=result.compared,
            rows_by_stream=result.by_stream,
            missing=kinds.count(FindingKind.MISSING),
            extra=kinds.count(FindingKind.EXTRA),
            different=kinds.count(FindingKind.DIFFERS),
            unresolved=len(result.unresolved),
            findings=tuple(result.findings),
            window=result.window,
            control=control,
        )

    def digests(
        self, mode: Mode, span: Span = WHOLE, rows: int | None = None, found: int = 0, *, calm: bool = False
    ) -> TableVerdict:
        """Leaf digests of a span, then the rows of what differs."""
        before = self.alignment.checkpoint()
        within = span.conditions(self.plan)
        size = self.source.size() if rows is None else rows
        ranges = self.source.ranges(condition=within[0])
        fine = cut(self.plan, size, ranges, self.leaf_rows, pushed=self.source.pushed)
        # Few large leaves cost the servers and us less than many small ones, while they are equal.
        leaves = fine.coarser() if calm and fine.by_key and self.source.pushed else fine
        here, there = self._both(leaves, within)
        high = self.alignment.high()
        after = self.alignment.checkpoint()
        window = Window(before.seq, str(high.coordinate), after.seq) if before and after else None
        unequal = differing(here, there)
        result = RowResult(window=window)
        if unequal:
            result = self._rows(leaves, fine, unequal, here, there, span, found)
            result.findings = [_placed(fine, one) for one in result.findings]
        verdict = self._by_rows(mode, result)
        why = verdict.why
        if not why and window is None and verdict.outcome is Outcome.PASS:
            why = "the store has no checkpoint: equal, but at no known position"
        elif not why and not self.form.key:
            why = "no key: compared as a multiset"
        return dataclasses.replace(
            verdict,
            why=why,
            source_rows=sum(rows for rows, _ in here.values()),
            target_rows=sum(rows for rows, _ in there.values()),
            leaves=len(here.keys() | there.keys()),
            leaves_compared_again=len(unequal),
            window=result.window or window,
        )

    def _both(self, leaves: Leaves, within: tuple[str, str]) -> tuple[Digests, Digests]:
        """Digests of source and store, taken at the same time."""
        on_source, on_target = within
        with ThreadPoolExecutor(1, "verify-source") as executor:
            reading = executor.submit(self.source.digests, leaves, on_source)
            there = self.target.digests(leaves, on_target)
            return reading.result(), there

    def _rows(
        self,
        leaves: Leaves,
        fine: Leaves,
        unequal: Sequence[int],
        here: Digests,
        there: Digests,
        span: Span,
        found: int,
    ) -> RowResult:
        most_findings = self.max_findings - found
        if most_findings <= 0:
            return RowResult(unresolved=[()], stopped=True, why=STOPPED)
        if not self.form.key:
            size = max(sum(rows for rows, _ in here.values()), sum(rows for rows, _ in there.values()))
            keyless = KeylessCheck(self.source, self.target, self.form, self.alignment, self.changes, most_findings)
            return keyless.run(size)
        if leaves is not fine:
            hashes = (self.source.hash_sql, self.target.hash_sql)
            few = len(unequal) <= MOST_RANGES
            within = leaves.conditions(unequal, hashes, self.plan, span) if few else span.conditions(self.plan)
            here, there = self._both(fine, within)
            leaves, unequal = fine, differing(here, there)
        rows = sum(here.get(leaf, (0, 0))[0] for leaf in unequal)
        if self.source.pushed and not leaves.by_key and rows > REFINE_ROWS:
            # Finding the rows of a bucket takes a scan of the table, so a second scan that leaves fewer of them pays.
            leaves = leaves.finer()
            here, there = self._both(leaves, span.conditions(self.plan))
            unequal = differing(here, there)
        check = RowCheck(self.source, self.target, self.form, self.alignment, self.changes, most_findings)
        result = RowResult()
        for keys in candidates(self.source, self.target, leaves, unequal, here, there, span):
            check.run(keys, result)
            if result.stopped:
                break
        return result

    def _control(self) -> bool | None:
        row = self.target.first()
        if row is None:
            return None
        row_hash = self.form.hash(row)
        return detects_flips(self.form, row, (1, row_hash))


def _placed(leaves: Leaves, found: Finding) -> Finding:
    """The finding with the name of its leaf."""
    value = dict(found.key).get(leaves.target_column or "")
    if value is None or not value.lstrip("-").isdigit():
        return found
    return dataclasses.replace(found, leaf=leaves.name_of(int(value)))


def blank(plan: TablePlan, mode: Mode, form: RecordForm, why: str = "", next_step: str = "") -> TableVerdict:
    """A verdict with the facts of the plan and no judgement yet, or with the reason why there is none."""
    return TableVerdict(
        plan.id,
        str(plan.source.id),
        plan.target.store,
        f"{plan.target.schema}.{plan.target.name}",
        mode,
        Outcome.INCONCLUSIVE,
        why=why,
        next_step=next_step,
        columns=form.names,
        excluded=excluded_columns(plan),
        not_pushed=form.reasons,
        transform_hash=transform_hash(plan),
    )


def excluded_columns(plan: TablePlan) -> tuple[tuple[str, str], ...]:
    """Columns that no comparison covers, with the reason."""
    read = {ordinal for column in plan.columns for ordinal in column.reads}
    left = [(column.name, "not migrated") for ordinal, column in enumerate(plan.source.columns) if ordinal not in read]
    written = {column.target.name for column in plan.columns}
    left += [
        (column.name, "computed by the store itself") for column in plan.target.columns if column.name not in written
    ]
    return tuple(left)


def source_computes_hashes(source: Any) -> bool:
    """Whether the source has SHA2() (MySQL 5.6 built without TLS gives NULL)."""
    for (value,) in list(raw_rows(source, "SELECT SHA2('a', 256)")):
        return bool(value == b"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb")
    return False


def few_differ(verdict: TableVerdict) -> bool:
    """Whether so few leaves of a chunk differed that the next one is likely to be equal: one of fifty at most."""
    return verdict.leaves_compared_again * CALM <= verdict.leaves


def _next(why: str, good: bool | None) -> str:
    if good:
        return ""
    if why.endswith(("no daemon runs", "no checkpoint")):
        return START_HINT
    return ""
