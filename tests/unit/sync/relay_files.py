"""A relay in a folder: a writer, transactions of row events, what a fresh reader finds, and a crash."""

from __future__ import annotations

import threading
from pathlib import Path

from model.position import BinlogCoordinate, Flavour, Position
from sync.mysql.event_types import EventType
from sync.relay.reader import RelayReader
from sync.relay.values import RelayTail, TransactionEnd
from sync.relay.writer import RelayWriter
from tests.unit.sync.binlog_bytes import SERVER_UUID, event, format_description

FILE = "bin.000001"
START = RelayTail(0, Position(Flavour.MYSQL, BinlogCoordinate(FILE, 4), f"{SERVER_UUID}:1-10"))
SEGMENT = 4096


def open_writer(directory: Path, *, budget: int = 1 << 30, stop: threading.Event | None = None) -> RelayWriter:
    writer = RelayWriter(directory, SEGMENT, budget, stop=stop)
    if writer.tail is None:
        writer.begin(START, "server-1", gtids_known=True)
    if writer.tail is not None and writer.tail.position.coordinate.file == FILE:
        writer.set_format(format_description())  # as every connection does
    return writer


def append(writer: RelayWriter, seq: int, bodies: list[bytes], *, end: bool = True) -> None:
    """One transaction of row events; the first body is also cut in two parts, the second and third are a run."""
    run = [event(EventType.WRITE_ROWS_V2, body) for body in bodies[1:3]]
    for number, body in enumerate(bodies):
        if number == 1:
            writer.append_run(b"".join(run), len(run), FILE)
        if 1 <= number <= len(run):
            continue
        raw = event(EventType.WRITE_ROWS_V2, body)
        cut = max(19, len(raw) // 2) if number == 0 else len(raw)
        writer.append_event(raw[:cut], FILE)
        if cut < len(raw):
            writer.append_part(raw[cut:])
    if end:
        writer.end_transaction(
            TransactionEnd(seq, f"{SERVER_UUID}:{10 + seq}", BinlogCoordinate(FILE, 100 * seq), seq * 1_000_001)
        )


def contents(directory: Path, after: int = 0) -> list[tuple[int, list[bytes]]]:
    """(seq, bodies) of everything a fresh reader finds."""
    reader = RelayReader(directory)
    try:
        return [(t.seq, [body for _, body in t.events()]) for t in reader.transactions(after)]
    finally:
        reader.close()


def crash(writer: RelayWriter) -> None:
    """Drop the writer as a killed process would: what is in its buffer is gone."""
    assert writer._file is not None
    writer._file.detach().close()  # type: ignore[attr-defined]
    writer._tail_file.close()
    writer._lock_file.close()
