"""Figures as people read them, the same in every form of a report."""

from __future__ import annotations


def age(seconds: float | None) -> str:
    """`12 s`, `5 min`, `3.2 h`, `4.1 d`; `never` without one."""
    if seconds is None:
        return "never"
    for limit, unit, divisor in ((100.0, "s", 1.0), (6000.0, "min", 60.0), (172_800.0, "h", 3600.0)):
        if seconds < limit:
            value = seconds / divisor
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{seconds / 86_400:.1f} d"


def lag(seconds: float | None) -> str:
    """Milliseconds below a second, seconds above; `–` when unknown."""
    if seconds is None:
        return "–"
    if not seconds:
        return "0"
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s" if seconds < 100 else age(seconds)


def number(value: int | float | None) -> str:
    """With thousands separated; `–` when unknown."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def percent(value: float | None) -> str:
    """`99.97 %`; `–` when nothing was counted."""
    return "–" if value is None else f"{value:g} %"


def short_plan(plan: str) -> str:
    """`orders → sales.orders` of `shop.orders>store:sales.orders`; one name when both are the same."""
    source, _, target = plan.partition(">")
    source, target = source.rpartition(".")[2], target.partition(":")[2] or target
    return source if target.rpartition(".")[2] == source else f"{source} → {target}"
