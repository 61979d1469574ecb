"""The named checks. A check is a function from facts to results; its name is what `assess --only` and scripts use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from sync.assess.findings import Finding, Level
from sync.assess.source_facts import SourceFacts
from sync.assess.store_facts import StoreFacts


@dataclass(frozen=True, slots=True)
class Result:
    """A finding before it has its check's name; an empty subject stands for the server that was looked at."""

    level: Level
    message: str
    fix: str = ""
    subject: str = ""


def ok(message: str, subject: str = "") -> Result:
    """All is well."""
    return Result(Level.OK, message, "", subject)


def warn(message: str, fix: str, subject: str = "") -> Result:
    """It works, but."""
    return Result(Level.WARN, message, fix, subject)


def block(message: str, fix: str, subject: str = "") -> Result:
    """It must not start like this."""
    return Result(Level.BLOCK, message, fix, subject)


Facts = TypeVar("Facts", SourceFacts, StoreFacts)
Body: TypeAlias = Callable[[Facts], Iterable[Result]]


@dataclass(frozen=True, slots=True)
class Check(Generic[Facts]):
    """A named check; `title` is one line for people."""

    name: str
    title: str
    body: Body[Facts]

    def run(self, facts: Facts) -> Iterator[Finding]:
        """The findings of this check."""
        for result in self.body(facts):
            yield Finding(self.name, result.level, result.subject or facts.subject, result.message, result.fix)


SOURCE_CHECKS: dict[str, Check[SourceFacts]] = {}
STORE_CHECKS: dict[str, Check[StoreFacts]] = {}


def source_check(name: str, title: str) -> Callable[[Body[SourceFacts]], Body[SourceFacts]]:
    """Register a check of the source."""

    def register(body: Body[SourceFacts]) -> Body[SourceFacts]:
        SOURCE_CHECKS[name] = Check(name, title, body)
        return body

    return register


def store_check(name: str, title: str) -> Callable[[Body[StoreFacts]], Body[StoreFacts]]:
    """Register a check of each store."""

    def register(body: Body[StoreFacts]) -> Body[StoreFacts]:
        STORE_CHECKS[name] = Check(name, title, body)
        return body

    return register
