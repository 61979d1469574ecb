"""Text forms of DATE, DATETIME, TIMESTAMP and TIME as MySQL 5.6 and later store them; impossible dates verbatim.

Layouts are those of the internals manual, "Date and Time Data Type Representation". Older layouts are in
old_temporals.py. Compiled with the types of temporals.pxd; runs uncompiled as it is.
"""

# mypy: always-false=compiled
from __future__ import annotations

from sync.mysql.forms import FieldForm
from sync.mysql.sink import Sink

try:
    import cython
except ImportError:  # Cython is needed to compile only
    from sync.mysql import cython_shim as cython

if not cython.compiled:
    from sync.mysql.octets import big, little
    from sync.mysql.sink import put, put_bytes

_FRACTION_SCALE = (1_000_000, 10_000, 100, 1)
"""Microseconds in one unit of a fraction of 0, 1, 2 and 3 bytes."""
_DATETIME_MIDDLE = 0x8000000000
_TIME_MIDDLES = (0x800000, 0x80000000, 0x8000000000, 0x800000000000)
"""What TIME's zero is stored as with 0, 1, 2 and 3 bytes of fraction."""


class DateForm(FieldForm):
    """DATE: three bytes, little-endian: day 5 bits, month 4 bits, year."""

    def __init__(self) -> None:
        FieldForm.__init__(self, 3, 0)

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """`YYYY-MM-DD`."""
        packed = little(data, start, 3)
        return sink.put_date(packed >> 9, packed >> 5 & 15, packed & 31)


class DatetimeForm(FieldForm):
    """DATETIME(f): five bytes, then the fraction, big-endian."""

    def __init__(self, digits: int) -> None:
        self.digits = digits
        self.tail = (digits + 1) // 2
        self.scale = _FRACTION_SCALE[self.tail]
        self.middle = _DATETIME_MIDDLE
        FieldForm.__init__(self, 5 + self.tail, 0)

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """`YYYY-MM-DD HH:MM:SS[.f]`."""
        packed = big(data, start, 5) - self.middle
        clock = packed & 0x1FFFF
        days = packed >> 17 & 31
        months = packed >> 22
        sink.put_date(months // 13, months % 13, days)
        put(sink, 0x20)
        sink.put_clock(clock >> 12, clock >> 6 & 63, clock & 63)
        return sink.put_fraction(big(data, start + 5, self.tail) * self.scale, self.digits)


class TimestampForm(FieldForm):
    """TIMESTAMP(f): four bytes of seconds since 1970 UTC, then the fraction, big-endian. Zero is the zero date."""

    def __init__(self, digits: int) -> None:
        self.digits = digits
        self.tail = (digits + 1) // 2
        self.scale = _FRACTION_SCALE[self.tail]
        self.day = -1
        self.year = self.month = self.day_of_month = 0
        FieldForm.__init__(self, 4 + self.tail, 0)

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """`YYYY-MM-DD HH:MM:SS[.f]+00`."""
        # Unsigned: MariaDB 11.5 goes on to 2106, the others end at 2038.
        seconds = big(data, start, 4)
        if seconds == 0:
            put_bytes(sink, b"0000-00-00 00:00:00")
            sink.put_fraction(0, self.digits)
            return put_bytes(sink, b"+00")
        if seconds // 86400 != self.day:
            self.find_day(seconds // 86400)
        clock = seconds % 86400
        sink.put_date(self.year, self.month, self.day_of_month)
        put(sink, 0x20)
        sink.put_clock(clock // 3600, clock // 60 % 60, clock % 60)
        sink.put_fraction(big(data, start + 4, self.tail) * self.scale, self.digits)
        return put_bytes(sink, b"+00")

    def find_day(self, day: int) -> int:
        """Remember year, month and day of a day number, for rows of the same day come together.

        Howard Hinnant's `civil_from_days`: years that begin in March, eras of 400 years; days since 1970, not negative.
        """
        shifted = day + 719468
        era = shifted // 146097
        of_era = shifted - era * 146097
        years = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
        of_year = of_era - (365 * years + years // 4 - years // 100)
        march = (5 * of_year + 2) // 153
        self.day_of_month = of_year - (153 * march + 2) // 5 + 1
        self.month = march + 3 if march < 10 else march - 9
        self.year = years + era * 400 + (1 if self.month <= 2 else 0)
        self.day = day
        return 0


class TimeForm(FieldForm):
    """TIME(f): sign, hours, minutes, seconds and fraction as one big-endian number around the middle of its range."""

    def __init__(self, digits: int) -> None:
        self.digits = digits
        self.tail = (digits + 1) // 2
        self.scale = _FRACTION_SCALE[self.tail]
        self.middle = _TIME_MIDDLES[self.tail]
        FieldForm.__init__(self, 3 + self.tail, 0)

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """`[-]HHH:MM:SS[.f]`."""
        packed = big(data, start, length) - self.middle
        if packed < 0:
            put(sink, 0x2D)
            packed = -packed
        clock = packed >> (8 * self.tail)
        sink.put_clock(clock >> 12 & 1023, clock >> 6 & 63, clock & 63)
        return sink.put_fraction((packed & ((1 << (8 * self.tail)) - 1)) * self.scale, self.digits)
