"""A TCP proxy between a test and its server that fails on command.

with Proxy(server.host, server.port) as proxy:
    connect(port=proxy.port)
    proxy.cut()
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import deque
from types import TracebackType

_BLOCK = 65_536
_HOST = "127.0.0.1"


class _Link:
    """One client's connection and ours to the server behind it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        for origin, target, answers in ((client, server, False), (server, client, True)):
            threading.Thread(target=self._pump, args=(origin, target, answers), daemon=True).start()

    def close(self, *, reset: bool) -> None:
        """Close both sides, politely or with a TCP reset."""
        for side in (self._client, self._server):
            with contextlib.suppress(OSError):
                if reset:
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                side.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                side.close()

    def _pump(self, origin: socket.socket, target: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while block := origin.recv(_BLOCK):
                if not self._proxy._pass(self, block, target, answers=answers):
                    return
        if self._proxy._silent:
            return  # a half-open connection does not hear of the other end's death either
        self.close(reset=False)
        self._proxy._forget(self)


class Proxy:
    """Forwards loopback connections to one server until told to misbehave. Safe to command from any thread."""

    def __init__(self, host: str, port: int) -> None:
        """Listen on a free port, `self.port`, and forward to `host`:`port`."""
        self._target = (host, port)
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._open = threading.Event()
        self._open.set()
        self._silent = False
        self._refusing = False
        self._quotas: deque[int] = deque()
        self.accepted = 0
        """Connections accepted so far."""
        self.answered = 0
        """Bytes that went from the server to clients so far."""
        self._listener = socket.create_server((_HOST, 0))
        self.host = _HOST
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> int:
        """Reset every connection now; new ones are welcome. How many there were."""
        with self._lock:
            links, self._links = self._links, set()
        for link in links:
            link.close(reset=True)
        return len(links)

    def cut_after(self, *sizes: int) -> None:
        """Reset every connection once so many more bytes have gone from the server to clients, in mid-packet if so.

        Each size counts from the cut before it.
        """
        with self._lock:
            self._quotas = deque(sizes)

    def drop_silently(self) -> None:
        """Swallow all bytes both ways and keep connections open: a peer that is gone without a word."""
        self._silent = True

    def block(self) -> None:
        """Hold all bytes back, losing none, until `resume`."""
        self._open.clear()

    def refuse(self) -> None:
        """Close new connections at once; existing ones live on."""
        self._refusing = True

    def resume(self) -> None:
        """Behave again. What was swallowed stays lost, so connections of a silent time are reset."""
        was_silent, self._silent, self._refusing = self._silent, False, False
        with self._lock:
            self._quotas.clear()
        if was_silent:
            self.cut()
        self._open.set()

    def close(self) -> None:
        """Stop listening and reset every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._open.set()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self._refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._links.add(_Link(self, client, server))

    def _pass(self, link: _Link, block: bytes, target: socket.socket, *, answers: bool) -> bool:
        """Forward one block as the proxy's mood has it; False when the connection is over."""
        self._open.wait()
        if self._silent:
            return True
        cut = False
        if answers:
            with self._lock:
                if self._quotas:
                    cut = len(block) >= self._quotas[0]
                    block = block[: self._quotas[0]]
                    self._quotas[0] -= len(block)
                    if cut:
                        self._quotas.popleft()
                self.answered += len(block)
        target.sendall(block)
        if cut:
            self.cut()
        return not cut

    def _forget(self, link: _Link) -> None:
        with self._lock:
            self._links.discard(link)
