"""The report as Markdown, for a ticket or a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reports.csv_form import difference
from reports.words import age, lag, number, percent, short_plan

SHOWN = 50


def markdown_form(document: Mapping[str, Any]) -> str:
    """The text; pipes and line ends in values are escaped."""
    return "\n".join([*_head(document), *_tables(document), *_rest(document)]) + "\n"


def _head(document: Mapping[str, Any]) -> Iterator[str]:
    verdict, coverage = document["verdict"], document["coverage"]
    yield f"# {document['migration']}: {verdict['outcome'].upper()}"
    yield f"\n{_cell(document['signature_line'])}\n"
    for reason in verdict["reasons"][:SHOWN]:
        yield f"- **{reason['outcome']}** {_cell(reason['text'])} → `{reason['next']}`"
    states = document["findings"]["states"]
    found = ", ".join(f"{count:,} {state}" for state, count in states.items()) or "none"
    yield ""
    yield "| | |\n|---|---|"
    within_day = percent(coverage["percent_within_day"])
    yield f"| rows proven equal | {percent(coverage['percent'])}, within a day {within_day} |"
    yield f"| oldest proof | {age(coverage['oldest_age_s'])} |"
    yield f"| findings | {found} |"
    yield f"| state | {document['status']['state']}, {document['status']['health']} |"
    for one in document["series"]["figures"]:
        figures = f"p50 {lag(one['p50_s'])}, p95 {lag(one['p95_s'])}, p99 {lag(one['p99_s'])}"
        yield f"| lag of {one['store']} | {figures}; {one['rows_per_s']:,.0f} changes/s |"


def _tables(document: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Tables\n"
    yield "| table | store | phase | verdict | source | store | difference | proven | oldest | quarantine |"
    yield "|---|---|---|---|--:|--:|--:|--:|--:|--:|"
    for table in document["tables"]:
        proof = table["proof"] or {}
        cells = (
            short_plan(table["plan"]), table["store"], table["phase"], table["outcome"] or "never verified",
            number(table["source_rows"]), number(table["target_rows"]), number(difference(table)),
            percent(proof.get("percent")), age(proof.get("oldest_age_s")), number(table["parked"]),
        )  # fmt: skip
        yield "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _rest(document: Mapping[str, Any]) -> Iterator[str]:
    findings = document["findings"]
    if findings["open"]:
        yield "\n## Open findings\n"
        for one in findings["open"][:SHOWN]:
            columns = f" ({', '.join(one['columns'])})" if one["columns"] else ""
            yield f"- {_cell(short_plan(one['plan']))} {_cell(str(one['key']))}: {one['kind']}{_cell(columns)}"
        hidden = len(findings["open"]) - SHOWN + findings["not_listed"]
        if hidden > 0:
            yield f"- and {hidden:,} more"
    if document["domains"]:
        yield "\n## Domains\n"
        for one in document["domains"]:
            yield f"- {one['domain']}: {one['phase']}, writes on the {one['side']}{_problem(one)}"
            ready = one.get("rollback")
            if ready:
                yield f"  - {_cell(ready['line'])}"
                yield from (f"  - {alarm['light']}: {_cell(alarm['message'])}" for alarm in ready["alarms"])
    changes = document["changes"]
    yield "\n## Since the last report\n"
    if changes["since"] is None:
        yield "This is the first."
    for item in changes["items"][:SHOWN]:
        yield f"- {_cell(item)}"
    if changes["since"] is not None and not changes["items"]:
        yield f"Nothing changed since {changes['since']}."


def _problem(one: Mapping[str, Any]) -> str:
    return f": {_cell(one['problem'])}" if one["problem"] else ""


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\r", " ").replace("\n", " ")
