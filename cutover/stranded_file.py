"""Writes down what a rollback leaves behind: every transaction of the stores that the source has not got, one a line.

First line (all are JSON): what the file is, and the session that its statements need. Then one line a transaction, in
the order of each store, with whole rows and the statement that would bring each change to the source. Last line: how
many there were. A file that lacks its last line is not whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from model.errors import CrossfadeError
from sync.mysql.reverse_apply import SESSION
from sync.relay.fsync import fsync_directory
from sync.stranded import StrandedTransaction

SCHEMA: Final = "crossfade.stranded/1"


@dataclass(frozen=True, slots=True)
class StrandedFile:
    """A file that is whole and on disk."""

    path: Path
    transactions: int
    rows: int
    sha256: str

    def document(self) -> dict[str, Any]:
        """JSON values."""
        return {**dataclasses.asdict(self), "path": str(self.path)}


def write_stranded(path: Path, about: Mapping[str, Any], found: Iterable[StrandedTransaction]) -> StrandedFile:
    """Write the file, readable by its owner only; it is on disk before this returns.

    `about`: migration, domain, epoch and per store the positions. Raises CrossfadeError when it cannot be written, and
    whatever `found` raises; nothing that looks whole is left then.
    """
    transactions = rows = 0
    digest = hashlib.sha256()
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:

            def put(document: Mapping[str, Any]) -> None:
                line = json.dumps(document, ensure_ascii=False) + "\n"
                file.write(line)
                digest.update(line.encode())

            put({"schema": SCHEMA, "session": SESSION, **about})
            for transaction in found:
                put(dataclasses.asdict(transaction))
                transactions += 1
                rows += transaction.rows
            put({"end": True, "transactions": transactions, "rows": rows})
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        fsync_directory(path.parent)
    except OSError as error:
        raise CrossfadeError(
            f"the stranded writes could not be written down: {error}", hint="See report.directory.", file=path
        ) from error
    return StrandedFile(path, transactions, rows, digest.hexdigest())
