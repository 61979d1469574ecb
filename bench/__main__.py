"""`python -m bench NAME [--rows N] [--json]`: run one benchmark; a line of JSON per case, or text.

The exit code is 5 when a case gave a wrong answer; slowness is not a failure.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path

SHARED = {"__main__", "result", "binlog", "orders", "uncompiled"}
"""Modules of this folder that are no benchmarks."""


def names() -> list[str]:
    """The benchmarks that are there: modules with a function `run(rows) -> Iterable[Result]`."""
    folder = Path(__file__).parent
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]) if module.name not in SHARED)


def main() -> int:
    """Parse the command line, run, print. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure crossfade against its peers.")
    parser.add_argument("name", choices=names())
    parser.add_argument("--rows", type=int, help="how many rows (each benchmark has its own default)")
    parser.add_argument("--json", action="store_true", help="one JSON object per case and line")
    arguments = parser.parse_args()
    correct = True
    for result in importlib.import_module(f"bench.{arguments.name}").run(arguments.rows):
        print(result.to_json() if arguments.json else result.to_text(), flush=True)
        correct = correct and result.correct
    return 0 if correct else 5


if __name__ == "__main__":
    sys.exit(main())
