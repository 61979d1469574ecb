"""Rows that user-given statements return, as values that compare across servers. No I/O.

Numbers are equal by value (1.50 is 1.5, true is 1), moments in UTC, JSON by its value, bytes by their digits; texts are
themselves. A statement that sums floats should round: sums depend on the order of the rows.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from validators.findings import ColumnDifference, Finding, FindingKind

Cell = str | None
Cells = tuple[Cell, ...]


def cell(value: Any) -> Cell:
    """One value of either driver as text; None for NULL."""
    match value:
        case None:
            return None
        case bool():
            return str(int(value))
        case int():
            return str(value)
        case Decimal() | float():
            return _number(Decimal(repr(value)) if isinstance(value, float) else value)
        case datetime():
            moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            return moment.isoformat(" ")
        case date():
            return value.isoformat()
        case time():
            return cell(timedelta(hours=value.hour, minutes=value.minute, seconds=value.second,
                                  microseconds=value.microsecond))  # fmt: skip
        case timedelta():
            return f"{Decimal(value // timedelta(microseconds=1)) / 1_000_000:f} s"
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case dict() | list():
            return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return str(value)


def _number(value: Decimal) -> str:
    if not value.is_finite():
        return str(value)
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def cells(rows: Iterable[Sequence[Any]]) -> Counter[Cells]:
    """Rows as a multiset."""
    return Counter(tuple(cell(value) for value in row) for row in rows)


def differing(names: Sequence[str], expected: Counter[Cells], found: Counter[Cells]) -> list[Finding]:
    """What the store's answer lacks, has beyond, or has with other values; [] when the answers agree.

    Rows belong together when their first cells are equal and nothing else has that cell, or when there is one of each.
    """
    missing, extra = sorted((expected - found).elements(), key=str), sorted((found - expected).elements(), key=str)
    findings: list[Finding] = []
    for row in list(missing):
        same = [other for other in extra if len(row) > 1 and other[:1] == row[:1]]
        alone = len(missing) == len(extra) == 1
        twins = [other for other in missing if other[:1] == row[:1]]
        if (len(same) == 1 and len(twins) == 1) or alone:
            other = extra[0] if alone else same[0]
            missing.remove(row)
            extra.remove(other)
            findings.append(Finding(FindingKind.DIFFERS, _key(names, row), _columns(names, row, other)))
    findings += [Finding(FindingKind.MISSING, tuple(zip(names, row, strict=True))) for row in missing]
    findings += [Finding(FindingKind.EXTRA, tuple(zip(names, row, strict=True))) for row in extra]
    return findings


def _key(names: Sequence[str], row: Cells) -> tuple[tuple[str, Cell], ...]:
    """The first cell; a row of one cell has no key but its column's name."""
    return ((names[0], row[0]),) if len(row) > 1 else (("answer", names[0]),)


def _columns(names: Sequence[str], row: Cells, other: Cells) -> tuple[ColumnDifference, ...]:
    return tuple(
        ColumnDifference(name, one, two) for name, one, two in zip(names, row, other, strict=True) if one != two
    )


def signature(findings: Iterable[Finding]) -> frozenset[tuple[object, ...]]:
    """What stays the same of a true difference while the values move: by how much, not from what to what."""
    found: set[tuple[object, ...]] = set()
    for one in findings:
        if one.kind is not FindingKind.DIFFERS:
            found.add((one.kind, one.key))
        for column in one.columns:
            found.add((one.kind, one.key, column.column, _apart(column.source, column.target)))
    return frozenset(found)


def _apart(one: Cell, other: Cell) -> object:
    try:
        return Decimal(other or "") - Decimal(one or "")
    except ArithmeticError:
        return (one, other)
