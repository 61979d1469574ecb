"""How old open transactions are, on servers whose system is far from UTC."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from servers import RunningServer
from servers.installation import Installation
from sync.mysql.open_transactions import oldest_left_s, oldest_writer_s, writers_older_than
from tests.support.servers import SourceDatabase
from tests.support.streaming import wait_until


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flavour", "zone"),
    [("mysql-5.6", "Asia/Tokyo"), ("mysql-9.7", "America/New_York"), ("mariadb-10.11", "Asia/Tokyo")],
)
def test_an_age_is_the_same_in_every_time_zone(
    start_private: Callable[..., RunningServer], monkeypatch: pytest.MonkeyPatch, flavour: str, zone: str
) -> None:
    """It was off by hours: a gate saw no writer at all, or an old one in every statement."""
    plain = Installation.environment.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(Installation, "environment", property(lambda self: {**plain(self), "TZ": zone}))
    database = SourceDatabase(start_private(flavour), "mysql")
    database.execute("CREATE DATABASE shop", "CREATE TABLE shop.t (id int PRIMARY KEY) ENGINE=InnoDB")
    writer = database.connect(autocommit=False)
    with closing(database.connect(init_command="SET time_zone = '+00:00'")) as asking:

        def seen() -> list[int]:
            """Who has written; the server looks anew only when nobody has asked for a tenth of a second."""
            database.rows("SELECT SLEEP(0.2)")
            return [found for found, _ in writers_older_than(asking, 0)]

        assert database.rows("SELECT @@system_time_zone") != [("UTC",)]
        assert (oldest_writer_s(asking), oldest_left_s(asking)) == (0.0, None)
        with writer.cursor() as cursor:
            cursor.execute("INSERT INTO shop.t VALUES (1)")
            cursor.execute("SELECT CONNECTION_ID()")
            (thread,) = cursor.fetchone() or (0,)
        assert writers_older_than(asking, 600) == []
        wait_until(lambda: seen() == [thread])
        assert 0 < oldest_writer_s(asking) < 600
        writer.rollback()
        wait_until(lambda: seen() == [])
        if flavour == "mysql-5.6":
            return  # it takes a prepared transaction back with its session
        with writer.cursor() as cursor:
            for statement in ("XA START 'x'", "INSERT INTO shop.t VALUES (2)", "XA END 'x'", "XA PREPARE 'x'"):
                cursor.execute(statement)
        writer.close()
        wait_until(lambda: seen() == [0])
        assert 0 < (oldest_left_s(asking) or 0) < 600
