"""JSON text as PostgreSQL's jsonb prints it, in one pass: members by length and bytes of their names.

Only for documents that need nothing else: a string with an escape, a number with an exponent or a negative zero, a name
that comes twice, and what is no JSON are left to a parser. Compiled with the types of json_text.pxd; runs uncompiled as
it is.
"""

# mypy: always-false=compiled

from __future__ import annotations

from sync.mysql.sink import Sink

try:
    import cython
except ImportError:  # Cython is needed to compile only
    from sync.mysql import cython_shim as cython

if not cython.compiled:
    from sync.mysql.sink import put, put_bytes, put_slice

    DEEPEST, NOT_PLAIN = 200, -1

_WORDS = (b"true", b"false", b"null")


def plain_document(text: bytes) -> bytes | None:
    """The document as jsonb prints it; None when a parser has to look at it."""
    return put_plain_document(Sink(), text)


def put_plain_document(sink: Sink, text: bytes) -> bytes | None:
    """`plain_document` with a buffer of the caller's, which is left as it was."""
    mark = sink.mark()
    behind = put_value(sink, text, 0, len(text), 0)
    if behind != NOT_PLAIN:
        behind = blank(text, behind, len(text))
    found = sink.take(mark)
    return found if behind == len(text) else None


def blank(data: bytes, start: int, end: int) -> int:
    """The offset of the first character that is no white space."""
    at = start
    while at < end and (data[at] == 0x20 or data[at] == 0x0A or data[at] == 0x0D or data[at] == 0x09):
        at += 1
    return at


def put_value(sink: Sink, data: bytes, start: int, end: int, depth: int) -> int:
    """Write the value that begins at `start`; the offset behind it, or NOT_PLAIN."""
    at = blank(data, start, end)
    if at >= end or depth > DEEPEST:
        return NOT_PLAIN
    octet = data[at]
    if octet == 0x22:
        return put_string(sink, data, at, end)
    if octet == 0x7B:
        return put_object(sink, data, at + 1, end, depth + 1)
    if octet == 0x5B:
        return put_array(sink, data, at + 1, end, depth + 1)
    if octet == 0x2D or 0x30 <= octet <= 0x39:
        return put_number(sink, data, at, end)
    for word in _WORDS:
        if data[at : min(at + len(word), end)] == word:
            put_bytes(sink, word)
            return at + len(word)
    return NOT_PLAIN


def put_string(sink: Sink, data: bytes, start: int, end: int) -> int:
    """Write a string without escapes, in its quotes."""
    at = start + 1
    while at < end and data[at] != 0x22:
        if data[at] == 0x5C or data[at] < 0x20:
            return NOT_PLAIN
        at += 1
    if at >= end:
        return NOT_PLAIN
    put_slice(sink, data, start, at + 1 - start)
    return at + 1


def put_number(sink: Sink, data: bytes, start: int, end: int) -> int:
    """Write a number without exponent, which prints as it is unless it is a negative zero."""
    at = start
    if data[at] == 0x2D:
        at += 1
    first = at
    nonzero = False
    while at < end and 0x30 <= data[at] <= 0x39:
        nonzero = nonzero or data[at] != 0x30
        at += 1
    if at == first or (data[first] == 0x30 and at > first + 1):
        return NOT_PLAIN
    if at < end and data[at] == 0x2E:
        at += 1
        point = at
        while at < end and 0x30 <= data[at] <= 0x39:
            nonzero = nonzero or data[at] != 0x30
            at += 1
        if at == point:
            return NOT_PLAIN
    if (at < end and (data[at] == 0x65 or data[at] == 0x45)) or (data[start] == 0x2D and not nonzero):
        return NOT_PLAIN
    put_slice(sink, data, start, at - start)
    return at


def put_array(sink: Sink, data: bytes, start: int, end: int, depth: int) -> int:
    """Write an array from behind its bracket."""
    put(sink, 0x5B)
    at = blank(data, start, end)
    if at < end and data[at] == 0x5D:
        put(sink, 0x5D)
        return at + 1
    while True:
        at = put_value(sink, data, at, end, depth)
        if at == NOT_PLAIN:
            return NOT_PLAIN
        at = blank(data, at, end)
        if at < end and data[at] == 0x2C:
            put(sink, 0x2C)
            put(sink, 0x20)
            at += 1
            continue
        if at < end and data[at] == 0x5D:
            put(sink, 0x5D)
            return at + 1
        return NOT_PLAIN


def put_object(sink: Sink, data: bytes, start: int, end: int, depth: int) -> int:
    """Write an object from behind its brace, its members in order."""
    put(sink, 0x7B)
    mark = sink.mark()
    at = blank(data, start, end)
    if at < end and data[at] == 0x7D:
        put(sink, 0x7D)
        return at + 1
    members: list[tuple[int, bytes, bytes]] = []
    while True:
        at = blank(data, at, end)
        if at >= end or data[at] != 0x22:
            return NOT_PLAIN
        behind = put_string(sink, data, at, end)
        if behind == NOT_PLAIN:
            return NOT_PLAIN
        name = data[at + 1 : behind - 1]
        at = blank(data, behind, end)
        if at >= end or data[at] != 0x3A:
            return NOT_PLAIN
        put(sink, 0x3A)
        put(sink, 0x20)
        at = put_value(sink, data, at + 1, end, depth)
        if at == NOT_PLAIN:
            return NOT_PLAIN
        members.append((len(name), name, sink.take(mark)))
        at = blank(data, at, end)
        if at < end and data[at] == 0x2C:
            at += 1
            continue
        if at < end and data[at] == 0x7D:
            break
        return NOT_PLAIN
    members.sort()
    previous: bytes | None = None
    for _, name, member in members:
        if previous is not None:
            if name == previous:
                return NOT_PLAIN
            put(sink, 0x2C)
            put(sink, 0x20)
        put_bytes(sink, member)
        previous = name
    put(sink, 0x7D)
    return at + 1
