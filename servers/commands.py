"""Running package tools: quietly, with a time limit, with an error that says what the tool said."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from servers.errors import RouteFailed

_SECONDS = 300


def run(command: Sequence[str | Path], *, cwd: Path | None = None, tries: int = 1) -> str:
    """Run `command` to its end and return what it printed. Raises RouteFailed when it is absent or fails.

    A command that hangs is ended after five minutes and run again, `tries` times in all: downloads do hang.
    """
    words = [str(word) for word in command]
    if shutil.which(words[0]) is None:
        raise RouteFailed(f"the program {words[0]} is not on this machine")
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    for attempt in range(1, tries + 1):
        try:
            done = subprocess.run(
                words,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            if attempt == tries:
                raise RouteFailed(f"{Path(words[0]).name} took longer than {_SECONDS} s") from error
        else:
            break
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-400:]
        raise RouteFailed(f"{Path(words[0]).name} failed with exit code {done.returncode}: {said}")
    return done.stdout


def as_root() -> list[str] | None:
    """The words to put before a command to run it as root, or None when we may not."""
    if os.geteuid() == 0:
        return []
    try:
        run(["sudo", "--non-interactive", "true"])
    except RouteFailed:
        return None
    return ["sudo", "--non-interactive", "env", "DEBIAN_FRONTEND=noninteractive"]
