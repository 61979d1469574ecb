"""Decodes recorded events with the uncompiled sources, in a process of its own: `python -m bench.uncompiled FILE`.

The caller runs it in a copy of the sources that has no compiled modules. Prints rows, seconds and a digest as JSON.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from model.rows import Row
from model.tables import TableDef
from sync.mysql.decode import TableDecoder
from sync.mysql.kernel import compiled
from sync.mysql.table_map import parse_table_map


def digest(rows: Iterable[tuple[Row | None, Row | None]]) -> tuple[str, int]:
    """A fingerprint of decoded rows, and their number."""
    made, count = hashlib.sha256(), 0
    for pair in rows:
        made.update(repr(pair).encode())
        count += 1
    return made.hexdigest(), count


def main(path: str) -> None:
    """Decode what `path` holds (written by bench.decode) and print the figures."""
    definition, map_body, events = pickle.loads(Path(path).read_bytes())
    decoder = TableDecoder(TableDef.from_json(definition), parse_table_map(map_body))
    began = time.process_time()
    rows = [pair for kind, body in events for pair in decoder.decode(kind, body)]
    seconds = time.process_time() - began
    fingerprint, count = digest(rows)
    print(json.dumps({"rows": count, "seconds": seconds, "digest": fingerprint, "compiled": compiled()}))


if __name__ == "__main__":
    main(sys.argv[1])
