"""MySQL's binary JSON: documents written by hand after the format's documentation, and damaged ones."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ValueRefused
from sync.mysql.jsonb import JsonForm, double_text, opaque_text

FORM = JsonForm(4)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"", b"null"),
        (b"\x04\x00", b"null"),
        (b"\x04\x01", b"true"),
        (b"\x05\xff\xff", b"-1"),
        (b"\x06\xff\xff", b"65535"),
        (b"\x07\x00\x00\x00\x80", b"-2147483648"),
        (b"\x08\xff\xff\xff\xff", b"4294967295"),
        (b"\x09" + struct.pack("<q", -(2**63)), b"-9223372036854775808"),
        (b"\x0a" + struct.pack("<Q", 2**64 - 1), b"18446744073709551615"),
        (b"\x0b" + struct.pack("<d", 1.5), b"1.5"),
        (b'\x0c\x03a"\n', rb'"a\"\n"'),
        # {"a": [1, null]}: one entry; key at 11, array at 12 with two inlined values.
        (
            b"\x00" + struct.pack("<HHHHBH", 1, 22, 11, 1, 2, 12) + b"a" + struct.pack("<HHBHBH", 2, 10, 5, 1, 4, 0),
            b'{"a": [1, null]}',
        ),
        (b"\x03" + struct.pack("<II", 1, 13) + b"\x07" + struct.pack("<i", -70000), b"[-70000]"),
        (b"\x0c\x80\x01" + b"x" * 128, b'"' + b"x" * 128 + b'"'),
    ],
)
def test_documents(document: bytes, text: bytes) -> None:
    assert FORM.text(document) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, b"0.0"),
        (-0.0, b"-0.0"),
        (1e14, b"100000000000000.0"),
        (123456789012345680.0, b"1.2345678901234568e17"),
        (1234567890123456.8, b"1234567890123456.8"),
        (1e15, b"1e15"),
        (1e-14, b"0.00000000000001"),
        (1e-15, b"0.000000000000001"),
        (1e-16, b"1e-16"),
        (-2.5e-7, b"-0.00000025"),
        (1.7976931348623157e308, b"1.7976931348623157e308"),
        (5e-324, b"5e-324"),
    ],
)
def test_doubles_as_the_server_prints_them(number: float, text: bytes) -> None:
    assert double_text(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_read_back(number: float) -> None:
    text = double_text(number).decode()
    assert float(text) == number
    assert "." in text or "e" in text


@pytest.mark.parametrize(
    ("kind", "raw", "text"),
    [
        (246, b"\x03\x02\x81\x32", b"1.50"),
        (246, b"\x03\x02\x7e\xcd", b"-1.50"),
        (11, (-((1 << 12 | 2 << 6 | 3) << 24 | 500000)).to_bytes(8, "little", signed=True), b'"-01:02:03.500000"'),
        (10, (((2024 * 13 + 2) << 5 | 29) << 17 << 24).to_bytes(8, "little"), b'"2024-02-29"'),
        (15, b"\x00\xff\x10", b'"base64:type15:AP8Q"'),
    ],
)
def test_values_of_other_types(kind: int, raw: bytes, text: bytes) -> None:
    assert opaque_text(kind, raw) == text


@given(st.binary(max_size=80))
def test_damaged_documents_are_refused_and_nothing_else(document: bytes) -> None:
    with suppress(ValueRefused):
        FORM.text(document)


@given(st.binary(max_size=30), st.integers(0, 3))
def test_damaged_containers_end(document: bytes, kind: int) -> None:
    header = (
        struct.pack("<BHH", kind, 2, len(document)) if kind in (0, 2) else struct.pack("<BII", kind, 2, len(document))
    )
    with suppress(ValueRefused):
        FORM.text(header + document)


def test_a_value_that_points_back_is_refused() -> None:
    # An array whose only value is the array itself.
    with pytest.raises(ValueRefused):
        FORM.text(b"\x02" + struct.pack("<HHBH", 1, 7, 2, 0))
