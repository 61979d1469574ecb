"""Column defaults: the source's → PostgreSQL SQL. What cannot be translated is dropped with a note, never guessed."""

from __future__ import annotations

import re

from model.errors import ConfigError, ValueRefused
from model.rows import Field
from model.tables import ColumnDef, DefaultKind
from transforms.casts import array_literal
from transforms.names import literal
from transforms.types import TypeChoice, family

_HEX = re.compile(r"(?:0x|x')([0-9a-fA-F]*)'?")
_BITS = re.compile(r"b'([01]*)'|0b([01]+)")
_UUID = re.compile(r"\(*uuid\(\)\)*", re.IGNORECASE)


def neutral_literal(column: ColumnDef, text: str) -> bytes:
    """The text form (docs/architecture.md §3) of a literal default or of a value that a person wrote."""
    kind = family(column)
    hexed, bits = _HEX.fullmatch(text), _BITS.fullmatch(text)
    if kind == "bit":
        digits = (bits[1] or bits[2] or "0") if bits else format(int(text), "b") if text.isdigit() else text
        return digits.rjust(column.length or 1, "0").encode()
    if kind == "binary":
        raw = bytes.fromhex(hexed[1]) if hexed else text.encode()
        if column.type == "binary":
            raw = raw.ljust(column.length or len(raw), b"\0")
        return b"\\x" + raw.hex().encode()
    if kind == "set":
        chosen = set(text.split(",")) if text else set()
        return array_literal([label for label in column.labels if label in chosen])
    if kind == "timestamp":
        return (text if text.endswith("+00") else f"{text}+00").encode()
    if kind == "integer" and bits:
        return str(int(bits[1] or bits[2] or "0", 2)).encode()
    return text.encode()


def default_sql(column: ColumnDef, choice: TypeChoice) -> tuple[str | None, str | None]:
    """The default in PostgreSQL SQL, and a note when it had to be dropped."""
    where = f"column {column.name}: the default {column.default!r}"
    match column.default_kind:
        case DefaultKind.NONE | DefaultKind.NULL:
            return None, None
        case DefaultKind.NOW:
            digits = f"({column.scale})" if column.scale else "(0)"
            if choice.type.startswith(("timestamp", "date")):
                return f"CURRENT_TIMESTAMP{digits}" if choice.type != "date" else "CURRENT_DATE", None
            return None, f"{where} does not fit the type {choice.type} and is dropped"
        case DefaultKind.EXPRESSION:
            if _UUID.fullmatch(column.default or "") and choice.type in ("uuid", "text", "character varying(36)"):
                return "gen_random_uuid()" if choice.type == "uuid" else "gen_random_uuid()::text", None
            return None, f"{where} is an expression that is not translated; it is dropped"
        case DefaultKind.LITERAL:
            try:
                value: Field = neutral_literal(column, column.default or "")
                for cast in choice.casts:
                    value = cast.convert(value)
            except (ValueRefused, ValueError, ConfigError):
                return None, f"{where} does not fit the type {choice.type} and is dropped"
            return (f"{literal(value.decode())}::{choice.type}" if isinstance(value, bytes) else None), None
