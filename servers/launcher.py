"""Runs one server and outlives neither it nor the process that asked for it.

Run as a script of its own. Standard input is a lifeline: every byte is the number of a signal to pass on to the
server; its end means that the asking process is gone, however it went, and the server is killed. When the server has
ended, everything it left behind is killed too (orphans are adopted, as PostgreSQL's backends leave its process
group). Writes the server's process id to standard output; exits with the server's status.

Imports nothing but the standard library: it has to start fast.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Start the server, wait for signals or its end, clean up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--remove", type=Path, help="folder to delete when the asking process is gone")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C in the terminal is the asking process's affair
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    groups: list[int] | None = [] if arguments.uid is not None else None
    server = subprocess.Popen(
        arguments.command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        user=arguments.uid,
        group=arguments.gid,
        extra_groups=groups,
        umask=0o077,
        preexec_fn=_prepare_child,
        start_new_session=True,
    )
    os.write(1, f"{server.pid}\n".encode())
    os.close(1)
    abandoned = _serve(server)
    status = server.wait()
    _kill_orphans()
    if abandoned and arguments.remove is not None:
        shutil.rmtree(arguments.remove, ignore_errors=True)
    return status if status >= 0 else 128 - status


def _prepare_child() -> None:
    # After the change of user, which would clear it: should this launcher be killed, the server goes too.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _serve(server: subprocess.Popen[bytes]) -> bool:
    """Pass signals on until the server ends (False) or the lifeline does (True; the server has been killed)."""
    ended = os.pidfd_open(server.pid)
    while True:
        ready, _, _ = select.select([0, ended], [], [])
        if ended in ready:
            return False
        numbers = os.read(0, 64)
        if not numbers:
            server.kill()
            return True
        for number in numbers:
            server.send_signal(number)


def _kill_orphans() -> None:
    """Kill what has been re-parented to us until nothing is left."""
    while True:
        for child in _children():
            os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    us = os.getpid()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(stat.rpartition(")")[2].split()[1]) == us:
            found.append(int(entry.name))
    return found


if __name__ == "__main__":
    sys.exit(main())
