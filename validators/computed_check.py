"""What a store computes by itself: read models and looked-up columns. Both are judged within the store."""

from __future__ import annotations

from stores.postgres import PostgresConnection
from sync.postgres import lookups, read_models
from transforms.lookup import Lookup
from transforms.read_model import ReadModel
from validators.findings import Mode, TableVerdict
from validators.lookup_check import LOOKUP, blank_lookup, judge_lookup
from validators.read_model_check import READ_MODEL, blank_model, judge

Computed = ReadModel | Lookup


def computed_id(one: Computed) -> str:
    """The plan id of its verdict."""
    return f"{LOOKUP if isinstance(one, Lookup) else READ_MODEL}{one}"


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
    return (
        blank_lookup(one, mode, why, next_step) if isinstance(one, Lookup) else blank_model(one, mode, why, next_step)
    )
