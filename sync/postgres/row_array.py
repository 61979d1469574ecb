r"""A few folded rows of one plan as array literals, so that one statement of a pipeline carries them.

The element type is the plan's row type of the session: each field is read by its column's input function with the
column's length and scale, as COPY would. (PostgreSQL manual, "Array Input and Output Syntax", "Composite Type Input and
Output Syntax", and "COPY", section Text Format.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from model.errors import ValueRefused
from model.rows import ABSENT
from sync.fold import Fate, PlanFold
from sync.line_fold import LineFold
from sync.mysql.long_values import Line
from sync.postgres.staging import copy_field
from transforms.plan import TablePlan

_OPEN, _CLOSE = b'"(\\"', b'\\")"'
"""Around the fields of an element."""


@dataclass(frozen=True, slots=True)
class RowArrays:
    """What becomes of some keys of a plan; an array without elements is empty bytes."""

    plan: TablePlan
    gone: bytes
    """Rows to delete first; only their key is there."""
    written: bytes
    """Rows to insert or to update."""


def arrays_of_lines(fold: LineFold, *, with_fresh: bool = True) -> RowArrays:
    """The arrays of folded lines, none of them a LongLine. Raises ValueRefused for a NUL character."""
    fresh = fold.fresh.by_key.values() if with_fresh else ()
    gone = _placed(fold.plan, (*fold.gone, *fold.moved))
    return _arrays(fold.plan, gone, (*fold.moved.values(), *fold.kept.values(), *fresh))


def arrays_of_values(fold: PlanFold) -> RowArrays:
    """The arrays of folded values without rows that lack columns, of which only the delete is here. Raises the same."""
    gone: list[bytes] = []
    written: list[Line] = []
    for key, folded in fold.entries.items():
        row = folded.row
        if folded.fate in (Fate.DELETE, Fate.MOVE):
            gone.append(b"\t".join(map(copy_field, key)))
        if row is not None and folded.fate is not Fate.PATCH and ABSENT not in row:
            written.append(b"\t".join(map(copy_field, row)))
    return _arrays(fold.plan, _placed(fold.plan, gone), written)


def row_array(lines: Iterable[Line]) -> bytes:
    r"""Lines of COPY without line ends as an array of rows. Raises ValueRefused for a NUL character.

    Replaces byte by byte, never by field: a backslash of the data waits as NUL, which no text of PostgreSQL has; then
    every backslash that is left begins `\N`, `\t`, `\n` or `\r`, and those that are put in stand before a quote.
    """
    block = b"\n".join(lines)  # type: ignore[arg-type]  # the caller has no LongLine
    if b"\0" in block:
        raise ValueRefused(
            "a text with a NUL character cannot be held by PostgreSQL",
            hint="Set `nul_characters: strip` for the column, or mend the row at the source.",
        )
    if b"\\" in block:
        block = block.replace(b"\\\\", b"\0")
    block = block.replace(b'"', rb"\"\"").replace(b"\t", rb"\",\"").replace(b"\n", _CLOSE + b"," + _OPEN)
    block = b"{" + _OPEN + block + _CLOSE + b"}"
    if rb"\N" in block:
        block = block.replace(rb"\"\N\"", b"")
    for escape, octet in ((rb"\t", b"\t"), (rb"\n", b"\n"), (rb"\r", b"\r")):
        block = block.replace(escape, octet)
    return block.replace(b"\0", rb"\\\\")


def _arrays(plan: TablePlan, gone: Iterable[Line], written: Iterable[Line]) -> RowArrays:
    try:
        made = [row_array(lines) if lines else b"" for lines in (list(gone), list(written))]
    except ValueRefused as error:
        error.where.setdefault("plan", plan.id)
        raise
    return RowArrays(plan, *made)


def _placed(plan: TablePlan, keys: Iterable[bytes]) -> Iterator[bytes]:
    """Lines that have the fields of keys where the plan's columns are, and NULL elsewhere."""
    for key in keys:
        fields = [rb"\N"] * len(plan.columns)
        for index, field in zip(plan.key, key.split(b"\t"), strict=True):
            fields[index] = field
        yield b"\t".join(fields)
