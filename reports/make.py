"""Makes a report: content, comparison, every form, its place in the chain, files on disk. One transaction registers it.

The files are written before the register is committed: a report that is registered exists.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from config.settings import ReportFormat, Settings
from model.errors import CrossfadeError
from reports.collect import collect, digest
from reports.compare import changes
from reports.csv_form import csv_form
from reports.html_form import html_form
from reports.junit_form import junit_form
from reports.markdown_form import markdown_form
from reports.seal import content_digest, seal_of, sealed
from stores.control import reports
from stores.control.reports import Entry
from stores.errors import translated
from stores.postgres import connect_store

EXTENSIONS: Final[Mapping[ReportFormat, str]] = {
    ReportFormat.HTML: "html",
    ReportFormat.JSON: "json",
    ReportFormat.MD: "md",
    ReportFormat.CSV: "csv",
    ReportFormat.JUNIT: "junit.xml",
}
FORMS: Final[Mapping[ReportFormat, Callable[[Mapping[str, Any]], str]]] = {
    ReportFormat.HTML: html_form,
    ReportFormat.JSON: lambda document: json.dumps(document, indent=1, ensure_ascii=False) + "\n",
    ReportFormat.MD: markdown_form,
    ReportFormat.CSV: csv_form,
    ReportFormat.JUNIT: junit_form,
}


class NotWritten(CrossfadeError):
    """A report's file could not be written."""

    default_hint = "See report.directory."


@dataclass(frozen=True, slots=True)
class MadeReport:
    """A report that is registered and on disk."""

    entry: Entry
    document: Mapping[str, Any]
    files: Mapping[ReportFormat, Path]


def make_report(
    settings: Settings,
    formats: Sequence[ReportFormat],
    *,
    actor: str,
    since_s: float,
    directory: Path | None = None,
    slot: datetime | None = None,
) -> MadeReport:
    """Make one over the last `since_s` seconds. Raises NotWritten, Unreachable …; then nothing is registered."""
    document = collect(settings, actor=actor, since_s=since_s)
    folder = directory or settings.report.directory
    with (
        closing(connect_store(settings.control_dsn, application="crossfade report")) as control,
        translated("control store"),
        control.transaction(),
    ):
        number, previous = reports.hold_head(control, settings.name)
        document["changes"] = changes(reports.document_of(control, settings.name), document)
        document["number"] = number + 1
        document["previous"] = previous
        document["signature_line"] = _signature_line(document)
        contents = {form: FORMS[form](document).encode() for form in dict.fromkeys(formats)}
        files = {form: folder / f"{settings.name}-{number + 1:05d}.{EXTENSIONS[form]}" for form in contents}
        bare = Entry(
            settings.name,
            number + 1,
            datetime.now(UTC),
            actor,
            document["verdict"]["outcome"],
            {str(form): content_digest(content) for form, content in contents.items()},
            previous,
            files={str(form): str(path) for form, path in files.items()},
            slot=slot,
        )
        entry = _linked(bare)
        for form, content in contents.items():
            write(files[form], sealed(content, seal_of(entry, form, settings.report.signing_key)))
        reports.add(control, entry, document)
    return MadeReport(entry, document, files)


def _linked(entry: Entry) -> Entry:
    return Entry(
        entry.name, entry.number, entry.made_at, entry.actor, entry.outcome, entry.digests, entry.previous,
        entry.linked(), entry.files, entry.slot,
    )  # fmt: skip


def _signature_line(document: Mapping[str, Any]) -> str:
    """One line that says what was judged, over which configuration and positions, by whom and when."""
    marks = document["fingerprints"]
    return (
        f"{document['migration']} #{document['number']} · {document['verdict']['outcome'].upper()} · "
        f"{document['made_at']} · {document['made_by']} · crossfade {document['tool_version']} · "
        f"config {marks['config_sha256'][:16]} · positions {marks['positions_sha256'][:16]} · "
        f"content {digest({k: v for k, v in document.items() if k != 'signature_line'})[:16]} · "
        f"after {document['previous'][:16]}"
    )


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises NotWritten."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise NotWritten(f"{path} could not be written: {error.strerror or error}") from error
