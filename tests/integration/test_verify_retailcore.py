"""RetailCore loaded as it is: nothing differs, and what is planted is found, on every source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.retailcore.address import MysqlAddress
from demo.retailcore.generate import generate
from demo.retailcore.schema import create_database
from tests.support.loading import Loaded, loaded
from tests.support.servers import SourceDatabase, StoreDatabase
from validators.findings import FindingKind, Mode, Outcome

RULES = {
    "tables": {
        "user": {"table": "staff", "where": "retired = 0", "rename": {"desc": "description"}},
        "users": {
            "exclude": ("tmp_import_flag",),
            "types": {"newsletter": "boolean"},
            "expr": {"display_name": {"sql": "CONCAT(first_name, ' ', last_name)", "type": "text"}},
        },
        "order": {
            "map": {"status": {"N": "new", "P": "paid", "S": "shipped", "C": "cancelled", "R": "refunded"}},
            "add": {"source_system": {"value": "retailcore", "type": "text"}},
            "expr": {"total_cents": {"sql": "CAST(total * 100 AS SIGNED)", "type": "bigint"}},
        },
    }
}


@pytest.fixture
def shop(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> Iterator[Loaded]:
    """RetailCore with 4,000 rows on both sides."""
    with source_db.connect() as connection:
        create_database(connection, source_db.database)
    server = source_db.server
    generate(MysqlAddress(server.host, server.port, server.user, server.password, source_db.database), 4_000)
    with loaded(source_db, store_db, tmp_path, RULES) as found:
        yield found


def test_retailcore_is_verified_and_planted_differences_are_found(shop: Loaded) -> None:
    for mode in (Mode.CHECKSUM, Mode.ROWS, Mode.COUNTS):
        verdict = shop.verify(mode=mode)
        shown = [(table.source, table.why, table.findings[:2]) for table in verdict.tables if table.outcome != "pass"]
        assert verdict.outcome is Outcome.PASS, shown
        # Nothing of this data may need the closer look: the three forms of the hash agree.
        assert all(table.leaves_compared_again == 0 and not table.not_pushed for table in verdict.tables)
        assert all(table.control is not False for table in verdict.tables)
    shop.store_db.execute(
        "UPDATE public.users SET nickname = 'x' WHERE id = 3",
        "DELETE FROM public.page_views WHERE id = 5",
        "INSERT INTO public.brands (code, name) VALUES ('ZZ', 'planted')",
    )
    verdict = shop.verify()
    found = {(t.source.partition(".")[2], f.kind) for t in verdict.tables for f in t.findings}
    assert found == {
        ("users", FindingKind.DIFFERS), ("page_views", FindingKind.MISSING), ("brands", FindingKind.EXTRA)
    }  # fmt: skip
