"""Scalars of the starter file: any YAML reader gets back the text that went in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from sync.starter_text import scalar


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_survives(text: str) -> None:
    written = YAML(typ="safe", pure=True).load(f"{scalar(text)}: [{scalar(text)}]")
    assert written == {text: [text]}


@pytest.mark.parametrize(
    "word", ["null", "NO", "on", "true", "y", "1e3", "0x1f", "2024-01-01", "a b", "a: b", "#x", "", "é"]
)
def test_what_some_reader_could_take_for_something_else_is_quoted(word: str) -> None:
    assert scalar(word).startswith('"')


@pytest.mark.parametrize("word", ["orders", "shop.orders", "T1", "_x"])
def test_plain_names_stay_bare(word: str) -> None:
    assert scalar(word) == word
