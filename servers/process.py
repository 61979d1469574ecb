"""A running server process as its starter sees it: a pipe to the launcher that guards it.

Ends only processes that it started: signals go through the launcher to its own child, so no process id can be
mistaken for another's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from servers import launcher
from servers.account import Account
from servers.errors import ServerFailed

_STOP_SECONDS = 60.0


class ServerProcess:
    """One server under a launcher."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        account: Account,
        environment: dict[str, str],
        cwd: Path,
        log: Path,
        temporary: Path | None,
    ) -> None:
        """Start `command` as `account`; its output is appended to `log`.

        `temporary` is a folder to delete if this process dies without deleting it.
        """
        words = [sys.executable, "-I", "-S", launcher.__file__]
        if not account.is_us:
            words += ["--uid", str(account.uid), "--gid", str(account.gid)]
        if temporary is not None:
            words += ["--remove", str(temporary)]
        read_end, self._lifeline = os.pipe()
        with log.open("ab") as output:
            self._launcher = subprocess.Popen(
                [*words, "--", *command],
                stdin=read_end,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=cwd,
                env=environment,
                start_new_session=True,
            )
        os.close(read_end)
        assert self._launcher.stdout is not None
        reported = self._launcher.stdout.readline().strip()
        self._launcher.stdout.close()
        if not reported:
            self.wait(_STOP_SECONDS)
            raise ServerFailed("A server could not be started", command=command[0], log=log)
        self.pid = int(reported)

    @property
    def is_running(self) -> bool:
        """Whether the server (or its launcher, cleaning up after it) still runs."""
        return self._launcher.poll() is None

    def stop(self, how: signal.Signals, seconds: float = _STOP_SECONDS) -> None:
        """Ask the server to stop with signal `how`; kill it when it has not within `seconds`."""
        self._signal(how)
        try:
            self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the server with SIGKILL and wait until it and all its children are gone."""
        self._signal(signal.SIGKILL)
        self.wait(_STOP_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Send any other signal, such as SIGSTOP and SIGCONT, to the server."""
        self._signal(number)

    def wait(self, seconds: float) -> int:
        """Wait for the end; the server's exit status. Raises subprocess.TimeoutExpired."""
        status = self._launcher.wait(seconds)
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        return status

    def _signal(self, number: signal.Signals) -> None:
        if not self.is_running or self._lifeline < 0:
            return
        try:
            os.write(self._lifeline, bytes([number]))
        except BrokenPipeError:  # it ended between the two lines above
            return
