"""Cuts the byte stream of an authenticated connection into MySQL packets, reading as much at once as there is.

Owns nothing but its buffer; long packets, and messages of several, are handed out in parts, so that no event need be
whole in memory. It does not know what is in a packet.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from typing import Final

from model.errors import ConnectionLost

_RECEIVE_BYTES: Final = 1 << 20
_PART_BYTES: Final = 1 << 19
"""Longer packets are handed out in parts."""
_POLL_S: Final = 0.2
FULL_PACKET: Final = 0xFFFFFF
"""A message goes on in the next packet after one of this length (protocol manual, "MySQL Packets")."""


class PacketStream:
    """Packets of a socket. Gives up when nothing was heard for `silence_s` seconds."""

    def __init__(self, sock: socket.socket, silence_s: float, stop: threading.Event) -> None:
        self._socket = sock
        self._silence_s = silence_s
        self._stop = stop
        self._tls = sock if isinstance(sock, ssl.SSLSocket) else None
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN)
        self._buffer = bytearray(_RECEIVE_BYTES)
        self._start = 0
        self._end = 0
        self._left = 0
        self._continued = False
        self._heard = time.monotonic()
        self.received_bytes = 0
        sock.settimeout(silence_s)

    def ready(self) -> bool:
        """Whether a whole packet is buffered or the socket has more to read at once."""
        have = self._end - self._start
        if have >= 4 and have >= min(_PART_BYTES, 4 + self._length()):
            return True
        return bool((self._tls is not None and self._tls.pending()) or self._poll.poll(0))

    def next_packet(self) -> bytes | None:
        """The next wire packet, or its first part if it is long (`more` says so); None when `stop` was set.

        Raises ConnectionLost.
        """
        start = self._start
        if self._end - start >= 4:
            length = self._length()
            after = start + 4 + length
            if after <= self._end and length <= _PART_BYTES:  # the hot path: all of it is here
                self._start, self._left, self._continued = after, 0, False
                return bytes(memoryview(self._buffer)[start + 4 : after])
        elif not self._fill(4):
            return None
        self._left = self._length()
        self._continued = self._left == FULL_PACKET
        self._start += 4
        return self._chunk()

    @property
    def buffered(self) -> tuple[bytearray, int, int]:
        """What was received and not handed out: it stands in the buffer from the first number up to the second."""
        return self._buffer, self._start if not self.more else self._end, self._end

    def skip(self, to: int) -> None:
        """The packets before a place in the buffer were taken from it."""
        self._start = to

    @property
    def more(self) -> bool:
        """Whether `next_part` has more of the message that `next_packet` began."""
        return self._left > 0 or self._continued

    def next_part(self) -> bytes | None:
        """More of the message, over as many wire packets as it takes; None when `stop` was set."""
        return self._chunk() if self._left else self.next_packet()

    def _chunk(self) -> bytes | None:
        count = min(self._left, _PART_BYTES)
        if not self._fill(count):
            return None
        part = bytes(memoryview(self._buffer)[self._start : self._start + count])
        self._start += count
        self._left -= count
        return part

    def _length(self) -> int:
        buffer, start = self._buffer, self._start
        return buffer[start] | buffer[start + 1] << 8 | buffer[start + 2] << 16

    def _fill(self, wanted: int) -> bool:
        """Have at least `wanted` bytes in the buffer; False when `stop` was set."""
        while self._end - self._start < wanted:
            if self._start:
                left = self._end - self._start
                self._buffer[:left] = self._buffer[self._start : self._end]
                self._start, self._end = 0, left
            count = self._receive(memoryview(self._buffer)[self._end :])
            if count is None:
                return False
            self._end += count
        return True

    def _receive(self, into: memoryview) -> int | None:
        """Bytes received, at least one; None when `stop` was set. Raises ConnectionLost at the end or in silence."""
        while not (self._tls is not None and self._tls.pending()) and not self._poll.poll(_POLL_S * 1000):
            if self._stop.is_set():
                return None
            if time.monotonic() - self._heard > self._silence_s:
                raise ConnectionLost(f"the source was silent for {self._silence_s:g} s, not even a heartbeat came")
        try:
            count = self._socket.recv_into(into)
        except TimeoutError:
            raise ConnectionLost(f"the source was silent for {self._silence_s:g} s in the middle of a record") from None
        except (OSError, ValueError) as error:
            raise ConnectionLost(f"connection to the source was lost: {error}") from error
        if count == 0:
            raise ConnectionLost("the source closed the connection")
        self._heard = time.monotonic()
        self.received_bytes += count
        return count
