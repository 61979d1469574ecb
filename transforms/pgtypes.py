"""PostgreSQL type names: what people write, brought to the one spelling that `format_type()` prints.

Plans hold only that spelling, so a plan can be compared with a store's catalogue as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from model.errors import ConfigError

_ALIASES = {
    "int2": "smallint",
    "smallint": "smallint",
    "int": "integer",
    "int4": "integer",
    "integer": "integer",
    "int8": "bigint",
    "bigint": "bigint",
    "numeric": "numeric",
    "decimal": "numeric",
    "dec": "numeric",
    "real": "real",
    "float4": "real",
    "float8": "double precision",
    "double": "double precision",
    "double precision": "double precision",
    "bool": "boolean",
    "boolean": "boolean",
    "text": "text",
    "citext": "citext",
    "varchar": "character varying",
    "character varying": "character varying",
    "bytea": "bytea",
    "date": "date",
    "time": "time without time zone",
    "time without time zone": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamp without time zone": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "timestamp with time zone": "timestamp with time zone",
    "interval": "interval",
    "bit": "bit",
    "varbit": "bit varying",
    "bit varying": "bit varying",
    "uuid": "uuid",
    "inet": "inet",
    "json": "json",
    "jsonb": "jsonb",
    "point": "point",
    "vector": "vector",
    "geometry": "geometry",
    "enum": "enum",
}
TARGET_BITS = {"smallint": 16, "integer": 32, "bigint": 64}
"""Integer types of PostgreSQL by their width."""
_WITH_ARGUMENTS = {
    "numeric": 2,
    "character varying": 1,
    "time without time zone": 1,
    "timestamp without time zone": 1,
    "timestamp with time zone": 1,
    "interval": 1,
    "bit": 1,
    "bit varying": 1,
    "vector": 1,
}
_FORM = re.compile(
    r"""^\s*(?P<base>[a-z][a-z0-9 ]*?)\s*
        (?:\(\s*(?P<arguments>\d+(?:\s*,\s*\d+)?)\s*\))?
        (?P<rest>\s+with(?:out)?\s+time\s+zone)?
        (?P<array>\s*\[\])?
        (?:\s+at\s+time\s+zone\s+'(?P<zone>[^']+)')?\s*$""",
    re.VERBOSE,
)
_GEOMETRY = re.compile(r"geometry\s*\(\s*([a-z]+)\s*(?:,\s*(\d{1,6})\s*)?\)", re.IGNORECASE)
_SHAPES = {
    name.lower(): name
    for name in (
        "Geometry", "Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon",
        "GeometryCollection",
    )
}  # fmt: skip
"""Shapes of a PostGIS geometry that MySQL has too, as format_type() spells them; Geometry is any."""
EXTENSIONS = {"citext": "citext", "vector": "vector", "geometry": "postgis"}
"""Types that an extension brings along, and which one."""
_SPLIT = ("timestamp without time zone", "timestamp with time zone", "time without time zone")


@dataclass(frozen=True, slots=True)
class PgType:
    """A PostgreSQL type taken apart. `zone` is our own addition: the zone that wall-clock values are in."""

    base: str
    arguments: tuple[int, ...] = ()
    array: bool = False
    zone: str | None = None
    shape: str = ""
    """Of PostGIS' geometry: the shape that it takes, `Point`; `arguments` may have its SRID then."""

    def __str__(self) -> str:
        listed = ",".join([*([self.shape] if self.shape else ()), *map(str, self.arguments)])
        arguments = f"({listed})" if listed else ""
        if self.base in _SPLIT:
            head, _, tail = self.base.partition(" ")
            text = f"{head}{arguments} {tail}"
        else:
            text = f"{self.base}{arguments}"
        return f"{text}[]" if self.array else text


def parse_type(text: str, **where: Any) -> PgType:
    """Read a type as people write it: `varchar(20)`, `timestamptz(6) at time zone 'Asia/Tokyo'`. Raises ConfigError."""
    geometry = _GEOMETRY.fullmatch(text.strip())
    if geometry is not None and geometry[1].lower() in _SHAPES:
        srid = int(geometry[2] or 0)
        return PgType("geometry", (srid,) if srid else (), shape=_SHAPES[geometry[1].lower()])
    head, *zone = re.split(r"\s+at\s+time\s+zone\s+", text, maxsplit=1, flags=re.IGNORECASE)
    match = _FORM.match(head.lower() + "".join(f" at time zone {name}" for name in zone))
    base = _ALIASES.get(re.sub(r"\s+", " ", match["base"] + (match["rest"] or ""))) if match else None
    if match is None or base is None:
        raise ConfigError(
            f"{text!r} is not a target type that crossfade knows",
            hint=f"Known types: {', '.join(sorted(set(_ALIASES.values())))}; text, real, double precision with [].",
            **where,
        )
    arguments = tuple(int(part) for part in (match["arguments"] or "").split(",") if part.strip())
    if len(arguments) > _WITH_ARGUMENTS.get(base, 0):
        raise ConfigError(f"{base} does not take ({match['arguments']})", hint="Leave the parentheses away.", **where)
    if base == "numeric" and len(arguments) == 1:
        arguments = (arguments[0], 0)
    if base == "bit" and not arguments:
        arguments = (1,)
    limit = 6 if base in _SPLIT or base == "interval" else None
    if limit is not None and arguments and arguments[0] > limit:
        raise ConfigError(f"{text!r}: PostgreSQL keeps at most {limit} digits of a second", **where)
    return PgType(base, arguments, bool(match["array"]), match["zone"])
