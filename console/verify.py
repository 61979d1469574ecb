"""`verify`: do the stores hold what the source holds, with keys and values of what differs. Exit 0, 5 or 6."""

from __future__ import annotations

import dataclasses
import json
import threading
from contextlib import closing
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from config.load import load_settings
from config.settings import Settings
from console.output import Invocation, encode
from console.render import duration
from daemon.planning import Planned, compile_for, read_plan
from model.errors import CrossfadeError
from stores.control import checkpoints, schema_history
from stores.errors import translated
from stores.postgres import connect_store
from validators.findings import Finding, FindingKind, Mode, Outcome, TableVerdict, Verdict
from validators.journal import remember
from validators.run import Scope, Verification

STATES = {Outcome.PASS: "VERIFIED", Outcome.FAIL: "MISMATCH", Outcome.INCONCLUSIVE: "INCONCLUSIVE"}
COLOURS = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INCONCLUSIVE: "yellow"}
SHOWN = 20
"""Differing rows that are listed per table; JSON has all."""
WIDTH = 80


def register(app: typer.Typer) -> None:
    """Add this command to the root."""
    app.command("verify")(verify)


def verify(
    context: typer.Context,
    mode: Annotated[
        Mode, typer.Option(help="auto takes checksum where the source can compute it, else rows.")
    ] = Mode.AUTO,
    table: Annotated[
        list[str] | None, typer.Option("--table", "-t", metavar="TABLE", help="Only this table; repeat for several.")
    ] = None,
    store: Annotated[str | None, typer.Option(help="Only this store.")] = None,
    deadline: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="How long differing rows are followed; default verify.settle_s."),
    ] = None,
) -> int:
    """Compare source and stores while both are in use. Exit 5 when rows differ, 6 when it could not be decided."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    planned = planned_by_history(settings)
    scope = Scope(planned.info, planned.tables, planned.plan, tuple(table or ()), store)
    stop = threading.Event()
    run = Verification(settings, scope, mode, stop, deadline_s=deadline, tool_version=_version())
    try:
        verdict = run.run()
    finally:
        stop.set()
    told = document(verdict)
    run_id = _remembered(invocation, settings, verdict, told)
    if verdict.outcome is Outcome.FAIL and run_id is not None and verdict.mode is not Mode.COUNTS:
        told["next_steps"] = [f"crossfade repair --verify {run_id} --dry-run", *next_steps(verdict)]
    if invocation.json:
        invocation.emit("crossfade.verify/1", {"run": run_id, **told})
    else:
        invocation.say(*_text(verdict, run_id, told["next_steps"]))
    return verdict.exit_code


def _remembered(invocation: Invocation, settings: Settings, verdict: Verdict, told: dict[str, Any]) -> int | None:
    """Number of the run in the control store; None when it cannot be written there."""
    tables = [{name: value for name, value in table.items() if name != "findings"} for table in told["tables"]]
    try:
        return remember(
            settings.control_dsn, verdict, json.loads(json.dumps({**told, "tables": tables}, default=encode))
        )
    except CrossfadeError as error:
        invocation.note(f"the run could not be stored: {error}")
        return None


def _version() -> str:
    from console.app import program_version

    return program_version()


def planned_by_history(settings: Settings) -> Planned:
    """The plan by the definitions that hold at the stores' checkpoints; today's catalogue before there are any."""
    planned = read_plan(settings)
    for name, store in settings.stores.items():
        with (
            closing(connect_store(store.dsn, application="crossfade verify")) as connection,
            translated(f"store {name}"),
        ):
            row = connection.execute("SELECT to_regclass('crossfade.schema_history') IS NOT NULL").fetchone()
            if not row or not row[0]:
                continue
            checkpoint = checkpoints.read(connection, settings.name)
            history = schema_history.load(connection, settings.name)
        if checkpoint is None:
            continue
        tables = dict(planned.tables)
        for table in history.tables():
            definition = history.at(table, checkpoint.seq + 1)
            if definition is not None:
                tables[table] = definition
        return dataclasses.replace(planned, tables=tables, plan=compile_for(settings, tables, planned.info))
    return planned


def document(verdict: Verdict) -> dict[str, Any]:
    """The JSON form."""
    return {
        "migration": verdict.migration,
        "outcome": verdict.outcome,
        "exit_code": int(verdict.exit_code),
        "mode": verdict.mode,
        "started_at": verdict.started_at,
        "duration_s": round(verdict.duration_s, 3),
        "canonical_version": verdict.canonical_version,
        "tool_version": verdict.tool_version,
        "tables": [_table_document(table) for table in verdict.tables],
        "skipped": [{"table": table, "reason": reason} for table, reason in verdict.skipped],
        "next_steps": next_steps(verdict),
    }


def _table_document(table: TableVerdict) -> dict[str, Any]:
    fields: dict[str, Any] = {field.name: getattr(table, field.name) for field in dataclasses.fields(table)}
    fields["duration_s"] = round(table.duration_s, 3)
    fields["window"] = dataclasses.asdict(table.window) if table.window else None
    for name in ("excluded", "not_pushed"):
        fields[name] = [{"column": column, "reason": reason} for column, reason in fields[name]]
    fields["findings"] = [
        {
            "kind": finding.kind,
            "key": dict(finding.key),
            "columns": [dataclasses.asdict(column) for column in finding.columns],
            "note": finding.note,
        }
        for finding in table.findings
    ]
    return fields


def next_steps(verdict: Verdict) -> list[str]:
    """Commands that come next, each once."""
    return list(dict.fromkeys(table.next_step for table in verdict.tables if table.next_step))


def _text(verdict: Verdict, run_id: int | None, steps: list[str]) -> list[RenderableType | str]:
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
    source = table.source.partition(".")[2]
    target = table.target.partition(".")[2]
    return source if source == target else f"{source}→{target}"


def _number(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def _state(table: TableVerdict) -> str:
    text = STATES[table.outcome]
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
