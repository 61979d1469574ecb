"""How one column's bytes of a row image become its text form (docs/architecture.md §3): a class per kind of column.

Every form writes into a Sink, either the plain text or, with `copy`, the same text with the escapes of COPY. Temporal
types are in temporals.py, JSON in jsonb.py. Compiled with the types of forms.pxd; runs uncompiled as it is.
"""

# mypy: always-false=compiled
# ruff: noqa: F821 (names of the .pxd)
from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from model.errors import ValueRefused
from sync.mysql.sink import Sink, copy_escaped

try:
    import cython
except ImportError:  # Cython is needed to compile only
    from sync.mysql import cython_shim as cython

if not cython.compiled:
    from sync.mysql.guards import NOT_PLAIN, PLAIN_BYTES, PLAIN_TEXT
    from sync.mysql.octets import big, little, little_signed
    from sync.mysql.sink import put, put_bytes, put_slice

_GROUP_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
"""Bytes that hold 0 to 9 decimal digits of a DECIMAL."""


class FieldForm:
    """A column's place in the row image (`fixed` bytes, or -1 and `prefix` bytes of length), and its text."""

    def __init__(self, fixed: int, prefix: int, plain: int = NOT_PLAIN) -> None:
        self.fixed = fixed
        self.prefix = prefix
        self.plain = plain
        """Whether a piece of the value is a piece of its text, and which."""

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """Write the text of the `length` bytes from `start` on. Raises ValueRefused."""
        raise ValueRefused("a column has no text form")

    def check(self, data: bytes, start: int, length: int, copy: bool) -> int:
        """Raise ValueRefused for what `write` of a plain form refuses."""
        return 0

    def text(self, raw: bytes) -> bytes:
        """The text of one value by itself. Raises ValueRefused."""
        sink = Sink()
        self.write(sink, raw, 0, len(raw), False)
        return sink.take(0)


class IntegerForm(FieldForm):
    """TINYINT to BIGINT: little-endian, two's complement unless unsigned."""

    def __init__(self, width: int, unsigned: bool) -> None:
        FieldForm.__init__(self, width, 0)
        self.unsigned = unsigned

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """Decimal digits."""
        if self.unsigned:
            return sink.put_unsigned(little(data, start, length))
        return sink.put_signed(little_signed(data, start, length))


class YearForm(FieldForm):
    """YEAR: one byte, years since 1900; zero is the year zero."""

    def __init__(self) -> None:
        FieldForm.__init__(self, 1, 0)

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """Decimal digits."""
        return sink.put_unsigned(1900 + data[start] if data[start] else 0)


class RealForm(FieldForm):
    """FLOAT (4 bytes, widened to double) and DOUBLE (8 bytes)."""

    def __init__(self, width: int) -> None:
        FieldForm.__init__(self, width, 0)
        self.layout = struct.Struct("<f" if width == 4 else "<d").unpack

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """Shortest text that reads back as the same double (Python's repr)."""
        return put_bytes(sink, repr(self.layout(data[start : start + length])[0]).encode())


class DecimalForm(FieldForm):
    """DECIMAL(precision, scale): groups of nine digits, big-endian, sign in the highest bit (manual of decimal2bin)."""

    def __init__(self, precision: int, scale: int) -> None:
        whole = precision - scale
        self.head = whole % 9
        self.groups = whole // 9
        self.fraction_groups = scale // 9
        self.tail = scale % 9
        self.head_bytes = _GROUP_BYTES[self.head]
        self.tail_bytes = _GROUP_BYTES[self.tail]
        groups = self.groups + self.fraction_groups
        FieldForm.__init__(self, self.head_bytes + 4 * groups + self.tail_bytes, 0)

    def part(self, data: bytes, start: int, width: int, mask: int, sign: bool) -> int:
        """One group of digits; `mask` undoes the inversion of negative numbers, `sign` the sign bit."""
        if cython.compiled:
            value = 0
            for at in range(width):
                value = value << 8 | (data[start + at] ^ mask)
            if sign:
                value ^= sign_bit(width)
            return value
        value = int.from_bytes(data[start : start + width], "big")
        if mask:
            value ^= (1 << 8 * width) - 1
        return value ^ 1 << 8 * width - 1 if sign else value

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """Sign, digits without leading zeros, exactly `scale` decimals; zero has no sign."""
        first = data[start]
        mask = 0 if first & 0x80 else 0xFF
        if mask:
            nonzero = first ^ 0x7F
            for at in range(start + 1, start + length):
                nonzero |= data[at] ^ 0xFF
            if nonzero:
                put(sink, 0x2D)
        at = start
        started = False
        if self.head:
            value = self.part(data, at, self.head_bytes, mask, True)
            at += self.head_bytes
            if value:
                sink.put_unsigned(value)
                started = True
        for _ in range(self.groups):
            value = self.part(data, at, 4, mask, at == start)
            at += 4
            if started:
                sink.put_padded(value, 9)
            elif value:
                sink.put_unsigned(value)
                started = True
        if not started:
            put(sink, 0x30)
        if self.fraction_groups or self.tail:
            put(sink, 0x2E)
            for _ in range(self.fraction_groups):
                sink.put_padded(self.part(data, at, 4, mask, at == start), 9)
                at += 4
            if self.tail:
                sink.put_padded(self.part(data, at, self.tail_bytes, mask, at == start), self.tail)
        return 0


class BitForm(FieldForm):
    """BIT(n): big-endian."""

    def __init__(self, bits: int) -> None:
        FieldForm.__init__(self, (bits + 7) // 8, 0)
        self.bits = bits

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """n characters 0 and 1."""
        return sink.put_bits(big(data, start, length), self.bits)


class BinaryForm(FieldForm):
    """BINARY(n), whose zeros at the end are cut in row images and put back here, VARBINARY, BLOB, GEOMETRY."""

    def __init__(self, prefix: int, padded: int = 0) -> None:
        FieldForm.__init__(self, -1, prefix, PLAIN_BYTES)
        self.padded = padded

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        r"""`\x` and hexadecimal digits."""
        put(sink, 0x5C)
        if copy:
            put(sink, 0x5C)
        put(sink, 0x78)
        sink.put_hex(data, start, length)
        for _ in range(self.padded - length):
            put_bytes(sink, b"00")
        return 0


def refuse_nul() -> ValueRefused:
    """PostgreSQL's text types cannot hold U+0000."""
    return ValueRefused("the text holds a NUL character", hint="Give the column a NUL policy in its mapping.")


def refuse_bytes(piece: bytes, charset: str) -> ValueRefused:
    """The source itself has no character for these bytes."""
    error = ValueRefused(
        f"the bytes {piece[:40].hex(' ')} are no text of character set {charset}",
        hint="Mend the row in the source, or map the column to bytea.",
    )
    error.raw = bytes(piece)
    return error


def is_utf8(piece: bytes) -> bool:
    """Whether bytes are UTF-8."""
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


class TextForm(FieldForm):
    """Text that is UTF-8 in the source (ascii, utf8mb3, utf8mb4)."""

    def __init__(self, prefix: int, stripped: bool = False, ascii_only: bool = False) -> None:
        FieldForm.__init__(self, -1, prefix, NOT_PLAIN if stripped else PLAIN_TEXT)
        self.ascii_only = ascii_only
        self.stripped = stripped
        """CHAR: spaces at the end do not count."""

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """The text itself. Raises ValueRefused for what is not UTF-8 and, with `copy`, for NUL."""
        if self.stripped:
            while length > 0 and data[start + length - 1] == 0x20:
                length -= 1
        self.check(data, start, length, copy)
        if copy:
            return sink.put_copy(data, start, length)
        return put_slice(sink, data, start, length)

    def check(self, data: bytes, start: int, length: int, copy: bool) -> int:
        """Refuse what is not UTF-8 and, with `copy`, NUL."""
        if cython.compiled:
            good = not has_high(data + start, length)
            if not good and not self.ascii_only:
                good = valid_utf8(data + start, length)
        else:
            good = (data[start : start + length]).isascii()
            if not good and not self.ascii_only:
                good = is_utf8(data[start : start + length])
        if not good:
            raise refuse_bytes(data[start : start + length], "ascii" if self.ascii_only else "utf8mb4")
        if copy:
            if cython.compiled:
                if length and memchr(data + start, 0, length) != cython.NULL:
                    raise refuse_nul()
            elif 0 in data[start : start + length]:
                raise refuse_nul()
        return 0


class SingleByteForm(FieldForm):
    """Text in a character set of one byte a character, by a table of the UTF-8 form of each byte."""

    def __init__(self, prefix: int, charset: str, table: Sequence[bytes | None], stripped: bool = False) -> None:
        FieldForm.__init__(self, -1, prefix)
        self.charset = charset
        self.stripped = stripped
        self.pieces = list(table)
        # Four bytes a character: how many of the next three count; 255 where the source has no character.
        self.table = b"".join((b"\xff" if p is None else bytes((len(p),)) + p).ljust(4, b"\0") for p in table)

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """UTF-8. Raises ValueRefused for a byte that is no character and, with `copy`, for NUL."""
        if self.stripped:
            while length > 0 and data[start + length - 1] == 0x20:
                length -= 1
        mark = sink.mark()
        if cython.compiled:
            table = address(self.table)
            reserve(sink, 3 * length)
            for at in range(start, start + length):
                octet = data[at]
                if octet == 0 and copy:
                    raise refuse_nul()
                width = table[4 * octet]
                if width == 255:
                    raise refuse_bytes(data[at : at + 1], self.charset)
                for index in range(width):
                    sink.out[sink.size + index] = table[4 * octet + 1 + index]
                sink.size += width
        else:
            piece = data[start : start + length]
            if copy and 0 in piece:
                raise refuse_nul()
            try:
                put_bytes(sink, b"".join([self.pieces[octet] for octet in piece]))  # type: ignore[misc]
            except TypeError:
                holes = bytes(octet for octet in piece if self.pieces[octet] is None)
                raise refuse_bytes(holes[:1], self.charset) from None
        if copy:
            sink.escape_since(mark)
        return 0


class ConvertedForm(FieldForm):
    """Any column by a Python function from its bytes to its text; for what is rare."""

    def __init__(self, fixed: int, prefix: int, convert: Callable[[bytes], bytes], text: bool = False) -> None:
        FieldForm.__init__(self, fixed, prefix)
        self.convert = convert
        self.is_text = text

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """What the function gives. Raises ValueRefused and, with `copy`, refuses NUL in text."""
        piece = self.convert(data[start : start + length])
        if copy and self.is_text and 0 in piece:
            raise refuse_nul()
        mark = sink.mark()
        put_bytes(sink, piece)
        if copy:
            sink.escape_since(mark)
        return 0


class EnumForm(FieldForm):
    """ENUM: index of the label, from 1; 0 is the error value and reads as the empty string."""

    def __init__(self, width: int, labels: Sequence[bytes]) -> None:
        FieldForm.__init__(self, width, 0)
        self.labels = [b"", *labels]
        self.escaped = [copy_escaped(label) for label in self.labels]

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """The label. Raises ValueRefused for an index beyond the labels."""
        index = little(data, start, length)
        if index >= len(self.labels):
            raise ValueRefused(f"ENUM index {index} is beyond the {len(self.labels) - 1} labels of the schema history")
        return put_bytes(sink, self.escaped[index] if copy else self.labels[index])


class SetForm(FieldForm):
    """SET: a bit mask, lowest bit is the first label."""

    def __init__(self, width: int, labels: Sequence[bytes]) -> None:
        FieldForm.__init__(self, width, 0)
        self.labels = [array_element(label) for label in labels]
        self.escaped = [copy_escaped(label) for label in self.labels]

    def write(self, sink: Sink, data: bytes, start: int, length: int, copy: bool) -> int:
        """A PostgreSQL array literal. Raises ValueRefused for a bit beyond the labels."""
        mask = little(data, start, length)
        labels = self.escaped if copy else self.labels
        put(sink, 0x7B)
        index = 0
        first = True
        while mask:
            if mask & 1:
                if index >= len(labels):
                    raise ValueRefused(f"SET bit {index} is beyond the {len(labels)} labels of the schema history")
                if not first:
                    put(sink, 0x2C)
                first = False
                put_bytes(sink, labels[index])
            mask >>= 1
            index += 1
        return put(sink, 0x7D)


def array_element(label: bytes) -> bytes:
    """A label as an element of an array literal, always quoted (manual, "Array Input and Output Syntax")."""
    return b'"' + label.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
