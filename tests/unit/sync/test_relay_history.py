"""Any history of a relay: appended, synced, torn, crashed, reopened, purged; what was promised is there."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sync.relay.reader import RelayReader
from sync.relay.records import segment_numbers, segment_path
from tests.unit.sync.binlog_bytes import SERVER_UUID
from tests.unit.sync.relay_files import append, crash, open_writer

BODIES = st.lists(st.integers(0, 3000).map(lambda n: bytes([n % 251]) * n), min_size=1, max_size=4)


@dataclass
class Model:
    """What must be in the relay: everything appended, and how much of it is promised."""

    appended: list[list[bytes]] = field(default_factory=list)
    synced: int = 0


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[str, object]]:
    """A history of a relay."""
    kinds = st.sampled_from(["append"] * 3 + ["sync", "open", "discard", "crash", "reopen", "purge"])
    numbers = st.integers(0, 10_000)
    return [
        (kind, draw(BODIES if kind in ("append", "open") else numbers)) for kind in draw(st.lists(kinds, max_size=25))
    ]


def tear(directory: Path, floor: tuple[int, int], amount: int) -> None:
    """Cut or spoil the last segment somewhere after what was made durable."""
    last = segment_numbers(directory)[-1]
    path = segment_path(directory, last)
    size = path.stat().st_size
    keep = floor[1] if floor[0] == last else 0
    if size > keep:
        with path.open("r+b") as file:
            if amount % 2:
                file.truncate(keep + amount % (size - keep + 1))
            else:
                file.seek(keep + amount % (size - keep))
                file.write(b"\xa5")


def filled(size: int) -> bytes:
    """A body of so many bytes."""
    return bytes([size % 251]) * size


SEGMENT_MADE_AGAIN: Final[list[tuple[str, object]]] = [
    *[("append", [b""])] * 3,
    ("append", [filled(2740)]),
    ("append", [filled(562)]),
    ("crash", 0),
    ("append", [b""]),
    ("append", [filled(316)]),
    ("crash", 0),
    *[("append", [b""])] * 5,
    ("sync", 0),
]
"""A segment that was never durable is removed, and made again with a header of another length."""


@settings(max_examples=150, deadline=None)
@example(SEGMENT_MADE_AGAIN)
@given(steps())
def test_any_history_keeps_what_was_synced(history: list[tuple[str, object]]) -> None:
    directory = Path(tempfile.mkdtemp())
    model, purged = Model(), 0
    writer = open_writer(directory)
    reader = RelayReader(directory)
    open_events = False
    try:
        for kind, argument in history:
            if kind in ("append", "open") and open_events:
                writer.discard_open()
                model.synced, open_events = len(model.appended), False
            if kind == "append":
                assert isinstance(argument, list)
                model.appended.append(argument)
                append(writer, len(model.appended), argument)
            elif kind == "open":
                assert isinstance(argument, list)
                append(writer, 0, argument, end=False)
                open_events = True
            elif kind == "sync":
                writer.sync()
                model.synced = len(model.appended)
            elif kind == "discard":
                writer.discard_open()
                model.synced, open_events = len(model.appended), False
            elif kind == "purge":
                assert isinstance(argument, int)
                writer.purge(argument % (len(model.appended) + 1))
                purged = writer.first_seq - 1
            elif kind in ("crash", "reopen"):
                assert isinstance(argument, int)
                published = writer._published
                assert published is not None
                if kind == "crash":
                    crash(writer)
                    tear(directory, (published.segment, published.offset), argument)
                else:
                    writer.close()
                    model.synced = len(model.appended)
                writer = open_writer(directory)
                assert writer.tail is not None
                assert model.synced <= writer.tail.seq <= len(model.appended)
                del model.appended[writer.tail.seq :]
                model.synced, open_events = len(model.appended), False
            assert writer.tail is not None and writer.tail.seq == model.synced
            found = [(t.seq, [body for _, body in t.events()]) for t in reader.transactions(purged)]
            assert found == [(n + 1, bodies) for n, bodies in enumerate(model.appended[: model.synced])][purged:]
            assert writer.tail.position.gtids == f"{SERVER_UUID}:1-{10 + model.synced}"
    finally:
        reader.close()
        writer.close()
        shutil.rmtree(directory)
