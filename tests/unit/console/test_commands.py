"""The command tree: every module is reachable, and a call imports only what it names."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from console.app import app_for
from console.commands import MODULE_OF, modules_for

ROOT = Path(__file__).resolve().parents[3]


def test_every_module_with_commands_is_in_the_table() -> None:
    modules = {
        path.stem
        for path in (ROOT / "console").glob("*.py")
        if "def register(app: typer.Typer) -> None:" in path.read_text()
    }
    assert modules == set(MODULE_OF.values())


@pytest.mark.parametrize(
    ("words", "modules"),
    [
        (["status"], ("status",)),
        (["-c", "shop.yaml", "-o", "json", "cutover", "status", "orders"], ("cutover", "status")),
        (["finalize", "orders"], ("cutover",)),
    ],
)
def test_only_what_is_named(words: list[str], modules: tuple[str, ...]) -> None:
    assert modules_for(words) == modules


@pytest.mark.parametrize("words", [[], ["--help"], ["nonsense"], ["--help", "status"], ["-c", "shop.yaml"]])
def test_everything_when_nothing_is_named(words: list[str]) -> None:
    assert set(modules_for(words)) == set(MODULE_OF.values())


@pytest.mark.parametrize("command", MODULE_OF)
def test_the_table_is_right(command: str) -> None:
    group = get_command(app_for([command]))
    assert isinstance(group, TyperGroup)
    assert command in group.commands
