"""From replicated rows to changes of source rows, and these to SQL, without servers."""

from __future__ import annotations

import pytest

from model.errors import SchemaDrift, ValueRefused
from model.position import Flavour
from model.rows import Op
from stores.mysql import ServerInfo
from sync.mysql.reverse_literals import column_sql, quoted
from sync.mysql.reverse_statements import ReverseStatements
from sync.mysql.reverse_tables import Progress, advance_statement, mark_statement
from sync.postgres.pgoutput import UNCHANGED, Delete, Insert, Relation, RelationColumn, Update
from sync.postgres.slots import stream_name
from sync.reverse_rows import TableBinding
from tests.support.plans import column, compile_one, compile_tables, table
from transforms.reverse import ReversePlan, reverse_plan, reverse_plans

INFO = ServerInfo(Flavour.MYSQL, (9, 7, 0), "9.7.0", 1, "u", True)


def made() -> ReversePlan:
    """A plan with a number, a text and a boolean."""
    source = table(
        "items",
        column("id", "int"),
        column("name", "varchar(9)", nullable=True),
        column("hot", "tinyint(1)"),
        column("secret", "varchar(9)", default="s"),
    )
    return reverse_plan(compile_one(source, tables={"items": {"types": {"hot": "boolean"}, "exclude": ["secret"]}}))


def bound(*names: str, identity: str = "f") -> TableBinding:
    """The plan bound to a relation with these columns."""
    columns = tuple(RelationColumn(name, 25, -1, True) for name in names)
    return TableBinding(Relation(1, "public", "items", identity, columns), made())


def test_columns_are_found_by_name_and_only_what_differs_is_changed() -> None:
    binding = bound("hot", "added", "name", "id")
    assert binding.unknown == ("added",)
    change = binding.change(Update(1, (b"t", b"x", b"long", b"7"), True, (b"f", b"y", UNCHANGED, b"7")))
    assert (change.op, change.old, change.new) == (Op.UPDATE, (b"7", b"long", b"1"), (b"7", b"long", b"0"))
    assert change.changed == (2,)
    assert binding.change(Insert(1, (b"t", None, None, b"8"))).new == (b"8", None, b"1")
    assert binding.change(Delete(1, (b"t", None, None, b"8"), True)).old == (b"8", None, b"1")


def test_a_table_that_changed_its_shape_stops() -> None:
    with pytest.raises(SchemaDrift, match="name"):
        bound("id", "hot")
    for message in (Update(1, None, False, (b"1", b"x", b"t")), Delete(1, (b"1", None, None), False)):
        with pytest.raises(SchemaDrift, match="whole old rows"):
            bound("id", "name", "hot").change(message)


def test_a_refused_value_says_where() -> None:
    with pytest.raises(ValueRefused) as caught:
        bound("id", "name", "hot").change(Insert(1, (b"5", b"0123456789", b"t")))
    assert caught.value.where == {"table": "public.items", "column": "name", "key": "id=5"}


def test_statements_name_the_whole_old_row() -> None:
    statements = ReverseStatements(made(), INFO)
    exact = b"CAST(CONVERT(`name` USING utf8mb4) AS BINARY) <=> 'it\\'s'"
    assert statements.update((b"7", b"it's", b"1"), (b"7", None, b"1"), (1,)) == (
        b"UPDATE `shop`.`items` SET `name` = NULL WHERE `id` = 7 AND `id` <=> 7 AND " + exact + b" AND `hot` <=> 1"
    )
    assert statements.delete((b"7", None, b"1")) == (
        b"DELETE FROM `shop`.`items` WHERE `id` = 7 AND `id` <=> 7 AND `name` IS NULL AND `hot` <=> 1"
    )
    assert statements.insert([statements.values((b"7", b"\\", b"0")), statements.values((b"8", None, b"1"))]) == (
        b"INSERT INTO `shop`.`items` (`id`, `name`, `hot`) VALUES (7, '\\\\', 0), (8, NULL, 1)"
    )
    assert b"SET `id` = `id` WHERE" in statements.update((b"7", None, b"1"), (b"7", None, b"1"), ())


def test_a_part_of_a_row_leaves_the_time_of_the_other_part_alone() -> None:
    source = table(
        "users", column("id", "int"), column("hash", "int"), column("changed", "timestamp", on_update_now=True)
    )
    rule = {"to": [{"exclude": ["hash"]}, {"table": "credentials", "only": ["id", "hash"]}]}
    backs = reverse_plans(compile_tables(source, tables={"users": rule}).plans)
    part = ReverseStatements(next(back for back in backs if back.plan.target.name == "credentials"), INFO)
    assert part.insert([part.values((b"7", b"1"))]).endswith(b"`hash` = VALUES(`hash`), `changed` = `changed`")
    assert b"SET `hash` = 2, `changed` = `changed` WHERE" in part.update((b"7", b"1"), (b"7", b"2"), (1,))


def test_a_quote_cannot_end_a_literal() -> None:
    assert quoted(b"\\'; DROP TABLE x; --\0") == b"'\\\\\\'; DROP TABLE x; --\\0'"


def test_the_error_value_of_an_enum_is_compared_but_never_written() -> None:
    found = column_sql(column("e", "enum('a','b')"), mariadb=False)
    assert found.literal(b"b") == b"2"
    assert found.same(b"") == b"CAST(`e` AS UNSIGNED) IN (0)"
    with pytest.raises(ValueRefused):
        found.literal(b"")
    empty = column_sql(column("e", "enum('','b')"), mariadb=False)
    assert empty.same(b"") == b"CAST(`e` AS UNSIGNED) IN (0, 1)"
    assert empty.literal(b"") == b"1"


def test_progress_is_compare_and_set() -> None:
    before, after = Progress("d", "s", 5, 2), Progress("d", "s", 9, 2, 1, 3, 1.5)
    condition = b"WHERE domain = 'd' AND store = 's' AND epoch = 2 AND lsn = 5"
    assert mark_statement(before, "cf").endswith(condition)
    assert advance_statement(before, after, "cf").endswith(condition)
    assert b"lsn = 9" in advance_statement(before, after, "cf")


def test_stream_names_fit_slots_and_differ() -> None:
    assert stream_name("m", "catalog", "a") == "crossfade_m_catalog_a"
    odd = {stream_name("m", "Ca-talog", "a"), stream_name("m", "ca_talog", "a"), stream_name("m", "c" * 90, "a")}
    assert len(odd) == 3
    assert all(len(name) <= 63 and name == name.lower() and "-" not in name for name in odd)
