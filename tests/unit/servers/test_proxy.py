"""The proxy of the fault tests does what its name for each fault says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.proxy import Proxy

PATIENCE = 20.0


class Echo:
    """Sends back what it gets."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection: socket.socket) -> None:
        try:
            while block := connection.recv(1000):
                connection.sendall(block)
        except OSError:
            return
        finally:
            connection.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    echo = Echo()
    with Proxy("127.0.0.1", echo.port) as made:
        yield made
    echo.listener.close()


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=PATIENCE)


def ask(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    answer = b""
    while len(answer) < len(text):
        block = connection.recv(1000)
        if not block:
            return answer
        answer += block
    return answer


def is_over(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_forwards(proxy: Proxy) -> None:
    with dial(proxy) as one, dial(proxy) as two:
        assert ask(one, b"hello") == b"hello"
        assert ask(two, b"there") == b"there"
    assert proxy.accepted == 2
    assert proxy.answered == 10


def test_cut_ends_every_connection_and_welcomes_new_ones(proxy: Proxy) -> None:
    with dial(proxy) as one, dial(proxy) as two:
        ask(one, b"1")
        ask(two, b"2")
        assert proxy.cut() == 2
        assert is_over(one)
        assert is_over(two)
    with dial(proxy) as three:
        assert ask(three, b"3") == b"3"


def test_cut_after_counts_bytes_of_the_server(proxy: Proxy) -> None:
    with dial(proxy) as one:
        proxy.cut_after(7)
        assert ask(one, b"12345") == b"12345"
        one.sendall(b"67890")
        got = b""
        try:
            while block := one.recv(100):
                got += block
        except ConnectionError:
            pass
        assert b"67".startswith(got)
        assert proxy.answered == 7
    with dial(proxy) as two:
        assert ask(two, b"again") == b"again"


def test_silence_keeps_the_connection_and_loses_the_bytes(proxy: Proxy) -> None:
    with dial(proxy) as one:
        ask(one, b"1")
        proxy.drop_silently()
        one.sendall(b"lost")
        one.settimeout(0.3)
        with pytest.raises(TimeoutError):
            one.recv(1)
        one.settimeout(PATIENCE)
        proxy.resume()
        assert is_over(one)
    with dial(proxy) as two:
        assert ask(two, b"2") == b"2"


def test_block_delays_and_loses_nothing(proxy: Proxy) -> None:
    with dial(proxy) as one:
        ask(one, b"1")
        proxy.block()
        one.sendall(b"late")
        one.settimeout(0.3)
        with pytest.raises(TimeoutError):
            one.recv(1)
        one.settimeout(PATIENCE)
        proxy.resume()
        assert one.recv(4) == b"late"


def test_refuse_turns_new_connections_away_only(proxy: Proxy) -> None:
    with dial(proxy) as one:
        ask(one, b"1")
        proxy.refuse()
        with dial(proxy) as two:
            assert is_over(two)
        assert ask(one, b"still") == b"still"
        proxy.resume()
        with dial(proxy) as three:
            assert ask(three, b"3") == b"3"


def test_close_ends_everything(proxy: Proxy) -> None:
    with dial(proxy) as one:
        ask(one, b"1")
        proxy.close()
        assert is_over(one)
    with pytest.raises(ConnectionError):
        dial(proxy)
