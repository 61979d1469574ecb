"""What systemd hears, from both kinds of socket, and that a deaf one is no error."""

from __future__ import annotations

import secrets
import socket
from contextlib import closing
from pathlib import Path

import pytest

from daemon.notify import Notifier


@pytest.mark.parametrize("abstract", [False, True])
def test_a_datagram_of_lines(tmp_path: Path, abstract: bool) -> None:
    name = f"@crossfade-{secrets.token_hex(6)}" if abstract else str(tmp_path / "notify")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as heard:
        heard.bind("\0" + name[1:] if abstract else name)
        Notifier({"NOTIFY_SOCKET": name}).tell(READY="1", STATUS="two\nlines")
        assert heard.recv(1000) == b"READY=1\nSTATUS=two lines"


def test_nobody_listens(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "absent")}).tell(READY="1")
    Notifier({}).tell(READY="1")
