"""A migration driven from outside, as its user drives it: the crossfade command in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.warm import WarmProcess

PACES: Final = {
    "cutover.pulse.TRIGGERS_EVERY_S": 1.0, "cutover.pulse.COUNT_EVERY_S": 1.0, "daemon.computed.EVERY_S": 1.0,
    "cutover.pulse.TOLD_S": 6.0,
}  # fmt: skip
"""What a daemon does every 5 to 60 seconds, so that tests need not wait for it."""


@dataclass(frozen=True, slots=True)
class Finished:
    """One call of the command line."""

    code: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        """The JSON object it printed."""
        assert self.out, self
        return dict(json.loads(self.out))

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out[-6000:]}\n--- stderr\n{self.err[-6000:]}"


class Migration:
    """The command line, a configuration file in `folder`, and at most one daemon."""

    paces: Mapping[str, float] = PACES

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = dict(environment or {})
        self.config = folder / "crossfade.yaml"
        self.log = folder / "daemon.log"
        self.daemon: WarmProcess | None = None

    def _process(self, arguments: tuple[str, ...], out: Path, err: Path) -> WarmProcess:
        words = ["-c", str(self.config), *arguments]
        environment = {**os.environ, "NO_COLOR": "1", **self.environment}
        return WarmProcess(words, environment, self.folder, out, err, self.paces)

    def run(self, *arguments: str, timeout_s: float = 240.0) -> Finished:
        """Run one command to its end."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="call-") as kept:
            out, err = Path(kept, "out"), Path(kept, "err")
            process = self._process(arguments, out, err)
            try:
                code = process.wait(timeout_s)
            except BaseException:
                process.kill()
                process.wait()
                raise
            return Finished(code, out.read_text(), err.read_text())

    def ok(self, *arguments: str, timeout_s: float = 240.0) -> Finished:
        """Run one command that must exit 0."""
        done = self.run(*arguments, timeout_s=timeout_s)
        assert done.code == 0, f"crossfade {' '.join(arguments)}: {done}"
        return done

    def start(self, *arguments: str) -> None:
        """`crossfade start` in the background."""
        assert self.daemon is None or self.daemon.poll() is not None
        self.daemon = self._process(("start", *arguments), self.log, self.log)

    def kill(self) -> None:
        """SIGKILL the daemon."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()

    def terminate(self, timeout_s: float = 40.0) -> int:
        """SIGTERM the daemon and give its exit code."""
        assert self.daemon is not None
        self.daemon.terminate()
        return self.daemon.wait(timeout=timeout_s)

    def close(self) -> None:
        """End the daemon if it runs."""
        if self.daemon is not None and self.daemon.poll() is None:
            self.kill()

    def log_tail(self, lines: int = 25) -> str:
        """The end of the daemon's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def wait(self, test: Callable[[dict[str, Any]], bool], timeout_s: float = 120.0) -> dict[str, Any]:
        """Wait until the running daemon's status passes `test`; gives that status."""
        deadline = time.monotonic() + timeout_s
        document: dict[str, Any] = {}
        while time.monotonic() < deadline:
            done = self.run("-o", "json", "status")
            if done.code == 0:
                document = done.document()
                if document["state"] != "STOPPED" and test(document):
                    return document
            assert self.daemon is None or self.daemon.poll() is None, (
                f"the daemon ended with {self.daemon.returncode}:\n{self.log_tail()}"
            )
            time.sleep(0.2)
        raise AssertionError(f"not within {timeout_s} s: {json.dumps(document, indent=1)[-3000:]}\n{self.log_tail()}")

    def wait_streaming(self, timeout_s: float = 120.0) -> dict[str, Any]:
        """Wait until every table streams."""
        return self.wait(lambda document: set(document["phases"]) == {"streaming"}, timeout_s)

    def wait_caught_up(self, timeout_s: float = 120.0) -> dict[str, Any]:
        """Wait until every table streams and no transaction waits."""

        def caught_up(document: dict[str, Any]) -> bool:
            waiting = sum(store["waiting_transactions"] for store in document["stores"])
            return set(document["phases"]) == {"streaming"} and waiting == 0

        return self.wait(caught_up, timeout_s)
