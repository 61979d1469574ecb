"""The snapshot's way to the text form (docs/architecture.md §3): what to SELECT, and what to do with the answer.

Gives the same bytes as the decoder gives for the stream. The connection must hand out raw bytes (PyMySQL: `conv={}`,
`use_unicode=False`), speak utf8mb4 and have the time zone +00:00. Text of other character sets is read as raw bytes and
mapped by our own tables, because the server prints '?' for what it cannot map.
"""

from __future__ import annotations

from collections.abc import Callable

from model.errors import Refused
from model.rows import Field
from model.tables import ColumnDef
from stores.mysql import ServerInfo
from sync.mysql import charsets
from sync.mysql.forms import EnumForm, SetForm
from sync.mysql.layout import BINARIES, GEOMETRIES, vector_text
from sync.mysql.literals import quoted_name

FromSelect = Callable[[bytes | None], Field]
TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
"""Types of text in a character set."""


def select_expression(column: ColumnDef, info: ServerInfo) -> str:
    """The expression to select for a column. Raises Refused for a type that SELECT does not show whole."""
    name = quoted_name(column.name)
    if column.type in ("float", "double"):
        # A FLOAT prints six digits only; times one keeps every bit, plus zero would lose the sign of -0.
        whole = f"{name}*1e0"
        # MariaDB prints -0 as 0; only the angle tells them apart.
        return f"IF({name}=0 AND ATAN2({name},-1)<0,'-0',{whole})" if info.mariadb else whole
    if column.type in ("enum", "set"):
        # The number: labels may be empty, and 64 bits must stay exact.
        return f"CAST({name} AS UNSIGNED)"
    if column.type in TEXTS and column.charset not in (None, "utf8mb4"):
        return f"CAST({name} AS BINARY)"
    if column.type == "year" and column.column_type.lower().startswith("year(2)"):
        raise Refused(
            f"YEAR(2) does not say which century: column {column.name}",
            hint=f"On the source: ALTER TABLE … MODIFY {name} YEAR(4)",
            column=column.name,
            server=info.version_text,
        )
    return name


def from_select(column: ColumnDef) -> FromSelect:
    """The function from the selected bytes to the column's field; `as_is` when there is nothing to do.

    The function raises ValueRefused where the decoder would.
    """
    convert = _converter(column)
    if convert is None:
        return as_is

    def read(value: bytes | None) -> Field:
        if value is None:
            return None
        return convert(value)

    return read


def as_is(value: bytes | None) -> Field:
    """The bytes themselves."""
    return value


def _converter(column: ColumnDef) -> Callable[[bytes], bytes] | None:
    base = column.type
    if base in ("float", "double"):
        return lambda value: repr(float(value)).encode()
    if base == "decimal":
        return decimal_text
    if base == "year" or "zerofill" in column.column_type:
        return lambda value: b"%d" % int(value)
    if base == "bit":
        bits = column.length or 1
        return lambda value: bin(int.from_bytes(value, "big"))[2:].zfill(bits).encode()
    if base in BINARIES or base in GEOMETRIES:
        return lambda value: b"\\x" + value.hex().encode()
    if base == "timestamp":
        return lambda value: value + b"+00"
    if base in ("enum", "set"):
        labels = [label.encode() for label in column.labels]
        form = EnumForm(8, labels) if base == "enum" else SetForm(8, labels)
        return lambda value: form.text(int(value).to_bytes(8, "little"))
    if base == "vector":
        return vector_text
    if base in TEXTS:
        decode = charsets.decoder(column.charset or "utf8mb4")
        return (lambda value: decode(value).rstrip(b" ")) if base == "char" else decode
    return None


def decimal_text(value: bytes) -> bytes:
    """A DECIMAL without the zeros that ZEROFILL puts before it, and without a sign of zero."""
    sign, digits = (b"-", value[1:]) if value.startswith(b"-") else (b"", value)
    digits = digits.lstrip(b"0")
    if not digits or digits.startswith(b"."):
        digits = b"0" + digits
    return sign + digits if digits.strip(b"0.") else digits
