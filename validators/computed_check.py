"""What a store computes by itself: read models and looked-up columns. Both are judged within the store."""

from __future__ import annotations

import time

from stores.postgres import PostgresConnection
from sync.postgres import lookups, read_models
from transforms.lookup import Lookup
from validators.computed_verdict import Computed, computed_verdict
from validators.findings import Mode, Outcome, TableVerdict
from validators.lookup_check import judge_lookup
from validators.read_model_check import judge


def names_of_computed(one: Computed) -> set[str]:
    """Names by which it can be chosen, in lower case; a looked-up column also by its table."""
    names = {one.name.lower(), one.place.lower()}
    return names | {one.table.lower(), f"{one.schema}.{one.table}".lower()} if isinstance(one, Lookup) else names


def is_made(connection: PostgresConnection, one: Computed) -> bool:
    """Whether the store has it as it is declared."""
    return lookups.kept(connection, one) if isinstance(one, Lookup) else read_models.state(connection, one)[0]


def judge_computed(connection: PostgresConnection, one: Computed, mode: Mode) -> TableVerdict:
    """Its verdict. Raises what the store raises."""
    return judge_lookup(connection, one, mode) if isinstance(one, Lookup) else judge(connection, one, mode)


def blank_computed(one: Computed, mode: Mode, why: str, next_step: str = "") -> TableVerdict:
    """A verdict without a judgement, and why there is none."""
    return computed_verdict(one, mode, time.monotonic(), Outcome.INCONCLUSIVE, why, next_step)
