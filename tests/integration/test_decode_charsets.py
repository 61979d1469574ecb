"""Every code of every character set of a server: our tables give the server's character, and refuse what has none."""

from __future__ import annotations

from typing import Any

import pytest

from model.errors import ValueRefused
from sync.mysql.charsets import decoder
from tests.support.charset_survey import charsets, codes, survey
from tests.support.servers import SourceDatabase


@pytest.mark.parametrize("server_name", ["mariadb", "mysql97", pytest.param("mysql56", marks=pytest.mark.matrix)])
def test_every_code_of_every_character_set(server_name: str, request: pytest.FixtureRequest) -> None:
    connection: Any = SourceDatabase(request.getfixturevalue(server_name), "mysql").connect(
        init_command="SET sql_mode=''"
    )
    wrong: list[str] = []
    try:
        names = charsets(connection)
        assert len(names) >= 32
        for name, width in names.items():
            server, decode = survey(connection, name, width), decoder(name)
            for code in codes(name, width):
                try:
                    ours: str | None = decode(code).decode()
                except ValueRefused:
                    ours = None
                theirs = server.get(code)
                if ours != theirs and not (theirs is None and ours is not None and len(ours) > 1):
                    wrong.append(f"{name} {code.hex()}: server {theirs!r}, ours {ours!r}")
    finally:
        connection.close()
    assert not wrong, "\n".join(wrong[:20])
