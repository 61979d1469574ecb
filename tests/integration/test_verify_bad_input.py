"""What a verification says of a table that it cannot compare; the others are judged all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import Settings, StoreSettings, VerifySettings
from tests.support.loading import STORE, Loaded, loaded
from tests.support.servers import SourceDatabase, StoreDatabase
from validators.findings import Mode, Outcome, TableVerdict


@pytest.fixture
def pair(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> Iterator[Loaded]:
    """Three small tables, one without a key."""
    source_db.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, v INT)", "CREATE TABLE u (id INT PRIMARY KEY, v INT)",
        "CREATE TABLE loose (v INT)",
        "INSERT INTO t VALUES (1, 1), (2, 2)", "INSERT INTO u VALUES (1, 1), (2, 2)", "INSERT INTO loose VALUES (1)",
    )  # fmt: skip
    with loaded(source_db, store_db, tmp_path) as found:
        yield found


def judged(pair: Loaded, settings: Settings | None = None, mode: Mode = Mode.AUTO) -> dict[str, TableVerdict]:
    """Verdicts by table; `t` is always right."""
    verdict = pair.verify(settings=settings, mode=mode, deadline_s=2.0)
    tables = {table.source.partition(".")[2]: table for table in verdict.tables}
    assert tables["t"].outcome is Outcome.PASS, tables["t"].why
    return tables


def test_a_table_without_a_key_says_which_weaker_method_it_used(pair: Loaded) -> None:
    for mode in (Mode.CHECKSUM, Mode.ROWS):
        assert judged(pair, mode=mode)["loose"].why == "no key: compared as a multiset"


def test_a_missing_grant_on_either_side_is_named(pair: Loaded) -> None:
    source, database = pair.source_db, pair.source_db.database
    user = f"v{database[-8:]}"
    source.execute(
        f"CREATE USER {user}@'%' IDENTIFIED BY 'pw'", f"GRANT REPLICATION CLIENT ON *.* TO {user}@'%'",
        f"GRANT SELECT ON {database}.t TO {user}@'%'", f"GRANT SELECT ON {database}.loose TO {user}@'%'",
    )  # fmt: skip
    try:
        blind = pair.settings.source.model_copy(update={"user": user, "password": SecretStr("pw")})
        found = judged(pair, pair.settings.model_copy(update={"source": blind}))["u"]
        assert found.outcome is Outcome.INCONCLUSIVE
        assert "source says" in found.why and "denied" in found.why and "assess --grants" in found.next_step
    finally:
        source.execute(f"DROP USER {user}@'%'")
    role = f"v{pair.store_db.database[-8:]}"
    pair.store_db.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'pw'", f"GRANT SELECT ON t, loose TO {role}",
        f"GRANT USAGE ON SCHEMA crossfade TO {role}", f"GRANT SELECT ON ALL TABLES IN SCHEMA crossfade TO {role}",
    )  # fmt: skip
    try:
        server = pair.store_db.server
        dsn = f"postgresql://{role}:pw@{server.host}:{server.port}/{pair.store_db.database}"
        stores = {STORE: StoreSettings(dsn=SecretStr(dsn))}
        found = judged(pair, pair.settings.model_copy(update={"stores": stores}))["u"]
        assert found.outcome is Outcome.INCONCLUSIVE
        assert "store main says: permission denied for table u" in found.why and "assess --grants" in found.next_step
    finally:
        pair.store_db.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_table_that_is_dropped_is_inconclusive(pair: Loaded) -> None:
    pair.source_db.execute("DROP TABLE u")
    gone = judged(pair)["u"]
    assert gone.outcome is Outcome.INCONCLUSIVE and "doesn't exist" in gone.why


def test_a_chunk_that_takes_too_long_is_undecided_and_holds_nobody_up(pair: Loaded) -> None:
    impatient = pair.settings.model_copy(update={"verify": VerifySettings(statement_timeout_s=1.0)})
    with pair.store_db.connect() as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE u IN ACCESS EXCLUSIVE MODE")
        slow = judged(pair, impatient)["u"]
    assert slow.outcome is Outcome.INCONCLUSIVE and "timeout" in slow.why
    assert "verify.statement_timeout_s" in slow.next_step
    assert judged(pair, impatient)["u"].outcome is Outcome.PASS
