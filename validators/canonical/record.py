"""The canonical record of a row and its hash, in three languages, and the forms of all columns of a plan.

Record: the columns' canonical texts in order, 0x1f between them; NULL is `N`; a text that can hold any character has
its length in bytes and a colon before it, so that no value can imitate a separator, a NULL or another split. The hash
is the first 60 bits of the record's SHA-256 (FIPS 180-4); sums of such hashes fit the DECIMAL of every server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from model.errors import ApplyError
from model.rows import ABSENT, Row
from transforms.plan import TablePlan
from validators.canonical.source_forms import NotPushable, source_piece, source_sql
from validators.canonical.target_forms import TargetForm, target_form

VERSION: Final = 1
"""Raised whenever a canonical text or the record changes, so that stored digests are not compared across versions."""
SEPARATOR: Final = b"\x1f"
HEX_DIGITS: Final = 15

CanonicalRow = tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class RecordForm:
    """Every column of a plan in canonical form."""

    names: tuple[str, ...]
    targets: tuple[TargetForm, ...]
    sources: tuple[str | None, ...]
    """The source's SQL per column, None where there is none."""
    reasons: tuple[tuple[str, str], ...]
    """(column, why it cannot be pushed down)."""
    key: tuple[int, ...]
    masked: frozenset[int] = frozenset()
    """Columns whose values are not shown."""
    pieces: tuple[str, ...] = ()
    """The source's SQL of the record's pieces, of a pushable record."""

    @staticmethod
    def of(plan: TablePlan) -> RecordForm:
        """The forms of a plan's written columns."""
        targets = tuple(target_form(column.target) for column in plan.columns)
        sources: list[str | None] = []
        pieces = []
        reasons = []
        for column, form in zip(plan.columns, targets, strict=True):
            try:
                sources.append(source_sql(column, plan.source))
                pieces.append(source_piece(column, plan.source, form.free))
            except NotPushable as error:
                sources.append(None)
                reasons.append((column.target.name, str(error)))
        return RecordForm(
            tuple(column.target.name for column in plan.columns),
            targets,
            tuple(sources),
            tuple(reasons),
            plan.key,
            frozenset(index for index, column in enumerate(plan.columns) if column.masked),
            () if reasons else tuple(pieces),
        )

    @property
    def pushable(self) -> bool:
        """Whether the source can compute the record itself."""
        return not self.reasons

    def canonical(self, fields: Row) -> CanonicalRow:
        """Canonical texts of a projected row. Raises ApplyError for a row with absent fields."""
        if ABSENT in fields:
            raise ApplyError("a partial row has no canonical form", columns=", ".join(self.names))
        return tuple(
            None if field is None else form.canonical(field)  # type: ignore[arg-type]
            for form, field in zip(self.targets, fields, strict=True)
        )

    def key_of(self, row: CanonicalRow) -> CanonicalRow:
        """The key of a canonical row; the whole row for a table without key."""
        return tuple(row[index] for index in self.key) if self.key else row

    def record(self, row: CanonicalRow) -> bytes:
        """The record of a canonical row."""
        return SEPARATOR.join([piece(form, value) for form, value in zip(self.targets, row, strict=True)])

    def hash(self, row: CanonicalRow) -> int:
        """The row's hash."""
        return int(sha256(self.record(row)).hexdigest()[:HEX_DIGITS], 16)

    def same(self, one: CanonicalRow, other: CanonicalRow) -> bool:
        """Whether two canonical rows hold the same values."""
        return one == other or not self.different(one, other)

    def different(self, one: CanonicalRow, other: CanonicalRow) -> tuple[int, ...]:
        """Columns whose values differ."""
        return tuple(
            index
            for index, (form, a, b) in enumerate(zip(self.targets, one, other, strict=True))
            if a != b and (a is None or b is None or not form.same(a, b))
        )

    def mysql_hash(self) -> str:
        """The hash as the source computes it. Only for a pushable record."""
        assert self.pushable
        # The binary separator makes the whole a byte string: no character set or collation can get in the way.
        record = _joined_mysql(self.pieces)
        return f"CAST(CONV(LEFT(SHA2({record}, 256), {HEX_DIGITS}), 16, 10) AS UNSIGNED)"

    def postgres_hash(self) -> str:
        """The hash as the store computes it."""
        parts = [
            f"coalesce(octet_length({form.sql}) || ':' || {form.sql}, 'N')"
            if form.free
            else f"coalesce({form.sql}, 'N')"
            for form in self.targets
        ]
        record = " || E'\\x1f' || ".join(parts)
        # The cast cuts the first eight bytes to 60 bits.
        return f"('x' || encode(substr(sha256(convert_to({record}, 'UTF8')), 1, 8), 'hex'))::bit(60)::bigint"


def piece(form: TargetForm, value: bytes | None) -> bytes:
    """What a column's canonical text is in the record."""
    return b"N" if value is None else b"%d:%b" % (len(value), value) if form.free else value


def _joined_mysql(parts: Sequence[str]) -> str:
    return f"CONCAT({(', X' + repr(SEPARATOR.hex()) + ', ').join(parts)}, X'')"
