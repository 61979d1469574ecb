"""Text of a status report: one headline, the flow, one line per thing that needs a look. Takes the JSON document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from validators.computed_verdict import LOOKUP, READ_MODEL

LIGHTS = {"GREEN": "green", "AMBER": "yellow", "RED": "bold red"}
COLOUR = {"healthy": "green", "degraded": "yellow", "failed": "bold red"}


def duration(seconds: float | None) -> str:
    """`0.8 s`, `2m10s`, `2h41m`, `3d4h`; `–` when unknown."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours < 48 else f"{hours // 24}d{hours % 24}h"


def size(count: float) -> str:
    """Bytes with a binary unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def status_text(document: Mapping[str, Any], *, tables: bool = False) -> RenderableType:
    """The whole report for a terminal; with `tables` every table plan is listed."""
    lines: list[RenderableType] = [_headline(document)]
    flow = Table(box=None, pad_edge=False, show_header=False)
    source = document.get("source")
    if source:
        age = source["last_event_age_s"]
        link = "connected" if source["connected"] else "connecting" if age is None else "NOT CONNECTED"
        heard = "" if age is None else f"  last event {duration(age)} ago  {source['position']}"
        flow.add_row(
            " source",
            link + heard,
            f"relay {size(source['relay_bytes'])} of {size(source['relay_budget_bytes'])}",
        )
    for store in document.get("stores", ()):
        waiting = store["waiting_transactions"]
        flow.add_row(
            f" store {store['name']}",
            f"{store['state']}  lag {duration(store['lag_s'])}"
            + (f"  {waiting:,} transactions waiting" if waiting else ""),
            f"{store['rows_applied']:,} rows applied  {store['rows_per_s']:,.0f}/s",
        )
    lines.append(flow)
    for domain in document.get("domains", ()):
        lines.append(domain_line(domain))
    phases = document.get("phases") or {}
    if phases:
        total = sum(phases.values())
        lines.append(Text(f" tables {total}: " + " · ".join(f"{count} {phase}" for phase, count in phases.items())))
    computed = document.get("computed") or ()
    if computed:
        states = Counter(one["state"] for one in computed)
        kept = " · ".join(f"{count} {state}" for state, count in states.items())
        lines.append(Text(f" read models and lookups {len(computed)}: {kept}"))
    verification = document.get("verification")
    if verification:
        lines.append(Text(" " + proof_line(verification)))
    copy = document.get("copy")
    if copy and document.get("state") in ("COPYING", "STARTING"):
        lines.append(Text(" " + copy_line(copy)))
    for reason in document.get("reasons", ()):
        lines.append(Text(f" ✗ {reason['subject']}: {reason['message']}", style="red"))
        if reason["next"]:
            lines.append(Text(f"   → {reason['next']}"))
    if tables:
        lines.append(tables_table(document))
    return Group(*lines)


def proof_line(verification: Mapping[str, Any]) -> str:
    """`proven 98.2 % of 511,000 rows  oldest proof 3h10m  2 of 7 tables not whole`, and why it pauses."""
    tables = verification["tables"]
    rows, proven = (sum(table[name] for table in tables) for name in ("rows", "rows_proven"))
    ages = [table["oldest_age_s"] for table in tables if table["oldest_age_s"] is not None]
    parts = ["nothing proven yet"]
    if tables:
        complete = all(table["complete"] for table in tables)
        share = 100.0 if complete else min(99.9, 100 * proven / rows) if rows else 0.0
        parts = [f"proven {share:.1f} % of {rows:,} rows"]
        if ages:
            parts.append(f"oldest proof {duration(max(ages))}")
        lacking = sum(not table["complete"] for table in tables)
        if lacking:
            parts.append(f"{lacking} of {len(tables)} tables not whole")
        differing = sum(table["chunks_differing"] for table in tables)
        if differing:
            parts.append(f"{differing} chunks differ: crossfade verify findings")
    if verification["reason"]:
        parts.append(f"({verification['reason']})")
    return "  ".join(parts)


def domain_line(domain: Mapping[str, Any]) -> Text:
    """` domain orders live, served by the stores · rollback now: 1.4 s, 0 rows stranded, GREEN`."""
    if not domain.get("phase"):
        return Text(f" domain {domain['domain']}: not looked at yet")
    text = Text(f" domain {domain['domain']} {domain['phase']}, served by the {domain['side']}")
    ready = domain.get("rollback")
    if ready:
        text.append(" · ")
        text.append(ready["line"], LIGHTS.get(ready["light"], ""))
    elif domain["phase"] == "prepared" and domain["round_trips"]["forward"]["count"]:
        there, back = domain["round_trips"]["forward"], domain["round_trips"]["reverse"]
        text.append(f" · marker p95 {there['p95_s']:.3f} s there, {back['p95_s']:.3f} s back")
    return text


def copy_line(copy: Mapping[str, Any]) -> str:
    """`copy 61.0 %  312,000/511,000 rows (estimate)  88,000 rows/s  ETA 2m10s–3m00s`."""
    text = f"copy {copy['percent']:.1f} %  {copy['rows_done']:,}/{copy['rows_expected']:,} rows ({copy['basis']})"
    text += f"  {copy['rows_per_s']:,.0f} rows/s"
    if copy["eta_low_s"] is not None:
        text += f"  ETA {duration(copy['eta_low_s'])}–{duration(copy['eta_high_s'])}"
    return text


def _headline(document: Mapping[str, Any]) -> Text:
    since = datetime.fromisoformat(document["since"])
    age = (datetime.now(UTC) - since).total_seconds()
    health = document["health"]
    steps = document.get("next_steps") or ()
    return Text.assemble(
        (document["migration"], "bold"),
        "  ",
        (document["state"], "bold"),
        "  ",
        (health, COLOUR.get(health, "")),
        f"  since {since:%H:%M:%S} UTC ({duration(age)})",
        f"  next: {steps[0]}" if steps else "",
    )


def tables_table(document: Mapping[str, Any]) -> Table:
    """Every table plan with its proof, and what stores compute by themselves."""
    proofs = {proof["plan"]: proof for proof in (document.get("verification") or {"tables": ()})["tables"]}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in (" TABLE", "STORE", "PHASE", "ROWS COPIED", "PROVEN", "OLDEST PROOF", "REASON"):
        table.add_column(heading, justify="right" if heading in ("ROWS COPIED", "PROVEN", "OLDEST PROOF") else "left")
    for row in document.get("tables", ()):
        proof = proofs.get(row["plan"])
        table.add_row(
            " " + row["plan"], row["store"], row["phase"], f"{row['rows_copied']:,}",
            f"{proof['percent']:.1f} %" if proof else "–", duration(proof["oldest_age_s"]) if proof else "–",
            row["reason"] or (proof or {}).get("why", ""),
        )  # fmt: skip
    states = {one["plan"]: one for one in document.get("computed", ())}
    for plan in [*states, *(plan for plan in proofs if plan.startswith((LOOKUP, READ_MODEL)) and plan not in states)]:
        proof, one = proofs.get(plan), states.get(plan, {})
        table.add_row(
            " " + plan, plan.partition(">")[2].partition(":")[0], one.get("state", "computed"), "–",
            f"{proof['percent']:.1f} %" if proof else "–", duration(proof["oldest_age_s"]) if proof else "–",
            one.get("error") or (proof or {}).get("why", ""),
        )  # fmt: skip
    return table
