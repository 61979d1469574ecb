"""Previews: every step of a value, why a row is not there, and what would come back."""

from __future__ import annotations

from typing import Any

from console.preview_text import as_json, as_text
from tests.support.plans import column, compile_one, table
from transforms.preview import preview, returned
from transforms.reverse import Reversibility, reverse_plan

SOURCE = table(
    "t",
    column("id", "int"),
    column("state", "char(1)"),
    column("born", "date"),
    column("gone", "tinyint(1)"),
    column("size", "int unsigned", nullable=True),
)
RULE: dict[str, Any] = {
    "map": {"state": {"N": "new", "P": "paid"}},
    "expr": {"twice": {"sql": "size * 2", "type": "smallint"}},
    "delete_when": "gone = 1",
    "exclude": ["gone"],
    "add": {"origin": {"value": "legacy"}},
}
PLAN = compile_one(SOURCE, tables={"t": RULE})


def test_each_step_is_shown() -> None:
    row = (b"7", b"N", b"0000-00-00", b"0", b"21")
    seen = preview(PLAN, row)
    columns = {item.target: item for item in seen.columns}
    assert seen.taken and seen.key == (("id", b"7"),)
    assert [(step.what, step.value) for step in columns["state"].steps] == [("map", b"new")]
    assert [step.value for step in columns["born"].steps] == [b"-infinity"]
    assert columns["twice"].reads == (("size", b"21"),) and columns["twice"].value == b"42"
    assert [step.what for step in columns["origin"].steps] == ["constant"]
    assert tuple(item.value for item in seen.columns) == PLAN.project(row)


def test_a_row_that_is_not_there_says_why() -> None:
    assert preview(PLAN, (b"7", b"N", b"2000-01-01", b"1", None)).why == "counts as deleted (gone = 1)"
    unknown = preview(PLAN, (b"7", b"X", b"2000-01-01", b"0", None))
    assert not unknown.taken and "set aside: column state: the value map has no entry for 'X'" in unknown.why
    wide = preview(PLAN, (b"7", b"N", b"2000-01-01", b"0", b"70000"))
    assert not wide.taken and wide.why.startswith("set aside: column twice:")
    filtered = preview(compile_one(SOURCE, tables={"t": {"where": "id > 9"}}), (b"7", b"N", b"2000-01-01", b"0", None))
    assert filtered.why == "does not meet: id > 9"


def test_what_comes_back_is_compared_with_what_was() -> None:
    row = (b"7", b"N", b"0000-00-00", b"0", b"21")
    printed = {"id": b"7", "state": b"new", "born": b"-infinity", "size": b"21", "twice": b"42", "origin": b"legacy"}
    back = {item.column: item for item in returned(reverse_plan(PLAN), row, printed)}
    assert all(item.same for item in back.values())
    assert back["gone"].kept and back["gone"].way is Reversibility.LOSSY and back["state"].after == b"N"
    changed = {item.column: item for item in returned(reverse_plan(PLAN), row, {**printed, "state": b"paid"})}
    assert not changed["state"].same and changed["state"].after == b"P"
    unknown = {item.column: item for item in returned(reverse_plan(PLAN), row, {**printed, "state": b"odd"})}
    assert unknown["state"].way is Reversibility.ONE_WAY and "no source value for 'odd'" in unknown["state"].reason


def test_text_and_json_tell_the_same() -> None:
    row = (b"7", b"N", b"0000-00-00", b"0", b"21")
    printed = {"id": b"7", "state": b"new", "born": b"-infinity", "size": b"21", "twice": b"42", "origin": b"legacy"}
    shown = [(preview(PLAN, row), returned(reverse_plan(PLAN), row, printed), "")]
    text = "\n".join(as_text(SOURCE, row, shown))
    for part in ("state N → map: new", "-infinity", "size 21 → size * 2: 42", "what would come back", "(kept)"):
        assert part in text
    document = as_json(SOURCE, row, shown)
    assert document["source"]["born"] == "0000-00-00"
    (target,) = document["targets"]
    assert target["row"] == {
        "id": "7", "state": "new", "born": "-infinity", "size": "21", "twice": "42", "origin": "legacy",
    }  # fmt: skip
    assert [item["same"] for item in target["back"]] == [True] * 5
