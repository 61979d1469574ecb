"""Servers in containers, against the signatures of the real libraries: no engine is needed to run these."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import docker
import pytest
from docker.models.containers import Container
from testcontainers.core import container as library

from servers import container, mysql, postgres
from servers.container import ContainerServer
from servers.errors import RouteFailed, ServerFailed
from servers.flavour import MYSQL_9_7, POSTGRES_15
from servers.installation import ContainerImage
from servers.routes.container import InContainer


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[mock.Mock]:
    made = mock.create_autospec(library.DockerContainer, instance=True)
    for name in ("with_command", "with_env", "with_kwargs", "start"):
        getattr(made, name).return_value = made
    inner = mock.create_autospec(Container, instance=True)
    inner.attrs = {"State": {"Pid": 4711}}
    made.get_wrapped_container.return_value = inner
    factory = mock.Mock(return_value=made)
    monkeypatch.setattr(library, "DockerContainer", factory)
    monkeypatch.setattr(mysql, "answers", lambda port, password, data: True)
    monkeypatch.setattr(postgres, "answers", lambda port, password, data: True)
    made.factory, made.inner = factory, inner
    yield made


def test_life_of_a_container(engine: mock.Mock) -> None:
    server = ContainerServer(ContainerImage(MYSQL_9_7, "mysql:9.7", "test"), {"gtid_mode": "OFF"}, 15000)
    assert server.pid == 0
    server.start(None)
    engine.factory.assert_called_once_with("mysql:9.7")
    assert "--gtid-mode=OFF" in engine.with_command.call_args.args[0]
    assert ("MYSQL_ROOT_PASSWORD", server.password) in [call.args for call in engine.with_env.call_args_list]
    engine.with_kwargs.assert_called_once_with(ports={"3306/tcp": ("127.0.0.1", 15000)})
    assert server.pid == 4711
    server.stop()
    engine.inner.stop.assert_called_once_with(timeout=60)
    server.start(None)
    engine.inner.start.assert_called_once_with()
    server.kill()
    engine.inner.kill.assert_called_once_with()
    with pytest.raises(ServerFailed, match="other options"):
        server.start({"gtid_mode": "ON"})
    server.remove()
    engine.stop.assert_called_once_with(force=True, delete_volume=True)
    server.remove()
    assert server.pid == 0


def test_a_container_that_never_answers_is_removed(engine: mock.Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "answers", lambda port, password, data: False)
    monkeypatch.setattr(container, "_START_SECONDS", 0.0)
    engine.inner.logs.return_value = b"out of memory"
    server = ContainerServer(ContainerImage(POSTGRES_15, "postgres:15", "test"), None, 15000)
    with pytest.raises(ServerFailed, match="out of memory"):
        server.start(None)
    engine.stop.assert_called_once()


def test_no_engine_is_a_closed_route(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise docker.errors.DockerException("connection refused")

    monkeypatch.setattr(docker, "from_env", refuse)
    with pytest.raises(RouteFailed, match="connection refused"):
        InContainer("mysql:9.7").fetch(MYSQL_9_7, lambda line: None)
