"""What a store has to run when a table's definition changes, from plans compiled before and after."""

from __future__ import annotations

import dataclasses

import pytest

from model.tables import ColumnDef, DefaultKind, IndexDef, IndexPart, TableDef, TableId
from sync.ddl_effects import Effects, Verdict, effects
from tests.support.plans import compile_one
from transforms.plan import TablePlan

INT = ColumnDef("id", "int", "int", nullable=False)
NAME = ColumnDef("name", "varchar", "varchar(20)", charset="utf8mb4", collation="utf8mb4_general_ci", length=20)
BASE = TableDef(TableId("shop", "t"), (INT, NAME), ("id",))


def plan(table: TableDef) -> TablePlan:
    return compile_one(table)


def changed(table: TableDef, renamed: dict[str, str] | None = None, moment: int | None = 0, **more: bool) -> Effects:
    return effects(plan(BASE), plan(table), renamed or {}, moment, unique=True, **more)


def with_columns(*columns: ColumnDef, **more: object) -> TableDef:
    return dataclasses.replace(BASE, columns=columns, **more)  # type: ignore[arg-type]


def test_nothing_is_nothing() -> None:
    assert changed(BASE) == Effects()


def test_a_column_with_a_default_fills_the_rows() -> None:
    count = ColumnDef("n", "int", "int", nullable=False, default="7", default_kind=DefaultKind.LITERAL)
    found = changed(with_columns(INT, count, NAME))
    assert found.verdict is Verdict.FOLLOW
    assert found.statements == ['ALTER TABLE "public"."t" ADD COLUMN "n" integer NOT NULL DEFAULT \'7\'::integer']


def test_a_column_without_a_default_gets_the_zero_of_its_type_once() -> None:
    found = changed(with_columns(INT, NAME, ColumnDef("n", "int", "int", nullable=False)))
    assert found.statements == [
        'ALTER TABLE "public"."t" ADD COLUMN "n" integer NOT NULL DEFAULT \'0\'::integer',
        'ALTER TABLE "public"."t" ALTER COLUMN "n" DROP DEFAULT',
    ]


def test_the_time_of_the_statement_fills_and_other_times_do_not() -> None:
    stamp = ColumnDef(
        "at", "timestamp", "timestamp", scale=0, default_kind=DefaultKind.NOW, default="CURRENT_TIMESTAMP"
    )
    found = changed(with_columns(INT, NAME, stamp), moment=1)
    assert found.verdict is Verdict.FOLLOW and "'1970-01-01 00:00:01+00'" in found.statements[0]
    assert changed(with_columns(INT, NAME, stamp), moment=None).verdict is Verdict.COPY


def test_what_goes_is_asked_for_or_kept() -> None:
    found = changed(with_columns(INT))
    assert (found.verdict, found.statements) == (Verdict.ASK, ['ALTER TABLE "public"."t" DROP COLUMN "name"'])
    kept = changed(with_columns(INT), keep=True)
    assert kept.verdict is Verdict.FOLLOW
    assert kept.statements == ['ALTER TABLE "public"."t" ALTER COLUMN "name" DROP NOT NULL']


def test_a_renamed_column_is_no_dropped_one() -> None:
    found = changed(with_columns(INT, dataclasses.replace(NAME, name="title")), {"name": "title"})
    assert (found.verdict, found.statements) == (
        Verdict.FOLLOW,
        ['ALTER TABLE "public"."t" RENAME COLUMN "name" TO "title"'],
    )
    assert changed(with_columns(INT, dataclasses.replace(NAME, name="title"))).verdict is Verdict.ASK


@pytest.mark.parametrize(("length", "verdict"), [(30, Verdict.FOLLOW), (10, Verdict.ASK)])
def test_a_type_grows_or_shrinks(length: int, verdict: Verdict) -> None:
    other = dataclasses.replace(NAME, column_type=f"varchar({length})", length=length)
    found = changed(with_columns(INT, other))
    assert found.verdict is verdict
    kind = f"character varying({length})"
    assert found.statements == [f'ALTER TABLE "public"."t" ALTER COLUMN "name" TYPE {kind} USING "name"::{kind}']


def test_indexes_come_and_go() -> None:
    index = IndexDef("by_name", (IndexPart("name"),), unique=True)
    found = changed(dataclasses.replace(BASE, indexes=(index,)))
    assert found.statements == ['CREATE UNIQUE INDEX "t_by_name" ON "public"."t" ("name")']
    back = effects(plan(dataclasses.replace(BASE, indexes=(index,))), plan(BASE), {}, 0, unique=True)
    assert back.statements == ['DROP INDEX IF EXISTS "public"."t_by_name"'] and back.verdict is Verdict.FOLLOW
    later = effects(plan(BASE), plan(dataclasses.replace(BASE, indexes=(index,))), {}, 0, unique=False)
    assert later.statements == []
