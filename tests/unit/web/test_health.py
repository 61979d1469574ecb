"""Health for supervisors: 200 only when it was seen to be well, 503 with the reason otherwise."""

from __future__ import annotations

import time
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from model.errors import CrossfadeError
from tests.support.asking import Client
from web.answers import on_error
from web.board import STUCK_S, Board
from web.health import HealthPages

STATUS: dict[str, Any] = {
    "state": "SYNCING",
    "health": "healthy",
    "reasons": [],
    "stores": [{"name": "a", "lag_s": 0.5}, {"name": "b", "lag_s": 12.0}],
}


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def client(board: Board) -> Client:
    pages = HealthPages(board)
    paths = [Route("/livez", pages.live), Route("/readyz", pages.ready), Route("/healthz", pages.healthy)]
    return Client(Starlette(routes=paths, exception_handlers={CrossfadeError: on_error}))


def test_before_anything_was_seen(client: Client) -> None:
    assert [client.get(path).status_code for path in ("/livez", "/readyz", "/healthz")] == [503] * 3


def test_alive_is_not_ready(client: Client, board: Board) -> None:
    board.turned(STATUS)
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").json()["problems"] == ["the control store took no heartbeat yet"]
    board.beat()
    assert client.get("/readyz").status_code == 200


def test_a_loop_that_hangs(client: Client, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board.turned(STATUS)
    now = time.monotonic()
    monkeypatch.setattr("web.board.time.monotonic", lambda: now + STUCK_S + 3)
    answer = client.get("/livez")
    assert answer.status_code == 503
    assert "has not turned for 13 s" in answer.text


def test_the_lag_is_judged_only_when_asked_for(client: Client, board: Board) -> None:
    board.turned(STATUS)
    assert client.get("/healthz").status_code == 200
    assert client.get("/healthz?max_lag=20s").status_code == 200
    answer = client.get("/healthz?max_lag=10s")
    assert answer.status_code == 503
    assert answer.json()["problems"] == ["store b: lag 12.0 s (limit 10 s)"]
    board.turned({**STATUS, "stores": [{"name": "a", "lag_s": None}]})
    assert client.get("/healthz?max_lag=1h").status_code == 503


def test_what_has_failed_is_named(client: Client, board: Board) -> None:
    board.turned({**STATUS, "health": "failed", "reasons": [{"subject": "store a", "message": "disk full"}]})
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["problems"]) == (503, ["store a: disk full"])


def test_a_limit_that_is_none(client: Client, board: Board) -> None:
    answer = client.get("/healthz?max_lag=soon")
    assert answer.status_code == 400
    assert "max_lag=10s" in answer.json()["next_steps"][0]
