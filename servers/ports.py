"""Free TCP ports on the loopback interface.

Taken from below the range of ports that the kernel hands out for outgoing connections, so that a stopped server
finds its port free again when it is restarted.
"""

from __future__ import annotations

import random
import socket

from servers.errors import ServerUnavailable

LOOPBACK = "127.0.0.1"
_FIRST, _LAST = 15_000, 31_999
_TRIES = 200
_random = random.SystemRandom()


def free_port() -> int:
    """A port that nothing listens on now. Another process may still take it first: be ready to try again."""
    for _ in range(_TRIES):
        port = _random.randint(_FIRST, _LAST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise ServerUnavailable(f"No free port between {_FIRST} and {_LAST} on {LOOPBACK}")
