"""What the limits of the copy are read from: who may not read it learns so, and the offered statement mends it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from servers import Engine, RunningServer
from sync.assess import grants_script
from tests.support.assessing import assess, levels, mend, settings_for, worst
from tests.support.replicas import PASSWORD, USER, follow, session
from tests.support.servers import SourceDatabase
from tests.support.streaming import wait_until

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
CHECKS = ("limit_history", "limit_replica_lag")
LIMITED = {"max_history_length": 1_000_000, "max_replica_lag_s": 5}


@pytest.fixture
def account(source_db: SourceDatabase) -> Iterator[dict[str, str]]:
    """A source account without any privilege but on its tables."""
    user = f"u_{secrets.token_hex(4)}"
    source_db.execute(
        "CREATE TABLE t (id int PRIMARY KEY)",
        f"CREATE USER '{user}'@'%' IDENTIFIED BY 'pw-of-user'",
        f"GRANT SELECT ON `{source_db.database}`.* TO '{user}'@'%'",
    )
    yield {"user": user, "password": "pw-of-user"}
    source_db.execute(f"DROP USER '{user}'@'%'")


def test_without_limits_nothing_is_asked_for(source_db: SourceDatabase, account: dict[str, str]) -> None:
    settings = settings_for(source_db.server, source_db.database, NOWHERE, source=account)
    assert levels(assess(settings), *CHECKS) == dict.fromkeys(CHECKS, "OK")


def test_each_right_that_a_limit_needs(source_db: SourceDatabase, account: dict[str, str]) -> None:
    server = source_db.server
    mysql = server.flavour.engine is Engine.MYSQL
    names = [f"{server.host}:{server.port}", "127.0.0.1:1"]
    settings = settings_for(
        server, source_db.database, NOWHERE, source={**account, "replicas": names}, snapshot=LIMITED
    )
    result = assess(settings)
    history = worst(result, "limit_history")
    assert history.level == ("BLOCK" if mysql else "OK")
    itself, away = result.of("limit_replica_lag")
    assert (itself.subject, itself.level) == (f"replica {names[0]}", "BLOCK") and "may not ask" in itself.message
    assert (away.subject, away.level) == (f"replica {names[1]}", "BLOCK") and "cannot be asked" in away.message
    mend(server, *([history] if mysql else []), itself)
    result = assess(settings)
    assert worst(result, "limit_history").level == "OK"
    # Now it may be asked, and says that it follows nobody.
    assert "it is no replica" in result.of("limit_replica_lag")[0].message
    script = grants_script(settings)
    assert ("GRANT PROCESS" in script, "GRANT REPLICA MONITOR" in script) == (mysql, not mysql)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("flavour", ["mysql-9.7", "mariadb-10.11", pytest.param("mysql-5.6", marks=pytest.mark.matrix)])
def test_a_replica_that_follows_stops_and_shuts_us_out(
    start_private: Callable[..., RunningServer], flavour: str
) -> None:
    source, replica = start_private(flavour), start_private(flavour)
    follow(source, replica, "shop")
    name = f"{replica.host}:{replica.port}"
    settings = settings_for(
        source, "shop", NOWHERE, snapshot=LIMITED,
        source={"user": USER, "password": PASSWORD, "replicas": [name]},
    )  # fmt: skip

    def level() -> str:
        return levels(assess(settings, only=["limit_replica_lag"]), "limit_replica_lag")["limit_replica_lag"]

    with session(source) as here, session(replica) as there:
        here.execute("CREATE DATABASE shop")
        here.execute("CREATE TABLE shop.t (id int PRIMARY KEY)")
        wait_until(lambda: level() == "OK")
        there.execute("STOP REPLICA" if flavour == "mysql-9.7" else "STOP SLAVE")
        found = worst(assess(settings), "limit_replica_lag")
        assert found.level == "BLOCK" and "does not replicate" in found.message
        there.execute(f"DROP USER {USER}")
        found = worst(assess(settings), "limit_replica_lag")
        assert found.level == "BLOCK" and "does not let us in" in found.message
        made = found.fix.partition("  --")[0].replace("<the password of the source>", PASSWORD)
        for statement in made.split(";")[:-1]:
            there.execute(statement)
        there.execute("START REPLICA" if flavour == "mysql-9.7" else "START SLAVE")
        wait_until(lambda: level() == "OK")
