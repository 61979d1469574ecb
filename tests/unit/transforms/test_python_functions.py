"""Columns of Python functions: what they get and give, their inverses, and code that fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from model.errors import ConfigError, ValueRefused
from tests.support.plans import column, compile_one, table
from transforms.plan import TablePlan
from transforms.reverse import Reversibility, reverse_plan
from validators.canonical.record import RecordForm

CODE = """
from decimal import Decimal

def joined(first, last):
    return None if first is None else f"{first} {last}"

def turned(text):
    return text[::-1]

def money(cents):
    return Decimal(cents) / 100

def words(text):
    return text.split()

def whole(first, last):
    return {"last": last, "first": first}

def odd(text):
    return object()

def failing(text):
    raise KeyError(text)
"""
SOURCE = table(
    "t",
    column("id", "int"),
    column("first", "varchar(20)", nullable=True),
    column("last", "varchar(20)"),
    column("cents", "int"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with the module `shop_functions`."""
    (tmp_path / "shop_functions.py").write_text(CODE, encoding="utf-8")
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    sys.modules.pop("shop_functions", None)


def plan_of(folder: Path, python: dict[str, Any], **rule: Any) -> TablePlan:
    """The plan of SOURCE with these functions."""
    stated = {name: {"deterministic": True, **one} for name, one in python.items()}
    return compile_one(SOURCE, python_path=[str(folder)], tables={"t": {"python": stated, **rule}})


@pytest.mark.parametrize(
    ("function", "reads", "kind", "row", "expected"),
    [
        ("joined", ["first", "last"], "text", (b"1", "Zoë".encode(), b"B", b"0"), "Zoë B".encode()),
        ("joined", ["first", "last"], "text", (b"1", None, b"B", b"0"), None),
        ("money", ["cents"], "numeric(9,2)", (b"1", None, b"", b"1234567"), b"12345.67"),
        ("words", ["last"], "text[]", (b"1", None, b"a b", b"0"), b'{"a","b"}'),
        ("whole", ["first", "last"], "jsonb", (b"1", None, b"B", b"0"), b'{"first": null, "last": "B"}'),
    ],
)
def test_values(folder: Path, function: str, reads: list[str], kind: str, row: Any, expected: Any) -> None:
    plan = plan_of(folder, {"made": {"function": f"shop_functions:{function}", "reads": reads, "type": kind}})
    assert plan.project(row)[-1] == expected
    assert RecordForm.of(plan).reasons == (("made", "a Python function is computed by crossfade"),)


def test_an_inverse_goes_back(folder: Path) -> None:
    rule = {"function": "shop_functions:turned", "reads": ["last"], "inverse": "shop_functions:turned"}
    plan = plan_of(folder, {"tsal": rule}, exclude=["last"])
    back = reverse_plan(plan)
    assert back.way is Reversibility.EXACT, back.verdicts
    value = plan.project((b"1", None, "abß".encode(), b"0"))[-1]
    (column_back,) = [item for item in back.columns if item.column.name == "last"]
    assert value == "ßba".encode() and column_back.convert((value,)) == "abß".encode()
    without = reverse_plan(plan_of(folder, {"tsal": {**rule, "inverse": None}}, exclude=["last"]))
    assert without.way is Reversibility.LOSSY


@pytest.mark.parametrize(("function", "words"), [("failing", "raised KeyError: 'x'"), ("odd", "gave a object")])
def test_what_fails_sets_the_row_aside(folder: Path, function: str, words: str) -> None:
    plan = plan_of(folder, {"made": {"function": f"shop_functions:{function}", "reads": ["last"]}})
    with pytest.raises(ValueRefused) as caught:
        plan.project((b"1", None, b"x", b"0"))
    assert words in caught.value.message and caught.value.where["column"] == "made"


def test_a_change_of_the_code_is_seen(folder: Path) -> None:
    def shown() -> str:
        plan = plan_of(folder, {"made": {"function": "shop_functions:turned", "reads": ["last"]}})
        assert plan.columns[-1].expression is not None
        return plan.columns[-1].expression.text

    before = shown()
    (folder / "shop_functions.py").write_text(f"{CODE}\n# another", encoding="utf-8")
    assert shown() != before and before.startswith("shop_functions:turned(last), file ")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"function": "nowhere_at_all:f", "reads": ["last"]}, "cannot be loaded"),
        ({"function": "shop_functions:nothing", "reads": ["last"]}, "has no function nothing"),
        ({"function": "shop_functions:turned", "reads": ["lsat"]}, "last"),
        ({"function": "shop_functions:turned", "reads": ["last"], "type": "interval"}, "cannot be of the type"),
    ],
)
def test_what_cannot_be_loaded_is_refused(folder: Path, rule: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(folder, {"made": rule})
    assert words in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "rule",
    [
        {"function": "shop_functions:turned", "reads": ["last"], "deterministic": False},
        {"function": "turned", "reads": ["last"]},
        {"function": "shop_functions:joined", "reads": ["first", "last"], "inverse": "shop_functions:turned"},
    ],
)
def test_what_is_not_declared_whole_is_refused(folder: Path, rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        plan_of(folder, {"made": rule})
