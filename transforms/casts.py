"""Named conversions of one field's neutral text form. Each says whether the way back gives the same source value.

A conversion never guesses: what the target cannot hold raises ValueRefused, and the row goes to quarantine. Results are
spelled as PostgreSQL prints them wherever that is cheap, so that a projected row compares with a stored one as text.
"""

from __future__ import annotations

import calendar
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from config.settings import ZeroDates
from model.errors import ConfigError, ValueRefused
from model.rows import ABSENT, Field
from transforms.plan import Cast

_EXACT = Context(prec=1400, rounding=ROUND_HALF_UP)
"""Enough for any double in any numeric(1000,s)."""


def _cast(name: str, convert: Callable[[bytes], Field], *, loss: str = "") -> Cast:
    """A cast that leaves NULL and ABSENT alone. `loss` says why it cannot be turned back; "" when it can."""

    def guarded(value: Field) -> Field:
        return value if value is None or value is ABSENT else convert(value)

    return Cast(name, guarded, reversible=not loss, reason=loss)


def _shown(value: bytes) -> str:
    text = value[:60].decode(errors="replace")
    return repr(text) + ("…" if len(value) > 60 else "")


def refuse(value: bytes, why: str, hint: str) -> ValueRefused:
    """The error for a value that the target column cannot hold."""
    return ValueRefused(f"the value {_shown(value)} {why}", hint=hint)


# ---------------------------------------------------------------- characters


def nul_quarantine() -> Cast:
    """Refuses text with NUL characters, which PostgreSQL's text cannot hold."""

    def convert(value: Field) -> Field:
        if value is None or value is ABSENT or b"\0" not in value:
            return value
        raise refuse(value, "holds a NUL character", "Set nul_characters: strip, or map the column to bytea.")

    return Cast("nul_quarantine", convert)


def nul_strip() -> Cast:
    """Takes NUL characters out of text."""
    return _cast("nul_strip", lambda value: value.replace(b"\0", b""), loss="NUL characters are removed")


def max_characters(limit: int) -> Cast:
    """Refuses text of more than `limit` characters."""

    def convert(value: bytes) -> Field:
        if len(value) > limit and len(value.decode(errors="replace")) > limit:
            raise refuse(value, f"is longer than {limit} characters", "Widen the column's type.")
        return value

    return _cast(f"max_characters({limit})", convert)


def utf8_from_bytes() -> Cast:
    """`\\x` hex → the text that those bytes are in UTF-8; other bytes and NUL are refused."""

    def convert(value: bytes) -> Field:
        raw = bytes.fromhex(value[2:].decode())
        try:
            raw.decode()
        except UnicodeDecodeError:
            raise refuse(value, "is not UTF-8", "Keep the column as bytea.") from None
        if b"\0" in raw:
            raise refuse(value, "holds a NUL byte", "Keep the column as bytea.")
        return raw

    return _cast("utf8_from_bytes", convert)


# ---------------------------------------------------------------- dates


def _real_date(value: bytes) -> bool:
    """Whether `YYYY-MM-DD…` is a day that PostgreSQL has."""
    day = value[8:10]
    if b"01" <= day <= b"28":
        return b"01" <= value[5:7] <= b"12" and value[:4] != b"0000"
    year, month = int(value[:4]), int(value[5:7])
    return year > 0 and 1 <= month <= 12 and 1 <= int(day) <= calendar.monthrange(year, month)[1]


_ZERO = re.compile(rb"0000-00-00(?: 00:00:00(?:\.0+)?(?:\+00)?)?")


def zero_date(policy: ZeroDates) -> Cast:
    """The policy for dates that PostgreSQL does not have: 0000-00-00, year 0000, month or day 00, 31 February.

    infinity: the whole zero becomes `-infinity` (and back); any other impossible date is refused, for `-infinity` would
    not tell which it was. null: all of them become NULL. quarantine: all of them are refused.
    """

    def refused(value: bytes) -> ValueRefused:
        return refuse(value, "is not a date that PostgreSQL has", "Choose another zero_dates policy, or the type text.")

    def infinity(value: bytes) -> Field:
        if _real_date(value):
            return value
        if _ZERO.fullmatch(value):
            return b"-infinity"
        raise refused(value)

    def null(value: bytes) -> Field:
        return value if _real_date(value) else None

    def quarantine(value: bytes) -> Field:
        if _real_date(value):
            return value
        raise refused(value)

    if policy is ZeroDates.INFINITY:
        return _cast("zero_date_infinity", infinity)
    if policy is ZeroDates.NULL:
        return _cast("zero_date_null", null, loss="zero and impossible dates become NULL")
    return _cast("zero_date_quarantine", quarantine)


def utc_to_wall() -> Cast:
    """`…+00` → the same wall-clock time without a zone."""
    return _cast("utc_to_wall", lambda value: value.removesuffix(b"+00"))


def wall_to_utc(zone: str) -> Cast:
    """A wall-clock time in `zone` → UTC with `+00`. Skipped times are refused; of two equal ones, the first.

    Raises ConfigError for a zone that the time zone database does not have.
    """
    info = _zone(zone)

    def convert(value: bytes) -> Field:
        if value == b"-infinity":
            return value
        head, dot, fraction = value.decode().partition(".")
        moment = datetime.fromisoformat(head).replace(tzinfo=info)
        try:
            utc = moment.astimezone(UTC)
            back = utc.astimezone(info)
        except OverflowError:
            raise refuse(value, "cannot be expressed in UTC", "Keep the column as timestamp.") from None
        if back.replace(tzinfo=None) != moment.replace(tzinfo=None):
            raise refuse(value, f"does not exist in {zone}", "Mend the row, or keep the column as timestamp.")
        return f"{_iso(utc)}{dot}{fraction}+00".encode()

    return _cast(f"wall_to_utc({zone})", convert, loss="of two equal wall-clock times in autumn the first is taken")


def utc_to_zone(zone: str) -> Cast:
    """`…+00` → the wall-clock time in `zone`. Raises ConfigError for an unknown zone."""
    info = _zone(zone)

    def convert(value: bytes) -> Field:
        if value == b"-infinity":
            return value
        head, dot, fraction = value.decode().removesuffix("+00").partition(".")
        local = datetime.fromisoformat(head).replace(tzinfo=UTC).astimezone(info)
        return f"{_iso(local)}{dot}{fraction}".encode()

    return _cast(f"utc_to_zone({zone})", convert, loss="wall-clock times repeat when summer time ends")


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(" ", "seconds")


def _zone(zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError(f"{zone!r} is not a time zone", hint="Use a name such as Europe/Berlin or UTC.") from None


def truncate_fraction(digits: int) -> Cast:
    """Cuts (does not round) fractional seconds to `digits`."""

    def convert(value: bytes) -> Field:
        head, dot, tail = value.partition(b".")
        if not dot:
            return value
        fraction, plus, zone = tail.partition(b"+")
        return head + (b"." + fraction[:digits] if digits else b"") + plus + zone

    return _cast(f"truncate_fraction({digits})", convert, loss=f"fractional seconds after {digits} digits are cut off")


def midnight_to_date() -> Cast:
    """A datetime at midnight → its date; other times are refused."""

    def convert(value: bytes) -> Field:
        day, _, time = value.partition(b" ")
        if time.strip(b"0:.+"):
            raise refuse(value, "has a time of day, the target is a date", "Keep the column as timestamp.")
        return day

    return _cast("midnight_to_date", convert)


def date_to_midnight(suffix: bytes) -> Cast:
    """A date → that date at midnight."""
    return _cast("date_to_midnight", lambda value: value if value == b"-infinity" else value + b" 00:00:00" + suffix)


def time_of_day() -> Cast:
    """TIME → time; what is outside 00:00:00 to 23:59:59.999999 is refused."""

    def convert(value: bytes) -> Field:
        if value.startswith(b"-") or value.index(b":") > 2 or value[:2] > b"23":
            raise refuse(value, "is not a time of day", "Keep the column as interval.")
        return value

    return _cast("time_of_day", convert)


# ---------------------------------------------------------------- numbers


def integer_range(low: int, high: int, type_name: str) -> Cast:
    """Refuses whole numbers outside `low`…`high`."""

    def convert(value: bytes) -> Field:
        if not low <= int(value) <= high:
            raise refuse(value, f"is out of range for {type_name}", "Widen the column's type.")
        return value

    return _cast(f"range({type_name})", convert)


def boolean_from_integer() -> Cast:
    """0 → f, 1 → t; every other number is refused."""
    words: dict[bytes, Field] = {b"0": b"f", b"1": b"t"}

    def convert(value: bytes) -> Field:
        if value not in words:
            raise refuse(value, "is neither 0 nor 1, the target is boolean", "Keep the column as smallint.")
        return words[value]

    return _cast("boolean_from_integer", convert)


def integer_from_bits() -> Cast:
    """A string of 0 and 1 → the number it is."""
    return _cast("integer_from_bits", lambda value: str(int(value, 2)).encode())


def round_numeric(precision: int | None, scale: int, *, loss: str) -> Cast:
    """Rounds half away from zero to `scale` decimals, as PostgreSQL's numeric input does; refuses too many digits."""
    unit = Decimal(1).scaleb(-scale)
    limit = Decimal(10) ** (precision - scale) if precision is not None else None

    def convert(value: bytes) -> Field:
        number = _decimal(value)
        try:
            result = number.quantize(unit, context=_EXACT)
        except InvalidOperation:
            raise refuse(value, "has too many digits", "Widen the column's type.") from None
        if limit is not None and result.copy_abs() >= limit:
            raise refuse(value, f"does not fit numeric({precision},{scale})", "Widen the column's type.")
        return format(result if result else result.copy_abs(), "f").encode()

    return _cast(f"round_numeric({precision or ''},{scale})", convert, loss=loss)


def numeric_from_float() -> Cast:
    """The shortest decimal that reads back as the same double, written without exponent; there is no -0 in numeric."""

    def convert(value: bytes) -> Field:
        number = _decimal(value)
        return format(number if number else abs(number), "f").encode()

    return _cast("numeric_from_float", convert, loss="a negative zero comes back as 0")


def whole_number() -> Cast:
    """A decimal without fraction → an integer; fractions are refused."""

    def convert(value: bytes) -> Field:
        number = _decimal(value)
        if number != number.to_integral_value():
            raise refuse(value, "has a fraction, the target is an integer", "Choose numeric.")
        return str(int(number)).encode()

    return _cast("whole_number", convert)


def _decimal(value: bytes) -> Decimal:
    try:
        number = Decimal(value.decode())
    except (InvalidOperation, UnicodeDecodeError):
        raise refuse(value, "is not a number", "Choose the type text.") from None
    if not number.is_finite():
        raise refuse(value, "is not a finite number", "Choose the type text.")
    return number


# ---------------------------------------------------------------- labels


def array_items(value: bytes) -> list[str]:
    """Elements of a one-dimensional array literal whose elements are all double-quoted."""
    return [
        item.replace('\\"', '"').replace("\\\\", "\\") for item in re.findall(r'"((?:[^"\\]|\\.)*)"', value.decode())
    ]


def array_literal(items: list[str]) -> bytes:
    """The array literal of `items` in the neutral form (every element double-quoted)."""
    escaped = (item.replace("\\", "\\\\").replace('"', '\\"') for item in items)
    return ("{" + ",".join(f'"{item}"' for item in escaped) + "}").encode()


def set_to_text() -> Cast:
    """SET's array literal → labels with commas, as MySQL prints it (labels cannot hold a comma)."""
    return _cast("set_to_text", lambda value: ",".join(array_items(value)).encode())


def enum_to_index(labels: tuple[str, ...]) -> Cast:
    """ENUM label → its number in the declaration, the error value → 0."""
    numbers = {b"": b"0"} | {label.encode(): str(number).encode() for number, label in enumerate(labels, 1)}

    def convert(value: bytes) -> Field:
        if value not in numbers:
            raise refuse(value, "is not a label of the ENUM", "Look at the column's labels.")
        return numbers[value]

    return _cast("enum_to_index", convert)


# ---------------------------------------------------------------- identifiers and addresses

_UUID_TEXT = re.compile(rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def uuid_from_bytes() -> Cast:
    """`\\x` + 32 hex digits → uuid; any other length is refused."""

    def convert(value: bytes) -> Field:
        digits = value[2:]
        if len(digits) != 32:
            raise refuse(value, "is not 16 bytes, the target is uuid", "Keep the column as bytea.")
        return b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    return _cast("uuid_from_bytes", convert)


def bytes_from_uuid() -> Cast:
    """uuid → `\\x` + 32 hex digits."""
    return _cast("bytes_from_uuid", lambda value: b"\\x" + value.replace(b"-", b"").lower())


def uuid_from_text() -> Cast:
    """Text of 32 hex digits, with the usual dashes or none → uuid in lower case."""

    def convert(value: bytes) -> Field:
        text = value.lower()
        if re.fullmatch(rb"[0-9a-f]{32}", text):
            text = b"-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
        if not _UUID_TEXT.fullmatch(text):
            raise refuse(value, "is not a UUID", "Keep the column as text.")
        return text

    return _cast("uuid_from_text", convert, loss="case and dashes are normalised")


def inet_from_bytes() -> Cast:
    """`\\x` + 4 or 16 bytes → address; any other length is refused."""
    from ipaddress import ip_address

    def convert(value: bytes) -> Field:
        raw = bytes.fromhex(value[2:].decode())
        if len(raw) not in (4, 16):
            raise refuse(value, "is neither 4 nor 16 bytes, the target is inet", "Keep the column as bytea.")
        return str(ip_address(raw)).encode()

    return _cast("inet_from_bytes", convert)


def inet_from_text() -> Cast:
    """An IPv4 or IPv6 address in text → inet."""
    from ipaddress import ip_address

    def convert(value: bytes) -> Field:
        try:
            return str(ip_address(value.decode())).encode()
        except (ValueError, UnicodeDecodeError):
            raise refuse(value, "is not an IP address", "Keep the column as text.") from None

    return _cast("inet_from_text", convert, loss="the spelling of addresses is normalised")


# ---------------------------------------------------------------- documents

_ESCAPED_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def jsonb_nul(strip: bool) -> Cast:
    """jsonb cannot hold the character \\u0000: refused, or taken out when `strip`."""
    if strip:
        return _cast(
            "jsonb_nul_strip",
            lambda value: _ESCAPED_NUL.sub(rb"\1", value) if b"\\u0000" in value else value,
            loss="\\u0000 is removed from documents",
        )

    def convert(value: bytes) -> Field:
        if b"\\u0000" in value and _ESCAPED_NUL.search(value):
            raise refuse(value, "holds \\u0000, which jsonb cannot", "Choose the type json, or nul_characters: strip.")
        return value

    return _cast("jsonb_nul_quarantine", convert)


def valid_json() -> Cast:
    """Refuses text that is not one JSON document."""

    def convert(value: bytes) -> Field:
        try:
            json.loads(value, parse_constant=_no_constant)
        except (ValueError, UnicodeDecodeError):
            raise refuse(value, "is not JSON", "Keep the column as text.") from None
        return value

    return _cast("valid_json", convert)


def _no_constant(name: str) -> object:
    raise ValueError(name)


# ---------------------------------------------------------------- geometry


def point_from_geometry() -> Cast:
    """MySQL's internal POINT (SRID, then WKB) → `(x,y)`; the SRID is dropped."""
    import struct

    def convert(value: bytes) -> Field:
        raw = bytes.fromhex(value[2:].decode())
        order = "<" if len(raw) == 25 and raw[4] == 1 else ">"
        if len(raw) != 25 or struct.unpack_from(order + "I", raw, 5)[0] != 1:
            raise refuse(value, "is not a POINT", "Keep the column as bytea.")
        x, y = struct.unpack_from(order + "2d", raw, 9)
        return f"({x!r},{y!r})".encode()

    return _cast("point_from_geometry", convert, loss="the SRID is dropped")


def vector_brackets() -> Cast:
    """`{1.0,2.5}` → pgvector's `[1.0,2.5]`."""
    return _cast("vector_brackets", lambda value: b"[" + value[1:-1] + b"]")


def pass_through(name: str, loss: str) -> Cast:
    """Changes nothing itself: names what PostgreSQL's input does with the value."""
    return _cast(name, lambda value: value, loss=loss)


def checked_by(pattern: str, what: str) -> Cast:
    """Refuses text that does not match `pattern` whole."""
    compiled = re.compile(pattern.encode())

    def convert(value: bytes) -> Field:
        if not compiled.fullmatch(value):
            raise refuse(value, f"is not {what}", "Keep the column as text.")
        return value

    return _cast(f"checked({what})", convert)
