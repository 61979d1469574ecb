"""Prepared XA transactions: their events wait next to the relay until the source commits them or takes them back.

The source writes the rows when a transaction is prepared, as a transaction of its own, and the verdict as another one,
at any time later. Rows count from the verdict on: until then nobody else sees them in the source. So the relay gets
them with the verdict, and nobody behind it has to know of XA. A file here is durable before the relay has the end of
the prepared transaction, and is removed only after the relay's end with the verdict is durable.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from sync.relay.fsync import fsync_directory
from sync.relay.records import RECORD, CorruptRelay, read_records, record

log = structlog.get_logger(__name__)

_OPEN: Final = "prepared.open"
_BUFFER: Final = 1 << 20


class PreparedTransactions:
    """The prepared transactions of one relay; for its writer's thread."""

    def __init__(self, directory: Path, last_seq: int, count: Callable[[int], None]) -> None:
        """Find what waits. Transactions after `last_seq` will be read again.

        `count` is told of every byte that the files grow by, before it is written, and of those that they shrink by.
        """
        self._directory = directory
        self._count = count
        self._open_bytes = 0
        self._file: BinaryIO | None = None
        self._known: dict[str, Path] = {}
        self._decided: dict[Path, int] = {}
        """Files that are of no more use once the relay is durable up to a transaction."""
        (directory / _OPEN).unlink(missing_ok=True)
        for path in sorted(directory.glob("prepared-*.xa")):
            _, seq, digest, _ = path.stem.split("-")
            if int(seq) > last_seq:
                path.unlink()
            else:
                self._known[digest] = path
                count(path.stat().st_size)

    # -- putting aside

    def append(self, kind: int, raw: bytes) -> None:
        """Put an EVENT or a PART of one aside."""
        if self._file is None:
            self._file = (self._directory / _OPEN).open("w+b", buffering=_BUFFER)
        size = RECORD.size + len(raw)
        self._count(size)
        self._open_bytes += size
        self._file.write(record(kind, raw))
        self._file.write(raw)

    def keep(self, xid: str, seq: int, checksum_bytes: int) -> None:
        """What was put aside is the transaction `xid`, prepared as the relay's transaction `seq`; makes it durable."""
        if self._file is None:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        self._open_bytes = 0
        digest = _digest(xid)
        path = self._directory / f"prepared-{seq:020d}-{digest}-{checksum_bytes}.xa"
        (self._directory / _OPEN).rename(path)
        fsync_directory(self._directory)
        self._known[digest] = path

    def records(self) -> Iterator[tuple[int, bytes]]:
        """What was just put aside, to be written where it would have been; it is aside no more."""
        if self._file is None:
            return
        for kind, payload, _ in read_records(self._file, 0):
            yield kind, payload
        self._drop_open()

    def discard(self) -> None:
        """The transaction that is being put aside will be read again, and so will verdicts that are not durable."""
        self._decided.clear()
        if self._file is not None:
            self._drop_open()

    def _drop_open(self) -> None:
        assert self._file is not None
        self._file.close()
        self._file = None
        (self._directory / _OPEN).unlink()
        self._count(-self._open_bytes)
        self._open_bytes = 0

    # -- the verdict

    def decided(self, xid: str, seq: int) -> Path | None:
        """The verdict over `xid` stands in the relay's transaction `seq`: its file, None when nothing is known."""
        path = self._known.get(_digest(xid))
        if path is not None:
            self._decided[path] = seq
        return path

    def committed(self, path: Path, checksum_bytes: int) -> Iterator[tuple[int, bytes]]:
        """(EVENT or PART, bytes) of a file, in order. Raises CorruptRelay."""
        if int(path.stem.rpartition("-")[2]) != checksum_bytes:
            raise CorruptRelay(
                "binlog_checksum was changed between XA PREPARE and XA COMMIT; the prepared events cannot be used",
                hint="Copy anew: crossfade start --fresh --confirm NAME",
                file=path.name,
            )
        size = path.stat().st_size
        read = 0
        with path.open("rb", buffering=_BUFFER) as file:
            for kind, payload, offset in read_records(file, 0):
                read = offset
                yield kind, payload
        if read != size:
            raise CorruptRelay("the events of a prepared XA transaction are damaged", file=path.name)

    def durable(self, seq: int) -> None:
        """The relay is durable up to `seq`: what was decided by then is removed."""
        if not self._decided:
            return
        for path, at in list(self._decided.items()):
            if at <= seq:
                del self._decided[path]
                self._count(-path.stat().st_size)
                path.unlink()
                self._known = {digest: known for digest, known in self._known.items() if known != path}


def _digest(xid: str) -> str:
    return hashlib.sha256(xid.encode()).hexdigest()[:32]
