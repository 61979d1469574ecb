"""Verdicts as text: a grid of tables, the differing rows under it, one line that says it all."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from console.render import duration
from validators.findings import Finding, FindingKind, Mode, Outcome, TableVerdict, Verdict

STATES = {Outcome.PASS: "VERIFIED", Outcome.FAIL: "MISMATCH", Outcome.INCONCLUSIVE: "INCONCLUSIVE"}
COLOURS = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INCONCLUSIVE: "yellow"}
SHOWN = 20
"""Differing rows that are listed per table; JSON has all."""
WIDTH = 80


def verdict_text(verdict: Verdict, run_id: int | None, steps: list[str]) -> list[RenderableType | str]:
    """Lines for a terminal; `steps` are the commands that come next."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("TABLE", "STORE", "MODE", "SOURCE ROWS", "STORE ROWS", "LEAVES", "DIFFS", "TIME", "STATE"):
        grid.add_column(
            heading, justify="right" if heading in ("SOURCE ROWS", "STORE ROWS", "LEAVES", "DIFFS", "TIME") else "left"
        )
    for table in verdict.tables:
        grid.add_row(
            _name(table), table.store, str(table.mode), _number(table.source_rows), _number(table.target_rows),
            f"{table.leaves:,}" if table.leaves else "–", f"{table.differences:,}", duration(table.duration_s),
            Text(_state(table), style=COLOURS[table.outcome]),
        )  # fmt: skip
    for name, reason in verdict.skipped:
        grid.add_row(name, "–", "–", "–", "–", "–", "–", "–", f"SKIPPED {reason}")
    lines: list[RenderableType | str] = [grid]
    for table in verdict.tables:
        lines += _details(table)
    lines.append(_summary(verdict, run_id))
    lines += [f"next: {step}" for step in steps]
    return lines


def _name(table: TableVerdict) -> str:
    if table.mode is Mode.INVARIANTS:
        return table.plan_id
    source = table.source.partition(".")[2]
    target = table.target.partition(".")[2]
    return source if source == target else f"{source}→{target}"


def _number(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def _state(table: TableVerdict) -> str:
    text = STATES[table.outcome]
    if table.mode is Mode.SCHEMA and table.findings:
        return f"{text} ({table.different} parts are not as the plan says)"
    if table.outcome is Outcome.FAIL:
        parts = f"{table.missing:,} missing, {table.extra:,} extra, {table.different:,} differ"
        return f"{text} ({parts}{f', {table.unresolved:,} undecided' if table.unresolved else ''})"
    if table.unresolved:
        return f"{text} ({table.unresolved:,} rows undecided): {table.why}"
    return f"{text}: {table.why}" if table.why else text


def _details(table: TableVerdict) -> list[RenderableType | str]:
    lines: list[RenderableType | str] = []
    if table.findings:
        lines.append(f"{table.source} → {table.store}:{table.target}" + (f"  ({table.why})" if table.why else ""))
    for finding in table.findings[:SHOWN]:
        lines += _finding_lines(finding)
    if len(table.findings) > SHOWN:
        lines.append(f"  … and {len(table.findings) - SHOWN:,} more: crossfade -o json verify -t {_name(table)}")
    return lines


def _finding_lines(finding: Finding) -> list[str]:
    if finding.kind is FindingKind.COUNT:
        column = finding.columns[0]
        return [f"  rows: source {column.source}, store {column.target}"]
    if finding.kind is FindingKind.SCHEMA:
        column = finding.columns[0]
        return [f"  {column.column}: plan {_value(column.source)}, store {_value(column.target)}"]
    key = " ".join(f"{name}={_value(value)}" for name, value in finding.key)
    note = f"  ({finding.note})" if finding.note else ""
    lines = [f"  {finding.kind:<8}{key}{note}"]
    lines += [
        f"          {column.column}: source {_value(column.source)}, store {_value(column.target)}"
        for column in finding.columns
    ]
    return lines


def _value(text: str | None) -> str:
    if text is None:
        return "NULL"
    shown = text if len(text) <= WIDTH else text[:WIDTH] + f"… ({len(text):,} characters)"
    return repr(shown) if not shown.isprintable() or " " in shown or not shown or shown == "NULL" else shown


def _summary(verdict: Verdict, run_id: int | None) -> Text:
    rows = sum(table.source_rows or 0 for table in verdict.tables)
    differing = sum(table.differences for table in verdict.tables)
    failed = sum(table.outcome is Outcome.FAIL for table in verdict.tables)
    open_ = sum(table.outcome is Outcome.INCONCLUSIVE for table in verdict.tables)
    parts = [f"{len(verdict.tables)} tables", f"{rows:,} rows", f"{verdict.duration_s:.1f} s"]
    if failed:
        parts.append(f"{differing:,} rows differ in {failed} tables")
    if open_:
        parts.append(f"{open_} undecided")
    if verdict.skipped:
        parts.append(f"{len(verdict.skipped)} skipped")
    if run_id is not None:
        parts.append(f"run {run_id}")
    return Text.assemble((verdict.outcome.upper(), COLOURS[verdict.outcome]), "  ", " · ".join(parts))
