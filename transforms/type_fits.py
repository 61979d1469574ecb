"""What fits what: the steps from a source column's text form to a target type, or that there are none.

The one table that defaults and overrides go through alike, so that an impossible type is refused when the plan is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from config.settings import ZeroDates
from model.errors import ConfigError
from model.position import Flavour
from model.tables import ColumnDef
from transforms import casts
from transforms.ewkb import geometry_from_internal
from transforms.pgtypes import TARGET_BITS, PgType
from transforms.plan import Cast
from transforms.source_types import family, integer_bounds
from transforms.type_policy import TypePolicy


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


def fit_casts(column: ColumnDef, wanted: PgType, policy: TypePolicy) -> tuple[Cast, ...] | None:
    """Casts from a column's text form to a target type, None when it cannot become that."""
    steps = _FITS[family(column)](_Fit(column, wanted, policy))
    return None if steps is None else tuple(steps)


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
    if to.base in TARGET_BITS:
        edge = 2 ** (TARGET_BITS[to.base] - 1)
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
    if to.base in TARGET_BITS:
        edge = 2 ** (TARGET_BITS[to.base] - 1)
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
    if to.base in TARGET_BITS:
        edge = 2 ** (TARGET_BITS[to.base] - 1)
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
            edge = 2 ** (TARGET_BITS[to.base] - 1)
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
    if fit.to.base in TARGET_BITS and not fit.to.array:
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
    if fit.to.base == "geometry":
        return [geometry_from_internal()]
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
HINTS = {
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
    "geometry": "bytea, geometry with PostGIS, and point for POINT columns",
    "vector": "real[], double precision[], vector(n)",
}
