"""When `start --until` is over: caught up with the source, or past a given position."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from model.errors import UsageError
from model.gtid import GtidSet, MariadbGtidSet
from model.position import BinlogCoordinate, Flavour, Position

if TYPE_CHECKING:
    from daemon.parts import Parts

PROBE_S = 0.25


class Until:
    """The end that was asked for; `None` for coordinate and gtids means caught up."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._target: Position | None = None
        self._next_probe = 0.0

    @staticmethod
    def parse(text: str | None) -> Until | None:
        """Read `caught-up`, FILE:OFFSET or a GTID set. Raises UsageError."""
        if text is None:
            return None
        if text != "caught-up":
            _position(text, Flavour.MYSQL)
        return Until(text)

    def __str__(self) -> str:
        return "caught up" if self._text == "caught-up" else f"reached {self._text}"

    def reached(self, parts: Parts) -> bool:
        """Whether every store is there; asks the source for its end once everything streams."""
        if not parts.everything_streams():
            self._target = None
            return False
        if self._target is None:
            if time.monotonic() < self._next_probe:
                return False
            self._next_probe = time.monotonic() + PROBE_S
            self._target = (
                parts.source_end() if self._text == "caught-up" else _position(self._text, parts.start_info.flavour)
            )
        if parts.reached(self._target):
            return True
        parts.flush()
        return False


def _position(text: str, flavour: Flavour) -> Position:
    try:
        return Position(flavour, BinlogCoordinate.parse(text))
    except ValueError:
        pass
    for kind in (GtidSet, MariadbGtidSet):
        try:
            kind.parse(text)
        except ValueError:
            continue
        return Position(flavour, BinlogCoordinate("", 0), text)
    raise UsageError(
        f"--until does not know {text!r}", hint="Use caught-up, FILE:OFFSET (mysql-bin.000042:1234) or a GTID set."
    )
