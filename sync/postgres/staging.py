"""COPY text format (PostgreSQL manual, "COPY", section Text Format): rows of text forms to bytes. Nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from model.rows import ABSENT, Field, Row

_special: Callable[[bytes], re.Match[bytes] | None] = re.compile(rb"[\\\t\n\r]").search

BLOCK_BYTES = 1 << 16
"""Size of the pieces that are handed to the driver."""


def copy_field(field: Field) -> bytes:
    """One field; NULL is `\\N`. ABSENT must not come here."""
    if field is None:
        return rb"\N"
    assert field is not ABSENT
    if _special(field):
        return field.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return field


def copy_line(row: Row) -> bytes:
    """One row with its newline."""
    return b"\t".join([copy_field(field) for field in row]) + b"\n"


def copy_blocks(rows: Iterable[Row]) -> Iterator[bytes]:
    """Rows as blocks of COPY text."""
    lines: list[bytes] = []
    size = 0
    for row in rows:
        line = copy_line(row)
        lines.append(line)
        size += len(line)
        if size >= BLOCK_BYTES:
            yield b"".join(lines)
            lines.clear()
            size = 0
    if lines:
        yield b"".join(lines)
