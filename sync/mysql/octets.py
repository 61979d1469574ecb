"""Integers out of bytes: what the uncompiled decoder uses in place of the inline functions of octets.pxd."""

from __future__ import annotations


def big(data: bytes, start: int, width: int) -> int:
    """Big-endian unsigned integer."""
    return int.from_bytes(data[start : start + width], "big")


def little(data: bytes | bytearray, start: int, width: int) -> int:
    """Little-endian unsigned integer."""
    return int.from_bytes(data[start : start + width], "little")


def little_signed(data: bytes, start: int, width: int) -> int:
    """Little-endian integer in two's complement."""
    return int.from_bytes(data[start : start + width], "little", signed=True)
