"""Soft deletes: which rows stay, rows that come back, and the marks that the way back sets."""

from __future__ import annotations

from typing import Any

import pytest

from model.errors import ConfigError
from model.position import Flavour
from model.rows import ABSENT, Op, RowChange
from stores.mysql import ServerInfo
from sync.mysql.reverse_statements import ReverseStatements
from sync.routing import PlanRouter
from tests.support.plans import column, compile_one, table
from transforms.plan import TablePlan
from transforms.reverse import Reversibility, reverse_plan

NOTE = table(
    "note",
    column("id", "int"),
    column("body", "varchar(20)"),
    column("deleted_at", "datetime", nullable=True),
    column("gone", "tinyint(1)", nullable=True),
    column("state", "enum('live','dead')"),
)


def plan_of(rule: Any, **more: Any) -> TablePlan:
    """The plan of NOTE."""
    return compile_one(NOTE, tables={"note": {"delete_when": rule, **more}})


def row(number: bytes, deleted: bytes | None = None, gone: bytes | None = b"0", state: bytes = b"live") -> Any:
    """A row of NOTE."""
    return (number, b"text", deleted, gone, state)


@pytest.mark.parametrize(
    ("rule", "marks"),
    [
        ("deleted_at IS NOT NULL", {"deleted_at": ABSENT}),
        ("(gone = 1)", {"gone": b"1"}),
        ("gone", {"gone": b"1"}),
        ("gone IS TRUE", {"gone": b"1"}),
        ("gone <> 0", {"gone": b"1"}),
        ("state = 'dead'", {"state": b"dead"}),
        ("gone = 1 OR state = 'dead'", {}),
        ("gone > 1", {}),
        ("gone IS NOT NULL", {}),
        (
            {"sql": "gone = 1 OR state = 'dead'", "set": {"gone": "1", "state": "dead"}},
            {"gone": b"1", "state": b"dead"},
        ),
        ({"sql": "deleted_at > '1970-01-02'", "set": {"deleted_at": "now"}}, {"deleted_at": ABSENT}),
    ],
)
def test_marks_are_read_from_the_condition_or_declared(rule: Any, marks: dict[str, Any]) -> None:
    deleted = plan_of(rule).deleted
    assert deleted is not None
    assert {NOTE.columns[ordinal].name: value for ordinal, value in deleted.marks} == marks


def test_a_marked_row_is_deleted_and_comes_back() -> None:
    router = PlanRouter(plan_of("deleted_at IS NOT NULL"))
    live, dead = row(b"1"), row(b"1", b"2024-01-01 00:00:00")

    def route(before: Any, after: Any) -> Any:
        op = Op.INSERT if before is None else Op.DELETE if after is None else Op.UPDATE
        found = router.route(RowChange(op, NOTE.id, before, after))
        return found and found.op

    assert route(None, live) is Op.INSERT and route(None, dead) is None
    assert route(live, dead) is Op.DELETE and route(dead, live) is Op.INSERT
    assert route(dead, dead) is None and route(dead, None) is None and route(live, None) is Op.DELETE


def test_a_condition_that_is_null_deletes_nothing_and_where_still_holds() -> None:
    plan = plan_of("gone = 1", where="state = 'live'")
    assert plan.accepts(row(b"1", gone=None)) and not plan.accepts(row(b"1", gone=b"1"))
    assert not plan.accepts(row(b"1", gone=b"0", state=b"dead"))


def test_the_way_back_marks_and_clears() -> None:
    info = ServerInfo(Flavour.MYSQL, (9, 7, 0), "9.7.0", "u", 1, True)
    back = reverse_plan(plan_of("deleted_at IS NOT NULL", exclude=["deleted_at"]))
    assert back.way is Reversibility.EXACT_WITH_KEPT_VALUE
    statements = ReverseStatements(back, info)
    old = (b"1", b"text", b"0", b"live")
    text = statements.delete(old).decode()
    assert text.startswith("UPDATE `shop`.`note` SET `deleted_at` = UTC_TIMESTAMP(0) WHERE ")
    assert statements.clears and "IS NULL" in statements.clear(old).decode()
    assert statements.delete_all().decode().startswith("UPDATE ")
    plain = ReverseStatements(reverse_plan(compile_one(NOTE)), info)
    assert plain.delete((*old[:2], None, *old[2:])).decode().startswith("DELETE ") and not plain.clears


def test_a_delete_that_cannot_mark_is_lossy() -> None:
    back = reverse_plan(plan_of("gone = 1 OR state = 'dead'"))
    assert back.way is Reversibility.LOSSY
    assert "delete_when does not tell" in " ".join(verdict.reason for verdict in back.verdicts)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("removed = 1", "does not have"),
        ({"sql": "gone = 1", "set": {"gone": "2"}}, "do not make a row a deleted one"),
        ({"sql": "gone = 1", "set": {"gnoe": "1"}}, "gone"),
    ],
)
def test_impossible_soft_deletes_are_refused(rule: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(rule)
    assert words in f"{caught.value} {caught.value.hint}"
