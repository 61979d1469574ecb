"""Every type of the map through a real PostgreSQL and back: what the store prints becomes the source's value again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from model.position import Flavour
from model.tables import TableDef, TableId
from servers import RunningServer
from stores.postgres import PostgresConnection, connect_store
from tests.support.neutral_values import CASES, Case
from tests.support.servers import store_database
from transforms.plan import ColumnKind, ColumnPlan, TablePlan
from transforms.reverse import Reversibility, reverse_plan
from transforms.target import TargetColumn, TargetTable
from transforms.types import TypePolicy, choose_type


def plan_of(case: Case, override: str | None) -> TablePlan:
    """A keyless plan with the one column."""
    policy = TypePolicy(Flavour(case.flavour or "mysql"))
    choice = choose_type(case.column, "c", policy, override)
    target = TargetColumn("c", choice.type)
    return TablePlan(
        TableDef(TableId("d", "t"), (case.column,)),
        TargetTable("main", "public", "t", (target,)),
        (ColumnPlan(target, ColumnKind.COPY, 0, choice.casts),),
        (),
    )


@pytest.fixture(scope="module")
def printer(store: RunningServer) -> Iterator[PostgresConnection]:
    """A session with the settings of the decoding one."""
    with store_database(store) as database, connect_store(SecretStr(database.dsn)) as connection:
        connection.execute("SET bytea_output = hex")
        yield connection


def printed(connection: PostgresConnection, type_text: str, values: list[bytes]) -> list[bytes]:
    """What the server prints for values of a type."""
    query = f"SELECT v::{type_text} FROM unnest(%s::text[]) WITH ORDINALITY AS u(v, n) ORDER BY n"
    cursor = connection.execute(query.encode(), ([value.decode() for value in values],))
    result: Any = cursor.pgresult  # the bytes of the output function, as in the replication stream
    return [result.get_value(row, 0) for row in range(result.ntuples)]


CHOICES = [(case, override) for case in CASES for override in (None, *case.overrides)]


@pytest.mark.parametrize(
    ("case", "override"), CHOICES, ids=[f"{case}-{override or 'default'}" for case, override in CHOICES]
)
def test_the_way_back_is_exact(case: Case, override: str | None, printer: PostgresConnection) -> None:
    plan = plan_of(case, override)
    back = reverse_plan(plan)
    (column,) = plan.columns

    @settings(
        max_examples=8,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(case.values, min_size=1, max_size=30))
    def check(values: list[bytes]) -> None:
        stored = [column.value((value,)) for value in values]
        outputs = printed(printer, column.target.type, [value for value in stored if isinstance(value, bytes)])
        returned = [back.columns[0].convert((output,)) for output in outputs]
        again = printed(printer, column.target.type, [column.value((value,)) for value in returned])  # type: ignore[misc]
        assert again == outputs
        if back.way is Reversibility.EXACT and column.target.type != "jsonb":
            assert returned == list(islice(values, len(returned)))

    check()
