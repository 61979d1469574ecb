"""Counts the money and the stock again and again while domains move, always on the side that serves at that moment."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing

import psycopg

from demo.retailcore.address import MysqlAddress
from demo.retailcore.domains import Domain
from demo.retailcore.invariants import Figures, measure_mysql, measure_postgres, violated
from demo.retailcore.mapping import SCHEMAS

PAUSE_S = 0.5


class Auditor:
    """Use as a context manager, around the moves. `problems` must stay empty."""

    def __init__(
        self, address: MysqlAddress, dsns: Mapping[Domain, str], sides: Callable[[], Mapping[Domain, str]]
    ) -> None:
        """`sides`: domain → who serves it now."""
        self._address = address
        self._dsns = dict(dsns)
        self._sides = sides
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._audit, name="auditor", daemon=True)
        self.problems: list[str] = []
        self.audits: Counter[str] = Counter()
        """Side → how often a domain was audited there."""

    def __enter__(self) -> Auditor:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _audit(self) -> None:
        try:
            while not self._stop.wait(PAUSE_S):
                self.once()
        except Exception as error:  # told as a problem: an audit that cannot be held has not passed
            self.problems.append(f"the audit ended: {type(error).__name__}: {error}")

    def once(self) -> None:
        """One audit of every domain. What moved meanwhile does not count: it is looked at again at once."""
        before = dict(self._sides())
        with ExitStack() as stack:
            here = [domain for domain, side in before.items() if side == "source"]
            there = {domain: stack.enter_context(psycopg.connect(self._dsns[domain], autocommit=True))
                     for domain, side in before.items() if side == "stores"}  # fmt: skip
            found: dict[str, dict[str, Figures]] = {"stores": measure_postgres(there, SCHEMAS)}
            if here:
                found["source"] = measure_mysql(stack.enter_context(closing(self._address.connect())), here)
        after = dict(self._sides())
        if after != before:
            return
        for side, figures in found.items():
            self.problems += [f"{side}: {line}" for line in violated(figures)]
        self.audits.update(before.values())
