"""Route hooks: what they are told, and that their failure is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cutover.hooks import HookEvent, HookFailed, Hooks
from cutover.phases import Side
from model.errors import ConfigError


def test_a_program_learns_everything_by_its_environment(tmp_path: Path) -> None:
    told = tmp_path / "told"
    command = f'echo "$CROSSFADE_DOMAIN $CROSSFADE_SIDE $CROSSFADE_EPOCH $CROSSFADE_EVENT $0" > {told}'
    hooks = Hooks.of("shop", {"exec": ["/bin/sh", "-c", command, "word"]})
    assert hooks.call(HookEvent.FLIP, Side.STORES, 7) == {"exec": 0}
    assert told.read_text() == "shop stores 7 flip word\n"


def test_a_program_that_fails_hangs_or_is_not_there() -> None:
    with pytest.raises(HookFailed, match="ended with 3: no luck"):
        Hooks.of("shop", {"exec": ["/bin/sh", "-c", "echo no luck >&2; exit 3"]}).call(HookEvent.FLIP, Side.STORES, 1)
    with pytest.raises(HookFailed, match="could not be run"):
        Hooks.of("shop", {"exec": ["/no/such/program"]}).call(HookEvent.FLIP, Side.STORES, 1)
    with pytest.raises(HookFailed, match="timed out"):
        hooks = Hooks.of("shop", {"exec": ["/bin/sleep", "5"], "timeout_s": 0.05})
        hooks.call(HookEvent.FLIP, Side.STORES, 1)


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """An address that remembers what is posted; /broken answers 500."""
    posted: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path == "/broken" else 204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            return

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}", posted
    listening.shutdown()
    listening.server_close()


def test_an_address_gets_the_same_as_json(server: tuple[str, list[dict[str, object]]]) -> None:
    address, posted = server
    assert Hooks.of("shop", {"http": f"{address}/ok"}).call(HookEvent.HOLD, Side.SOURCE, 2) == {"http": 204}
    assert posted == [{"domain": "shop", "side": "source", "epoch": 2, "event": "hold"}]
    with pytest.raises(HookFailed, match="500"):
        Hooks.of("shop", {"http": f"{address}/broken"}).call(HookEvent.HOLD, Side.SOURCE, 2)


def test_no_hooks_at_all() -> None:
    assert Hooks.of("shop", {}).call(HookEvent.FLIP, Side.STORES, 1) == {}


@pytest.mark.parametrize("route", [{"shell": "x"}, {"exec": "one string"}, {"http": "ftp://x"}])
def test_what_cannot_be_meant_is_refused(route: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Hooks.of("shop", route)
