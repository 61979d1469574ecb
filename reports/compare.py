"""What changed since the report before: verdict, findings, coverage, tables, configuration. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def changes(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> dict[str, Any]:
    """The comparison; without an earlier report it says so."""
    if before is None:
        return {"since": None, "items": []}
    items: list[str] = []
    old, new = before["verdict"]["outcome"], now["verdict"]["outcome"]
    if old != new:
        items.append(f"verdict: {old} → {new}")
    if before["fingerprints"]["config_sha256"] != now["fingerprints"]["config_sha256"]:
        items.append("the configuration has changed")
    items += _reasons(before, now)
    items += _numbers(before, now)
    items += _tables(before, now)
    items += _domains(before, now)
    return {"since": before["made_at"], "items": items}


def _reasons(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    old = {reason["text"] for reason in before["verdict"]["reasons"]}
    new = {reason["text"] for reason in now["verdict"]["reasons"]}
    return [f"new: {text}" for text in sorted(new - old)] + [f"gone: {text}" for text in sorted(old - new)]


def _numbers(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    old, new = before["coverage"]["percent"], now["coverage"]["percent"]
    if old != new:
        found.append(f"rows proven: {_percent(old)} → {_percent(new)}")
    states = sorted({*before["findings"]["states"], *now["findings"]["states"]})
    for state in states:
        was, is_ = before["findings"]["states"].get(state, 0), now["findings"]["states"].get(state, 0)
        if was != is_:
            found.append(f"findings {state}: {was:,} → {is_:,}")
    for store in now["stores"]:
        earlier = next((one for one in before["stores"] if one["name"] == store["name"]), None)
        if earlier is None:
            found.append(f"store {store['name']} is new")
        elif store.get("transactions_applied") is not None and earlier.get("transactions_applied") is not None:
            applied = store["transactions_applied"] - earlier["transactions_applied"]
            if applied:
                found.append(f"store {store['name']}: {applied:+,} source transactions")
    return found


def _tables(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    old = {table["plan"]: table for table in before["tables"]}
    new = {table["plan"]: table for table in now["tables"]}
    found = [f"{plan}: new table" for plan in sorted(new.keys() - old.keys())]
    found += [f"{plan}: no longer migrated" for plan in sorted(old.keys() - new.keys())]
    for plan in sorted(new.keys() & old.keys()):
        for field in ("phase", "outcome", "transform"):
            was, is_ = old[plan].get(field), new[plan].get(field)
            if was != is_ and (was or is_):
                shown = "its mapping has changed" if field == "transform" else f"{was or 'none'} → {is_ or 'none'}"
                found.append(f"{plan}: {shown}")
    return found


def _domains(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    old = {one["domain"]: one for one in before["domains"]}
    return [
        f"domain {one['domain']}: {old[one['domain']]['phase']} → {one['phase']}"
        for one in now["domains"]
        if one["domain"] in old and old[one["domain"]]["phase"] != one["phase"]
    ]


def _percent(value: float | None) -> str:
    return "nothing" if value is None else f"{value:g} %"
