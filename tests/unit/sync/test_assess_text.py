"""Collations and index sizes: what a comparison overlooks, how long an entry gets."""

from __future__ import annotations

import pytest

from model.tables import ColumnDef, IndexDef, IndexPart, TableDef, TableId
from sync.assess.table_text import entry_bytes, exact, folds, pads


@pytest.mark.parametrize(
    ("type_", "collation", "expected"),
    [
        ("varchar", "utf8mb4_general_ci", (True, True)),
        ("varchar", "utf8mb4_0900_ai_ci", (True, False)),
        ("varchar", "utf8mb4_0900_bin", (False, False)),
        ("varchar", "utf8mb4_bin", (False, True)),
        ("varchar", "utf8mb4_nopad_bin", (False, False)),
        ("varchar", "latin1_general_cs", (False, True)),
        ("char", "latin1_bin", (False, False)),
        ("char", "latin1_swedish_ci", (True, False)),
        ("text", "utf8_bin", (False, True)),
        ("varbinary", None, (False, False)),
        ("int", None, (False, False)),
    ],
)
def test_what_a_comparison_overlooks(type_: str, collation: str | None, expected: tuple[bool, bool]) -> None:
    column = ColumnDef("c", type_, type_, collation=collation)
    assert (folds(column), pads(column)) == expected
    assert exact(column) is not any(expected)


@pytest.mark.parametrize(
    ("column", "prefix", "expected"),
    [
        (ColumnDef("c", "varchar", "varchar(100)", charset="utf8mb4", length=100), None, 416),
        (ColumnDef("c", "varchar", "varchar(100)", charset="utf8mb4", length=100), 10, 56),
        (ColumnDef("c", "varchar", "varchar(100)", charset="latin1", length=100), None, 316),
        (ColumnDef("c", "varchar", "varchar(100)", charset="ascii", length=100), None, 116),
        (ColumnDef("c", "varbinary", "varbinary(100)", length=100), None, 116),
        (ColumnDef("c", "bigint", "bigint"), None, 32),
        (ColumnDef("c", "enum", "enum('é','b')", labels=("é", "b")), None, 18),
    ],
)
def test_entry_bytes(column: ColumnDef, prefix: int | None, expected: int) -> None:
    index = IndexDef("k", (IndexPart("c", prefix),))
    assert entry_bytes(TableDef(TableId("d", "t"), (column,)), index) == expected
