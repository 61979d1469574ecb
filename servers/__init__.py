"""Private database servers for the demo, the tests and the benchmarks: found or fetched, started, stopped, killed."""

from __future__ import annotations

from servers.errors import ServerFailed, ServerUnavailable
from servers.flavour import FLAVOURS, Engine, Flavour, flavour_named
from servers.provisioning import provision
from servers.running import RunningServer, start_server

__all__ = [
    "FLAVOURS",
    "Engine",
    "Flavour",
    "RunningServer",
    "ServerFailed",
    "ServerUnavailable",
    "flavour_named",
    "provision",
    "start_server",
]
