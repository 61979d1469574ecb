"""Surrogate keys: UUIDs that are computed from the source's key, so that copy, stream and comparison agree on them.

UUID version 5 (RFC 9562, section 5.5): SHA-1 over a namespace, which stands for what is identified, and the text forms
of the columns. Nothing is remembered, and nobody has to be asked for the next number.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from model.rows import Field, Row
from model.tables import TableDef
from transforms.plan import CompiledExpression

_ROOT: Final = uuid.uuid5(uuid.NAMESPACE_URL, "crossfade:surrogate")


def namespace(kind: str) -> uuid.UUID:
    """The namespace of everything that is called `kind`."""
    return uuid.uuid5(_ROOT, kind)


def surrogate(kind: str, values: Sequence[bytes]) -> bytes:
    """The UUID of key values in text form. Several are told apart by their lengths: ("1", "23") is not ("12", "3")."""
    text = values[0] if len(values) == 1 else b"".join(b"%d:%s" % (len(value), value) for value in values)
    # uuid5 takes the bytes of a name as they are; text forms are UTF-8.
    return str(uuid.uuid5(namespace(kind), text.decode())).encode()


def compile_surrogate(kind: str, names: Sequence[str], table: TableDef) -> CompiledExpression:
    """The computation over source columns; NULL when one of them is. `names` are columns of the table."""
    ordinals = tuple(table.index_of(name) for name in names)

    def evaluate(row: Row) -> Field:
        values = [row[ordinal] for ordinal in ordinals]
        return surrogate(kind, [value for value in values if isinstance(value, bytes)]) if None not in values else None

    return CompiledExpression(
        f"UUID of {kind} ({', '.join(names)}), version 5 in {namespace(kind)}",
        evaluate,
        "",
        "",
        tuple(sorted(set(ordinals))),
        unpushable="the source computes no version 5 UUID",
    )
