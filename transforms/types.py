"""The type map: a source column → its PostgreSQL type, the casts of its values, and the CHECKs that keep its meaning.

Defaults are lossless and can be turned back; every override goes through the same table of what fits what, so an
impossible one is refused when the plan is made, not in the middle of a load. `docs/type-map.md` is it for people.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from config.settings import Defaults, ZeroDates
from model.errors import ConfigError
from model.position import Flavour
from model.tables import ColumnDef
from transforms import casts
from transforms.names import literal, quoted, shorten
from transforms.pgtypes import PgType, parse_type
from transforms.plan import Cast

TEXT_TYPES = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
BINARY_TYPES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
GEOMETRY_TYPES = frozenset(
    {
        "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
        "geometrycollection",
    }
)  # fmt: skip
INTEGER_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32, "bigint": 64, "year": 16}
_TARGET_BITS = {"smallint": 16, "integer": 32, "bigint": 64}


@dataclass(frozen=True, slots=True)
class TypePolicy:
    """The choices of the configuration that types depend on."""

    flavour: Flavour
    zero_dates: ZeroDates = ZeroDates.INFINITY
    tinyint1: Literal["smallint", "boolean"] = "smallint"
    json: Literal["jsonb", "json", "text"] | None = None
    enum: Literal["text", "enum"] = "text"
    set: Literal["array", "text"] = "array"
    nul_characters: Literal["quarantine", "strip"] = "quarantine"

    @staticmethod
    def of(defaults: Defaults, flavour: Flavour, zero_dates: ZeroDates | None = None) -> TypePolicy:
        """The policy of `defaults`, with a table's own choice for zero dates."""
        return TypePolicy(
            flavour,
            zero_dates or defaults.zero_dates,
            defaults.tinyint1,
            defaults.json_,
            defaults.enum,
            defaults.set_,
            defaults.nul_characters,
        )


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


def family(column: ColumnDef) -> str:
    """The kind of text form that the column's fields have: integer, decimal, float, bit, text, binary, enum, set, json,
    date, datetime, timestamp, time, uuid, inet, geometry or vector. Raises ConfigError for a type we do not know."""
    kind = column.type
    if kind in INTEGER_BITS:
        return "integer"
    if kind in TEXT_TYPES:
        return "json" if column.json_check else "text"
    if kind in BINARY_TYPES:
        return "binary"
    if kind in GEOMETRY_TYPES:
        return "geometry"
    if kind in ("double", "real"):
        return "float"
    if kind in ("inet4", "inet6"):
        return "inet"
    if kind in (
        "decimal",
        "float",
        "bit",
        "enum",
        "set",
        "json",
        "date",
        "datetime",
        "timestamp",
        "time",
        "uuid",
        "vector",
    ):
        return kind
    raise ConfigError(
        f"crossfade does not know the source type {column.column_type!r}",
        hint="Leave the column out with `exclude`, or skip the table.",
        column=column.name,
    )


def integer_bounds(column: ColumnDef) -> tuple[int, int]:
    """Smallest and largest value of an integer column."""
    if column.type == "year":
        return 0, 2155
    bits = INTEGER_BITS[column.type]
    return (0, 2**bits - 1) if column.unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def default_type(column: ColumnDef, policy: TypePolicy) -> PgType:
    """The target type when no rule says otherwise. Raises ConfigError for an unknown source type."""
    kind = family(column)
    match kind:
        case "integer":
            if policy.tinyint1 == "boolean" and column.column_type.lower().startswith("tinyint(1)"):
                return PgType("boolean")
            _, high = integer_bounds(column)
            for name, bits in _TARGET_BITS.items():
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
        case "binary" | "geometry":
            return PgType("bytea")
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


@dataclass(frozen=True, slots=True)
class _Fit:
    """One question: can this column become that type?"""

    column: ColumnDef
    to: PgType
    policy: TypePolicy

    @property
    def strip(self) -> bool:
        return self.policy.nul_characters == "strip"


_Answer = list[Cast] | None


def choose_type(column: ColumnDef, target_name: str, policy: TypePolicy, override: str | None = None) -> TypeChoice:
    """The target type of a column, with its casts and checks. Raises ConfigError when the override does not fit."""
    plus_check = bool(override) and override is not None and override.replace(" ", "").lower() == "text+check"
    wanted = default_type(column, policy)
    if override:
        wanted = parse_type("text" if plus_check else override, column=column.name)
    kind = family(column)
    if wanted.zone and kind not in ("datetime", "timestamp"):
        hint = "Leave AT TIME ZONE away."
        raise ConfigError(f"a {column.column_type} has no time zone", hint=hint, column=column.name)
    steps = _FITS[kind](_Fit(column, wanted, policy))
    if steps is None:
        raise ConfigError(
            f"a {column.column_type} column cannot become {override or wanted}",
            hint=f"What fits: {_HINTS[kind]}.",
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
    if wanted.base in ("citext", "vector"):
        notes.append(f"needs the extension {wanted.base} in the store")
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


def fit_casts(column: ColumnDef, wanted: PgType, policy: TypePolicy) -> tuple[Cast, ...] | None:
    """Casts from a column's text form to a target type, None when it cannot become that."""
    steps = _FITS[family(column)](_Fit(column, wanted, policy))
    return None if steps is None else tuple(steps)


def enum_type_name(table: str, column: str) -> str:
    """Name of the enum type that belongs to a target column."""
    return shorten(f"{table}_{column}_enum")


def _is_number(to: PgType) -> bool:
    return not to.array and to.base in (*_TARGET_BITS, "numeric", "real", "double precision")


# ---------------------------------------------------------------- what fits what


def _as_text(fit: _Fit, width: int | None = None) -> _Answer:
    """Steps from a neutral form to text types; `width` is the longest text when it is known."""
    if fit.to.array:
        return None
    if fit.to.base in ("text", "citext"):
        return []
    if fit.to.base == "character varying":
        limit = fit.to.arguments[0] if fit.to.arguments else None
        return [casts.max_characters(limit)] if limit is not None and (width is None or width > limit) else []
    return None


def _numeric(fit: _Fit, digits: int, scale: int) -> _Answer:
    """Steps from a decimal of `digits` integer digits and `scale` decimals to numeric."""
    if fit.to.arguments:
        precision, decimals = fit.to.arguments
        if decimals < scale:
            return [casts.round_numeric(precision, decimals, loss=f"rounds half away from zero to {decimals} decimals")]
        if precision - decimals < digits or decimals > scale:
            return [casts.round_numeric(precision, decimals, loss="")]
    return []


def _fit_integer(fit: _Fit) -> _Answer:
    to, (low, high) = fit.to, integer_bounds(fit.column)
    if to.array:
        return None
    if to.base in _TARGET_BITS:
        edge = 2 ** (_TARGET_BITS[to.base] - 1)
        return [] if -edge <= low and high < edge else [casts.integer_range(-edge, edge - 1, to.base)]
    if to.base == "numeric":
        return _numeric(fit, len(str(high)), 0)
    if to.base == "boolean":
        return [casts.boolean_from_integer()]
    if to.base in ("real", "double precision"):
        exact = 24 if to.base == "real" else 53
        return [] if high < 2**exact else [casts.pass_through(to.base, f"only {exact} bits of the number are kept")]
    return _as_text(fit, 20)


def _fit_decimal(fit: _Fit) -> _Answer:
    precision, scale = fit.column.precision or 10, fit.column.scale or 0
    to = fit.to
    if to.array:
        return None
    if to.base == "numeric":
        return _numeric(fit, precision - scale, scale)
    if to.base in _TARGET_BITS:
        edge = 2 ** (_TARGET_BITS[to.base] - 1)
        steps = [casts.whole_number()] if scale else []
        return [*steps, casts.integer_range(-edge, edge - 1, to.base)]
    if to.base in ("real", "double precision"):
        return [casts.pass_through(to.base, "binary floating point keeps only about 7 or 15 digits")]
    if to.base == "boolean" and scale == 0:
        return [casts.boolean_from_integer()]
    return _as_text(fit, precision + 2)


def _fit_float(fit: _Fit) -> _Answer:
    to = fit.to
    if to.array:
        return None
    if to.base == "double precision" or (to.base == "real" and fit.column.type == "float"):
        return []
    if to.base == "real":
        return [casts.pass_through("real", "only 24 bits of the mantissa are kept")]
    if to.base == "numeric":
        if not to.arguments:
            return [casts.numeric_from_float()]
        precision, scale = to.arguments
        return [casts.round_numeric(precision, scale, loss=f"rounds half away from zero to {scale} decimals")]
    return _as_text(fit, 24)


def _fit_bit(fit: _Fit) -> _Answer:
    to, bits = fit.to, fit.column.length or 1
    if to.array:
        return None
    if to.base in ("bit", "bit varying"):
        fits = not to.arguments or to.arguments[0] == bits or (to.base == "bit varying" and to.arguments[0] > bits)
        return [] if fits else None
    if to.base == "boolean" and bits == 1:
        return [casts.integer_from_bits(), casts.boolean_from_integer()]
    if to.base in _TARGET_BITS:
        edge = 2 ** (_TARGET_BITS[to.base] - 1)
        return [casts.integer_from_bits(), casts.integer_range(-edge, edge - 1, to.base)]
    if to.base == "numeric":
        return [casts.integer_from_bits(), *(_numeric(fit, 20, 0) or [])]
    return _as_text(fit, bits)


def _nul(fit: _Fit) -> Cast:
    return casts.nul_strip() if fit.strip else casts.nul_quarantine()


def _fit_text(fit: _Fit) -> _Answer:
    column, to = fit.column, fit.to
    width = column.length if column.type in ("char", "varchar") else None
    as_text = _as_text(fit, width)
    if as_text is not None:
        return [_nul(fit), *as_text]
    return text_casts(to, fit.strip)


def text_casts(to: PgType, strip: bool = False) -> _Answer:
    """Steps from any text to a target type, None when there is no way. Also for constants and mapped values."""
    if to.array or to.zone:
        return None
    match to.base:
        case "text" | "citext":
            return [casts.nul_strip() if strip else casts.nul_quarantine()]
        case "character varying":
            first = casts.nul_strip() if strip else casts.nul_quarantine()
            return [first, *([casts.max_characters(to.arguments[0])] if to.arguments else [])]
        case "smallint" | "integer" | "bigint":
            edge = 2 ** (_TARGET_BITS[to.base] - 1)
            return [casts.checked_by(r"[+-]?\d{1,20}", "an integer"), casts.integer_range(-edge, edge - 1, to.base)]
        case "numeric":
            if not to.arguments:
                return [casts.checked_by(r"[+-]?\d+(\.\d+)?", "a decimal number")]
            precision, scale = to.arguments
            return [casts.round_numeric(precision, scale, loss=f"rounds half away from zero to {scale} decimals")]
        case "real" | "double precision":
            return [casts.checked_by(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,2})?", "a number")]
        case "boolean":
            return [casts.checked_by(r"[01tf]|true|false", "a boolean (0, 1, t, f, true, false)")]
        case "uuid":
            return [casts.uuid_from_text()]
        case "inet":
            return [casts.inet_from_text()]
        case "json":
            return [casts.valid_json()]
        case "jsonb":
            return [casts.valid_json(), casts.jsonb_nul(strip)]
        case "date":
            return [casts.checked_by(r"\d{4}-\d\d-\d\d", "a date"), casts.zero_date(ZeroDates.QUARANTINE)]
        case "timestamp without time zone":
            shape = r"\d{4}-\d\d-\d\d ([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?"
            return [casts.checked_by(shape, "a date and time"), casts.zero_date(ZeroDates.QUARANTINE)]
        case _:
            return None


def _fit_binary(fit: _Fit) -> _Answer:
    to = fit.to
    if to.array:
        return None
    if to.base == "bytea":
        return []
    if to.base == "uuid":
        return [casts.uuid_from_bytes()]
    if to.base == "inet":
        return [casts.inet_from_bytes()]
    as_text = _as_text(fit)
    return None if as_text is None else [casts.utf8_from_bytes(), *as_text]


def _fit_enum(fit: _Fit) -> _Answer:
    if fit.to.base == "enum":
        return []
    if fit.to.base in _TARGET_BITS and not fit.to.array:
        return [casts.enum_to_index(fit.column.labels)]
    return _as_text(fit, max((len(label) for label in fit.column.labels), default=0))


def _fit_set(fit: _Fit) -> _Answer:
    if fit.to == PgType("text", array=True):
        return []
    as_text = _as_text(fit)
    return None if as_text is None else [casts.set_to_text(), *as_text]


def _fit_json(fit: _Fit) -> _Answer:
    to = fit.to
    mariadb = fit.column.json_check or fit.policy.flavour is Flavour.MARIADB
    if to == PgType("jsonb"):
        # MariaDB keeps the text as it was sent, so only there can a lone surrogate or a NaN come along.
        return [*([casts.valid_json()] if mariadb else []), casts.jsonb_nul(fit.strip)]
    if to == PgType("json"):
        return [_nul(fit)] if mariadb else []
    return _as_text(fit)


def _truncated(fit: _Fit) -> list[Cast]:
    digits = fit.to.arguments[0] if fit.to.arguments else 6
    return [casts.truncate_fraction(digits)] if digits < (fit.column.scale or 0) else []


def _fit_date(fit: _Fit) -> _Answer:
    to, zero = fit.to, casts.zero_date(fit.policy.zero_dates)
    if to == PgType("date"):
        return [zero]
    if to.base == "timestamp without time zone" and not to.array:
        return [zero, casts.date_to_midnight(b"")]
    return _as_text(fit, 10)


def _fit_datetime(fit: _Fit) -> _Answer:
    to, zero = fit.to, casts.zero_date(fit.policy.zero_dates)
    if to.array:
        return None
    if to.base == "timestamp without time zone" and not to.zone:
        return [zero, *_truncated(fit)]
    if to.base == "timestamp with time zone":
        if not to.zone:
            raise ConfigError(
                "a DATETIME says no time zone, the target type does",
                hint="State it: timestamptz(0) at time zone 'Europe/Berlin'.",
                column=fit.column.name,
            )
        return [zero, *_truncated(fit), casts.wall_to_utc(to.zone)]
    if to == PgType("date"):
        return [zero, casts.midnight_to_date()]
    return _as_text(fit, 26)


def _fit_timestamp(fit: _Fit) -> _Answer:
    to, zero = fit.to, casts.zero_date(fit.policy.zero_dates)
    if to.array:
        return None
    if to.base == "timestamp with time zone" and not to.zone:
        return [zero, *_truncated(fit)]
    if to.base == "timestamp without time zone":
        return [zero, *_truncated(fit), casts.utc_to_zone(to.zone) if to.zone else casts.utc_to_wall()]
    return _as_text(fit, 29)


def _fit_time(fit: _Fit) -> _Answer:
    if fit.to.base == "interval":
        return _truncated(fit)
    if fit.to.base == "time without time zone":
        return [casts.time_of_day(), *_truncated(fit)]
    return _as_text(fit, 17)


def _fit_uuid(fit: _Fit) -> _Answer:
    if fit.to == PgType("uuid"):
        return []
    if fit.to == PgType("bytea"):
        return [casts.bytes_from_uuid()]
    return _as_text(fit, 36)


def _fit_inet(fit: _Fit) -> _Answer:
    return [] if fit.to == PgType("inet") else _as_text(fit, 45)


def _fit_geometry(fit: _Fit) -> _Answer:
    if fit.to == PgType("bytea"):
        return []
    return [casts.point_from_geometry()] if fit.to == PgType("point") and fit.column.type == "point" else None


def _fit_vector(fit: _Fit) -> _Answer:
    if fit.to in (PgType("real", array=True), PgType("double precision", array=True)):
        return []
    return [casts.vector_brackets()] if fit.to.base == "vector" else None


_FITS: dict[str, Callable[[_Fit], _Answer]] = {
    "integer": _fit_integer,
    "decimal": _fit_decimal,
    "float": _fit_float,
    "bit": _fit_bit,
    "text": _fit_text,
    "binary": _fit_binary,
    "enum": _fit_enum,
    "set": _fit_set,
    "json": _fit_json,
    "date": _fit_date,
    "datetime": _fit_datetime,
    "timestamp": _fit_timestamp,
    "time": _fit_time,
    "uuid": _fit_uuid,
    "inet": _fit_inet,
    "geometry": _fit_geometry,
    "vector": _fit_vector,
}
_NUMBERS = "smallint, integer, bigint, numeric, real, double precision, boolean, text, varchar"
_HINTS = {
    "integer": _NUMBERS,
    "decimal": _NUMBERS,
    "float": "real, double precision, numeric, text, varchar",
    "bit": "bit of the same length, boolean for BIT(1), smallint, integer, bigint, numeric, text, varchar",
    "text": "text, varchar, citext; if all values allow it integers, numeric, boolean, uuid, inet, json, jsonb, date",
    "binary": "bytea, uuid, inet, text, varchar",
    "enum": "text, text+check, enum, smallint (the index), varchar",
    "set": "text[], text, varchar",
    "json": "jsonb, json, text",
    "date": "date, timestamp, text, varchar",
    "datetime": "timestamp, timestamptz at time zone '…', date, text, varchar",
    "timestamp": "timestamptz, timestamp (UTC) or timestamp at time zone '…', text, varchar",
    "time": "interval, time, text, varchar",
    "uuid": "uuid, bytea, text, varchar",
    "inet": "inet, text, varchar",
    "geometry": "bytea, and point for POINT columns",
    "vector": "real[], double precision[], vector(n)",
}


def source_spellings(column: ColumnDef) -> tuple[str, ...]:
    """Forms of the source type that a type rule may match: as declared, without display width, the bare type."""
    declared = " ".join(column.column_type.lower().split())
    plain = re.sub(r"^((?:tiny|small|medium|big)?int|year|float|double)\([\d,]+\)", r"\1", declared)
    short = plain.replace(" zerofill", "")
    bare = f"{column.type} unsigned" if column.unsigned else column.type
    return tuple(dict.fromkeys((declared, plain, short, bare)))
