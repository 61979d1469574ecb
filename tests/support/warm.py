"""The command line in processes that are forked from one which has it imported: a call then costs a tenth of a new one.

Each call is a process of its own all the same, with its own arguments, environment, folder, outputs and exit code, and
may be killed. One server per test process; it ends with it. `test_packaging.py` starts the installed command itself.

Server: each connection to its socket is one call. It gets a line of JSON, answers with the pid, and with the exit code
when the call has ended. The server itself never runs a thread: only then is a fork safe.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
_WARM = ("console", "daemon")
"""Packages of which everything is imported beforehand."""
_START_TIMEOUT_S = 120.0


class WarmProcess:
    """One call, as `subprocess.Popen` of `python -m crossfade ARGUMENTS` would be it."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        out: Path,
        err: Path,
        paces: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Outputs are appended to the files `out` and `err`.

        `paces`: constants of modules (`cutover.pulse.COUNT_EVERY_S`) that say how often something is done.
        """
        self.args = ["crossfade", *arguments]
        self.returncode: int | None = None
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(_server())
        call = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": str(folder),
            "out": str(out),
            "err": str(err),
            "paces": dict(paces),
        }
        self._socket.sendall(json.dumps(call).encode() + b"\n")
        self._answers = self._socket.makefile("rb")
        self.pid = int(self._answers.readline())

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; the exit code. Raises TimeoutExpired."""
        if self.returncode is None:
            self._socket.settimeout(timeout)
            try:
                code = self._socket.recv(64)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
            assert code, "the server of warm processes is gone"
            self.returncode = int(code)
            self._answers.close()
            self._socket.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


@cache
def _server() -> str:
    """Start the server of this process; the path of its socket."""
    folder = tempfile.mkdtemp(prefix="crossfade-warm-")
    path = f"{folder}/calls"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.warm", path], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n", "no warm process"
    _kept.append(process)
    return path


_kept: list[subprocess.Popen[bytes]] = []
"""Its standard input is held open as long as we live: the server ends when it is closed."""


# -- the server


def serve(path: str) -> None:
    """Answer calls until standard input is closed."""
    sys.path.insert(0, str(ROOT))
    for name in _WARM:
        package = importlib.import_module(name)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{name}.{module.name}")
    importlib.import_module("cli")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.write(1, b"ready\n")
    alive = sys.stdin.fileno()
    while True:
        ready, _, _ = select.select([listener, alive], [], [])
        if alive in ready:
            break
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _handle(connection)
        connection.close()
    Path(path).unlink()
    Path(path).parent.rmdir()


def _handle(connection: socket.socket) -> NoReturn:
    """Read one call, run it in a child, tell its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    call = json.loads(connection.makefile("rb").readline())
    pid = os.fork()
    if pid == 0:
        connection.close()
        _run(call)
    try:
        connection.sendall(b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    finally:
        os._exit(0)


def _run(call: dict[str, Any]) -> NoReturn:
    """Become the command."""
    import cli
    from tests.support.dying_steps import arm_from_environment

    os.environ.clear()
    os.environ.update(call["environment"])
    os.chdir(call["folder"])
    for number, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, call["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, call["err"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        descriptor = os.open(name, flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    arm_from_environment()
    for name, pace in call["paces"].items():
        module, _, constant = name.rpartition(".")
        assert hasattr(sys.modules[module], constant), name
        setattr(sys.modules[module], constant, pace)
    sys.argv = ["crossfade", *call["arguments"]]
    cli.run()
    raise SystemExit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
