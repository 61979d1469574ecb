"""The dashboard's files: whole, closed to the outside, and no data of rows can become markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from tests.support.asking import Client
from web.page import Pages

FOLDER = Path(__file__).resolve().parents[3] / "web"
HTML, CSS, SCRIPT = ((FOLDER / name).read_text() for name in ("page.html", "page.css", "page.js"))


def test_everything_comes_from_here() -> None:
    for text in (HTML, CSS, SCRIPT):
        addresses = set(re.findall(r"https?://[^\s\"')]+", text)) - {"http://www.w3.org/2000/svg"}
        assert addresses == set()
    assert set(re.findall(r'(?:src|href)="([^"]*)"', HTML)) == {"data:,", "page.css", "page.js"}


def test_no_text_becomes_markup_or_code() -> None:
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc"):
        assert way not in SCRIPT, way
    assert "<script>" not in HTML and not re.search(r"\son\w+=", HTML) and "style=" not in HTML


def test_what_the_script_looks_for_is_there() -> None:
    ids = set(re.findall(r'id="([\w-]+)"', HTML))
    assert set(re.findall(r'\$\("([\w-]+)"\)', SCRIPT)) <= ids


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")]
)
def test_headers_keep_it_closed(path: str, kind: str) -> None:
    pages = Pages()
    routes = [Route("/", pages.page), Route("/page.css", pages.style), Route("/page.js", pages.script)]
    answer = Client(Starlette(routes=routes)).get(path)
    assert answer.headers["content-type"].startswith(kind)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
