"""One gate as it was measured: value against limit, and what to do. Values; no I/O."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cutover.site import Site
from model.errors import CrossfadeError, Refused, UsageError

OVERRIDABLE: Final = frozenset({"durability", "retention", "old_writers", "old_store_writers", "predicted_stop"})
"""Gates that guard against trouble, not against loss by the move itself: a reason in writing opens them."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate: what was measured against which limit."""

    name: str
    passed: bool
    value: str
    limit: str
    next: str = ""
    """What to do when it did not pass."""
    overridden: str = ""
    """The reason that somebody gave for letting it pass."""


Check = Callable[[Site, threading.Event], GateResult]


def measure(checks: Sequence[Check], site: Site, stop: threading.Event) -> list[GateResult]:
    """Every gate; one that cannot be measured has not passed."""
    found = []
    for check in checks:
        try:
            found.append(check(site, stop))
        except CrossfadeError as error:
            found.append(GateResult(check.__name__.strip("_"), False, str(error), "can be measured", error.hint))
            if error.transient:
                site.drop()
    return found


def refuse(found: Sequence[GateResult], what: str) -> None:
    """Raises Refused naming every gate that did not pass."""
    closed = [gate for gate in found if not gate.passed]
    if closed:
        first = closed[0]
        others = f"; also: {', '.join(gate.name for gate in closed[1:])}" if closed[1:] else ""
        raise Refused(
            f"{what} is refused by gate {first.name}: {first.value} (limit: {first.limit}){others}",
            hint=first.next or "See every gate with: crossfade cutover check",
        )


def overridden(found: Sequence[GateResult], reasons: Mapping[str, str]) -> list[GateResult]:
    """The gates with those let pass for which a reason was given. Raises UsageError for one that may not be."""
    for name in reasons:
        if name not in OVERRIDABLE:
            raise UsageError(
                f"gate {name} cannot be overridden", hint=f"Only these can: {', '.join(sorted(OVERRIDABLE))}."
            )
    return [
        dataclasses.replace(gate, passed=True, overridden=reasons[gate.name])
        if not gate.passed and gate.name in reasons
        else gate
        for gate in found
    ]


def shown(found: Sequence[GateResult]) -> dict[str, str]:
    """Gate → what it showed, for the journal: what a move was begun on belongs to its proof."""
    return {gate.name: gate.value + (f" (overridden: {gate.overridden})" if gate.overridden else "") for gate in found}


def documents(found: Sequence[GateResult]) -> list[Mapping[str, Any]]:
    """JSON forms."""
    return [
        {"gate": gate.name, "passed": gate.passed, "value": gate.value, "limit": gate.limit, "next": gate.next}
        | ({"overridden": gate.overridden} if gate.overridden else {})
        for gate in found
    ]
