"""Functions of the expression language over JSON documents and arrays of text. Computed here only.

The servers disagree about documents (MySQL 5.6 has none, MariaDB's are text, numbers lose digits), so these have no
SQL; a comparison reads the rows and computes them here. Numbers keep the digits they are written with; of a key that
comes twice the last one counts, as in jsonb.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from model.errors import ConfigError, ValueRefused
from transforms.typed_sql import Kind, Typed, Value, as_text, computed_here, digits_text

WHY = "the servers disagree about JSON documents"
WHY_ARRAY = "the source has no arrays"
Path = Sequence[str | int]
"""Keys and positions (from 0) from the root."""


class _Number(str):
    """A number as it is written."""


def _read(text: str) -> Any:
    try:
        return json.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_no_constant)
    except ValueError:
        raise ValueRefused(
            f"the value {text[:60]!r} is not a JSON document", hint="Mend it in the source, or guard it with CASE."
        ) from None


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def written(value: Any) -> str:
    """A document as text: no spaces, every character itself, numbers with their digits."""
    if isinstance(value, _Number):
        return value
    if isinstance(value, dict):
        return "{" + ",".join(f"{written(str(key))}:{written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


_NOWHERE = object()


def _at(document: Any, path: Path) -> Any:
    for step in path:
        if isinstance(step, str):
            document = document.get(step, _NOWHERE) if isinstance(document, dict) else _NOWHERE
        else:
            document = document[step] if isinstance(document, list) and step < len(document) else _NOWHERE
        if document is _NOWHERE:
            return _NOWHERE
    return document


def _document(part: Typed) -> Typed:
    if part.kind in (Kind.JSON, Kind.TEXT):
        return part
    raise ConfigError(
        f"a JSON document is needed here, and this is {part.kind}: {part.mysql}", hint="Use a JSON or text column."
    )


def extract(part: Typed, path: Path) -> Typed:
    """JSON_EXTRACT, `->`: the part of the document, a document again; NULL when there is none."""

    def function(text: str) -> Value:
        found = _at(_read(text), path)
        return None if found is _NOWHERE else written(found)

    return computed_here(Kind.JSON, function, [_document(part)], WHY)


def unquoted(part: Typed, path: Path = ()) -> Typed:
    """`->>`, JSON_UNQUOTE: the part of the document as text; strings bare, NULL for null and for nothing."""

    def function(text: str) -> Value:
        found = _at(_read(text), path)
        return None if found is _NOWHERE or found is None else _bare(found)

    return computed_here(Kind.TEXT, function, [_document(part)], WHY)


def value(part: Typed, path: Path) -> Typed:
    """JSON_VALUE: a single value as text; NULL for objects, arrays, null and nothing."""

    def function(text: str) -> Value:
        found = _at(_read(text), path)
        return None if found is _NOWHERE or found is None or isinstance(found, dict | list) else _bare(found)

    return computed_here(Kind.TEXT, function, [_document(part)], WHY)


def _bare(found: Any) -> str:
    return str(found) if isinstance(found, str) else written(found)


def _encoder(part: Typed) -> Callable[[Value], str]:
    """How a value of the kind is written in a document. Raises ConfigError."""
    if part.kind is Kind.NUMBER:
        scale = part.scale
        return lambda found: digits_text(Decimal(found), scale)
    if part.kind is Kind.JSON:
        return lambda found: written(_read(found))
    if part.kind is Kind.ARRAY:
        return lambda found: written(list(found))
    if part.kind in (Kind.BOOLEAN, Kind.NULL, Kind.TEXT, Kind.DATE, Kind.DATETIME):
        return written
    raise ConfigError(
        f"{part.kind} has no exact form in a JSON document: {part.mysql}", hint="CAST it: CAST(… AS DECIMAL(p,s))."
    )


def built_object(pairs: Sequence[tuple[str, Typed]]) -> Typed:
    """JSON_OBJECT('key', value, …); NULL becomes null."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ConfigError("JSON_OBJECT names a key twice", hint="Name every key once.")
    keys = [written(name) for name in names]
    encoders = [_encoder(part) for _, part in pairs]

    def function(*values: Value) -> str:
        written_pairs = zip(keys, encoders, values, strict=True)
        return "{" + ",".join(f"{key}:{'null' if v is None else encode(v)}" for key, encode, v in written_pairs) + "}"

    return computed_here(Kind.JSON, function, [part for _, part in pairs], WHY, strict=False)


def built_array(parts: Sequence[Typed]) -> Typed:
    """JSON_ARRAY(value, …); NULL becomes null."""
    encoders = [_encoder(part) for part in parts]

    def function(*values: Value) -> str:
        return "[" + ",".join("null" if v is None else e(v) for e, v in zip(encoders, values, strict=True)) + "]"

    return computed_here(Kind.JSON, function, parts, WHY, strict=False)


# ---------------------------------------------------------------- arrays


def split(part: Typed, delimiter: str) -> Typed:
    """STRING_TO_ARRAY: the pieces between delimiters; an empty text has none."""
    if not delimiter:
        raise ConfigError("STRING_TO_ARRAY needs a delimiter", hint="Write it out, e.g. ','.")
    return computed_here(
        Kind.ARRAY, lambda text: tuple(text.split(delimiter)) if text else (), [as_text(part)], WHY_ARRAY
    )


def joined_text(part: Typed, delimiter: str) -> Typed:
    """ARRAY_TO_STRING: the elements with the delimiter between them."""
    if part.kind is not Kind.ARRAY:
        raise ConfigError(
            f"an array is needed here, and this is {part.kind}: {part.mysql}", hint="Use a SET column or an array."
        )
    return computed_here(Kind.TEXT, delimiter.join, [part], WHY_ARRAY)
