"""Casts: laws that hold for any value, beyond the examples that real PostgreSQL judges."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import ZeroDates
from model.errors import ConfigError, ValueRefused
from model.rows import ABSENT
from transforms import casts

LABELS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0,"), max_size=8)


def test_null_and_absent_pass_every_cast() -> None:
    for cast in (casts.nul_quarantine(), casts.zero_date(ZeroDates.INFINITY), casts.integer_from_bits()):
        assert cast.convert(None) is None
        assert cast.convert(ABSENT) is ABSENT


@given(st.lists(LABELS, max_size=5))
def test_array_literals_come_back(labels: list[str]) -> None:
    assert casts.array_items(casts.array_literal(labels)) == labels
    assert casts.set_to_text().convert(casts.array_literal(labels)) == ",".join(labels).encode()


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 8))
def test_rounding_is_half_away_from_zero_on_the_decimal_text(value: float, scale: int) -> None:
    text = casts.round_numeric(None, scale, loss="x").convert(repr(value).encode())
    assert isinstance(text, bytes)
    exact = Decimal(repr(value))
    assert abs(Decimal(text.decode()) - exact) <= Decimal(1).scaleb(-scale) / 2
    if abs(exact) < 10**15:
        assert Decimal(text.decode()) == exact.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP)
    assert text != b"-0" and not (text.startswith(b"-") and set(text) <= set(b"-0."))
    assert len(text.partition(b".")[2]) == scale


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_become_numerics_that_read_back_as_the_same_float(value: float) -> None:
    text = casts.numeric_from_float().convert(repr(value).encode())
    assert isinstance(text, bytes) and float(text) == value and b"e" not in text.lower()


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)))
def test_a_wall_clock_goes_to_utc_and_back_or_is_refused(moment: datetime) -> None:
    zone, text = "Europe/Berlin", moment.isoformat(" ").encode()
    try:
        utc = casts.wall_to_utc(zone).convert(text)
    except ValueRefused:
        local = moment.replace(tzinfo=ZoneInfo(zone))
        assert local.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != moment
        return
    assert casts.utc_to_zone(zone).convert(utc) == text


def test_the_first_of_two_equal_wall_clock_times_is_taken() -> None:
    cast = casts.wall_to_utc("Europe/Berlin")
    assert cast.convert(b"2024-10-27 02:30:00.5") == b"2024-10-27 00:30:00.5+00"
    assert not cast.reversible and cast.reason
    assert cast.convert(b"-infinity") == b"-infinity"


def test_an_unknown_zone_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="Berlon"):
        casts.wall_to_utc("Europe/Berlon")


@given(st.binary(max_size=30))
def test_bytes_become_text_exactly_when_they_are_utf8_without_nul(raw: bytes) -> None:
    field = b"\\x" + raw.hex().encode()
    try:
        raw.decode()
        good = b"\0" not in raw
    except UnicodeDecodeError:
        good = False
    if good:
        assert casts.utf8_from_bytes().convert(field) == raw
    else:
        with pytest.raises(ValueRefused):
            casts.utf8_from_bytes().convert(field)


@pytest.mark.parametrize(
    ("value", "stripped"),
    [
        (rb'{"a": "x\u0000y"}', rb'{"a": "xy"}'),
        (rb'{"a": "\\u0000"}', rb'{"a": "\\u0000"}'),
        (rb'{"a": "\\\u0000"}', rb'{"a": "\\"}'),
        (rb'{"a": 1}', rb'{"a": 1}'),
    ],
)
def test_an_escaped_nul_is_told_from_an_escaped_backslash(value: bytes, stripped: bytes) -> None:
    assert casts.jsonb_nul(strip=True).convert(value) == stripped
    if value == stripped:
        assert casts.jsonb_nul(strip=False).convert(value) == value
    else:
        with pytest.raises(ValueRefused):
            casts.jsonb_nul(strip=False).convert(value)


def test_nul_policy() -> None:
    assert casts.nul_strip().convert(b"a\0b\0") == b"ab"
    assert not casts.nul_strip().reversible
    with pytest.raises(ValueRefused):
        casts.nul_quarantine().convert(b"a\0b")


def test_a_refusal_shows_the_value_but_not_all_of_it() -> None:
    with pytest.raises(ValueRefused) as caught:
        casts.uuid_from_text().convert(b"x" * 5000)
    assert len(str(caught.value)) < 150
