"""Settings for the assessment's tests, and what they ask of its result."""

from __future__ import annotations

from typing import Any

import pymysql

from config.settings import Settings
from servers import Engine, RunningServer
from servers.flavour import MARIADB_10_11
from sync.assess import Assessment, Finding, Level, assess


def settings_for(server: RunningServer, database: str, store_dsn: str, **parts: Any) -> Settings:
    """Settings for one source database and one store; `parts` add to them, `source` to the source's part."""
    source = {
        "engine": "mariadb" if server.flavour == MARIADB_10_11 else "mysql",
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": server.password,
        "databases": [database],
        **parts.pop("source", {}),
    }
    return Settings.model_validate({"name": "shop", "source": source, "stores": {"main": {"dsn": store_dsn}}, **parts})


def worst(assessment: Assessment, check: str) -> Finding:
    """The worst finding of one check."""
    order = [Level.OK, Level.WARN, Level.BLOCK]
    return max(assessment.of(check), key=lambda finding: order.index(finding.level))


def levels(assessment: Assessment, *checks: str) -> dict[str, str]:
    """Check → its worst level."""
    return {check: worst(assessment, check).level.value for check in checks}


def statements(fix: str) -> list[str]:
    """The SQL of a fix, without the remark behind it."""
    sql = fix.partition("  --")[0]
    return [part.strip() for part in sql.split(";") if part.strip()]


def mend(server: RunningServer, *findings: Finding) -> None:
    """Run the fixes on the source as they stand."""
    assert server.flavour.engine is not Engine.POSTGRES
    connection = pymysql.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, autocommit=True
    )
    with connection, connection.cursor() as cursor:
        for finding in findings:
            assert statements(finding.fix), finding
            for statement in statements(finding.fix):
                cursor.execute(statement)


__all__ = ["Assessment", "Finding", "Level", "assess", "levels", "mend", "settings_for", "statements", "worst"]
