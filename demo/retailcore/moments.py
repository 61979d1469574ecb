"""A fixed pool of moments as SQL literals: making dates by the million one by one would cost more than the rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

_POOL = 4096


class Moments:
    """Literals between 2016 and the end of 2025, chosen by any non-negative number."""

    def __init__(self, random: Random) -> None:
        begin = datetime(2016, 1, 1)
        picked = [begin + timedelta(microseconds=random.randrange(10 * 365 * 86_400 * 10**6)) for _ in range(_POOL)]
        self._datetimes = [f"'{moment:%Y-%m-%d %H:%M:%S}'" for moment in picked]
        self._micros = [f"'{moment:%Y-%m-%d %H:%M:%S.%f}'" for moment in picked]
        self._dates = [f"'{moment:%Y-%m-%d}'" for moment in picked]

    def datetime(self, number: int) -> str:
        """'YYYY-MM-DD HH:MM:SS', quoted."""
        return self._datetimes[number % _POOL]

    def micros(self, number: int) -> str:
        """'YYYY-MM-DD HH:MM:SS.ffffff', quoted."""
        return self._micros[number % _POOL]

    def date(self, number: int) -> str:
        """'YYYY-MM-DD', quoted."""
        return self._dates[number % _POOL]
