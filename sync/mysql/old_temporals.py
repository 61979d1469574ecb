"""Temporal columns of tables made before MySQL 5.6, and of MariaDB with `mysql56_temporal_format=OFF` (the 5.3 format).

Plain functions from bytes to text; such columns are rare, so nothing here is compiled. Facts: MySQL's internals manual
for the layouts without fractions; for MariaDB's with fractions the behaviour of 10.11.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

_DATETIME_BYTES = (8, 6, 6, 7, 7, 7, 8)
_TIME_BYTES = (3, 4, 4, 5, 5, 5, 6)
_TIMESTAMP_TAIL = (0, 1, 1, 2, 2, 3, 3)
_TIME_MIDDLE = ((838 * 60 + 59) * 60 + 59 + 1) * 1_000_000
"""MariaDB stores TIME(f) as microseconds above this."""


def datetime_reader(digits: int) -> tuple[int, Callable[[bytes], bytes]]:
    """Width in bytes and the function for DATETIME(digits)."""
    scale = 10 ** (6 - digits)

    def plain(raw: bytes) -> bytes:
        date, clock = divmod(int.from_bytes(raw, "little"), 1_000_000)
        return b"%04d-%02d-%02d %02d:%02d:%02d" % (
            date // 10000, date // 100 % 100, date % 100, clock // 10000, clock // 100 % 100, clock % 100
        )  # fmt: skip

    def fractional(raw: bytes) -> bytes:
        rest, micros = divmod(int.from_bytes(raw, "big") * scale, 1_000_000)
        rest, second = divmod(rest, 60)
        rest, minute = divmod(rest, 60)
        rest, hour = divmod(rest, 24)
        rest, day = divmod(rest, 32)
        year, month = divmod(rest, 13)
        return b"%04d-%02d-%02d %02d:%02d:%02d.%0*d" % (
            year, month, day, hour, minute, second, digits, micros // scale
        )  # fmt: skip

    return (_DATETIME_BYTES[digits], fractional) if digits else (8, plain)


def time_reader(digits: int) -> tuple[int, Callable[[bytes], bytes]]:
    """Width in bytes and the function for TIME(digits)."""
    scale = 10 ** (6 - digits)

    def plain(raw: bytes) -> bytes:
        value = int.from_bytes(raw, "little", signed=True)
        sign, value = (b"-", -value) if value < 0 else (b"", value)
        return b"%s%02d:%02d:%02d" % (sign, value // 10000, value // 100 % 100, value % 100)

    def fractional(raw: bytes) -> bytes:
        value = int.from_bytes(raw, "big") * scale - _TIME_MIDDLE
        sign, value = (b"-", -value) if value < 0 else (b"", value)
        seconds, micros = divmod(value, 1_000_000)
        return b"%s%02d:%02d:%02d.%0*d" % (
            sign, seconds // 3600, seconds // 60 % 60, seconds % 60, digits, micros // scale
        )  # fmt: skip

    return (_TIME_BYTES[digits], fractional) if digits else (3, plain)


def timestamp_reader(digits: int) -> tuple[int, Callable[[bytes], bytes]]:
    """Width in bytes and the function for TIMESTAMP(digits)."""
    tail = _TIMESTAMP_TAIL[digits]
    zero = b"0000-00-00 00:00:00" + (b"." + b"0" * digits if digits else b"") + b"+00"

    def read(raw: bytes) -> bytes:
        seconds = int.from_bytes(raw[:4], "big" if digits else "little")
        if seconds == 0:
            return zero
        text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S").encode()
        if digits:
            text += b".%0*d" % (digits, int.from_bytes(raw[4:], "big"))
        return text + b"+00"

    return 4 + tail, read
