"""The reverse stream between real servers: what is written into the store arrives in the source, exactly once."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sync.mysql.reverse_apply import ReverseWriter
from sync.postgres import lookups, slots
from sync.postgres.changes import SlotReader
from sync.reverse_state import ReverseMode
from tests.support.proxy import Proxy
from tests.support.reversing import Reversing, reversing
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import wait_until
from transforms.reverse import Reversibility

ITEMS = (
    """CREATE TABLE items (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, sku VARCHAR(20) NOT NULL, name VARCHAR(40),
    price DECIMAL(10,2) NOT NULL, changed TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
    note TEXT, UNIQUE KEY sku (sku)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4""",
    """INSERT INTO items (id, sku, name, price, changed) VALUES
    (1, 'a-1', 'Äpfel', 1.50, '2020-01-01 00:00:00'), (2, 'b-2', NULL, 20, '2020-01-01 00:00:00'),
    (3, 'c-3', 'Üm\\'l\\\\aut', 0.01, '2020-01-01 00:00:00')""",
)


@pytest.fixture
def items(source_db: SourceDatabase, store_db: StoreDatabase) -> Any:
    """The table `items` on both sides."""
    with reversing(source_db, store_db, *ITEMS) as bed:
        yield bed


def test_changes_arrive_in_order_and_whole(items: Reversing) -> None:
    stream = items.start()
    items.store_db.execute(
        "INSERT INTO items (id, sku, name, price, changed, note) VALUES (10, 'x', 'new', 5, now(), repeat('ab', 9000))",
        "UPDATE items SET name = 'O''Neil \\', price = price + 1 WHERE id = 1",
        "UPDATE items SET name = 'toast stays' WHERE id = 10",
        "UPDATE items SET id = 20, sku = 'moved' WHERE id = 2",
        "DELETE FROM items WHERE id = 3",
        "INSERT INTO items (id, sku, price, changed) VALUES (0, 'zero', 0, 'epoch'::timestamptz + interval '1 s')",
        "UPDATE items SET name = NULL WHERE id = 1",
    )
    items.drain(stream)
    items.assert_equal()
    state = stream.state
    assert (state.mode, state.rows, state.conflicts, state.lag_s) == (ReverseMode.STREAMING, 7, 0, 0.0)
    assert items.source_db.rows("SELECT id FROM items ORDER BY id") == [(0,), (1,), (10,), (20,)]


def test_a_transaction_of_swaps_and_a_truncate(items: Reversing) -> None:
    stream = items.start()
    with items.store() as connection, connection.transaction():
        connection.execute("UPDATE items SET sku = 'temporary' WHERE id = 1")
        connection.execute("UPDATE items SET sku = 'a-1' WHERE id = 2")
        connection.execute("UPDATE items SET sku = 'b-2' WHERE id = 1")
        connection.execute("DELETE FROM items WHERE id = 3")
        connection.execute("INSERT INTO items (id, sku, price, changed) VALUES (3, 'c-3', 9, now())")
    items.drain(stream)
    items.assert_equal()
    items.store_db.execute("TRUNCATE items", "INSERT INTO items (id, sku, price, changed) VALUES (7, 's', 1, now())")
    items.drain(stream)
    items.assert_equal()


@pytest.mark.parametrize("server_skips", [True, False])
def test_rolled_back_and_earlier_changes_do_not_arrive(
    items: Reversing, server_skips: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`start_lsn` is exact: what was committed before it stays where it is, also if the store sends it."""
    if not server_skips:
        monkeypatch.setattr("sync.reverse.SlotReader", lambda dsn, slot, name, start: SlotReader(dsn, slot, name, 0))
    items.store_db.execute("UPDATE items SET name = 'before R0' WHERE id = 1")
    with items.store() as connection:
        r0 = slots.emit_message(connection, "boundary", "again")
    with items.store() as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE items SET name = 'never' WHERE id = 2")
        connection.execute("ROLLBACK")
    items.store_db.execute("UPDATE items SET name = 'after R0' WHERE id = 2")
    stream = items.start(start_lsn=r0)
    items.drain(stream)
    assert items.source_db.rows("SELECT id, name FROM items ORDER BY id") == [
        (1, "Äpfel"),
        (2, "after R0"),
        (3, "Üm'l\\aut"),
    ]


def random_changes(bed: Reversing, dice: random.Random, transactions: int) -> int:
    """Random transactions on `items`; gives how many rows they changed."""
    rows = 0
    with bed.store() as connection:
        known = [key for (key,) in connection.execute("SELECT id FROM items").fetchall()]
        fresh = max(known, default=0) + 1000
        for _ in range(transactions):
            with connection.transaction():
                for _ in range(dice.randint(1, 5)):
                    rows += 1
                    verb = dice.choice("iiuuud") if known else "i"
                    if verb == "i":
                        fresh += 1
                        known.append(fresh)
                        connection.execute(
                            "INSERT INTO items (id, sku, name, price, changed) VALUES (%s, %s, %s, %s, now())",
                            (fresh, f"s{fresh}", dice.choice(["x", "ß", None, "q'\\"]), dice.randint(0, 10**6) / 100),
                        )
                    elif verb == "u":
                        connection.execute(
                            "UPDATE items SET name = %s, price = price + 0.01 WHERE id = %s",
                            (f"n{dice.random()}", dice.choice(known)),
                        )
                    else:
                        connection.execute("DELETE FROM items WHERE id = %s", (known.pop(dice.randrange(len(known))),))
    return rows


def test_lost_connections_on_both_sides_lose_and_double_nothing(items: Reversing) -> None:
    dice = random.Random(5)
    server, store = items.source_db.server, items.store_db.server
    with Proxy(server.host, server.port) as to_source, Proxy(store.host, store.port) as to_store:
        source = items.settings.source.model_copy(update={"port": to_source.port})
        dsn = items.store_db.dsn.replace(f":{store.port}/", f":{to_store.port}/")
        settings = items.settings.model_copy(
            update={"stores": {"main": items.settings.stores["main"].model_copy(update={"dsn": type(
                items.settings.stores["main"].dsn)(dsn)})}}
        )  # fmt: skip
        stream = items.start(settings=settings, source=source)
        for round_ in range(10):
            if round_ % 3 == 0:
                to_source.cut_after(dice.randint(50, 1500))
            elif round_ % 3 == 1:
                to_store.cut_after(dice.randint(50, 4000))
            random_changes(items, dice, 25)
            if round_ % 4 == 3:
                to_source.cut()
                to_store.cut()
            items.drain(stream)
        assert stream.state.retries > 3
    items.assert_equal()
    assert stream.state.conflicts == 0


def test_death_between_commit_and_confirmation(items: Reversing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source has committed, the slot does not know: the store sends it again, the progress row says no."""
    first = items.start()
    items.drain(first)
    monkeypatch.setattr(SlotReader, "confirm", lambda self, lsn: None)
    dice = random.Random(1)
    random_changes(items, dice, 30)
    items.drain(first)
    monkeypatch.undo()
    items.stop(first)
    before = items.progress()
    assert items.slot().confirmed < before.lsn
    second = items.start(epoch=2)
    random_changes(items, dice, 5)
    items.drain(second)
    items.assert_equal()
    assert items.progress().epoch == 2
    wait_until(lambda: items.slot().confirmed >= before.lsn)


def test_death_before_the_commit(items: Reversing, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = ReverseWriter.commit
    failures = iter([True, True, False])

    def dying(self: ReverseWriter, lsn: int, commit_time: float | None, transactions: int) -> Any:
        if self.rows and next(failures, False):
            self.flush()
            self.connection._force_close()  # type: ignore[attr-defined]
        return commit(self, lsn, commit_time, transactions)

    monkeypatch.setattr(ReverseWriter, "commit", dying)
    stream = items.start()
    random_changes(items, random.Random(2), 20)
    items.drain(stream)
    items.assert_equal()
    assert stream.state.retries >= 2


@pytest.mark.parametrize(
    ("interference", "change", "expected"),
    [
        ("UPDATE items SET name = 'leak' WHERE id = 1", "UPDATE items SET price = 3 WHERE id = 1", "leak"),
        ("UPDATE items SET name = 'ÄPFEL' WHERE id = 1", "DELETE FROM items WHERE id = 1", "ÄPFEL"),
        ("DELETE FROM items WHERE id = 1", "UPDATE items SET price = 3 WHERE id = 1", "no row with this key"),
        (
            "INSERT INTO items (id, sku, price) VALUES (50, 'theirs', 1)",
            "INSERT INTO items (id, sku, price, changed) VALUES (50, 'ours', 1, now())",
            "theirs",
        ),
        (
            "INSERT INTO items (id, sku, price) VALUES (51, 'SAME', 1)",
            "INSERT INTO items (id, sku, price, changed) VALUES (52, 'same', 1, now())",
            "same",
        ),
    ],
)
def test_a_conflict_stops_the_way_back(items: Reversing, interference: str, change: str, expected: str) -> None:
    items.source_db.execute(interference)
    before = items.source_db.rows("SELECT * FROM items ORDER BY id")
    items.store_db.execute("UPDATE items SET name = 'fine' WHERE id = 3", change, "DELETE FROM items WHERE id = 2")
    stream = items.start()
    error = items.wait_halted(stream)
    assert expected in error
    assert "items" in error
    assert stream.state.conflicts == 1
    # What came before the conflict is kept, nothing after it is done, and the interfering row is untouched.
    after = {row[0]: row for row in items.source_db.rows("SELECT * FROM items ORDER BY id")}
    assert after.pop(3)[2] == "fine"
    assert after == {row[0]: row for row in before if row[0] != 3}
    assert items.slot().confirmed <= items.progress().lsn


def test_a_value_that_the_source_cannot_hold_stops_the_way_back(items: Reversing) -> None:
    items.store_db.execute("UPDATE items SET changed = '2050-01-01' WHERE id = 1")
    stream = items.start()
    error = items.wait_halted(stream)
    assert "2038" in error
    assert "changed" in error


def test_armed_it_answers_and_refuses_foreign_writes(items: Reversing) -> None:
    stream = items.start(armed=True)
    assert stream.round_trip() < 10
    assert stream.state.mode is ReverseMode.ARMED
    with items.store() as connection, connection.transaction():
        # A transaction of a forward applier: rows and the checkpoint.
        connection.execute("UPDATE items SET name = 'forward' WHERE id = 1")
        connection.execute("UPDATE crossfade.checkpoint SET seq = seq + 1")
    stream.round_trip()
    assert stream.state.skipped == 1
    assert items.source_db.rows("SELECT name FROM items WHERE id = 1") == [("Äpfel",)]
    items.store_db.execute("UPDATE items SET name = 'rogue' WHERE id = 2")
    error = items.wait_halted(stream)
    assert "before its cutover" in error


def test_armed_it_becomes_the_stream_of_the_cutover(items: Reversing) -> None:
    stream = items.start(armed=True)
    with items.store() as connection:
        r0 = slots.emit_message(connection, "boundary", "7")
        stream.wait_for(r0, 10)
        stream.open_from(r0)
        connection.execute("UPDATE items SET name = 'after' WHERE id = 1")
    items.drain(stream)
    items.assert_equal()


def test_a_later_epoch_fences_the_earlier(items: Reversing) -> None:
    first = items.start(epoch=1)
    items.drain(first)
    second = items.start(epoch=2)
    wait_until(lambda: items.progress().epoch == 2)
    items.store_db.execute("UPDATE items SET name = 'x' WHERE id = 1")
    assert "epoch" in items.wait_halted(first) or "progress row" in (first.state.error or "")
    items.drain(second)
    items.assert_equal()


def test_our_own_large_transaction_is_taken_back(items: Reversing, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is being sent while it is read; only its last row tells that it is ours."""
    monkeypatch.setattr("sync.reverse.HELD_ROWS", 10)
    stream = items.start()
    with items.store() as connection, connection.transaction():
        connection.execute(
            "INSERT INTO items (id, sku, price, changed) SELECT n, 'n' || n, 1, now() FROM generate_series(100, 200) n"
        )
        connection.execute("UPDATE crossfade.checkpoint SET seq = seq + 1")
    items.drain(stream)
    assert items.source_db.rows("SELECT count(*) FROM items") == [(3,)]
    with items.store() as connection, connection.transaction():
        connection.execute("UPDATE items SET price = price + 1 WHERE id <= 3")
        connection.execute(
            "INSERT INTO items (id, sku, price, changed) SELECT n, 'n' || n, 1, now() FROM generate_series(300, 350) n"
        )
    items.drain(stream)
    assert items.source_db.rows("SELECT count(*) FROM items") == [(54,)]


def test_the_verdict_on_the_table(items: Reversing) -> None:
    assert [back.way for back in items.backs] == [Reversibility.EXACT]


def test_what_the_store_looks_up_does_not_go_back(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    tables = {"people": {"lookup": {"country": {"table": "countries", "by": "country_id", "column": "name"}}}}
    with reversing(
        source_db, store_db,
        "CREATE TABLE countries (id INT PRIMARY KEY, name VARCHAR(20))",
        "CREATE TABLE people (id INT PRIMARY KEY, country_id INT, name VARCHAR(20), changed TIMESTAMP NOT NULL"
        " DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)",
        "INSERT INTO countries VALUES (1, 'one')",
        "INSERT INTO people VALUES (1, 1, 'Ann', '2020-01-01 00:00:00'), (2, 1, 'Bob', '2020-01-01 00:00:00')",
        tables=tables,
    ) as bed:  # fmt: skip
        armed = bed.start(armed=True)
        # As a trigger of a table of another domain does, which the stores serve already.
        store_db.execute("UPDATE people SET country = 'one'")
        assert armed.round_trip() < 10 and armed.state.mode is ReverseMode.ARMED
        bed.stop(armed)
        (lookup,) = (one for plan in bed.plans for one in plan.target.lookups)
        with bed.store() as connection:
            assert lookups.install(connection, lookup)
        stream = bed.start(epoch=2)
        store_db.execute("UPDATE countries SET name = 'two' WHERE id = 1", "UPDATE people SET name = 'Bo' WHERE id = 2")
        bed.drain(stream)
        assert store_db.rows("SELECT country FROM people") == [("two",), ("two",)]
        changed = source_db.rows("SELECT id, CAST(changed AS CHAR) FROM people WHERE name = 'Ann'")
        assert changed == [(1, "2020-01-01 00:00:00")] and stream.state.rows == 2
        bed.assert_equal()
