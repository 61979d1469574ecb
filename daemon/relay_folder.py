"""The relay's folder at the start: whose it is, and whether what is in it can be continued."""

from __future__ import annotations

import threading
from pathlib import Path

import structlog

from config.settings import RelaySettings
from model.errors import Refused
from sync.relay.writer import RelayWriter

log = structlog.get_logger(__name__)

_OWNER = "stream"


def open_relay(
    settings: RelaySettings, stream: str, lowest_seq: int, stop: threading.Event, *, first: bool
) -> RelayWriter:
    """Open the relay for writing. One that does not reach back to the slowest store is begun anew.

    Raises LockHeld when another daemon writes it, Refused when it belongs to another migration.
    """
    folder = settings.directory
    owner = folder / _OWNER
    if owner.exists() and owner.read_text().strip() != stream:
        raise Refused(
            f"the relay folder belongs to the migration {owner.read_text().strip()}",
            hint="Set relay.directory to a folder of its own.",
            directory=folder,
        )
    writer = RelayWriter(folder, settings.segment_bytes, settings.budget_bytes, stop=stop)
    tail = writer.tail
    usable = not first and tail is not None and writer.first_seq <= lowest_seq + 1 and tail.seq >= lowest_seq
    if tail is not None and not usable:
        log.warning("relay_begun_anew", directory=str(folder), reaches_from=writer.first_seq, needed=lowest_seq + 1)
        writer.close()
        _empty(folder)
        writer = RelayWriter(folder, settings.segment_bytes, settings.budget_bytes, stop=stop)
    owner.write_text(stream + "\n")
    return writer


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()
