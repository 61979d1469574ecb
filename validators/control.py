"""The negative control of a comparison: a value is flipped in a copy in memory, and the comparison has to notice.

A comparison that finds nothing proves little when it could not have found anything; this is how we know. No I/O.
"""

from __future__ import annotations

from validators.canonical.record import CanonicalRow, RecordForm
from validators.leaves import Digest, differing


def detects_flips(form: RecordForm, row: CanonicalRow, digest: Digest) -> bool:
    """Whether each column of `row`, flipped, changes its leaf's digest and is named by the comparison of rows.

    `digest` is that of the leaf that holds the row.
    """
    row_hash = form.hash(row)
    for index in range(len(row)):
        changed = (*row[:index], _flipped(row[index]), *row[index + 1 :])
        rows, total = digest
        altered = {0: (rows, total - row_hash + form.hash(changed))}
        if differing({0: digest}, altered) != [0] or form.different(row, changed) != (index,):
            return False
    doubled = {0: (digest[0] + 2, digest[1] + 2 * row_hash)}
    return differing({0: digest}, doubled) == [0]


def _flipped(value: bytes | None) -> bytes:
    if not value:
        return b"0"
    return value[:-1] + bytes([value[-1] ^ 1])
