"""Tells systemd how the daemon is: ready, alive, stopping. Does nothing elsewhere.

(sd_notify(3): datagrams of KEY=VALUE lines to the socket that $NOTIFY_SOCKET names; `@` stands for an abstract one.)
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping


class Notifier:
    """The supervisor's end. Without a socket in the environment every call does nothing."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def tell(self, **values: str) -> None:
        """Send values such as READY="1", WATCHDOG="1", STATUS="…", STOPPING="1". A deaf supervisor is no error."""
        if not self._address:
            return
        text = "\n".join(f"{name}={value}".replace("\n", " ") for name, value in values.items())
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(text.encode(), self._address)
