"""Query parameters: what is a duration and a number, and what is told otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from model.errors import UsageError
from web.parameters import seconds, whole


def _request(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


@pytest.mark.parametrize(
    ("text", "wanted"), [("10", 10.0), ("10s", 10.0), ("1.5s", 1.5), ("500ms", 0.5), ("2m", 120.0), ("1h", 3600.0)]
)
def test_durations(text: str, wanted: float) -> None:
    assert seconds(_request(f"max_lag={text}"), "max_lag") == wanted


def test_absent_and_capped() -> None:
    assert seconds(_request(""), "wait", 3.0) == 3.0
    assert seconds(_request("wait=1h"), "wait", most=300.0) == 300.0
    assert whole(_request("limit=5000"), "limit", most=1000) == 1000
    assert whole(_request(""), "limit", 7) == 7


@given(st.text(max_size=30))
def test_whatever_is_sent_is_read_or_refused_by_name(text: str) -> None:
    request = Request({"type": "http", "query_string": b"", "headers": []})
    request._query_params = {"wait": text}  # type: ignore[assignment]
    for read in (seconds, whole):
        try:
            found = read(request, "wait")
        except UsageError as error:
            assert "wait" in str(error) and error.hint
        else:
            assert found is not None and found >= 0
