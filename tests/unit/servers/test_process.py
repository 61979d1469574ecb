"""The launcher: passes signals on, kills what is left, and ends its server when the starter is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.account import Account
from servers.errors import ServerFailed
from servers.process import ServerProcess

PATIENCE = 30.0
# Announces itself and a child that left the process group, as PostgreSQL's do, then serves until told to stop.
SERVER = """
import os, signal, sys, time
child = os.fork()
if child == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print(os.getpid(), child, flush=True)
time.sleep(600)
"""
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, 1, flush=True); time.sleep(600)"


def start(folder: Path, script: str = SERVER, temporary: Path | None = None) -> ServerProcess:
    account = Account("us", os.geteuid(), os.getegid())
    return ServerProcess(
        [sys.executable, "-c", script],
        account=account,
        environment=dict(os.environ),
        cwd=folder,
        log=folder / "log",
        temporary=temporary,
    )


def announced(folder: Path) -> list[int]:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        words = (folder / "log").read_text().split()
        if len(words) == 2:
            return [int(word) for word in words]
        pause.wait(0.02)
    raise AssertionError("the server did not come up")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_dead(*pids: int) -> bool:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        if not any(is_alive(pid) for pid in pids):
            return True
        pause.wait(0.02)
    return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = start(tmp_path)
    yield process
    process.kill()


def test_stop_passes_the_signal_on_and_leaves_no_orphans(server: ServerProcess, tmp_path: Path) -> None:
    pid, child = announced(tmp_path)
    assert server.pid == pid
    assert server.is_running
    server.stop(signal.SIGTERM)
    assert server.wait(PATIENCE) == 7
    assert not server.is_running
    assert not is_alive(pid)
    assert not is_alive(child)


def test_kill_takes_children_that_left_the_group(server: ServerProcess, tmp_path: Path) -> None:
    pid, child = announced(tmp_path)
    server.kill()
    assert server.wait(PATIENCE) == 128 + signal.SIGKILL
    assert not is_alive(pid)
    assert not is_alive(child)
    server.kill()
    server.stop(signal.SIGTERM)


def test_a_server_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, STUBBORN)
    announced(tmp_path)
    process.stop(signal.SIGTERM, seconds=0.2)
    assert process.wait(PATIENCE) == 128 + signal.SIGKILL


def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="could not be started"):
        ServerProcess(
            ["/nonexistent/program"],
            account=Account("us", os.geteuid(), os.getegid()),
            environment={},
            cwd=tmp_path,
            log=tmp_path / "log",
            temporary=None,
        )


STARTER = """
import sys, threading
from pathlib import Path
from tests.unit.servers.test_process import SERVER, start
folder = Path(sys.argv[1])
deaf = SERVER.replace("lambda *_: sys.exit(7)", "signal.SIG_IGN")
# Started by a thread that ends at once: a server belongs to the process, not to the thread.
thread = threading.Thread(target=lambda: kept.append(start(folder, deaf, folder / "data")))
kept = []
thread.start()
thread.join()
print("started", flush=True)
sys.stdin.read()
"""


def test_a_killed_starter_takes_server_children_and_data_with_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "file").touch()
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == "started\n"
    pid, child = announced(tmp_path)
    assert is_alive(pid)
    starter.kill()
    starter.wait(PATIENCE)
    assert wait_until_dead(pid, child)
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        if not data.exists():
            break
        pause.wait(0.02)
    assert not data.exists()


def test_a_killed_launcher_takes_the_server_with_it(server: ServerProcess, tmp_path: Path) -> None:
    pid, child = announced(tmp_path)
    server._launcher.kill()
    try:
        assert wait_until_dead(pid)
    finally:
        if is_alive(child):
            os.kill(child, signal.SIGKILL)
