"""The proof of a cutover or rollback: the domain's whole journal as JSON, whose chain anybody can check offline."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from model.errors import CrossfadeError
from stores.control.journal import Entry, Kind, broken_at

SCHEMA: Final = "crossfade.cutover-report/1"


def write_report(directory: Path, migration: str, result: Mapping[str, Any], chain: Sequence[Entry]) -> Path:
    """Write `cutover-DOMAIN-EPOCH.json` and give its path. Raises CrossfadeError when it cannot be written."""
    domain = chain[-1].domain if chain else "none"
    path = directory / f"cutover-{domain}-{result.get('epoch', 0)}.json"
    document = {
        "schema": SCHEMA,
        "migration": migration,
        "result": dict(result),
        "head": chain[-1].digest if chain else "",
        "entries": [{**dataclasses.asdict(entry), "kind": str(entry.kind)} for entry in chain],
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(document, indent=1, ensure_ascii=False, default=str), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise CrossfadeError(f"the report could not be written: {error}", hint="See report.directory.") from error
    return path


def check_report(path: Path) -> tuple[int, Entry | None]:
    """Number of entries of a report, and the first that does not follow from the one before. Raises CrossfadeError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        chain = [Entry(**{**raw, "kind": Kind(raw["kind"])}) for raw in document["entries"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CrossfadeError(f"not a report of a cutover: {error}", hint="", file=path) from error
    broken = broken_at(chain)
    if broken is None and chain and document.get("head") != chain[-1].digest:
        broken = chain[-1]
    return len(chain), broken
