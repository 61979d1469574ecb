"""Invariants: both forms quote what they must, and figures compare exactly."""

from __future__ import annotations

from decimal import Decimal

import pytest

from demo.retailcore.domains import Domain, domain_of
from demo.retailcore.invariants import _TOKEN, INVARIANTS, Invariant, _figures, compare, violated


def test_there_are_enough_and_each_stays_in_its_domain() -> None:
    assert len(INVARIANTS) >= 8
    assert len({invariant.name for invariant in INVARIANTS}) == len(INVARIANTS)
    assert {invariant.domain for invariant in INVARIANTS} == set(Domain)
    for invariant in INVARIANTS:
        for found in _TOKEN.finditer(invariant.text):
            assert not found[1] or domain_of(found[1]) is invariant.domain, invariant.name


def test_both_forms() -> None:
    invariant = Invariant("x", Domain.ORDERS, "", "SELECT [group] FROM {order} WHERE sku LIKE '~%'")
    assert invariant.mysql() == "SELECT `group` FROM `order` WHERE sku LIKE '~%'"
    assert invariant.postgres("shop").as_string() == 'SELECT "group" FROM "shop"."order" WHERE sku LIKE \'~%\''


def test_figures_are_exact_numbers_only() -> None:
    assert _figures((1, Decimal("1.50"), None)) == (1, Decimal("1.5"), None)
    with pytest.raises(TypeError, match=r"0\.1"):
        _figures((0.1,))
    with pytest.raises(ValueError, match="one row"):
        _figures(None)


def test_violations_and_disagreements() -> None:
    name = INVARIANTS[0].name
    good = {name: (Decimal(0), Decimal("10.00"))}
    assert violated(good) == []
    assert compare(good, {name: (Decimal(0), Decimal("10.0"))}) == []
    assert [found.name for found in compare(good, {name: (Decimal(0), Decimal("10.01"))})] == [name]
    assert compare(good, {})[0].target is None
    (line,) = violated({name: (Decimal(3), Decimal(1))})
    assert line.startswith(f"{name}: 3 violations")
