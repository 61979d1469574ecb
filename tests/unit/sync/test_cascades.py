"""The cascade graph: what is followed, what is refused, what a change sets off, and how triggers are grouped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.errors import ApplyError, Refused
from model.rows import ABSENT, Op, RowChange
from model.tables import TableDef, TableId
from sync.cascades import CascadeGraph, Trigger, build_graph
from sync.postgres.cascading import grouped
from tests.support.changes import as_row, make_plan, make_table
from transforms.plan import CompiledExpression, TablePlan

A = make_table("a", "id int,note text")
B = make_table("b", "id int,a_id int", parents=(("a_id", "a", "CASCADE", "CASCADE"),))
C = make_table("c", "id int,b_id int", parents=(("b_id", "b", "CASCADE", "RESTRICT"),))
D = make_table("d", "id int,c_id int", parents=(("c_id", "c", "SET NULL", "SET NULL"),))
TREE = make_table("tree", "id int,parent int", parents=(("parent", "tree", "CASCADE", "RESTRICT"),))


def graph_of(*tables: TableDef, plans: list[TablePlan] | None = None) -> CascadeGraph:
    return build_graph({table.id: table for table in tables}, plans or [make_plan(table) for table in tables])


def test_closure_follows_chains() -> None:
    graph = graph_of(A, B, C, D)
    first = next(edge for edge in graph.edges if edge.parent == A.id)
    assert {plan.source.id.name for plan in graph.closure([first])} == {"b", "c", "d"}
    assert graph.parents == {A.id, B.id, C.id}
    assert graph.parents_of([make_plan(C)]) == {A.id, B.id}


def test_a_chain_ends_where_nothing_is_deleted() -> None:
    middle = make_table("b", "id int,a_id int", parents=(("a_id", "a", "SET NULL", "CASCADE"),))
    graph = graph_of(A, middle, C)
    assert all(edge.onward == () for edge in graph.edges)


def test_restrict_makes_no_edge() -> None:
    child = make_table("b", "id int,a_id int", parents=(("a_id", "a", "RESTRICT", "NO ACTION"),))
    assert graph_of(A, child).edges == ()


def test_a_tree_leads_to_itself() -> None:
    graph = graph_of(TREE)
    (edge,) = graph.edges
    assert [onward.edge for onward in edge.onward] == [0]
    assert graph.chained(make_plan(TREE)) == (edge,)
    assert graph.middles(edge) == ((edge.child, (0,)),)


def test_what_a_change_sets_off() -> None:
    graph = graph_of(A, B)
    gone = graph.triggers(RowChange(Op.DELETE, A.id, as_row((1, "x")), None))
    assert [(trigger.old, trigger.new) for trigger in gone] == [((b"1",), None)]
    moved = graph.triggers(RowChange(Op.UPDATE, A.id, as_row((1, "x")), as_row((2, "x"))))
    assert [(trigger.old, trigger.new) for trigger in moved] == [((b"1",), (b"2",))]
    assert graph.triggers(RowChange(Op.UPDATE, A.id, as_row((1, "x")), as_row((1, "y")))) == []
    assert graph.triggers(RowChange(Op.INSERT, A.id, None, as_row((1, "x")))) == []
    assert graph.triggers(RowChange(Op.UPDATE, A.id, (b"1", ABSENT), (ABSENT, b"y"))) == []


def test_a_hidden_referenced_column_is_refused() -> None:
    with pytest.raises(ApplyError, match="hides the columns"):
        graph_of(A, B).triggers(RowChange(Op.DELETE, A.id, (ABSENT, b"x"), None))


def refused(plans: list[TablePlan], *tables: TableDef) -> str:
    with pytest.raises(Refused) as caught:
        graph_of(*tables, plans=plans)
    return caught.value.message


def test_what_cannot_be_followed_is_refused_by_name() -> None:
    plan = make_plan(B)
    assert "no faithful copy of column a_id" in refused([replace(plan, columns=plan.columns[:1])], A, B)
    assert "is unknown" in refused([plan], B)
    assert "does not hold them whole" in refused([make_plan(A), make_plan(C)], A, B, C)
    where = CompiledExpression("1", lambda row: b"1", "", "", (0,))
    assert "does not hold them whole" in refused([replace(plan, where=where), make_plan(C)], A, B, C)
    follows = CompiledExpression("a_id", lambda row: row[1], "", "", (1,))
    assert "reads the column that the cascade changes" in refused([replace(plan, where=follows)], A, B)


def test_the_parent_may_be_in_another_store_and_columns_renamed() -> None:
    graph = graph_of(A, B, plans=[make_plan(B, prefix="x_")])
    (edge,) = graph.edges
    assert edge.parent == TableId("shop", "a")
    assert edge.match == (1,)


def test_deletes_of_all_edges_are_grouped() -> None:
    graph = graph_of(A, B, make_table("e", "id int,a_id int", parents=(("a_id", "a", "CASCADE", "CASCADE"),)))
    triggers = [
        trigger
        for number in range(5)
        for trigger in graph.triggers(RowChange(Op.DELETE, A.id, as_row((number, "x")), None))
    ]
    assert [len(pairs) for _, pairs in grouped(triggers)] == [5, 5]


def test_key_changes_that_touch_each_other_are_done_one_after_the_other() -> None:
    (edge,) = graph_of(A, B).edges
    steps = [(1, 9), (2, 1), (9, 2), (5, 6)]
    triggers = [Trigger(edge, as_row((old,)), as_row((new,))) for old, new in steps]
    triggers.append(Trigger(edge, (b"7",), None))
    assert [len(pairs) for _, pairs in grouped(triggers)] == [2, 2, 1]
