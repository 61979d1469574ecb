"""A growing byte buffer that the decoder writes text into: digits, dates, hex, and PostgreSQL's COPY escapes.

Compiled (types in sink.pxd) it is a C buffer, uncompiled a bytearray; the same source does both. It knows nothing of
MySQL.
"""

# mypy: always-false=compiled
# ruff: noqa: F821 (names of sink.pxd)
from __future__ import annotations

try:
    import cython
except ImportError:  # Cython is needed to compile only
    from sync.mysql import cython_shim as cython

_COPY_ESCAPES = {0x5C: rb"\\", 0x0A: rb"\n", 0x0D: rb"\r", 0x09: rb"\t"}


class Sink:
    """The buffer. `mark()` is the place reached; `take(mark)` cuts out what was written since."""

    def __init__(self) -> None:
        self.buffer = bytearray(4096 if cython.compiled else 0)
        if cython.compiled:
            self.out = self.buffer
            self.size = 0
            self.capacity = 4096

    def reserve(self, more: int) -> int:
        """Make room for `more` bytes (compiled only)."""
        if cython.compiled and self.size + more > self.capacity:
            self.capacity = (self.size + more) * 2
            larger = bytearray(self.capacity)
            larger[: self.size] = self.buffer[: self.size]
            self.buffer = larger
            self.out = self.buffer
        return 0

    def mark(self) -> int:
        """The place reached."""
        if cython.compiled:
            return self.size
        return len(self.buffer)

    def since(self, mark: int) -> bytes:
        """What was written since `mark`."""
        if cython.compiled:
            return self.out[mark : self.size]
        return bytes(self.buffer[mark:])

    def take(self, mark: int) -> bytes:
        """Cut out what was written since `mark`."""
        piece = self.since(mark)
        self.cut(mark)
        return piece

    def cut(self, mark: int) -> int:
        """Forget what was written since `mark`."""
        if cython.compiled:
            self.size = mark
        else:
            del self.buffer[mark:]
        return 0

    def put(self, octet: int) -> int:
        """Write one byte."""
        if cython.compiled:
            self.reserve(1)
            self.out[self.size] = octet
            self.size += 1
        else:
            self.buffer.append(octet)
        return 0

    def put_bytes(self, piece: bytes) -> int:
        """Write a bytes object."""
        if cython.compiled:
            self.put_slice(piece, 0, len(piece))
        else:
            self.buffer += piece
        return 0

    def put_slice(self, data: bytes, start: int, length: int) -> int:
        """Write `length` bytes of `data` from `start` on."""
        if cython.compiled:
            self.reserve(length)
            memcpy(self.out + self.size, data + start, length)
            self.size += length
        else:
            self.buffer += data[start : start + length]
        return 0

    def put_unsigned(self, value: int) -> int:
        """Write decimal digits."""
        if cython.compiled:
            self.reserve(20)
            width = 1
            rest = value
            while rest >= 10:
                rest //= 10
                width += 1
            self.put_padded(value, width)
        else:
            self.buffer += b"%d" % value
        return 0

    def put_signed(self, value: int) -> int:
        """Write decimal digits, `-` before them when negative."""
        if cython.compiled:
            if value < 0:
                self.put(0x2D)
                self.put_unsigned(negated(value))
            else:
                self.put_unsigned(value)
        else:
            self.buffer += b"%d" % value
        return 0

    def put_padded(self, value: int, width: int) -> int:
        """Write the lowest `width` decimal digits, zeros in front."""
        if cython.compiled:
            self.reserve(width)
            at = self.size + width
            rest = value
            while at > self.size:
                at -= 1
                self.out[at] = 0x30 + rest % 10
                rest //= 10
            self.size += width
        else:
            self.buffer += b"%0*d" % (width, value)
        return 0

    def put_date(self, year: int, month: int, day: int) -> int:
        """Write `YYYY-MM-DD`; any numbers, whether such a day exists or not."""
        if cython.compiled:
            self.put_padded(year, 4)
            self.put(0x2D)
            self.put_padded(month, 2)
            self.put(0x2D)
            self.put_padded(day, 2)
        else:
            self.buffer += b"%04d-%02d-%02d" % (year, month, day)
        return 0

    def put_clock(self, hours: int, minutes: int, seconds: int) -> int:
        """Write `HH:MM:SS`, more hour digits when there are."""
        if cython.compiled:
            self.put_padded(hours, 3 if hours > 99 else 2)
            self.put(0x3A)
            self.put_padded(minutes, 2)
            self.put(0x3A)
            self.put_padded(seconds, 2)
        else:
            self.buffer += b"%02d:%02d:%02d" % (hours, minutes, seconds)
        return 0

    def put_fraction(self, micros: int, digits: int) -> int:
        """Write `.` and the first `digits` of six digits of microseconds; nothing for no digits."""
        if digits:
            self.put(0x2E)
            rest = micros
            for _ in range(6 - digits):
                rest //= 10
            self.put_padded(rest, digits)
        return 0

    def put_hex(self, data: bytes, start: int, length: int) -> int:
        """Write bytes as lower-case hexadecimal digits."""
        if cython.compiled:
            self.reserve(2 * length)
            for at in range(start, start + length):
                high, low = data[at] >> 4, data[at] & 15
                self.out[self.size] = high + (0x57 if high > 9 else 0x30)
                self.out[self.size + 1] = low + (0x57 if low > 9 else 0x30)
                self.size += 2
        else:
            self.buffer += data[start : start + length].hex().encode()
        return 0

    def put_bits(self, value: int, count: int) -> int:
        """Write the lowest `count` bits as characters 0 and 1, highest first."""
        if cython.compiled:
            self.reserve(count)
            for at in range(count):
                self.out[self.size + at] = 0x30 + (value >> (count - 1 - at) & 1)
            self.size += count
        else:
            self.buffer += bin(value)[2:].zfill(count)[-count:].encode() if count else b""
        return 0

    def put_copy(self, data: bytes, start: int, length: int) -> bool:
        """Write a slice with the escapes of COPY's text format (manual, "COPY", File Formats).

        Returns whether there is a byte above 127 in it.
        """
        if cython.compiled:
            self.reserve(2 * length)
            at = self.size
            high = 0
            for index in range(start, start + length):
                octet = data[index]
                high |= octet
                if octet == 0x5C or octet == 0x0A or octet == 0x0D or octet == 0x09:
                    self.out[at] = 0x5C
                    at += 1
                    if octet == 0x0A:
                        octet = 0x6E
                    elif octet == 0x0D:
                        octet = 0x72
                    elif octet == 0x09:
                        octet = 0x74
                self.out[at] = octet
                at += 1
            self.size = at
            return high > 127
        piece = data[start : start + length]
        self.buffer += copy_escaped(piece)
        return not piece.isascii()

    def escape_since(self, mark: int) -> int:
        """Put COPY's escapes into what was written since `mark`."""
        if cython.compiled:
            for index in range(mark, self.size):
                octet = self.out[index]
                if octet == 0x5C or octet == 0x0A or octet == 0x0D or octet == 0x09:
                    piece = self.take(mark)
                    self.put_copy(piece, 0, len(piece))
                    break
        else:
            self.buffer[mark:] = copy_escaped(bytes(self.buffer[mark:]))
        return 0


def copy_escaped(piece: bytes) -> bytes:
    """The escapes of COPY's text format put into a value."""
    if len(piece.translate(None, b"\\\n\r\t")) == len(piece):
        return piece
    for octet, escape in _COPY_ESCAPES.items():
        piece = piece.replace(bytes((octet,)), escape)
    return piece
