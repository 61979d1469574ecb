"""What `start` shows while it runs: a live picture on a terminal, nothing but log lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from console.output import Invocation
from console.render import status_text


class Observer:
    """Takes status documents and shows nothing; the logs tell the story."""

    interactive = False

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def show(self, document: Mapping[str, Any]) -> None:
        """Take one status document."""


class LiveObserver(Observer):
    """Redraws the report in place, with a progress bar while the copy runs."""

    interactive = True

    def __init__(self, invocation: Invocation) -> None:
        self._live = Live(console=invocation.stderr, auto_refresh=False, transient=False)

    def __enter__(self) -> Observer:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def show(self, document: Mapping[str, Any]) -> None:
        parts: list[Any] = [status_text(document)]
        copy = document.get("copy")
        if copy and document["state"] == "COPYING":
            bar = Table.grid(padding=(0, 1))
            bar.add_row("", ProgressBar(total=100, completed=copy["percent"], width=50))
            parts.append(bar)
        self._live.update(Group(*parts), refresh=True)


def observer_for(invocation: Invocation) -> Observer:
    """A live picture when stderr is a terminal and nobody asked for JSON or quiet."""
    if invocation.stderr.is_terminal and not invocation.json and not invocation.quiet:
        return LiveObserver(invocation)
    return Observer()
