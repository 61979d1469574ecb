"""Refused changes in the stream: they wait in quarantine with everything of their key, in order; all else flows."""

from __future__ import annotations

import dataclasses
import json
import random

import pytest

from config.settings import ApplySettings
from model.errors import ValueRefused
from model.rows import Field, Row
from stores.control import quarantine
from stores.control.quarantine import Parked, QuarantineState
from sync.applier import StoreApplier
from sync.applier_state import Mode
from sync.table_phase import Phase
from tests.support.applying import STREAM, Applying, running, wait_for
from tests.support.changes import SourceModel, make_plan, make_table
from tests.support.servers import StoreDatabase
from transforms.plan import Cast, ColumnKind, TablePlan
from transforms.target import TargetForeignKey

TABLE = make_table("t", "id int,short text,number int,kind text,free text")
BAD = {1: b"longer than ten", 2: b"99999999999999999999", 3: b"unmapped", 4: b"a\0b"}
"""Column → a value that it refuses: too long for the type, out of range, without an entry in the map, a NUL."""


def strict_plan() -> TablePlan:
    """varchar(10), bigint, a value map, text."""
    plain = make_plan(TABLE)
    columns = list(plain.columns)
    columns[1] = dataclasses.replace(columns[1], target=dataclasses.replace(columns[1].target, type="varchar(10)"))
    columns[3] = dataclasses.replace(
        columns[3], kind=ColumnKind.MAP, mapping={b"A": b"A", b"B": b"B"}, strict=True, otherwise=None
    )
    target = dataclasses.replace(plain.target, columns=tuple(column.target for column in columns))
    return dataclasses.replace(plain, target=target, columns=tuple(columns))


def waiting(applying: Applying) -> tuple[Parked, ...]:
    with applying.connect() as connection:
        return quarantine.parked(connection, STREAM)


def good(number: int, rng: random.Random) -> Row:
    kind = rng.choice([b"A", b"B"])
    return (b"%d" % number, b"s%d" % rng.randrange(99), b"%d" % rng.randrange(999), kind, b"f")


def everything(row: Parked) -> bool:
    return True


def caught_up(applier: StoreApplier, applying: Applying) -> None:
    applier.flush()
    wait_for(applier, lambda state: state.seq == applying.relay.tail.seq)


@pytest.mark.parametrize("column", [1, 2, 3, 4])
@pytest.mark.parametrize("rows", [3, 450])
def test_a_bad_value_anywhere_waits_with_its_key_only(store_db: StoreDatabase, column: int, rows: int) -> None:
    rng = random.Random(column * 1000 + rows)
    source = SourceModel({"t": TABLE})
    applying = Applying.prepare(store_db, source, [strict_plan()])
    victim = rng.randrange(rows)
    for number in range(rows):
        source.load("t", *good(number, rng))
    source.commit()
    source.rows["t"].sort()
    inserts = 0
    for number in range(rows):
        row = good(number, rng)
        bad = (*row[:column], BAD[column], *row[column + 1 :]) if number == victim else row
        source.rows["t"] = [one for one in source.rows["t"] if one[0] != row[0]]
        source.load("t", *bad)
        inserts += 1
    applying.relay.add(source.commit())
    old = source.find("t", victim)
    # Not the bad column: a later change that mends a row before it is written leaves nothing to refuse.
    source.update("t", old, (*old[:3], b"B", *old[4:]) if column != 3 else (*old[:4], b"second"))
    other = source.find("t", (victim + 1) % rows)
    source.update("t", other, (*other[:4], b"flows"))
    applying.relay.add(source.commit())
    with running(applying.applier()) as applier:
        caught_up(applier, applying)
        parked = waiting(applying)
        assert [row.op for row in parked] == ["insert", "update"]
        assert [list(row.key) for row in parked] == [[str(victim)], [str(victim)]]
        assert [row.seq for row in parked] == [1, 2]
        assert parked[1].error.startswith("waits behind")
        assert applier.state.parked == {applying.plans[0].id: 2}
        # Rows in = rows applied + rows in quarantine.
        assert applier.state.applied_rows + len(parked) == inserts + 2
        expected = sorted((row for row in source.rows["t"] if row[0] != str(victim).encode()), key=repr)
        assert applying.table(applying.plans[0]) == expected
        # Retrying what is not mended changes nothing.
        assert [one.error is None for one in applier.retry_parked(everything)] == [False]
        assert len(waiting(applying)) == 2
        # The source mends the row: that waits too, and is what the retry leaves in the store.
        now = source.find("t", victim)
        source.update("t", now, good(victim, rng))
        applying.relay.add(source.commit())
        caught_up(applier, applying)
        assert len(waiting(applying)) == 3
        (done,) = applier.retry_parked(everything)
        assert done.error is None and len(done.ids) == 3
        assert applying.differences() == {} and waiting(applying) == ()
        assert applier.state.parked == {}
        source.delete("t", source.find("t", victim))
        applying.relay.add(source.commit())
        caught_up(applier, applying)
    assert applying.differences() == {}


def test_parked_keys_are_known_after_a_restart_and_follow_a_change_of_key(store_db: StoreDatabase) -> None:
    rng = random.Random(7)
    source = SourceModel({"t": TABLE})
    applying = Applying.prepare(store_db, source, [strict_plan()])
    for number in range(5):
        source.insert("t", *good(number, rng))
    applying.relay.add(source.commit())
    bad = source.find("t", 2)
    source.update("t", bad, (b"12", BAD[1], *bad[2:]))
    applying.relay.add(source.commit())
    with running(applying.applier()) as applier:
        caught_up(applier, applying)
    moved = source.find("t", 12)
    source.update("t", moved, (b"13", b"fine", *moved[2:]))
    source.insert("t", *good(2, rng))
    applying.relay.add(source.commit())
    with running(applying.applier()) as applier:
        caught_up(applier, applying)
        assert [(row.seq, row.op) for row in waiting(applying)] == [(2, "update"), (3, "update"), (3, "insert")]
        first = waiting(applying)[0]
        assert json.loads(first.payload)["after"]["short"] == "longer than ten"
        assert [row[0] for row in applying.table(applying.plans[0])] == [b"0", b"1", b"2", b"3", b"4"]
        (done,) = applier.retry_parked(lambda row: row.id == first.id)
        assert done.error is None
    assert applying.differences() == {}


def test_discarding_frees_what_waits(store_db: StoreDatabase) -> None:
    rng = random.Random(8)
    source = SourceModel({"t": TABLE})
    applying = Applying.prepare(store_db, source, [strict_plan()])
    source.insert("t", *good(1, rng)[:4], b"a\0b")
    applying.relay.add(source.commit())
    with running(applying.applier()) as applier:
        caught_up(applier, applying)
        row = source.find("t", 1)
        source.delete("t", row)
        source.insert("t", *good(1, rng))
        applying.relay.add(source.commit())
        caught_up(applier, applying)
        assert [row.op for row in waiting(applying)] == ["insert", "delete", "insert"]
        first = waiting(applying)[0]
        assert applier.discard_parked(first.id) is not None
        assert applier.discard_parked(first.id) is None
        (done,) = applier.retry_parked(everything)
        assert done.error is None and applying.differences() == {}
    with applying.connect() as connection:
        found = quarantine.find(connection, STREAM, first.id)
        assert found is not None and found.state is QuarantineState.DISCARDED


def test_too_many_hold_the_table_and_not_the_store(store_db: StoreDatabase) -> None:
    rng = random.Random(9)
    free = make_table("free", "id int,note text")
    source = SourceModel({"t": TABLE, "free": free})
    applying = Applying.prepare(store_db, source, [strict_plan(), make_plan(free)])
    applier = applying.applier()
    applier._settings = ApplySettings(max_parked_rows=3)
    for number in range(4):
        source.insert("t", *good(number, rng)[:4], b"\0")
    applying.relay.add(source.commit())
    held = applying.plans[0].id
    with running(applier):
        wait_for(applier, lambda state: applier.phases.get(held).phase is Phase.HELD)
        assert "errors retry" in (applier.phases.get(held).reason or "")
        source.insert("t", *good(10, rng))
        source.insert("free", 1, "x")
        applying.relay.add(source.commit())
        caught_up(applier, applying)
        assert len(applying.table(applying.plans[1])) == 1 and applying.table(applying.plans[0]) == []
        for number in range(4):
            row = source.find("t", number)
            source.update("t", row, good(number, rng))
        applying.relay.add(source.commit())
        applier.release(held)
        wait_for(applier, lambda state: applier.phases.get(held).phase is Phase.HELD and len(waiting(applying)) == 8)
        assert all(one.error is None for one in applier.retry_parked(everything))
        applier.release(held)
        wait_for(applier, lambda state: state.phases.get("streaming") == 2)
        assert applying.differences() == {} and applier.state.mode is not Mode.HALTED


def test_a_table_without_a_key_parks_the_row_itself(store_db: StoreDatabase) -> None:
    table = make_table("log", "a int,b text", key=())
    source = SourceModel({"log": table})
    applying = Applying.prepare(store_db, source)
    source.insert("log", 1, b"\0")
    source.insert("log", 1, "x")
    applying.relay.add(source.commit())
    source.update("log", (b"1", b"\0"), (b"1", b"y"))
    source.insert("log", 2, b"\0")
    source.delete("log", (b"2", b"\0"))
    applying.relay.add(source.commit())
    with running(applying.applier()) as applier:
        caught_up(applier, applying)
        assert applying.table(applying.plans[0]) == [(b"1", b"x")]
        assert [one.error for one in applier.retry_parked(everything)] == [None, None]
    assert applying.differences() == {}


def test_minimal_images_build_on_what_was_parked(store_db: StoreDatabase) -> None:
    rng = random.Random(11)
    source = SourceModel({"t": TABLE}, minimal=True)
    applying = Applying.prepare(store_db, source, [strict_plan()])
    row = good(1, rng)
    source.insert("t", *row[:4], b"\0")
    applying.relay.add(source.commit())
    with running(applying.applier()) as applier:
        caught_up(applier, applying)
        for free in (b"still \0", b"mended"):
            old = source.find("t", 1)
            source.update("t", old, (*old[:4], free))
            applying.relay.add(source.commit())
        caught_up(applier, applying)
        assert [row.op for row in waiting(applying)] == ["insert", "update", "update"]
        assert [one.error for one in applier.retry_parked(everything)] == [None]
    assert applying.differences() == {}


def test_a_cast_that_refuses_the_key_parks_it(store_db: StoreDatabase) -> None:
    def odd(value: Field) -> Field:
        if value == b"13":
            raise ValueRefused("no thirteen")
        return value

    table = make_table("t", "id int,note text")
    plain = make_plan(table)
    cast = dataclasses.replace(plain.columns[0], casts=(Cast("odd", odd),))
    source = SourceModel({"t": table})
    applying = Applying.prepare(store_db, source, [dataclasses.replace(plain, columns=(cast, plain.columns[1]))])
    source.insert("t", 13, "a")
    source.insert("t", 14, "b")
    source.update("t", source.find("t", 13), (b"15", b"c"))
    applying.relay.add(source.commit())
    with running(applying.applier()) as applier:
        caught_up(applier, applying)
        assert applying.table(applying.plans[0]) == [(b"14", b"b")]
        assert [one.error for one in applier.retry_parked(everything)] == [None]
    assert applying.differences() == {}


def test_children_wait_behind_their_parent(store_db: StoreDatabase) -> None:
    """And grandchildren behind these; a retry begins with the parent."""
    tables = [
        make_table("p", "id int,short text"),
        make_table("c", "id int,p_id int", parents=[("p_id", "p", "RESTRICT", "RESTRICT")]),
        make_table("g", "id int,c_id int", parents=[("c_id", "c", "RESTRICT", "RESTRICT")]),
    ]
    source = SourceModel({table.id.name: table for table in tables})
    plans = []
    for plan, parent in zip(map(make_plan, tables), (None, "p", "c"), strict=True):
        keys = plan.target.foreign_keys
        if parent is not None:
            key = ("fk", (f"{parent}_id",), "public", parent, ("id",), "RESTRICT", "RESTRICT")
            keys = (TargetForeignKey(*key),)
        plans.append(dataclasses.replace(plan, target=dataclasses.replace(plan.target, foreign_keys=keys)))
    applying = Applying.prepare(store_db, source, plans)
    source.insert("p", 1, "a\0b")
    source.insert("p", 2, "fine")
    applying.relay.add(source.commit())
    source.insert("c", 10, 1)
    source.insert("c", 20, 2)
    source.insert("c", 30, None)
    source.insert("g", 100, 10)
    source.insert("g", 200, 20)
    applying.relay.add(source.commit())
    with running(applying.applier()) as applier:
        caught_up(applier, applying)
        assert {(row.plan_id.partition(">")[0], row.key[0]) for row in waiting(applying)} == {
            ("shop.p", "1"), ("shop.c", "10"), ("shop.g", "100"),
        }  # fmt: skip
        assert [row[0] for row in applying.table(applying.plans[1])] == [b"20", b"30"]
        (refused,) = applier.retry_parked(lambda row: row.key[0] == "100")
        assert refused.error is not None and "refers to" in refused.error
        source.update("p", source.find("p", 1), (b"1", b"mended"))
        applying.relay.add(source.commit())
        caught_up(applier, applying)
        assert [one.error for one in applier.retry_parked(everything)] == [None, None, None]
        assert waiting(applying) == () and applying.differences() == {}
