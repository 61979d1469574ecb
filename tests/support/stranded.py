"""Does with a file of stranded writes what its reader would."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from tests.support.servers import SourceDatabase


def replay(source_db: SourceDatabase, path: Path) -> None:
    """Run what the file says on the source."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    with closing(source_db.connect(autocommit=False)) as connection, connection.cursor() as cursor:
        cursor.execute(lines[0]["session"])
        for transaction in lines[1:-1]:
            for change in transaction["changes"]:
                if change["statement"] is not None:
                    assert cursor.execute(change["statement"]) == 1
            connection.commit()
