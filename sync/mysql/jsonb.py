"""MySQL's binary JSON into exactly the text that SELECT prints: key order, spaces, escapes, numbers, opaque values.

The layout is that of MySQL's `json_binary.h` documentation. One pass, linear in the document. Compiled with the types
of jsonb.pxd; runs uncompiled as it is.
"""

# mypy: always-false=compiled
# ruff: noqa: F821 (names of the .pxd)

from __future__ import annotations

import base64
import re
import struct

from model.errors import ValueRefused
from sync.mysql.forms import DecimalForm, FieldForm
from sync.mysql.sink import Sink

try:
    import cython
except ImportError:  # Cython is needed to compile only
    from sync.mysql import cython_shim as cython

if not cython.compiled:
    from sync.mysql.octets import little, little_signed
    from sync.mysql.sink import put, put_bytes, put_slice

_ESCAPED = re.compile(rb'[\x00-\x1f"\\]')
_DOUBLE = struct.Struct("<d")
_SHORT_ESCAPES = {0x08: 0x62, 0x09: 0x74, 0x0A: 0x6E, 0x0C: 0x66, 0x0D: 0x72}
_TIME, _DATE, _DATETIME, _TIMESTAMP, _NEWDECIMAL = 11, 10, 12, 7, 246


def _plain_end(data: bytes, start: int, stop: int) -> int:
    """Where the first character stands that JSON text escapes; `stop` without one."""
    hit = _ESCAPED.search(data, start, stop)
    return hit.start() if hit else stop


def damaged() -> ValueRefused:
    """The error for a document whose offsets lead out of it."""
    return ValueRefused("a JSON document is damaged", hint="Rewrite the document in the source.")


def double_text(value: float) -> bytes:
    """A double as MySQL's `my_gcvt` prints it in JSON: shortest digits, `.` or `e` always there."""
    text = repr(value)
    magnitude = abs(value)
    if 1e-4 <= magnitude < 1e15 or magnitude == 0:
        return text.encode()
    sign = "-" if text[0] == "-" else ""
    mantissa, _, exponent = text.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    digits = (whole + fraction).lstrip("0")
    # Where the point stands, counted from the first digit that is not zero.
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if -14 <= point <= 0:
        return f"{sign}0.{'0' * -point}{digits}".encode()
    if 0 < point <= 15 or len(digits) > point > 0:
        padded = digits.ljust(point, "0")
        return f"{sign}{padded[:point]}.{padded[point:] or '0'}".encode()
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1}".encode()


def opaque_text(kind: int, raw: bytes) -> bytes:
    """A value of a MySQL type that JSON does not have: decimals bare, the others as a string."""
    if kind == _NEWDECIMAL and len(raw) > 2:
        form = DecimalForm(raw[0], raw[1])
        if len(raw) - 2 < form.fixed:
            raise damaged()
        return form.text(raw[2:])
    if kind in (_TIME, _DATE, _DATETIME, _TIMESTAMP) and len(raw) == 8:
        packed = int.from_bytes(raw, "little", signed=True)
        sign, packed = (b"-", -packed) if packed < 0 else (b"", packed)
        rest, micros = packed >> 24, packed & 0xFFFFFF
        if kind == _TIME:
            return b'"%s%02d:%02d:%02d.%06d"' % (sign, rest >> 12 & 1023, rest >> 6 & 63, rest & 63, micros)
        days, clock = rest >> 17, rest & 0x1FFFF
        year, month = divmod(days >> 5, 13)
        date = b"%04d-%02d-%02d" % (year, month, days & 31)
        if kind == _DATE:
            return b'"' + date + b'"'
        return b'"%s %02d:%02d:%02d.%06d"' % (date, clock >> 12, clock >> 6 & 63, clock & 63, micros)
    # The server's encoder breaks lines after 76 characters, and the printer escapes the breaks.
    text = base64.b64encode(raw)
    lines = [text[at : at + 76] for at in range(0, len(text), 76)]
    return b'"base64:type%d:%s"' % (kind, b"\\n".join(lines))


class JsonForm(FieldForm):
    """A JSON column: four bytes of length, then the binary document."""

    def __init__(self, prefix: int) -> None:
        FieldForm.__init__(self, -1, prefix)

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """The document's text. Raises ValueRefused for a damaged document."""
        mark = sink.mark()
        if length == 0:
            # What a NOT NULL column holds after INSERT IGNORE without a value.
            return put_bytes(sink, b"null")
        self.value(sink, data, data[start], start + 1, start + length)
        if copy:
            sink.escape_since(mark)
        return 0

    def value(self, sink: Sink, data: bytes, kind: int, at: int, end: int) -> int:
        """The value of type `kind` whose bytes begin at `at`."""
        if kind <= 1:
            return self.container(sink, data, True, kind == 1, at, end)
        if kind <= 3:
            return self.container(sink, data, False, kind == 3, at, end)
        return self.scalar(sink, data, kind, at, end)

    def container(self, sink: Sink, data: bytes, keyed: bool, large: bool, at: int, end: int) -> int:
        """An object or an array: counts, key entries, value entries, then what they point to."""
        wide = 4 if large else 2
        if at + 2 * wide > end:
            raise damaged()
        count = little(data, at, wide)
        size = little(data, at + wide, wide)
        key = at + 2 * wide
        first = key + (count * (wide + 2) if keyed else 0)
        limit = at + size
        if limit > end or first + count * (wide + 1) > limit:
            raise damaged()
        put(sink, 0x7B if keyed else 0x5B)
        for index in range(count):
            if index:
                put(sink, 0x2C)
                put(sink, 0x20)
            if keyed:
                where = at + little(data, key, wide)
                self.string(sink, data, where, little(data, key + wide, 2), limit)
                key += wide + 2
                put(sink, 0x3A)
                put(sink, 0x20)
            entry = first + index * (wide + 1)
            kind = data[entry]
            if kind == 4 or kind == 5 or kind == 6 or (large and (kind == 7 or kind == 8)):
                self.scalar(sink, data, kind, entry + 1, limit)
                continue
            where = at + little(data, entry + 1, wide)
            # A value stands behind its entry, so that damaged offsets cannot lead in a circle.
            if where < first + count * (wide + 1) or where >= limit:
                raise damaged()
            self.value(sink, data, kind, where, limit)
        return put(sink, 0x7D if keyed else 0x5D)

    def scalar(self, sink: Sink, data: bytes, kind: int, at: int, end: int) -> int:
        """A literal, number, string or opaque value."""
        if kind == 12:
            return self.long_string(sink, data, at, end)
        if kind == 15:
            return self.opaque(sink, data, at, end)
        if kind == 4:
            width = 1
        elif kind == 5 or kind == 6:
            width = 2
        elif kind == 7 or kind == 8:
            width = 4
        elif 9 <= kind <= 11:
            width = 8
        else:
            raise damaged()
        if at + width > end:
            raise damaged()
        if kind == 4:
            if data[at] > 2:
                raise damaged()
            return put_bytes(sink, b"null" if data[at] == 0 else b"true" if data[at] == 1 else b"false")
        if kind == 11:
            return put_bytes(sink, double_text(_DOUBLE.unpack(data[at : at + 8])[0]))
        if kind == 6 or kind == 8 or kind == 10:
            return sink.put_unsigned(little(data, at, width))
        return sink.put_signed(little_signed(data, at, width))

    def varlen(self, data: bytes, at: int, end: int) -> int:
        """A length in groups of seven bits, lowest first; also how many bytes it took: length * 8 + bytes."""
        value = 0
        for index in range(5):
            if at + index >= end:
                break
            octet = data[at + index]
            value |= (octet & 0x7F) << (7 * index)
            if octet < 0x80:
                return value * 8 + index + 1
        raise damaged()

    def long_string(self, sink: Sink, data: bytes, at: int, end: int) -> int:
        """A string with its length before it."""
        length = self.varlen(data, at, end)
        return self.string(sink, data, at + (length & 7), length >> 3, end)

    def string(self, sink: Sink, data: bytes, at: int, length: int, end: int) -> int:
        """A quoted string: quote, backslash and control characters escaped, all else as it is."""
        if at < 0 or length < 0 or at + length > end:
            raise damaged()
        put(sink, 0x22)
        plain = at
        stop = at + length
        while True:
            if cython.compiled:
                index = plain + plain_run(data + plain, stop - plain, 0x20, 0x22, 0x5C)
            else:
                index = _plain_end(data, plain, stop)
            put_slice(sink, data, plain, index - plain)
            if index == stop:
                return put(sink, 0x22)
            octet = data[index]
            put(sink, 0x5C)
            if octet >= 0x20:
                put(sink, octet)
            else:
                short = _SHORT_ESCAPES.get(octet, 0)
                if short:
                    put(sink, short)
                else:
                    put_bytes(sink, b"u00%02x" % octet)
            plain = index + 1

    def opaque(self, sink: Sink, data: bytes, at: int, end: int) -> int:
        """A value of a MySQL type: type number, length, bytes."""
        if at >= end:
            raise damaged()
        field = data[at]
        length = self.varlen(data, at + 1, end)
        at += 1 + (length & 7)
        length >>= 3
        if at + length > end:
            raise damaged()
        return put_bytes(sink, opaque_text(field, data[at : at + length]))
