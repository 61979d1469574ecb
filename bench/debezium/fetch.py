"""`python -m bench.debezium.fetch`: let Maven put Kafka, Connect and Debezium (100 MB) where the benchmark looks.

It needs `mvn` and the repository that its settings name. Nothing of this is part of an installation of crossfade.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_POM = Path(__file__).with_name("pom.xml")


def jar_folder() -> Path:
    """`$CROSSFADE_DEBEZIUM`, or `crossfade/debezium` in the user's cache."""
    named = os.environ.get("CROSSFADE_DEBEZIUM")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else cache / "crossfade" / "debezium"


def main() -> int:
    """Fetch; Maven's exit status."""
    if shutil.which("mvn") is None:
        print("Maven is not on this machine; install it (Debian: apt-get install maven) and try again", file=sys.stderr)
        return 1
    folder = jar_folder().resolve()
    if folder.exists() and any(folder.iterdir()):
        print(f"{folder} is not empty; remove it to fetch again", file=sys.stderr)
        return 1
    words = ["mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    done = subprocess.run([*words, f"-DoutputDirectory={folder}"], stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        print(f"{len(list(folder.glob('*.jar')))} jars are in {folder}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
