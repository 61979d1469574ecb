"""Which changes of a type leave every value as it is."""

from __future__ import annotations

import pytest

from model.tables import ColumnDef
from sync.ddl_kinship import Kinship, kinship


def column(declared: str, **more: object) -> ColumnDef:
    base = declared.partition("(")[0].partition(" ")[0]
    return ColumnDef("c", base, declared, unsigned="unsigned" in declared, **more)  # type: ignore[arg-type]


def text(declared: str, length: int | None = None, charset: str = "utf8mb4") -> ColumnDef:
    return column(declared, length=length, charset=charset)


def decimal(precision: int, scale: int) -> ColumnDef:
    return column(f"decimal({precision},{scale})", precision=precision, scale=scale)


def enum(*labels: str) -> ColumnDef:
    return column("enum(…)", labels=labels, charset="utf8mb4")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (column("int"), column("bigint"), Kinship.SAME),
        (column("int unsigned"), column("bigint"), Kinship.SAME),
        (column("int"), column("bigint unsigned"), Kinship.NARROWER),
        (column("bigint"), column("int"), Kinship.NARROWER),
        (column("year"), column("smallint"), Kinship.SAME),
        (column("int"), column("year"), Kinship.FOREIGN),
        (column("int"), decimal(12, 2), Kinship.SAME),
        (column("int"), decimal(10, 2), Kinship.NARROWER),
        (column("int"), column("double"), Kinship.SAME),
        (column("bigint"), column("double"), Kinship.FOREIGN),
        (column("int"), text("varchar(11)", 11), Kinship.SAME),
        (column("int(8) unsigned zerofill"), text("varchar(11)", 11), Kinship.FOREIGN),
        (decimal(8, 2), decimal(10, 4), Kinship.SAME),
        (decimal(8, 2), decimal(9, 4), Kinship.NARROWER),
        (column("float"), column("double"), Kinship.SAME),
        (column("double"), column("float"), Kinship.NARROWER),
        (text("varchar(10)", 10), text("varchar(20)", 20), Kinship.SAME),
        (text("varchar(20)", 20), text("varchar(10)", 10), Kinship.NARROWER),
        (text("char(10)", 10), text("varchar(10)", 10), Kinship.SAME),
        (text("varchar(10)", 10), text("char(10)", 10), Kinship.FOREIGN),
        (text("text"), text("longtext"), Kinship.SAME),
        (text("varchar(10)", 10, "latin1"), text("varchar(10)", 10), Kinship.SAME),
        (text("varchar(10)", 10), text("varchar(10)", 10, "latin1"), Kinship.FOREIGN),
        (text("text", charset="latin1"), text("mediumtext"), Kinship.SAME),
        (column("varbinary(4)", length=4), column("blob"), Kinship.SAME),
        (column("binary(4)", length=4), column("binary(8)", length=8), Kinship.FOREIGN),
        (enum("a", "b"), enum("z", "b", "a"), Kinship.SAME),
        (enum("a", "b"), enum("a"), Kinship.NARROWER),
        (enum("a", "b"), text("varchar(1)", 1), Kinship.SAME),
        (column("set(…)", labels=("a", "b")), column("set(…)", labels=("a", "b", "c")), Kinship.SAME),
        (column("set(…)", labels=("a", "b")), column("set(…)", labels=("b", "a")), Kinship.FOREIGN),
        (column("date"), column("datetime"), Kinship.SAME),
        (column("datetime"), column("date"), Kinship.FOREIGN),
        (column("datetime", scale=0), column("datetime(6)", scale=6), Kinship.SAME),
        (column("datetime(6)", scale=6), column("datetime", scale=0), Kinship.FOREIGN),
        (column("datetime"), column("timestamp"), Kinship.FOREIGN),
        (column("bit(3)", length=3), column("bit(4)", length=4), Kinship.FOREIGN),
        (column("int"), column("int", generated="stored", expression="1"), Kinship.FOREIGN),
    ],
)
def test_kinship(old: ColumnDef, new: ColumnDef, expected: Kinship) -> None:
    assert kinship(old, new) is expected
    assert kinship(old, old) is Kinship.SAME
