"""Which values a column's casts must see: bits that the kernel tests, as constants of C where it is compiled."""

from __future__ import annotations

NEVER, ALWAYS, IF_NUL, IF_BACKSLASH, IF_LONGER, IF_ODD_DATE = 0, 1, 2, 4, 8, 16
"""All other values the casts surely leave alone."""
IS_NULL, IS_ABSENT = -1, -2
"""Lengths that stand for values which are not there."""
