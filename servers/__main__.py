"""`python -m servers`: fetch server programs ahead of time, or start one server and keep it until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from model.errors import CrossfadeError, ExitCode, UsageError
from servers.errors import ServerUnavailable
from servers.flavour import FLAVOURS, flavour_named
from servers.installation import Installation
from servers.provisioning import provision
from servers.running import start_server


def main(words: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m servers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    fetching = commands.add_parser("provision", help="find or fetch the programs of servers")
    fetching.add_argument("names", nargs="+", metavar="NAME", help=f"all, or some of {', '.join(FLAVOURS)}")
    starting = commands.add_parser("start", help="start a server and keep it until Ctrl-C")
    starting.add_argument("name", metavar="NAME", help=f"one of {', '.join(FLAVOURS)}")
    starting.add_argument("--option", action="append", default=[], metavar="K=V", help="a server variable")
    starting.add_argument("--data-dir", type=Path, help="keep the data in this folder")
    arguments = parser.parse_args(words)
    try:
        if arguments.command == "provision":
            return _provision(arguments.names)
        return _start(arguments.name, arguments.option, arguments.data_dir)
    except CrossfadeError as error:
        print(f"{error}\n{error.hint}", file=sys.stderr)
        return int(error.exit_code)


def _provision(names: list[str]) -> int:
    flavours = list(FLAVOURS.values()) if names == ["all"] else [flavour_named(name) for name in names]
    missing = []
    for flavour in flavours:
        began = time.monotonic()
        try:
            found = provision(flavour, say=_say)
        except ServerUnavailable as error:
            print(f"{flavour}: cannot be had\n{error}\n{error.hint}", file=sys.stderr)
            missing.append(flavour.name)
            continue
        place = f" in {found.home}" if isinstance(found, Installation) else ""
        print(f"{flavour}: {found.version}, {found.route}{place} ({time.monotonic() - began:.1f} s)", flush=True)
    if missing:
        print(f"Cannot be had: {', '.join(missing)}", file=sys.stderr)
        return int(ExitCode.UNREACHABLE)
    return int(ExitCode.CLEAN)


def _start(name: str, pairs: list[str], data_dir: Path | None) -> int:
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--option {pair!r} has no '='", hint="Write it as --option variable=value")
        options[key] = value
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with start_server(flavour_named(name), options=options, data_dir=data_dir, say=_say) as server:
        print(f"{server.flavour} {server.version}, process {server.pid}, log {server.log}\n{server.dsn()}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print(f"{server.flavour}: stopping", flush=True)
    return int(ExitCode.CLEAN)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
