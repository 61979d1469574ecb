"""Columns computed by functions of the user's own: loaded by name, guarded, computed by us on both ways.

A function gets text forms and gives a value; what it raises sets the row aside with the reason and never ends the
stream.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from model.errors import ConfigError, ValueRefused
from model.rows import Field, Row
from model.tables import ColumnDef, TableDef
from transforms.casts import array_literal
from transforms.plan import CompiledExpression, Inverse

WHY = "a Python function is computed by crossfade"


def compile_function(
    name: str, reads: Sequence[ColumnDef], table: TableDef, folders: Sequence[Path], column: str
) -> CompiledExpression:
    """The function `module:function` over source columns. Raises ConfigError when it cannot be loaded."""
    function, digest = _loaded(name, folders, column)
    ordinals = tuple(table.index_of(item.name) for item in reads)

    def evaluate(row: Row) -> Field:
        return _called(name, function, [row[ordinal] for ordinal in ordinals])

    shown = f"{name}({', '.join(item.name for item in reads)}), file {digest}"
    # Ordinals are also what the row is checked for: a partial image must have them all.
    return CompiledExpression(shown, evaluate, "", "", tuple(sorted(set(ordinals))), unpushable=WHY)


def compile_inverse(name: str, gives: ColumnDef, table: TableDef, folders: Sequence[Path], column: str) -> Inverse:
    """The function `module:function` back to a source column. Raises ConfigError when it cannot be loaded."""
    function, _ = _loaded(name, folders, column)

    def call(text: str | None) -> Field:
        return _called(name, function, [None if text is None else text.encode()])

    return Inverse(name, table.index_of(gives.name), call)


def _loaded(name: str, folders: Sequence[Path], column: str) -> tuple[Callable[..., Any], str]:
    """The function, and the digest of its file by which a change of its code is seen."""
    module_name, _, function_name = name.partition(":")
    for folder in reversed(folders):
        text = str(folder.resolve())
        if text not in sys.path:
            sys.path.insert(0, text)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's code, whatever it does
        raise ConfigError(
            f"the module {module_name} cannot be loaded: {type(error).__name__}: {error}",
            hint="Name its folder in python_path, or install it where crossfade runs.",
            column=column,
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigError(
            f"the module {module_name} has no function {function_name}",
            hint=f"It has: {', '.join(sorted(n for n in vars(module) if not n.startswith('_'))[:12])}.",
            column=column,
        )
    file = getattr(module, "__file__", None)
    code = Path(file).read_bytes() if file else name.encode()
    return function, hashlib.sha256(code).hexdigest()[:8]


def _called(name: str, function: Callable[..., Any], values: Sequence[Field]) -> Field:
    texts = [value.decode() if isinstance(value, bytes) else None for value in values]
    try:
        return _text(name, function(*texts))
    except ValueRefused:
        raise
    except Exception as error:  # the user's code, whatever it does
        raise ValueRefused(
            f"{name} raised {type(error).__name__}: {error}", hint="Mend the function or the value, then retry the row."
        ) from error


def _text(name: str, result: Any) -> Field:
    """A result as a text that PostgreSQL reads."""
    if result is None or isinstance(result, bytes):
        return result
    if isinstance(result, str):
        return result.encode()
    if isinstance(result, bool):
        return b"true" if result else b"false"
    if isinstance(result, int | Decimal):
        return format(result, "f" if isinstance(result, Decimal) else "d").encode()
    if isinstance(result, float):
        return repr(result).encode()
    if isinstance(result, datetime.datetime):
        return result.isoformat(sep=" ").encode()
    if isinstance(result, datetime.date):
        return result.isoformat().encode()
    if isinstance(result, list | tuple) and all(isinstance(item, str) for item in result):
        return array_literal(list(result))
    if isinstance(result, dict):
        return json.dumps(result, ensure_ascii=False, sort_keys=True).encode()
    raise ValueRefused(
        f"{name} gave a {type(result).__name__}",
        hint="Give a str, int, Decimal, float, bool, date, list of str or dict.",
    )
