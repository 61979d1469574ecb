"""Server variables that a caller sets on top of, or instead of, our defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Value = str | int | float | bool | Sequence[str] | None
"""None takes our default away; a sequence gives the variable several times."""
Options = Mapping[str, Value]


def merged(defaults: Options, options: Options | None) -> dict[str, Value]:
    """`defaults` overridden by `options`; `-` and `_` in names are the same."""
    result = dict(defaults)
    for name, value in (options or {}).items():
        plain = name.replace("-", "_")
        for taken in (plain, f"loose_{plain}", plain.removeprefix("loose_")):
            result.pop(taken, None)
        if value is not None:
            result[plain] = value
    return result


def texts(value: Value) -> list[str]:
    """The value as the server's configuration file spells it, once for every time it is to be given."""
    if value is None:
        return []
    if isinstance(value, bool):
        return ["ON" if value else "OFF"]
    if isinstance(value, str):
        return [value]
    if isinstance(value, Sequence):
        return list(value)
    return [str(value)]
