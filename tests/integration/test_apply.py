"""The writer on a real store: folded changes, swaps, cascades, partial images, keyless tables, the checkpoint."""

from __future__ import annotations

import dataclasses
import random

import pytest

from model.errors import ApplyError, Fenced, Refused, ValueRefused
from model.rows import ABSENT, Op, Row, RowChange
from stores.control import checkpoints
from sync.cascades import build_graph
from sync.changes import RowsBatch
from sync.postgres import apply as apply_module
from tests.support.applying import STREAM, Applying
from tests.support.changes import Impossible, SourceModel, as_row, make_plan, make_table
from tests.support.servers import StoreDatabase
from transforms.plan import TablePlan

FAMILY = {
    "a": make_table("a", "id int,note text", uniques=(("note",),)),
    "b": make_table("b", "id int,a_id int,note text", parents=(("a_id", "a", "CASCADE", "CASCADE"),)),
    "c": make_table(
        "c",
        "id int,b_id int,a_id int",
        parents=(("b_id", "b", "CASCADE", "CASCADE"), ("a_id", "a", "SET NULL", "SET NULL")),
    ),
    "tree": make_table("tree", "id int,parent int,note text", parents=(("parent", "tree", "CASCADE", "RESTRICT"),)),
    "log": make_table("log", "a int,b text", key=()),
}


def one_step(source: SourceModel, dice: random.Random) -> None:
    """One random change; what the source refuses is left out."""
    name = dice.choice(list(source.tables))
    rows = source.rows[name]
    text = dice.choice(["x", "tab\there", "back\\slash", "new\nline", "\\N", "", f"n{dice.randrange(1000)}"])
    try:
        what = dice.random()
        if what < 0.5 or not rows:
            if name == "a":
                source.insert("a", dice.randrange(9), f"{text}{dice.randrange(10**6)}" if dice.random() < 0.8 else None)
            elif name == "b":
                source.insert("b", dice.randrange(14), dice.choice([None, dice.randrange(9)]), text)
            elif name == "c":
                source.insert("c", dice.randrange(20), dice.randrange(14), dice.choice([None, dice.randrange(9)]))
            elif name == "tree":
                source.insert("tree", dice.randrange(14), dice.choice([None, dice.randrange(14)]), text)
            else:
                source.insert("log", dice.randrange(5), text)
        elif what < 0.75:
            row = dice.choice(rows)
            if name == "a":
                key = dice.randrange(9) if dice.random() < 0.3 else row[0]
                source.update("a", row, as_row((key, f"{text}{dice.randrange(10**6)}")))
            elif name in ("b", "tree"):
                source.update(name, row, (*row[:2], text.encode()))
            elif name == "c":
                source.update("c", row, (row[0], row[1], None))
            else:
                source.update("log", row, as_row((row[0], text)))
        else:
            source.delete(name, dice.choice(rows))
    except Impossible:
        return


@pytest.mark.parametrize("minimal", [False, True], ids=["full", "minimal"])
@pytest.mark.parametrize(
    ("array_rows", "stage_rows"),
    [(1, 1), (1, 200), (2, 4), (200, 200)],
    ids=["staged", "arrays", "mixed", "single"],
)
def test_random_changes_leave_the_store_equal_to_the_source(
    store_db: StoreDatabase, array_rows: int, stage_rows: int, minimal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply_module, "ARRAY_ROWS", array_rows)
    monkeypatch.setattr(apply_module, "STAGE_ROWS", stage_rows)
    dice = random.Random(stage_rows * 2 + minimal)
    source = SourceModel(FAMILY, minimal=minimal)
    applying = Applying.prepare(store_db, source)
    seen: set[str] = set()
    with applying.writer() as writer:
        group = applying.group(writer, max_rows=30)
        for round_number in range(40):
            for _ in range(dice.randrange(1, 60)):
                one_step(source, dice)
            seen |= {name for name, rows in source.rows.items() if rows}
            applying.apply_committed(writer, group)
            if round_number % 10 == 9:
                assert applying.differences() == {}
    assert applying.checkpoint().seq == 40
    assert seen == set(FAMILY)


@pytest.mark.parametrize(
    ("array_rows", "stage_rows"), [(1, 1), (1, 200), (200, 200)], ids=["staged", "arrays", "single"]
)
def test_key_swap_and_unique_swap_inside_one_transaction(
    store_db: StoreDatabase, array_rows: int, stage_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply_module, "ARRAY_ROWS", array_rows)
    monkeypatch.setattr(apply_module, "STAGE_ROWS", stage_rows)
    source = SourceModel({"t": make_table("t", "id int,slot int,note text", uniques=(("slot",),))})
    applying = Applying.prepare(store_db, source)
    with applying.writer() as writer:
        group = applying.group(writer)
        source.insert("t", 1, 10, "one")
        source.insert("t", 2, 20, "two")
        applying.apply_committed(writer, group)
        swap_slots(source)
        applying.apply_committed(writer, group)
        assert applying.table(applying.plans[0]) == [as_row((1, 20, "one")), as_row((2, 10, "two"))]
        source.update("t", source.find("t", 1), as_row((9, 20, "one")))
        source.update("t", source.find("t", 2), as_row((1, 10, "two")))
        source.update("t", source.find("t", 9), as_row((2, 20, "one")))
        applying.apply_committed(writer, group)
    assert applying.table(applying.plans[0]) == [as_row((1, 10, "two")), as_row((2, 20, "one"))]


def swap_slots(source: SourceModel) -> None:
    one, two = source.find("t", 1), source.find("t", 2)
    parked = (one[0], None, one[2])
    source.update("t", one, parked)
    source.update("t", two, (two[0], one[1], two[2]))
    source.update("t", parked, (one[0], two[1], one[2]))


def test_cascades_of_three_levels_with_later_children(store_db: StoreDatabase) -> None:
    source = SourceModel(FAMILY)
    applying = Applying.prepare(store_db, source)
    with applying.writer() as writer:
        group = applying.group(writer)
        for number in range(3):
            source.insert("a", number, f"a{number}")
            source.insert("b", number, number, "b")
            source.insert("c", number, number, number)
        applying.apply_committed(writer, group)
        # Delete a parent, bring it and its children back under the same keys, and change a key: all in one transaction.
        source.delete("a", source.find("a", 0))
        source.insert("a", 0, "again")
        source.insert("b", 0, 0, "again")
        source.insert("c", 7, 0, 1)
        source.update("a", source.find("a", 1), as_row((30, "moved")))
        source.delete("b", source.find("b", 2))
        applying.apply_committed(writer, group)
    assert applying.differences() == {}
    assert source.rows["c"] == [as_row((1, 1, None)), as_row((7, 0, None))]


def test_a_deep_tree_goes_with_its_root(store_db: StoreDatabase) -> None:
    source = SourceModel({"tree": FAMILY["tree"]})
    applying = Applying.prepare(store_db, source)
    with applying.writer() as writer:
        group = applying.group(writer)
        for number in range(12):
            source.insert("tree", number, None if number == 0 else number - 1, "x")
        source.insert("tree", 50, None, "other")
        applying.apply_committed(writer, group)
        source.delete("tree", source.find("tree", 3))
        source.delete("tree", source.find("tree", 0))
        applying.apply_committed(writer, group)
    assert applying.table(applying.plans[0]) == [as_row((50, None, "other"))]


def test_a_child_whose_parent_is_in_another_store(store_db: StoreDatabase) -> None:
    source = SourceModel({name: FAMILY[name] for name in ("a", "b")})
    child = make_plan(FAMILY["b"], prefix="their_")
    applying = Applying.prepare(store_db, source, [child])
    assert FAMILY["a"].id in applying.graph.parents
    with applying.writer() as writer:
        group = applying.group(writer)
        source.insert("a", 1, "x")
        source.insert("a", 2, "y")
        source.insert("b", 1, 1, "goes")
        source.insert("b", 2, 2, "follows")
        applying.apply_committed(writer, group)
        source.delete("a", source.find("a", 1))
        source.update("a", source.find("a", 2), as_row((5, "y")))
        applying.apply_committed(writer, group)
    assert applying.table(child) == [as_row((2, 5, "follows"))]


def test_a_chain_through_a_table_that_is_not_here_is_refused() -> None:
    tables = {FAMILY[name].id: FAMILY[name] for name in ("a", "b", "c")}
    with pytest.raises(Refused, match="does not hold them whole"):
        build_graph(tables, [make_plan(FAMILY["a"]), make_plan(FAMILY["c"])])


def test_a_huge_transaction_goes_in_segments_and_one_commit(store_db: StoreDatabase) -> None:
    source = SourceModel({"log": FAMILY["log"], "t": make_table("t", "id int,note text")})
    applying = Applying.prepare(store_db, source)
    with applying.writer() as writer, applying.connect() as other:
        group = applying.group(writer, max_rows=500)
        for number in range(5000):
            source.load("t", number, f"n{number}")
        for batch in source.commit():
            group.add(batch)
        assert writer.in_transaction
        assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
        applying.apply_committed(writer, group)
        assert other.execute("SELECT count(*) FROM t").fetchone() == (5000,)
    assert applying.differences() == {}


def test_keyless_rows_are_told_apart_by_number(store_db: StoreDatabase) -> None:
    table = make_table("log", "a int,b text,c json", key=())
    source = SourceModel({"log": table})
    applying = Applying.prepare(store_db, source)
    with applying.writer() as writer:
        group = applying.group(writer)
        for _ in range(3):
            source.insert("log", 1, None, '{"x": 1}')
        source.insert("log", None, "y", None)
        applying.apply_committed(writer, group)
        source.delete("log", source.rows["log"][0])
        source.update("log", source.rows["log"][0], as_row((1, "z", '{"x": 1}')))
        applying.apply_committed(writer, group)
        assert applying.differences() == {}
        with applying.connect() as connection:
            connection.execute("DELETE FROM log WHERE b = 'y'")
        source.delete("log", as_row((None, "y", None)))
        with pytest.raises(ApplyError, match="keyless"):
            applying.apply_committed(writer, group)


def test_a_lost_fence_writes_nothing(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": make_table("t", "id int,note text")})
    applying = Applying.prepare(store_db, source)
    with applying.writer() as writer:
        with applying.connect() as other:
            checkpoints.take_over(other, STREAM)
        source.insert("t", 1, "x")
        with pytest.raises(Fenced):
            applying.apply_committed(writer, applying.group(writer))
    assert applying.table(applying.plans[0]) == []
    assert applying.checkpoint().seq == 0


def test_a_stale_checkpoint_writes_nothing(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": make_table("t", "id int,note text")})
    applying = Applying.prepare(store_db, source)
    with applying.writer() as first, applying.writer() as second:
        source.insert("t", 1, "x")
        applying.apply_committed(first, applying.group(first))
        source.insert("t", 2, "y")
        with pytest.raises(Fenced):
            applying.apply_committed(second, applying.group(second))
    assert applying.table(applying.plans[0]) == [as_row((1, "x"))]


@pytest.mark.parametrize(
    ("array_rows", "stage_rows"), [(1, 1), (1, 200), (200, 200)], ids=["staged", "arrays", "single"]
)
def test_a_nul_is_refused_and_never_cut(
    store_db: StoreDatabase, array_rows: int, stage_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply_module, "ARRAY_ROWS", array_rows)
    monkeypatch.setattr(apply_module, "STAGE_ROWS", stage_rows)
    source = SourceModel({"t": make_table("t", "id int,note text")})
    applying = Applying.prepare(store_db, source)
    with applying.writer() as writer:
        source.insert("t", 1, b"cut\0here")
        with pytest.raises(ValueRefused):
            applying.apply_committed(writer, applying.group(writer))
    assert applying.table(applying.plans[0]) == []


def test_bytes_and_odd_names_survive(store_db: StoreDatabase) -> None:
    table = make_table("t", "id int,data blob")
    plan = make_plan(table, prefix='we"ird %s ', target='odd "%s" name')
    source = SourceModel({"t": table})
    applying = Applying.prepare(store_db, source, [plan])
    with applying.writer() as writer:
        group = applying.group(writer)
        source.insert("t", 1, "\\x00ff5c0a")
        applying.apply_committed(writer, group)
        for number in range(2, 300):
            source.insert("t", number, "\\x" + bytes([number % 256, 92, 9]).hex())
        source.delete("t", source.find("t", 1))
        applying.apply_committed(writer, group)
    assert applying.differences() == {}


def with_types(plan: TablePlan, *types: str) -> TablePlan:
    """The plan with other types of the target's columns."""
    targets = [dataclasses.replace(column, type=kind) for column, kind in zip(plan.target.columns, types, strict=True)]
    columns = [dataclasses.replace(column, target=target) for column, target in zip(plan.columns, targets, strict=True)]
    return dataclasses.replace(
        plan, target=dataclasses.replace(plan.target, columns=tuple(targets)), columns=tuple(columns)
    )


def test_many_rows_of_many_tables_need_no_temporary_table(store_db: StoreDatabase) -> None:
    source = SourceModel({name: make_table(name, "id int,note text") for name in ("a", "b", "c")})
    applying = Applying.prepare(store_db, source)
    with applying.writer() as writer:
        group = applying.group(writer)
        for name in source.tables:
            for number in range(50):
                source.insert(name, number, "text")
        applying.apply_committed(writer, group)
        query = b"SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'"
        assert writer.connection.execute(query).fetchone() == (0,)
    assert applying.differences() == {}


def test_row_types_that_a_savepoint_takes_back_are_made_again(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": make_table("t", "id int,note text")})
    applying = Applying.prepare(store_db, source)
    with applying.writer() as writer:
        group = applying.group(writer)
        for number in range(4):
            source.insert("t", number, "text")
        written = source.commit()
        with pytest.raises(ApplyError), writer.savepoint():
            for batch in written:
                group.add(batch)
            group.flush()
            raise ApplyError("taken back")
        group = applying.group(writer)
        for batch in written:
            group.add(batch)
        applying.apply_committed(writer, group)
    assert applying.differences() == {}


def test_rows_of_an_array_are_read_as_copy_reads_them(store_db: StoreDatabase) -> None:
    table = make_table("t", "id int,note text,tags text,document text")
    source = SourceModel({"t": table})
    plan = with_types(make_plan(table), "bigint", "varchar(6)", "text[]", "json")
    applying = Applying.prepare(store_db, source, [plan])
    tags = ['{"a b","c,d"}', '{"say \\"x\\"","{}"}', "{}", None, '{"\\\\N","(1,2)"}']
    with applying.writer() as writer:
        group = applying.group(writer)
        for number, text in enumerate(['a"b', "\\N", "t\ta", "n\nl\r", "", "ü,(})"]):
            source.insert("t", number, text, tags[number % 5], '{"k": "v\\n\\"q\\""}')
        applying.apply_committed(writer, group)
        assert applying.differences() == {}
        for number in range(10, 14):
            source.insert("t", number, "longer than six" if number == 12 else "short", "{}", "null")
        with pytest.raises(ValueRefused):
            applying.apply_committed(writer, group)


def test_triggers_of_the_target_do_not_fire(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": make_table("t", "id int,note text")})
    applying = Applying.prepare(store_db, source)
    store_db.execute(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN NEW.note := 'spoiled'; RETURN NEW; END $$",
        "CREATE TRIGGER spoil BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION spoil()",
    )
    with applying.writer() as writer:
        source.insert("t", 1, "kept")
        applying.apply_committed(writer, applying.group(writer))
    assert applying.table(applying.plans[0]) == [as_row((1, "kept"))]


def test_without_the_replica_role_the_session_is_refused_with_the_grant(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": make_table("t", "id int,note text")})
    applying = Applying.prepare(store_db, source)
    with applying.writer() as writer:
        role = "crossfade_plain_role"
        store_db.execute(f"DROP ROLE IF EXISTS {role}", f"CREATE ROLE {role}")
        try:
            writer.connection.execute("SET SESSION AUTHORIZATION crossfade_plain_role")
            with pytest.raises(Refused) as caught:
                writer.prepare_session()
            assert "GRANT SET ON PARAMETER session_replication_role" in caught.value.hint
        finally:
            writer.close()
            store_db.execute(f"DROP ROLE {role}")


def test_inserts_without_some_columns_take_the_default(store_db: StoreDatabase) -> None:
    table = make_table("t", "id int,note text")
    source = SourceModel({"t": table})
    applying = Applying.prepare(store_db, source)
    store_db.execute("ALTER TABLE t ALTER note SET DEFAULT 'usual'", "INSERT INTO t VALUES (2, 'old')")
    partial: list[Row] = [(b"1", ABSENT), (b"2", ABSENT)]
    changes = [RowChange(Op.INSERT, table.id, None, row) for row in partial]
    with applying.writer() as writer:
        group = applying.group(writer)
        group.add(RowsBatch(table.id, changes, True, 10))
        applying.apply_committed(writer, group)
    assert applying.table(applying.plans[0]) == [as_row((1, "usual")), as_row((2, "usual"))]


def test_a_value_that_the_column_cannot_hold_is_named(store_db: StoreDatabase) -> None:
    source = SourceModel({"t": make_table("t", "id int,n int")})
    applying = Applying.prepare(store_db, source)
    with applying.writer() as writer:
        source.insert("t", 1, "not a number")
        with pytest.raises(ValueRefused, match="not a number"):
            applying.apply_committed(writer, applying.group(writer))
