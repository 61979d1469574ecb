"""What is wrong in a configuration file, with line and column. All problems of a file travel in one error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import ConfigError


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file; line and column count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong: where, in which key (`tables.orders.where`), what, and what to do about it."""

    mark: Mark
    key: str
    message: str
    hint: str = ""

    def text(self, file: Path) -> str:
        """`file:line:column: message (hint)`, the form that editors and CI logs turn into links."""
        advice = f" ({self.hint})" if self.hint else ""
        return f"{file}:{self.mark.line}:{self.mark.column}: {self.message}{advice}"


class InvalidConfig(ConfigError):
    """The configuration file is not valid."""

    def __init__(self, file: Path, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(set(problems)))
        lines = [problem.text(file) for problem in self.problems]
        if len(lines) > 1:
            lines.insert(0, f"{len(lines)} errors in {file}")
        super().__init__("\n".join(lines))
