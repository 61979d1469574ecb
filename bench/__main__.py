"""`python -m bench NAME [--rows N] [--case NAME] [--json] [--picture FILE]`: run one benchmark.

Prints a line of JSON per case, or text.

The exit code is 5 when a case gave a wrong answer; slowness is not a failure.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from pathlib import Path

import structlog

from bench.picture import rates_picture

BENCHMARKS = ("decode", "latency", "snapshot", "stream", "verify")
"""Modules of this folder with a function `run(rows) -> Iterable[Result]`, or `run(rows, case)` and their `CASES`."""


def main() -> int:
    """Parse the command line, run, print. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure crossfade against its peers.")
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--rows", type=int, help="how many rows (each benchmark has its own default)")
    parser.add_argument("--case", help="only this case")
    parser.add_argument("--picture", type=Path, help="write an SVG of the rates of all cases to this file")
    parser.add_argument("--json", action="store_true", help="one JSON object per case and line")
    arguments = parser.parse_args()
    if arguments.rows is not None and arguments.rows < 1:
        parser.error("--rows must be at least 1")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    module = importlib.import_module(f"bench.{arguments.name}")
    options = {}
    if arguments.case is not None:
        known = getattr(module, "CASES", ())
        if arguments.case not in known:
            parser.error(f"{arguments.name} has no case {arguments.case}; it has: {', '.join(known) or 'only one'}")
        options["case"] = arguments.case
    correct = True
    results = []
    for result in module.run(arguments.rows, **options):
        print(result.to_json() if arguments.json else result.to_text(), flush=True)
        correct = correct and result.correct
        results.append(result)
    if arguments.picture is not None:
        arguments.picture.write_text(rates_picture(results))
    return 0 if correct else 5


if __name__ == "__main__":
    sys.exit(main())
