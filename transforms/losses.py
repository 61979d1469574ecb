"""What a plan changes or leaves behind, column by column, and what to write in the configuration to have it otherwise.

Two kinds: what is gone or refused (`kept` False), and values that stay whole but look or behave in another way. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from model.tables import ColumnDef
from transforms.plan import ColumnKind, ColumnPlan, TablePlan
from transforms.source_types import family

_NOTE: Final = re.compile(r"(?P<about>(?:column|index|check|foreign key) [^:]+): (?P<what>.*)", re.DOTALL)
_ZONE: Final = "timestamptz at time zone 'Europe/Berlin'"


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that is not in the store as it is in the source."""

    about: str
    """`column c`, `index i`, `check c`, `foreign key f`, or "" for the table."""
    what: str
    option: str = ""
    """YAML that chooses otherwise, or "" where there is no choice."""
    kept: bool = False
    """Every value stays whole and can be turned back."""


def losses(plan: TablePlan) -> tuple[Loss, ...]:
    """Everything that is worth knowing of a plan before it starts, in the order of its columns, then of its notes."""
    found = [loss for column in plan.columns for loss in _column(plan, column)]
    for note in plan.notes:
        if note.startswith("shared with "):
            continue
        match = _NOTE.fullmatch(note)
        about, what = (match["about"], match["what"]) if match else ("", note)
        found.append(Loss(about, what, _option_of(plan, about, what)))
    return tuple(found)


def _column(plan: TablePlan, column: ColumnPlan) -> Iterator[Loss]:
    if column.kind is not ColumnKind.COPY or column.source is None:
        return
    source = plan.source.columns[column.source]
    about = f"column {source.name}"
    names = {cast.name for cast in column.casts}
    for said, policy in _DATES_SAID:
        if policy in names:
            yield Loss(about, said, _table(plan, "zero_dates", "infinity | null | quarantine"), kept=True)
    if "nul_quarantine" in names:
        what = "a text with a NUL character goes to quarantine, for PostgreSQL has no place for it"
        yield Loss(about, what, "defaults: {nul_characters: strip}", kept=True)
    for applies, said, option in _FORMS:
        if applies(source, column.target.type):
            yield Loss(about, said, _types(plan, source, option) if ":" not in option else option, kept=True)


_DATES_SAID: Final = (
    ("0000-00-00 becomes -infinity; other impossible dates (2024-02-31) go to quarantine", "zero_date_infinity"),
    ("0000-00-00 and every impossible date go to quarantine", "zero_date_quarantine"),
)
"""By the cast that does it; that they become NULL is a note of the plan, for it cannot be turned back."""


def _is(kind: str, *types: str) -> Callable[[ColumnDef, str], bool]:
    """Columns of a family whose type in the store begins with one of `types`."""
    return lambda source, target: family(source) == kind and target.startswith(types)


def _text_that(test: Callable[[str], bool]) -> Callable[[ColumnDef, str], bool]:
    def applies(source: ColumnDef, target: str) -> bool:
        return family(source) == "text" and target != "citext" and test((source.collation or "binary").lower())

    return applies


def _folds(collation: str) -> bool:
    return collation != "binary" and not collation.endswith(("_bin", "_cs"))


def _pads(collation: str) -> bool:
    return collation != "binary" and "0900" not in collation and "nopad" not in collation


_FORMS: Final[tuple[tuple[Callable[[ColumnDef, str], bool], str, str], ...]] = (
    (
        lambda source, target: source.type == "bigint" and source.unsigned and target.startswith("numeric"),
        "BIGINT UNSIGNED becomes numeric(20,0): every value fits, clients read another type",
        "bigint",
    ),
    (
        lambda source, target: source.column_type.startswith("tinyint(1)") and target == "smallint",
        "TINYINT(1) is a number in the store too",
        "boolean",
    ),
    (
        lambda source, target: "zerofill" in source.column_type and family(source) == "integer",
        "ZEROFILL pads what is printed, which the store does not",
        "text",
    ),
    (_is("bit", "bit"), "BIT is a string of bits, b'101', not a number", "bigint"),
    (
        lambda source, target: source.type == "float" and target == "real",
        "every bit of the number stays; its shortest text may have more digits than the source prints (six)",
        "numeric",
    ),
    (_text_that(_folds), "the source overlooks case or accents when it compares, the store does not", "citext"),
    (
        _text_that(_pads),
        "the source overlooks blanks at the end when it compares, the store does not",
        "",
    ),
    (_is("enum", "text"), "an ENUM is sorted by its text, not by the number of its label", "enum"),
    (_is("enum", '"'), "the ENUM error value (index 0) goes to quarantine", "text"),
    (_is("set", "text[]"), "a SET is an array of its members", "text"),
    (
        _is("json", "jsonb"),
        "jsonb keeps no spaces and no order of keys, and \\u0000 in a text goes to quarantine",
        "json",
    ),
    (
        lambda source, target: family(source) == "time" and target.startswith("interval"),
        "TIME is an interval, for it reaches to 838:59:59",
        "time",
    ),
    (
        lambda source, target: family(source) == "datetime" and target.endswith("without time zone"),
        "DATETIME has no time zone, and none is guessed",
        _ZONE,
    ),
    (_is("geometry", "bytea"), "MySQL's own bytes (SRID, then WKB), not a geometry of the store", "geometry"),
    (
        lambda source, target: source.no_empty_shape,
        "the store refuses GEOMETRYCOLLECTION EMPTY while there is a way back, for MySQL 5.6 has no empty shape",
        "",
    ),
    (_is("geometry", "point"), "the SRID of a point is dropped", "geometry"),
    (_is("vector", "real[]"), "a VECTOR is an array of real", "vector"),
    (
        lambda source, target: source.type == "binary" and target == "bytea",
        "BINARY keeps the zero bytes that it is padded with",
        "",
    ),
    (lambda source, target: source.invisible, "an invisible column is an ordinary one in the store", ""),
    (lambda source, target: source.type == "year", "YEAR is a number, 0000 is 0", ""),
)


def _option_of(plan: TablePlan, about: str, what: str) -> str:
    """What takes a note away, where something does."""
    if "zero_date_null" in what or "zero dates become NULL" in what:
        return _table(plan, "zero_dates", "infinity")
    if about.startswith("foreign key ") and what.startswith("dropped"):
        return "both tables in one store, unfiltered, with the same types"
    if "ON UPDATE" in what:
        return "a trigger in the store, or the application"
    return ""


def _types(plan: TablePlan, source: ColumnDef, to: str) -> str:
    if not to or (to == "point" and source.type != "point"):
        return ""
    to = f"vector({source.length})" if to == "vector" else to
    spelled = f'"{to}"' if "'" in to else to
    return f"tables: {{{plan.source.id.name}: {{types: {{{source.name}: {spelled}}}}}}}"


def _table(plan: TablePlan, key: str, value: str) -> str:
    return f"tables: {{{plan.source.id.name}: {{{key}: {value}}}}}"
