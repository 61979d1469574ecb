"""Constants of the kernel, of C where it is compiled: which values a column's casts must see, and marks of values."""

from __future__ import annotations

NEVER, ALWAYS, IF_NUL, IF_BACKSLASH, IF_LONGER, IF_ODD_DATE = 0, 1, 2, 4, 8, 16
"""All other values the casts surely leave alone."""
IS_NULL, IS_ABSENT = -1, -2
"""Lengths that stand for values which are not there."""
NOT_PLAIN, PLAIN_TEXT, PLAIN_BYTES = 0, 1, 2
"""How a value's text is made: not piece by piece, with the escapes of COPY, as hexadecimal digits."""
AS_IS, INTEGER, DECIMAL, MOMENT, INSTANT, DOCUMENT, CALL = range(7)
"""How the text of a target column's value becomes canonical; CALL: by its own function, which the others need for
values that are not spelled in the ordinary way."""
