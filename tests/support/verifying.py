"""The command line over a loaded pair: a configuration file that says what its settings say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.loading import STORE, Loaded
from tests.support.migration import Migration


def command_line(pair: Loaded, folder: Path, **verify: Any) -> Migration:
    """A migration whose stores are loaded; `verify` are settings of that part. Only its CLI is used, no daemon."""
    source = pair.settings.source
    document = {
        "version": 1,
        "name": pair.settings.name,
        "source": {
            "engine": str(source.engine),
            "host": source.host,
            "port": source.port,
            "user": source.user,
            "password": source.password.get_secret_value(),
            "databases": list(source.databases),
        },
        "stores": {STORE: {"dsn": pair.store_db.dsn}},
        "relay": {"directory": str(pair.settings.relay.directory)},
        "defaults": {"store": STORE},
        "verify": {"leaf_rows": 10, **verify},
    }
    migration = Migration(folder)
    # JSON is YAML.
    migration.config.write_text(json.dumps(document, indent=1))
    migration.config.chmod(0o600)
    return migration
