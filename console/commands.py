"""Which module has which command. Only what a call names is imported: `status` need not wait for `cutover`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Final

import typer

MODULE_OF: Final[Mapping[str, str]] = {
    "init": "configure",
    "config": "configure",
    "assess": "assess",
    "schema": "schema",
    "start": "daemon",
    "stop": "daemon",
    "pause": "daemon",
    "resume": "daemon",
    "status": "status",
    "top": "top",
    "tune": "tune",
    "doctor": "doctor",
    "demo": "demo",
    "verify": "verify",
    "repair": "repair",
    "transform": "transform",
    "readmodel": "readmodel",
    "errors": "errors",
    "cutover": "cutover",
    "finalize": "cutover",
    "rollback": "rollback",
    "route": "route",
    "report": "report",
}
"""Command → module of this package, in the order of `crossfade --help`."""
_ASKS_FOR_ALL: Final = frozenset({"--help", "--show-completion", "--install-completion"})


def modules_for(words: Sequence[str]) -> tuple[str, ...]:
    """The modules that a command line needs: those of the commands it names, all of them when it names none.

    A value of an option may look like a command; one module too many does no harm.
    """
    first = next((place for place, word in enumerate(words) if word in MODULE_OF), None)
    if first is None or not _ASKS_FOR_ALL.isdisjoint(words[:first]):
        return tuple(dict.fromkeys(MODULE_OF.values()))
    return tuple(dict.fromkeys(MODULE_OF[word] for word in words if word in MODULE_OF))


def register(app: typer.Typer, words: Sequence[str]) -> None:
    """Add the commands that a command line needs to the root."""
    for module in modules_for(words):
        importlib.import_module(f"console.{module}").register(app)
