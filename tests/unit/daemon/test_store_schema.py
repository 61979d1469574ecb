"""When a session compiles its plans, and when those of the start do."""

from __future__ import annotations

import dataclasses

import pytest

from daemon import store_schema
from daemon.planning import Planned, compile_for
from daemon.store_schema import DaemonSchema
from model.position import Flavour
from model.tables import TableDef
from stores.control.schema_history import SchemaHistory, SchemaVersion
from stores.mysql import ServerInfo
from tests.support.plans import column, make_settings, table

INFO = ServerInfo(Flavour.MYSQL, (9, 7, 0), "9.7.0", 1, "u", True)
SETTINGS = make_settings()
ORDERS = table("orders", column("id", "int"), column("note", "varchar(40)"))
ITEMS = table("items", column("id", "int"))


def as_stored(definition: TableDef, from_seq: int) -> SchemaVersion:
    """A version as a store gives it back."""
    return SchemaVersion(definition.id, from_seq, TableDef.from_json(definition.to_json()))


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """An element for each time that plans were compiled by a DaemonSchema."""
    done: list[None] = []

    def counting(*given: object, **more: object) -> object:
        done.append(None)
        return compile_for(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(store_schema, "compile_for", counting)
    return done


def test_plans_are_compiled_for_other_definitions_only(compiled: list[None]) -> None:
    tables = {one.id: one for one in (ORDERS, ITEMS)}
    planned = Planned(INFO, tables, compile_for(SETTINGS, tables, INFO), cascades_logged=True)
    schema = DaemonSchema(SETTINGS, planned, "main")
    history = SchemaHistory([as_stored(ORDERS, 0), as_stored(ITEMS, 0)])
    assert schema.plan(history).plans == planned.plan.of_store("main")
    assert not compiled

    longer = dataclasses.replace(ORDERS, columns=(*ORDERS.columns, column("added", "int")))
    for _ in range(2):  # the second is a session that begins anew, with a history of its own
        followed = history.extended([as_stored(longer, 7)])
        plans = {one.source.id: one for one in schema.plan(followed).plans}
        assert [one.target.name for one in plans[ORDERS.id].columns] == ["id", "note", "added"]
        assert len(compiled) == 1
    gone = history.extended([SchemaVersion(ITEMS.id, 8, None)])
    assert [one.source.id for one in schema.plan(gone).plans] == [ORDERS.id]
