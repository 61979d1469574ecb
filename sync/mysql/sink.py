"""A growing byte buffer that the decoder writes text into: digits, dates, hex, and PostgreSQL's COPY escapes.

Compiled (types in sink.pxd) it is a C buffer, uncompiled a bytearray; the same source does both. It knows nothing of
MySQL.
"""

# mypy: always-false=compiled
# ruff: noqa: F821 (names of the .pxd)
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

    def grow(self, more: int) -> int:
        """Make room for `more` bytes (compiled only): twice of what is needed, but no more than 4 MiB too much."""
        if cython.compiled:
            needed = self.size + more
            self.capacity = needed + min(needed, 4194304)
            larger = bytearray(self.capacity)
            copy_octets(larger, self.out, self.size)
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

    def between(self, start: int, stop: int) -> bytes:
        """What was written from `start` to before `stop`."""
        if cython.compiled:
            return self.out[start:stop]
        return bytes(self.buffer[start:stop])

    def again(self, start: int, stop: int) -> int:
        """Write once more what stands from `start` to before `stop`."""
        if cython.compiled:
            reserve(self, stop - start)
            copy_octets(self.out + self.size, self.out + start, stop - start)
            self.size += stop - start
        else:
            self.buffer += self.buffer[start:stop]
        return 0

    def take(self, mark: int) -> bytes:
        """Cut out what was written since `mark`."""
        piece = self.since(mark)
        self.cut(mark)
        return piece

    def take_whole(self) -> bytes:
        """Cut out all that was written. Above 4 MiB it is the buffer itself, not a copy of it."""
        if cython.compiled and self.size > 4194304:
            whole = self.buffer
            del whole[self.size :]
            self.buffer = bytearray(4096)
            self.out = self.buffer
            self.capacity = 4096
            self.size = 0
            return whole
        return self.take(0)

    def cut(self, mark: int) -> int:
        """Forget what was written since `mark`."""
        if cython.compiled:
            self.size = mark
        else:
            del self.buffer[mark:]
        return 0

    def reset(self) -> int:
        """Forget everything, and give back the room that a huge value took."""
        if cython.compiled:
            self.size = 0
            if self.capacity > 4194304:
                self.buffer = bytearray(4096)
                self.out = self.buffer
                self.capacity = 4096
        else:
            self.buffer.clear()
        return 0

    def put_unsigned(self, value: int) -> int:
        """Write decimal digits."""
        if cython.compiled:
            reserve(self, 20)
            width = digit_count(value)
            digits_before(self.out + self.size + width, value)
            self.size += width
        else:
            self.buffer += b"%d" % value
        return 0

    def put_signed(self, value: int) -> int:
        """Write decimal digits, `-` before them when negative."""
        if cython.compiled:
            if value < 0:
                put(self, 0x2D)
                self.put_unsigned(negated(value))
            else:
                self.put_unsigned(value)
        else:
            self.buffer += b"%d" % value
        return 0

    def put_padded(self, value: int, width: int) -> int:
        """Write the lowest `width` decimal digits, zeros in front."""
        if cython.compiled:
            reserve(self, width)
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
            reserve(self, 10)
            out = self.out + self.size
            two_digits(out, year // 100)
            two_digits(out + 2, year)
            out[4] = 0x2D
            two_digits(out + 5, month)
            out[7] = 0x2D
            two_digits(out + 8, day)
            self.size += 10
        else:
            self.buffer += b"%04d-%02d-%02d" % (year, month, day)
        return 0

    def put_clock(self, hours: int, minutes: int, seconds: int) -> int:
        """Write `HH:MM:SS`, more hour digits when there are."""
        if cython.compiled:
            reserve(self, 12)
            if hours > 99:
                self.put_unsigned(hours // 100)
            out = self.out + self.size
            two_digits(out, hours)
            out[2] = 0x3A
            two_digits(out + 3, minutes)
            out[5] = 0x3A
            two_digits(out + 6, seconds)
            self.size += 8
        else:
            self.buffer += b"%02d:%02d:%02d" % (hours, minutes, seconds)
        return 0

    def put_fraction(self, micros: int, digits: int) -> int:
        """Write `.` and the first `digits` of six digits of microseconds; nothing for no digits."""
        if digits:
            put(self, 0x2E)
            rest = micros
            for _ in range(6 - digits):
                rest //= 10
            self.put_padded(rest, digits)
        return 0

    def put_hex(self, data: bytes, start: int, length: int) -> int:
        """Write bytes as lower-case hexadecimal digits."""
        if cython.compiled:
            reserve(self, 2 * length)
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
            reserve(self, count)
            for at in range(count):
                self.out[self.size + at] = 0x30 + (value >> (count - 1 - at) & 1)
            self.size += count
        else:
            self.buffer += bin(value)[2:].zfill(count)[-count:].encode() if count else b""
        return 0

    def put_copy(self, data: bytes, start: int, length: int) -> int:
        """Write a slice with the escapes of COPY's text format (manual, "COPY", File Formats)."""
        if cython.compiled:
            at = data + start
            rest = length
            if length > 1048576:
                # Once, and no more than needed: two buffers of a long value are too much.
                escapes = 1
                for place in range(length):
                    octet = at[place]
                    if octet == 0x5C or octet == 0x0A or octet == 0x0D or octet == 0x09:
                        escapes += 1
                reserve(self, length + escapes)
            while True:
                # An escape takes one byte more than what it stands for.
                reserve(self, rest + 1)
                run = plain_run(at, rest, 0x0E, 0x5C, 0x5C)
                copy_octets(self.out + self.size, at, run)
                self.size += run
                if run == rest:
                    return 0
                octet = at[run]
                if octet == 0x5C or octet == 0x0A or octet == 0x0D or octet == 0x09:
                    self.out[self.size] = 0x5C
                    self.size += 1
                    if octet == 0x0A:
                        octet = 0x6E
                    elif octet == 0x0D:
                        octet = 0x72
                    elif octet == 0x09:
                        octet = 0x74
                self.out[self.size] = octet
                self.size += 1
                at += run + 1
                rest -= run + 1
        self.buffer += copy_escaped(data[start : start + length])
        return 0

    def escape_since(self, mark: int) -> int:
        """Put COPY's escapes into what was written since `mark`."""
        if cython.compiled:
            if plain_run(self.out + mark, self.size - mark, 0x0E, 0x5C, 0x5C) < self.size - mark:
                piece = self.take(mark)
                self.put_copy(piece, 0, len(piece))
        else:
            self.buffer[mark:] = copy_escaped(bytes(self.buffer[mark:]))
        return 0


if not cython.compiled:

    def put(sink: Sink, octet: int) -> int:
        """Write one byte."""
        sink.buffer.append(octet)
        return 0

    def put_bytes(sink: Sink, piece: bytes) -> int:
        """Write a bytes object."""
        sink.buffer += piece
        return 0

    def put_slice(sink: Sink, data: bytes, start: int, length: int) -> int:
        """Write `length` bytes of `data` from `start` on."""
        sink.buffer += data[start : start + length]
        return 0


def copy_escaped(piece: bytes) -> bytes:
    """The escapes of COPY's text format put into a value."""
    if len(piece.translate(None, b"\\\n\r\t")) == len(piece):
        return piece
    for octet, escape in _COPY_ESCAPES.items():
        piece = piece.replace(bytes((octet,)), escape)
    return piece
