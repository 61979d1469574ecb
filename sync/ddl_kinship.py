"""Whether the values of a column survive a change of its type as they are, from the two definitions alone.

The answer is about values, not about the store's type: what the source converts by rules of its own is not repeated.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from model.tables import ColumnDef
from transforms.source_types import INTEGER_BITS, family, integer_bounds

_UNICODE: Final = frozenset({"utf8mb4", "utf16", "utf16le", "utf32"})
"""Character sets that hold every character of every other."""
_TEXT_ROOM: Final = {"tinytext": 255, "text": 65_535, "mediumtext": 16_777_215, "longtext": 4_294_967_295}
_BYTE_ROOM: Final = {"tinyblob": 255, "blob": 65_535, "mediumblob": 16_777_215, "longblob": 4_294_967_295}


class Kinship(StrEnum):
    """What a change of type does to values that are there."""

    SAME = "same"
    """Every value stays and fits."""
    NARROWER = "narrower"
    """Values that fit stay; a store that refuses one shows that the source has changed it."""
    FOREIGN = "foreign"
    """The source converts values by its own rules."""


def kinship(old: ColumnDef, new: ColumnDef) -> Kinship:
    """How the values of `old` fare in `new`."""
    if (old.generated, old.expression if old.generated else None) != (
        new.generated,
        new.expression if new.generated else None,
    ):
        return Kinship.FOREIGN
    before, after = family(old), family(new)
    if before == "integer":
        return _from_integer(old, new, after)
    if before == "text" and after == "text":
        return _texts(old, new)
    if before == "enum" and after in ("enum", "text"):
        return _from_enum(old, new, after)
    if before == "text" and after == "enum":
        return Kinship.NARROWER
    if {before, after} == {"json", "text"} and old.type == new.type == "longtext":
        # MariaDB's JSON is a text with a check.
        return Kinship.NARROWER if new.json_check else Kinship.SAME
    if before == "date" and after == "datetime":
        return Kinship.SAME
    if before != after:
        return Kinship.FOREIGN
    match before:
        case "decimal":
            return _decimals(old, new)
        case "float":
            return _order(old.type == "double", new.type == "double", (old.scale, new.scale) == (None, None))
        case "binary":
            return _binaries(old, new)
        case "set":
            kept = [label for label in new.labels if label in old.labels]
            if len(kept) == len(old.labels):
                return Kinship.SAME if kept == list(old.labels) else Kinship.FOREIGN
            return Kinship.NARROWER
        case "datetime" | "timestamp" | "time":
            # Where digits go, MySQL rounds and MariaDB cuts off.
            return Kinship.SAME if (new.scale or 0) >= (old.scale or 0) else Kinship.FOREIGN
        case "bit":
            return Kinship.SAME if old.length == new.length else Kinship.FOREIGN
        case "vector":
            return Kinship.SAME if (new.length or 0) >= (old.length or 0) else Kinship.NARROWER
        case _:
            return Kinship.SAME if old.type == new.type else Kinship.FOREIGN


def _order(old: bool | int, new: bool | int, comparable: bool = True) -> Kinship:
    if not comparable:
        return Kinship.FOREIGN
    return Kinship.SAME if new >= old else Kinship.NARROWER


def _from_integer(old: ColumnDef, new: ColumnDef, after: str) -> Kinship:
    if (old.type == "year") != (new.type == "year") and new.type == "year":
        return Kinship.FOREIGN  # 70 becomes 1970
    low, high = integer_bounds(old)
    if after == "integer":
        least, most = integer_bounds(new)
        return Kinship.SAME if least <= low and high <= most else Kinship.NARROWER
    if after == "decimal":
        digits = (new.precision or 10) - (new.scale or 0)
        fits = len(str(max(-low, high))) <= digits and not (new.unsigned and low < 0)
        return Kinship.SAME if fits else Kinship.NARROWER
    if after == "float" and new.type == "double" and new.scale is None and INTEGER_BITS[old.type] <= 32:
        return Kinship.SAME
    if after == "text" and "zerofill" not in old.column_type:
        room = _TEXT_ROOM.get(new.type, new.length or 0)
        return Kinship.SAME if len(str(low)) <= room and len(str(high)) <= room else Kinship.NARROWER
    return Kinship.FOREIGN


def _texts(old: ColumnDef, new: ColumnDef) -> Kinship:
    if new.charset != old.charset and new.charset not in _UNICODE:
        return Kinship.FOREIGN
    if (new.type == "char") != (old.type == "char") and new.type == "char":
        return Kinship.FOREIGN  # trailing spaces go
    characters = old.type in ("char", "varchar")
    if characters and new.type in ("char", "varchar"):
        return _order(old.length or 0, new.length or 0)
    # Room in bytes: four a character at most.
    needs = 4 * (old.length or 0) if characters else _TEXT_ROOM[old.type]
    if old.charset == new.charset or characters:
        return _order(needs, _TEXT_ROOM.get(new.type, new.length or 0))
    return Kinship.SAME if new.type == "longtext" or _TEXT_ROOM.get(new.type, 0) >= needs else Kinship.NARROWER


def _from_enum(old: ColumnDef, new: ColumnDef, after: str) -> Kinship:
    if after == "enum":
        # The source goes by labels, not by numbers.
        return Kinship.SAME if set(old.labels) <= set(new.labels) else Kinship.NARROWER
    room = _TEXT_ROOM.get(new.type, new.length or 0)
    same = new.charset == old.charset or new.charset in _UNICODE
    longest = max((len(label) for label in old.labels), default=0)
    return (Kinship.SAME if longest <= room else Kinship.NARROWER) if same else Kinship.FOREIGN


def _decimals(old: ColumnDef, new: ColumnDef) -> Kinship:
    whole = (old.precision or 10) - (old.scale or 0), (new.precision or 10) - (new.scale or 0)
    wider = whole[1] >= whole[0] and (new.scale or 0) >= (old.scale or 0)
    return Kinship.SAME if wider and (old.unsigned or not new.unsigned) else Kinship.NARROWER


def _binaries(old: ColumnDef, new: ColumnDef) -> Kinship:
    if "binary" in (old.type, new.type):
        return Kinship.SAME if (old.type, old.length) == (new.type, new.length) else Kinship.FOREIGN
    return _order(_BYTE_ROOM.get(old.type, old.length or 0), _BYTE_ROOM.get(new.type, new.length or 0))
