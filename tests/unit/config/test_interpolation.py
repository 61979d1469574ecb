"""References in texts: properties of the resolver."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.interpolation import Resolver, Unresolved

FOLDER = Path("/nonexistent")
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True)
plain = st.text(st.characters(codec="utf-8", exclude_characters="$")).filter(lambda text: "\0" not in text)


def resolver(**environment: str) -> Resolver:
    return Resolver(FOLDER, environment)


@given(st.text())
def test_text_without_references_is_untouched(text: str) -> None:
    if "${" not in text:
        assert resolver().resolve(text) == text


@given(before=plain, name=names, value=st.text(), after=plain)
def test_value_is_put_in_as_it_is(before: str, name: str, value: str, after: str) -> None:
    """Also when the value itself looks like a reference."""
    assert Resolver(FOLDER, {name: value}).resolve(f"{before}${{env:{name}}}{after}") == f"{before}{value}{after}"


@given(name=names, default=st.text(st.characters(exclude_characters="}")))
def test_default_stands_in_for_unset_and_empty(name: str, default: str) -> None:
    text = f"${{env:{name}:-{default}}}"
    assert Resolver(FOLDER, {}).resolve(text) == default
    assert Resolver(FOLDER, {name: ""}).resolve(text) == default
    assert Resolver(FOLDER, {name: "set"}).resolve(text) == "set"


@given(plain)
def test_escape_gives_a_literal(text: str) -> None:
    assert resolver().resolve("$${" + text) == "${" + text


@given(st.lists(st.one_of(plain, names.map(lambda name: f"${{env:{name}}}"), st.just("$${")), max_size=6))
def test_never_fails_otherwise_than_unresolved(parts: list[str]) -> None:
    text = "".join(parts)
    try:
        resolver(A="x").resolve(text)
    except Unresolved as error:
        assert 0 <= error.offset < len(text)


def test_empty_variable_without_default_is_empty() -> None:
    assert resolver(A="").resolve("x${env:A}y") == "xy"


def test_file_and_credential_lose_one_line_end(tmp_path: Path) -> None:
    (tmp_path / "pw").write_bytes(b" a\n\r\n")
    resolve = Resolver(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).resolve
    assert resolve("${file:pw}") == resolve("${cred:pw}") == " a\n"
    assert resolve(f"${{file:{tmp_path / 'pw'}}}") == " a\n"


@pytest.mark.parametrize(
    "text", ["${cred:../pw}", "${cred:}", "${cred:a/b}", "${file:}", "${file:absent}", "${env:a b}", "${}"]
)
def test_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Unresolved):
        Resolver(tmp_path / "x", {"CREDENTIALS_DIRECTORY": str(tmp_path)}).resolve(text)


def test_offset_points_at_the_reference() -> None:
    with pytest.raises(Unresolved) as caught:
        resolver(A="1").resolve("${env:A} and ${env:B}")
    assert caught.value.offset == 13
