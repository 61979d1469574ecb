"""Mode `schema`: are the store's tables as the plan says, and would its identities give ids that are free. Reads only.

The comparison is that of `schema plan --diff`, as findings of a verdict. An identity that is behind its data is no
difference while the source serves: the cutover puts it ahead; in a store that serves it is one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

from psycopg import sql

from config.settings import Settings
from stores.control import domains
from stores.errors import translated
from stores.postgres import PostgresConnection
from sync.postgres.drift import differences
from sync.postgres.sequences import next_id
from sync.postgres.store_catalog import read_store
from transforms.plan import TablePlan
from transforms.rules import table_matches
from validators.canonical.record import RecordForm
from validators.findings import ColumnDifference, Finding, FindingKind, Mode, Outcome, TableVerdict
from validators.table_check import blank

MEND: Final = "crossfade schema plan --diff"


def check_schema(plan: TablePlan, form: RecordForm, store: PostgresConnection, *, serves: bool) -> TableVerdict:
    """The verdict over one table's definition; `serves`: applications write to this store already."""
    target = plan.target
    found = [
        Finding(
            FindingKind.SCHEMA,
            (("object", difference.object),),
            (ColumnDifference(difference.object, difference.expected, difference.found),),
            "rows of the plan cannot be written" if difference.misfit else "",
        )
        for difference in differences(read_store(store, [target.schema]), [target])
    ]
    why = ""
    behind = None if found else _behind(store, plan)
    if behind is not None:
        column, following, highest = behind
        if serves:
            difference = ColumnDifference(column, f"above {highest}", str(following))
            found.append(Finding(FindingKind.SCHEMA, (("object", f"identity {column}"),), (difference,)))
        else:
            why = f"the identity {column} is at {following}, behind {highest}: the cutover puts it ahead"
    return dataclasses.replace(
        blank(plan, Mode.SCHEMA, form, why=why),
        outcome=Outcome.FAIL if found else Outcome.PASS,
        next_step=MEND if found else "",
        different=len(found),
        findings=tuple(found),
        chunks_passed=int(not found),
    )


def _behind(store: PostgresConnection, plan: TablePlan) -> tuple[str, int, int] | None:
    """Column, next id and highest id, when the next id would not be free."""
    following = next_id(store, plan.target)
    if following is None:
        return None
    column = next(column.name for column in plan.target.columns if column.identity)
    query = sql.SQL("SELECT max({}) FROM {}").format(
        sql.Identifier(column), sql.Identifier(plan.target.schema, plan.target.name)
    )
    with translated(f"store {plan.target.store}"):
        row = store.execute(query).fetchone()
    highest = row[0] if row else None
    return (column, following, int(highest)) if highest is not None and following <= highest else None


def serving(settings: Settings, control: PostgresConnection, plans: Mapping[str, TablePlan]) -> frozenset[str]:
    """Ids of the plans whose stores serve writes by now."""
    row = control.execute("SELECT to_regclass('crossfade.domain_state') IS NOT NULL").fetchone()
    if not row or not row[0]:
        return frozenset()
    globs = [
        glob
        for state in domains.every(control, settings.name)
        if state.side == "stores" and state.domain in settings.domains
        for glob in settings.domains[state.domain].tables
    ]
    return frozenset(
        plan_id for plan_id, plan in plans.items() if any(table_matches(glob, plan.source.id) for glob in globs)
    )
