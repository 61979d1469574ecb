"""The type map: a source column → its PostgreSQL type, the casts of its values, and the CHECKs that keep its meaning.

Defaults are lossless and can be turned back; every override goes through the same table of what fits what, so an
impossible one is refused when the plan is made, not in the middle of a load. `docs/type-map.md` is it for people.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.errors import ConfigError
from model.position import Flavour
from model.tables import ColumnDef
from transforms.names import literal, quoted, shorten
from transforms.pgtypes import EXTENSIONS, TARGET_BITS, PgType, parse_type
from transforms.plan import Cast
from transforms.source_types import (
    BINARY_TYPES,
    GEOMETRY_TYPES,
    INTEGER_BITS,
    TEXT_TYPES,
    family,
    integer_bounds,
    source_spellings,
)
from transforms.type_fits import HINTS, fit_casts
from transforms.type_policy import TypePolicy

__all__ = [
    "BINARY_TYPES",
    "GEOMETRY_TYPES",
    "INTEGER_BITS",
    "TEXT_TYPES",
    "TypeChoice",
    "TypePolicy",
    "choose_type",
    "default_type",
    "enum_type_name",
    "family",
    "integer_bounds",
    "source_spellings",
]


_SHAPE_OF = {
    "point": "Point", "linestring": "LineString", "polygon": "Polygon", "multipoint": "MultiPoint",
    "multilinestring": "MultiLineString", "multipolygon": "MultiPolygon",
}  # fmt: skip
"""A GEOMETRYCOLLECTION column takes any shape."""


@dataclass(frozen=True, slots=True)
class TypeChoice:
    """What a source column becomes."""

    type: str
    casts: tuple[Cast, ...] = ()
    checks: tuple[str, ...] = ()
    """CHECK expressions over the target column."""
    collation: str | None = None
    may_be_null: bool = False
    """A cast can make NULL of a value that is not."""
    enum_labels: tuple[str, ...] = ()
    """Labels when `type` names an enum type that must be created."""
    notes: tuple[str, ...] = ()


def default_type(column: ColumnDef, policy: TypePolicy) -> PgType:
    """The target type when no rule says otherwise. Raises ConfigError for an unknown source type."""
    kind = family(column)
    match kind:
        case "integer":
            if policy.tinyint1 == "boolean" and column.column_type.lower().startswith("tinyint(1)"):
                return PgType("boolean")
            _, high = integer_bounds(column)
            for name, bits in TARGET_BITS.items():
                if high < 2 ** (bits - 1) and (column.unsigned or bits >= INTEGER_BITS[column.type]):
                    return PgType(name)
            return PgType("numeric", (20, 0))
        case "decimal":
            return PgType("numeric", (column.precision or 10, column.scale or 0))
        case "float":
            return PgType("real" if column.type == "float" else "double precision")
        case "bit":
            return PgType("bit", (column.length or 1,))
        case "text":
            if column.type in ("char", "varchar") and column.length:
                return PgType("character varying", (column.length,))
            return PgType("text")
        case "binary":
            return PgType("bytea")
        case "geometry":
            return _postgis(column, policy) if policy.spatial == "geometry" else PgType("bytea")
        case "enum":
            return PgType("enum") if policy.enum == "enum" else PgType("text")
        case "set":
            return PgType("text", array=policy.set == "array")
        case "json":
            return PgType(policy.json or ("json" if policy.flavour is Flavour.MARIADB else "jsonb"))
        case "datetime":
            return PgType("timestamp without time zone", (column.scale or 0,))
        case "timestamp":
            return PgType("timestamp with time zone", (column.scale or 0,))
        case "time":
            return PgType("interval", (column.scale or 0,))
        case "vector":
            return PgType("real", array=True)
        case _:
            return PgType(kind)


def choose_type(column: ColumnDef, target_name: str, policy: TypePolicy, override: str | None = None) -> TypeChoice:
    """The target type of a column, with its casts and checks. Raises ConfigError when the override does not fit."""
    plus_check = bool(override) and override is not None and override.replace(" ", "").lower() == "text+check"
    wanted = default_type(column, policy)
    if override:
        wanted = parse_type("text" if plus_check else override, column=column.name)
    kind = family(column)
    if kind == "geometry" and wanted == PgType("geometry"):
        wanted = _postgis(column, policy)
    if wanted.zone and kind not in ("datetime", "timestamp"):
        hint = "Leave AT TIME ZONE away."
        raise ConfigError(f"a {column.column_type} has no time zone", hint=hint, column=column.name)
    steps = fit_casts(column, wanted, policy)
    if steps is None:
        raise ConfigError(
            f"a {column.column_type} column cannot become {override or wanted}",
            hint=f"What fits: {HINTS[kind]}.",
            column=column.name,
        )
    notes: list[str] = []
    checks: list[str] = []
    labels: tuple[str, ...] = ()
    name = quoted(target_name)
    spelled = str(wanted)
    if (kind == "integer" or kind in ("decimal", "float")) and column.unsigned and _is_number(wanted):
        checks.append(f"{name} >= 0")
    if kind == "enum" and (plus_check or not override) and wanted.base == "text":
        checks.append(f"{name} IN ({', '.join(literal(label) for label in dict.fromkeys(('', *column.labels)))})")
    if kind == "set" and wanted.array:
        checks.append(f"{name} <@ ARRAY[{', '.join(literal(label) for label in column.labels)}]::text[]")
    if wanted.base == "enum":
        if any(len(label.encode()) > 63 for label in column.labels):
            spelled = "text"
            checks.append(f"{name} IN ({', '.join(literal(label) for label in dict.fromkeys(('', *column.labels)))})")
            notes.append("text instead of an enum type: a label is longer than PostgreSQL's 63 bytes")
        else:
            labels = tuple(dict.fromkeys(column.labels))
            notes.append("the ENUM error value (index 0) goes to quarantine: an enum type has no place for it")
    if kind == "text" and column.type in ("char", "varchar") and column.length == 0:
        checks.append(f"{name} = ''")
    notes += [f"{step.name}: {step.reason}" for step in steps if not step.reversible]
    if wanted.base in EXTENSIONS:
        notes.append(f"needs the extension {EXTENSIONS[wanted.base]} in the store")
    collation = None
    if spelled == "text" or wanted.base == "character varying":
        collation = "C" if (column.collation or "").endswith("_bin") and kind in ("text", "enum") else None
    return TypeChoice(
        spelled,
        tuple(steps),
        tuple(checks),
        collation,
        any(step.name == "zero_date_null" for step in steps),
        labels,
        tuple(notes),
    )


def enum_type_name(table: str, column: str) -> str:
    """Name of the enum type that belongs to a target column."""
    return shorten(f"{table}_{column}_enum")


def _postgis(column: ColumnDef, policy: TypePolicy) -> PgType:
    """The geometry that takes just what the column takes: its shape, and its SRID where the source holds it to one."""
    shape = _SHAPE_OF.get(column.type, "")
    srid = (column.srid or 0) if policy.flavour is Flavour.MYSQL else 0
    return PgType("geometry", (srid,) if srid else (), shape=shape or ("Geometry" if srid else ""))


def _is_number(to: PgType) -> bool:
    return not to.array and to.base in (*TARGET_BITS, "numeric", "real", "double precision")
