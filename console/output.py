"""How results reach the user: one JSON object on stdout for machines, or text made with rich for people.

Data goes to stdout; progress, notes and errors go to stderr. Colour follows NO_COLOR and the terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from config.problems import InvalidConfig
from model.errors import CrossfadeError

PIPE_COLUMNS = 200


class Output(StrEnum):
    """The form of a result."""

    TEXT = "text"
    JSON = "json"


@dataclass
class Invocation:
    """The global options of one call, filled in by the root callback."""

    config: Path = field(default_factory=lambda: Path("crossfade.yaml"))
    output: Output = Output.TEXT
    debug: bool = False
    quiet: bool = False
    no_input: bool = False
    stdout: Console = field(default_factory=lambda: _console(stderr=False))
    stderr: Console = field(default_factory=lambda: _console(stderr=True))

    @property
    def json(self) -> bool:
        """Whether the result is for a machine."""
        return self.output is Output.JSON

    def emit(self, schema: str, value: Mapping[str, Any]) -> None:
        """Print one JSON object; `schema` is its name with a major number, e.g. `crossfade.status/1`."""
        document = {"schema": schema, **value}
        sys.stdout.write(json.dumps(document, ensure_ascii=False, default=encode, indent=2) + "\n")

    def say(self, *lines: object) -> None:
        """Print text lines to stdout."""
        for line in lines:
            self.stdout.print(line if not isinstance(line, str) else Text(line))

    def note(self, line: str) -> None:
        """Print a remark to stderr unless quiet."""
        if not self.quiet:
            self.stderr.print(Text(line))

    def fail(self, error: CrossfadeError) -> None:
        """Print an error with its next step to stderr."""
        if self.json:
            document: dict[str, Any] = {
                "schema": "crossfade.error/1",
                "error": error.message,
                "kind": type(error).__name__,
                "where": error.where,
                "next_steps": [error.hint] if error.hint else [],
                "exit_code": int(error.exit_code),
            }
            if isinstance(error, InvalidConfig):
                document["problems"] = [
                    {
                        "line": problem.mark.line,
                        "column": problem.mark.column,
                        "key": problem.key,
                        "message": problem.message,
                        "hint": problem.hint,
                    }
                    for problem in error.problems
                ]
            sys.stderr.write(json.dumps(document, ensure_ascii=False, default=encode) + "\n")
            return
        self.stderr.print(Text.assemble(("error: ", "bold red"), str(error)))
        if error.hint:
            self.stderr.print(Text.assemble(("next:  ", "bold"), error.hint))


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        # A file or a pipe has no width; tables must not be folded for one that nobody has.
        console.width = PIPE_COLUMNS
    return console


def encode(value: object) -> object:
    """JSON form of what `json` does not know: times as RFC 3339 in UTC, everything else as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)
