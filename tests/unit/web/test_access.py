"""Who may change something, and who may read where other hosts can reach us."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.support.asking import Client
from web.access import Access


def _client(token: str | None, *, loopback: bool) -> Client:
    async def done(request: Request) -> Response:
        return PlainTextResponse("done")

    access = Access(SecretStr(token) if token is not None else None, loopback=loopback)
    paths = [Route("/read", access.to_read(done)), Route("/change", access.to_change(done), methods=["POST"])]
    return Client(Starlette(routes=paths))


GOOD = {"Authorization": "Bearer s3cret-ü"}


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", "Bearer s3cret", "Bearer s3cret-ü-more", "Basic s3cret-ü", "s3cret-ü"]
)
def test_a_wrong_token_changes_nothing(given: str) -> None:
    client = _client("s3cret-ü", loopback=True)
    answer = client.post("/change", headers={"Authorization": given.encode()} if given else {})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "s3cret" not in answer.text
    assert client.get("/read").status_code == 200


def test_the_right_one_does() -> None:
    client = _client("s3cret-ü", loopback=True)
    headers = {name: value.encode() for name, value in GOOD.items()}
    assert client.post("/change", headers=headers).text == "done"


@pytest.mark.parametrize("token", [None, ""])
def test_without_a_token_nothing_can_be_changed(token: str | None) -> None:
    answer = _client(token, loopback=True).post("/change", headers={"Authorization": "Bearer "})
    assert answer.status_code == 403
    assert answer.json()["next_steps"] == ["Set http.token and restart."]


def test_other_hosts_need_it_for_reading_too() -> None:
    client = _client("s3cret", loopback=False)
    assert client.get("/read").status_code == 401
    assert client.get("/read", headers={"Authorization": "bearer s3cret"}).text == "done"
