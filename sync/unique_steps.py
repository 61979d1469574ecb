"""The unique indexes of one store's tables during one session of its applier: in place when that is quick, else beside
the stream. Works on the applier's thread and connection, between groups."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from stores.errors import translated
from sync.applier_ports import SchemaSteps
from sync.postgres.apply import StoreWriter
from sync.postgres.unique_build import drop_unfinished, progress
from sync.unique_builds import UniqueBuilds
from transforms.plan import TablePlan

LOOK_EVERY_S: Final = 2.0
"""How often PostgreSQL is asked how far a build is."""


class UniqueSteps:
    """What the phases do about unique indexes."""

    def __init__(self, writer: StoreWriter, ddl: SchemaSteps, builds: UniqueBuilds) -> None:
        self._writer = writer
        self._ddl = ddl
        self._builds = builds
        self._looked = 0.0

    def waits(self, plan: TablePlan) -> bool:
        """Whether nothing can be done for an exact table before a build has ended."""
        return self._builds.waits(plan)

    def ready(self, plan: TablePlan) -> bool:
        """Whether the table of an exact and swept plan has its unique indexes now; else they are being built.

        Raises ApplyError when they cannot be.
        """
        self._builds.take(plan)
        with self._writer.aside() as connection:
            if self._ddl.slow_uniques(connection, plan):
                self._builds.hand_over(plan)
                return False
            self._ddl.create_uniques(connection, plan)
        self._builds.done(plan)
        return True

    def leave(self, plans: Iterable[TablePlan]) -> None:
        """Call off what is built for these plans, before their tables are altered or held. No transaction is open
        then: a build may be waiting for its end."""
        plans = tuple(plans)
        assert not (self._writer.in_transaction and self._builds.builds_for(plans))
        self._builds.leave(plans)

    def clear(self, plans: Iterable[TablePlan]) -> None:
        """Drop in the open transaction, which alters these tables, what builds have left."""
        for target in dict.fromkeys(plan.target for plan in plans):
            drop_unfinished(self._writer.connection, target)

    def look(self) -> None:
        """Ask how far the build is, now and then, for those who watch. Does nothing with a transaction open."""
        pid = self._builds.pid
        if pid is None or self._writer.in_transaction or time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        self._looked = time.monotonic()
        with translated(f"store {self._writer.store}"):
            self._builds.show(progress(self._writer.connection, pid))
