"""`tune`: read and change settings of the running daemon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from config.load import load_settings
from console.output import Invocation
from daemon.client import ask
from model.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add this command to the root."""
    app.command("tune")(tune)


def tune(
    context: typer.Context,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY[=VALUE]]…", help="KEY reads, KEY=VALUE changes; none: all.")
    ] = None,
) -> None:
    """Read or change settings of the running daemon, until it ends; the file stays as it is."""
    invocation: Invocation = context.obj
    loaded = load_settings(invocation.config)
    wanted = _Wanted.of(settings or [])
    result = ask(loaded, "tune", {"change": wanted.change, "read": wanted.read})
    found: list[dict[str, Any]] = list(result["settings"])
    if invocation.json:
        invocation.emit("crossfade.tune/1", {"settings": found})
        return
    for one in found:
        differs = "" if one["value"] == one["configured"] else f"   (file: {one['configured']})"
        invocation.say(f"{one['key']:<30}{one['value']}{differs}")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the words of the command line ask for."""

    read: list[str]
    change: dict[str, str]

    @classmethod
    def of(cls, words: list[str]) -> _Wanted:
        """Raises UsageError when a key is given twice."""
        pairs = [word.partition("=") for word in words]
        names = [key for key, _, _ in pairs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"{twice} is given twice", hint="Name each setting once.")
        return cls(
            [key for key, equals, _ in pairs if not equals],
            {key: value for key, equals, value in pairs if equals},
        )
