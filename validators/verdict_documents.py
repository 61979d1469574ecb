"""The JSON form of verdicts and back: what `verify -o json` prints, what the control store keeps of a chunk. No I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from validators.findings import ColumnDifference, Finding, FindingKind, Mode, Outcome, TableVerdict, Verdict, Window


def document(verdict: Verdict) -> dict[str, Any]:
    """A run; JSON values only, except for what `table_document` says."""
    return {
        "migration": verdict.migration,
        "outcome": str(verdict.outcome),
        "exit_code": int(verdict.exit_code),
        "mode": str(verdict.mode),
        "started_at": stamp(verdict.started_at),
        "duration_s": round(verdict.duration_s, 3),
        "canonical_version": verdict.canonical_version,
        "tool_version": verdict.tool_version,
        "tables": [table_document(table) for table in verdict.tables],
        "skipped": [{"table": table, "reason": reason} for table, reason in verdict.skipped],
        "next_steps": next_steps(verdict),
    }


def next_steps(verdict: Verdict) -> list[str]:
    """Commands that come next, each once."""
    return list(dict.fromkeys(table.next_step for table in verdict.tables if table.next_step))


def table_document(table: TableVerdict) -> dict[str, Any]:
    """The verdict over a table plan, or over one chunk of it."""
    fields: dict[str, Any] = {field.name: getattr(table, field.name) for field in dataclasses.fields(table)}
    fields["mode"], fields["outcome"] = str(table.mode), str(table.outcome)
    fields["duration_s"] = round(table.duration_s, 3)
    fields["window"] = dataclasses.asdict(table.window) if table.window else None
    fields["compared_at"] = stamp(table.compared_at) if table.compared_at else None
    fields["columns"] = list(table.columns)
    for name in ("excluded", "not_pushed"):
        fields[name] = [{"column": column, "reason": reason} for column, reason in fields[name]]
    fields["findings"] = [
        {
            "kind": str(finding.kind),
            "key": dict(finding.key),
            "columns": [dataclasses.asdict(column) for column in finding.columns],
            "note": finding.note,
            "leaf": finding.leaf,
            "position": finding.position,
        }
        for finding in table.findings
    ]
    return fields


def table_of(fields: Mapping[str, Any]) -> TableVerdict:
    """The verdict that `table_document` made. Raises KeyError or TypeError for another program's JSON."""
    window, compared = fields["window"], fields.get("compared_at")
    return TableVerdict(
        **{
            **fields,
            "mode": Mode(fields["mode"]),
            "outcome": Outcome(fields["outcome"]),
            "window": Window(**window) if window else None,
            "compared_at": datetime.fromisoformat(compared) if compared else None,
            "columns": tuple(fields["columns"]),
            "excluded": tuple((item["column"], item["reason"]) for item in fields["excluded"]),
            "not_pushed": tuple((item["column"], item["reason"]) for item in fields["not_pushed"]),
            "findings": tuple(
                Finding(
                    FindingKind(item["kind"]),
                    tuple(item["key"].items()),
                    tuple(ColumnDifference(**column) for column in item["columns"]),
                    item["note"],
                    item["leaf"],
                    item["position"],
                )
                for item in fields["findings"]
            ),
        }
    )


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
