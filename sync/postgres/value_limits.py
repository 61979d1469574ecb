"""What a store's column may hold while there is a way back: SQL conditions made from source column and mapping.

They say in SQL what `transforms.reverse_forms` says of single values, so that a write is refused when it is made, not
when it goes back. Each is *necessary*: what it refuses, the source cannot hold. What no short condition can say (a text
that must be a number, the inverse of a function) is left to the reverse stream, which halts. Text only, no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from model.tables import ColumnDef
from sync.mysql.charsets import known_ranges
from transforms.names import literal, quoted
from transforms.pgtypes import TARGET_BITS, PgType, parse_type
from transforms.plan import ColumnKind, ColumnPlan
from transforms.reverse import ReversePlan
from transforms.types import family, integer_bounds

_TEXTS: Final = frozenset({"text", "character varying", "citext"})
_WRITTEN_AS_TEXT: Final = frozenset({"text", "enum", "set"})
_FLOATS: Final = frozenset({"real", "double precision"})
_BYTES: Final = {
    "tinytext": 2**8 - 1, "text": 2**16 - 1, "mediumtext": 2**24 - 1,
    "tinyblob": 2**8 - 1, "blob": 2**16 - 1, "mediumblob": 2**24 - 1,
}  # fmt: skip
"""Most bytes of a value; LONGTEXT and LONGBLOB hold more than PostgreSQL."""
_UNICODE: Final = frozenset({"utf8", "utf8mb3", "utf8mb4"})
_WHOLE: Final = frozenset({"point", "linestring"})
"""Shapes that hold no other ones."""
_FLOAT_END: Final = "3.4028235677973366e38"
"""The least number that a FLOAT rounds to infinity."""
_DOUBLE_END: Final = "1.797693134862315808e308"


@dataclass(frozen=True, slots=True)
class ValueLimit:
    """A limit of one target column."""

    column: str
    source: str
    """The source's column and its type, for people."""
    holds: str
    """Condition over NEW; false: the source cannot hold the value. Unknown (NULL) is not false."""
    rows: str = ""
    """Condition over NEW that tells the plan's rows, where several plans share the target table."""


@dataclass(frozen=True, slots=True)
class _Value:
    """An SQL expression of NEW, brought back through some of the casts."""

    sql: str
    type: PgType
    zero: bool = False
    """-infinity stands for MySQL's zero date."""
    holds: tuple[str, ...] = ()

    def that(self, *conditions: str) -> _Value:
        return replace(self, holds=(*self.holds, *conditions))


def value_limits(back: ReversePlan) -> tuple[ValueLimit, ...]:
    """The limits of one target table's columns, for the rows of one plan."""
    sent = {(column.ordinal, column.reads) for column in back.columns}
    rows = " AND ".join(f"NEW.{quoted(name)} = {literal(value.decode())}" for name, value in back.told_by)
    found = []
    for item in back.plan.columns:
        if item.kind not in (ColumnKind.COPY, ColumnKind.MAP) or (item.source, (item.target.name,)) not in sent:
            continue
        assert item.source is not None
        column = back.source.columns[item.source]
        conditions = tuple(_conditions(item, column))
        if conditions:
            charset = f" CHARACTER SET {column.charset}" if column.charset else ""
            null = "" if column.nullable else " NOT NULL"
            source = f"{back.source.id}.{column.name} {column.column_type}{charset}{null}"
            found.append(ValueLimit(item.target.name, source, " AND ".join(conditions), rows))
    return tuple(found)


def unlimited(back: ReversePlan) -> tuple[str, ...]:
    """Target columns of which no condition says what goes back: the reverse stream finds it out, and halts.

    What `reverse:` or a function brings back, texts that the source reads as something else, and shapes in shapes.
    """
    found: dict[str, None] = {}
    copied: dict[tuple[int | None, tuple[str, ...]], ColumnPlan] = {
        (item.source, (item.target.name,)): item
        for item in back.plan.columns
        if item.kind in (ColumnKind.COPY, ColumnKind.MAP)
    }
    for column in back.columns:
        item = copied.get((column.ordinal, column.reads))
        if item is None:
            found.update(dict.fromkeys(column.reads))
        elif item.kind is ColumnKind.COPY and not item.target.type.endswith('"'):
            base = parse_type(item.target.type).base
            kind = family(column.column)
            if base in _TEXTS and kind not in _WRITTEN_AS_TEXT:
                found[item.target.name] = None
            if kind == "geometry" and (base == "bytea" or (base == "geometry" and column.column.type not in _WHOLE)):
                found[item.target.name] = None
    return tuple(found)


def _conditions(item: ColumnPlan, column: ColumnDef) -> Iterator[str]:
    name = f"NEW.{quoted(item.target.name)}"
    if not column.nullable and item.target.nullable and not _null_goes_back(item):
        yield f"{name} IS NOT NULL"
    if item.kind is ColumnKind.MAP:
        assert item.mapping is not None
        values = [value.decode() for value in item.mapping.values() if isinstance(value, bytes)]
        yield f"{name} IN ({', '.join(f'{literal(value)}::{item.target.type}' for value in dict.fromkeys(values))})"
        return
    if item.target.type.endswith('"'):
        return  # an enum type of our own has the source's labels
    value = _Value(name, parse_type(item.target.type))
    if value.type.base in _TEXTS and not value.type.array:
        value = replace(value, sql=f'({name}::text COLLATE "C")')
    value = replace(value, zero=any(cast.name == "zero_date_infinity" for cast in item.casts))
    for cast in reversed(item.casts):
        step, _, argument = cast.name.removesuffix(")").partition("(")
        if step in _BACK:
            value = _BACK[step](value, column, argument)
    yield from value.holds
    rule = _RULES.get(family(column))
    if rule is not None:
        yield from rule(value, column)


def _null_goes_back(item: ColumnPlan) -> bool:
    if item.kind is ColumnKind.MAP:
        return item.mapping is not None and None in item.mapping.values()
    return any(cast.name == "zero_date_null" for cast in item.casts)


# ---------------------------------------------------------------- back through the casts


def _at(value: _Value, zone: str, base: str) -> _Value:
    return replace(value, sql=f"({value.sql} AT TIME ZONE {literal(zone)})", type=PgType(base, value.type.arguments))


def _utc_to_wall(value: _Value, column: ColumnDef, argument: str) -> _Value:
    return _at(value, "UTC", "timestamp with time zone")


def _wall_to_utc(value: _Value, column: ColumnDef, argument: str) -> _Value:
    return _at(value, argument, "timestamp without time zone")


def _utc_to_zone(value: _Value, column: ColumnDef, argument: str) -> _Value:
    moment = _at(value, argument, "timestamp with time zone")
    return moment.that(f"{_at(moment, argument, '').sql} = {value.sql}")  # not in the hour that a clock skips


def _midnight_to_date(value: _Value, column: ColumnDef, argument: str) -> _Value:
    return replace(value, sql=f"{value.sql}::timestamp", type=PgType("timestamp without time zone", (0,)))


def _date_to_midnight(value: _Value, column: ColumnDef, argument: str) -> _Value:
    day = f"{value.sql}::date"
    return replace(value, sql=day, type=PgType("date")).that(f"{day}::timestamp = {value.sql}")


def _integer_from_bits(value: _Value, column: ColumnDef, argument: str) -> _Value:
    width = column.length or 1
    back = replace(value, type=PgType("bit", (width,)))
    if value.type.base == "boolean":
        return back
    return back.that(f"{value.sql} BETWEEN 0 AND {2**width - 1}")


def _boolean(value: _Value, column: ColumnDef, argument: str) -> _Value:
    return replace(value, type=PgType("boolean"))


def _set_to_text(value: _Value, column: ColumnDef, argument: str) -> _Value:
    return replace(value, sql=f"string_to_array({value.sql}, ',')", type=PgType("text", array=True))


def _enum_to_index(value: _Value, column: ColumnDef, argument: str) -> _Value:
    least = 0 if "" in column.labels else 1
    return replace(value, type=PgType("enum")).that(f"{value.sql} BETWEEN {least} AND {len(column.labels)}")


def _bytes_from_uuid(value: _Value, column: ColumnDef, argument: str) -> _Value:
    return replace(value, type=PgType("uuid")).that(f"octet_length({value.sql}) = 16")


def _inet_from_bytes(value: _Value, column: ColumnDef, argument: str) -> _Value:
    address = f"masklen({value.sql}) = CASE family({value.sql}) WHEN 4 THEN 32 ELSE 128 END"
    if column.type != "binary":
        return value.that(address)
    return value.that(address, f"CASE family({value.sql}) WHEN 4 THEN 4 ELSE 16 END = {column.length or 1}")


def _utf8_from_bytes(value: _Value, column: ColumnDef, argument: str) -> _Value:
    return replace(value, sql=f"convert_to({value.sql}, 'UTF8')", type=PgType("bytea"))


_BACK: Final[dict[str, Callable[[_Value, ColumnDef, str], _Value]]] = {
    "utc_to_wall": _utc_to_wall,
    "wall_to_utc": _wall_to_utc,
    "utc_to_zone": _utc_to_zone,
    "midnight_to_date": _midnight_to_date,
    "date_to_midnight": _date_to_midnight,
    "integer_from_bits": _integer_from_bits,
    "boolean_from_integer": _boolean,
    "set_to_text": _set_to_text,
    "enum_to_index": _enum_to_index,
    "bytes_from_uuid": _bytes_from_uuid,
    "inet_from_bytes": _inet_from_bytes,
    "utf8_from_bytes": _utf8_from_bytes,
}
"""Casts that change what the conditions are said of; the others leave it as it is (`transforms.reverse_casts`)."""


# ---------------------------------------------------------------- what the source's types hold


def _integer(value: _Value, column: ColumnDef) -> Iterator[str]:
    low, high = integer_bounds(column)
    kind = value.type
    if kind.base in TARGET_BITS:
        edge = 2 ** (TARGET_BITS[kind.base] - 1)
        if not (low <= -edge and edge - 1 <= high):
            yield f"{value.sql} BETWEEN {low} AND {high}"
    elif kind.base == "numeric" or kind.base in _FLOATS:
        yield f"{value.sql} BETWEEN {low} AND {high}"
        if kind.base in _FLOATS or _scale(kind) > 0:
            yield f"trunc({value.sql}) = {value.sql}"
    if column.type == "year" and kind.base != "boolean" and kind.base not in _TEXTS:
        yield f"({value.sql} = 0 OR {value.sql} >= 1901)"


def _decimal(value: _Value, column: ColumnDef) -> Iterator[str]:
    scale = column.scale or 0
    end = 10 ** ((column.precision or 10) - scale)
    kind = value.type
    if kind.base in TARGET_BITS or kind.base == "numeric" or kind.base in _FLOATS:
        # NaN and infinity are greater than every number.
        yield f"{value.sql} {'>= 0' if column.unsigned else f'> -{end}'} AND {value.sql} < {end}"
        if kind.base == "numeric" and _scale(kind) > scale:
            yield f"trunc({value.sql}, {scale}) = {value.sql}"


def _float(value: _Value, column: ColumnDef) -> Iterator[str]:
    kind = value.type
    if kind.base == "real" or (kind.base == "double precision" and column.type != "float"):
        end = "'infinity'"
    elif kind.base in ("double precision", "numeric"):
        end = _FLOAT_END if column.type == "float" else _DOUBLE_END
    else:
        return
    low = ">= 0" if column.unsigned else f"> -{end}" if end[0] != "'" else "> '-infinity'"
    yield f"{value.sql} {low} AND {value.sql} < {end}"


def _bit(value: _Value, column: ColumnDef) -> Iterator[str]:
    width = column.length or 1
    if value.type.base in ("bit", "bit varying") and value.type != PgType("bit", (width,)):
        yield f"length({value.sql}) = {width}"


def _text(value: _Value, column: ColumnDef) -> Iterator[str]:
    kind = value.type
    if kind.base == "boolean":
        return
    sql = value.sql if kind.base in _TEXTS else f"{value.sql}::text"
    if column.type in ("char", "varchar"):
        length = column.length or 0
        if not (kind.base == "character varying" and kind.arguments and kind.arguments[0] <= length):
            counted = f"rtrim({sql}, ' ')" if column.type == "char" else sql
            yield f"char_length({counted}) <= {length}"
    elif column.type in _BYTES:
        # In other character sets a character takes one byte at least.
        count = "octet_length" if column.charset in _UNICODE else "char_length"
        yield f"{count}({sql}) <= {_BYTES[column.type]}"
    ranges = known_ranges(column.charset or "utf8mb4") if kind.base in _TEXTS else None
    if ranges is not None:
        known = "".join(_span(low, high) for low, high in ranges)
        pure = "octet_length({0}) = char_length({0}) OR " if (1, 127) in ranges or ranges[0][1] >= 127 else ""
        yield f"({pure.format(sql)}{sql} !~ {literal(f'[^{known}]')})"


def _span(low: int, high: int) -> str:
    first, last = (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}" for code in (low, high))
    return first if low == high else f"{first}-{last}"


def _binary(value: _Value, column: ColumnDef) -> Iterator[str]:
    limit = _BYTES.get(column.type) or (column.length if column.type in ("binary", "varbinary") else None)
    if value.type.base == "bytea" and limit is not None:
        yield f"octet_length({value.sql}) <= {limit}"


def _enum(value: _Value, column: ColumnDef) -> Iterator[str]:
    if value.type.base in _TEXTS:
        yield f"{value.sql} IN ({', '.join(literal(label) for label in column.labels)})"


def _set(value: _Value, column: ColumnDef) -> Iterator[str]:
    if value.type.array:
        yield f"{value.sql}::text[] <@ ARRAY[{', '.join(literal(label) for label in column.labels)}]::text[]"
        yield f"coalesce(array_ndims({value.sql}), 1) = 1"


def _json(value: _Value, column: ColumnDef) -> Iterator[str]:
    if value.type.base == "jsonb" and column.type == "json":
        # MySQL keeps numbers of documents as doubles when they are no integers of 64 bits.
        big = f'$.** ? (@.type() == "number" && (@ > {_DOUBLE_END} || @ < -{_DOUBLE_END}))'
        yield f"NOT jsonb_path_exists({value.sql}, {literal(big)})"


def _date(value: _Value, column: ColumnDef) -> Iterator[str]:
    if value.type.base == "date":
        yield _zero_or(value, f"{value.sql} BETWEEN '0001-01-01' AND '9999-12-31'")


def _moment(value: _Value, column: ColumnDef) -> Iterator[str]:
    kind = value.type
    if kind.base == "timestamp without time zone":
        yield _zero_or(value, f"{value.sql} >= '0001-01-01' AND {value.sql} < '10000-01-01'")
    elif kind.base == "timestamp with time zone":
        first, end = "1970-01-01 00:00:01+00", "2038-01-19 03:14:08+00"
        yield _zero_or(value, f"{value.sql} >= '{first}' AND {value.sql} < '{end}'")
    else:
        return
    yield from _no_finer(value, column)


def _zero_or(value: _Value, condition: str) -> str:
    return f"({value.sql} = '-infinity' OR {condition})" if value.zero else condition


def _time(value: _Value, column: ColumnDef) -> Iterator[str]:
    kind = value.type
    if kind.base == "interval":
        yield f"{value.sql} BETWEEN '-838:59:59' AND '838:59:59'"
        yield f"extract(year FROM {value.sql}) = 0 AND extract(month FROM {value.sql}) = 0"
    if kind.base in ("interval", "time without time zone"):
        yield from _no_finer(value, column)


def _no_finer(value: _Value, column: ColumnDef) -> Iterator[str]:
    """Not more digits of a second than the source keeps."""
    scale = column.scale or 0
    if (value.type.arguments[0] if value.type.arguments else 6) > scale:
        yield f"{value.sql}::{PgType(value.type.base, (scale,))} = {value.sql}"


def _inet(value: _Value, column: ColumnDef) -> Iterator[str]:
    if value.type.base == "inet":
        number, bits = (4, 32) if column.type == "inet4" else (6, 128)
        yield f"family({value.sql}) = {number} AND masklen({value.sql}) = {bits}"


def _vector(value: _Value, column: ColumnDef) -> Iterator[str]:
    if value.type.array and column.length:
        yield f"cardinality({value.sql}) <= {column.length} AND array_position({value.sql}, NULL) IS NULL"


def _geometry(value: _Value, column: ColumnDef) -> Iterator[str]:
    """By EWKB (transforms/ewkb.py): functions of PostGIS may not be on the writer's search path.

    Parts of other shapes are judged by the reverse stream only, see `unlimited`.
    """
    if value.type.base == "bytea" and column.no_empty_shape:
        yield f"encode(substr({value.sql}, 6, 8), 'hex') <> '0700000000000000'"
    if value.type.base == "geometry":
        text = f"{value.sql}::text"
        shape, flags = f"substr({text}, 3, 2)", f"substr({text}, 9, 2)"
        yield f"{flags} IN ('00', '20') AND {shape} BETWEEN '01' AND '07'"
        count = f"substr({text}, CASE {flags} WHEN '20' THEN 19 ELSE 11 END, 8)"
        empty = "" if column.no_empty_shape else "WHEN '07' THEN true "
        yield f"CASE {shape} WHEN '01' THEN {text} NOT LIKE '%F87F' {empty}ELSE {count} <> '00000000' END"


def _scale(kind: PgType) -> int:
    """Decimals that a numeric keeps at most."""
    if not kind.arguments:
        return 16383
    return kind.arguments[1] if len(kind.arguments) > 1 else 0


_RULES: Final[dict[str, Callable[[_Value, ColumnDef], Iterator[str]]]] = {
    "integer": _integer,
    "decimal": _decimal,
    "float": _float,
    "bit": _bit,
    "text": _text,
    "binary": _binary,
    "enum": _enum,
    "set": _set,
    "json": _json,
    "date": _date,
    "datetime": _moment,
    "timestamp": _moment,
    "time": _time,
    "inet": _inet,
    "vector": _vector,
    "geometry": _geometry,
}
