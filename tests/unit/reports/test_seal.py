"""A sealed file is opened as it was, and no byte of it can be changed unseen."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.settings import ReportFormat
from model.errors import UsageError
from reports.check import check_file
from reports.seal import content_digest, opened, seal_of, sealed
from stores.control.reports import ORIGIN, Entry, broken_at

KEY = SecretStr("a-key")
CONTENTS = {
    ReportFormat.HTML: b"<!doctype html>\n<p>12 rows</p>\n",
    ReportFormat.MD: b"# shop\n\n12 rows\n",
    ReportFormat.CSV: b"plan,rows\nt,12\n",
    ReportFormat.JUNIT: b'<?xml version="1.0"?>\n<testsuite/>\n',
    ReportFormat.JSON: b'{\n "rows": 12\n}\n',
}


def _entry(number: int = 1, previous: str = ORIGIN, content: bytes | None = None) -> Entry:
    digests = {str(form): content_digest(content or one) for form, one in CONTENTS.items()}
    moment = datetime(2026, 3, 1, 7, 0, 0, 123456, UTC)
    bare = Entry("shop", number, moment, "ana--@h", "pass", digests, previous)
    return Entry("shop", number, moment, "ana--@h", "pass", digests, previous, bare.linked())


def _written(folder: Path, form: ReportFormat, key: SecretStr | None = KEY) -> Path:
    path = folder / f"report.{form}"
    path.write_bytes(sealed(CONTENTS[form], seal_of(_entry(), form, key)))
    return path


def _broken(path: Path, register: list[Entry] | None = None, key: SecretStr | None = KEY) -> set[str]:
    return {finding.what for finding in check_file(path, register, key)[1] if finding.holds is False}


@pytest.mark.parametrize("form", list(ReportFormat))
def test_what_was_sealed_is_found_again(tmp_path: Path, form: ReportFormat) -> None:
    path = _written(tmp_path, form)
    content, seal = opened(path.read_bytes())
    assert content == CONTENTS[form]
    assert seal == seal_of(_entry(), form, KEY)
    assert _broken(path, [_entry()]) == set()
    if form is ReportFormat.JSON:
        assert json.loads(path.read_bytes())["rows"] == 12


@pytest.mark.parametrize("form", list(ReportFormat))
def test_an_edit_is_seen(tmp_path: Path, form: ReportFormat) -> None:
    path = _written(tmp_path, form)
    path.write_bytes(path.read_bytes().replace(b"12", b"13") if b"12" in CONTENTS[form] else b" " + path.read_bytes())
    assert "content" in _broken(path)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(ReportFormat)), st.data())
def test_no_byte_can_be_changed_unseen(
    tmp_path_factory: pytest.TempPathFactory, form: ReportFormat, data: st.DataObject
) -> None:
    path = _written(tmp_path_factory.mktemp("r"), form)
    file = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(file) - 1))
    file[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(file))
    try:
        broken = _broken(path, [_entry()])
    except UsageError:
        return
    if not broken:
        # Only the frame around the seal may vary: content and seal are what they were.
        assert opened(bytes(file)) == (CONTENTS[form], seal_of(_entry(), form, KEY))


def test_digest_and_link_made_anew_do_not_fool_key_or_register(tmp_path: Path) -> None:
    forged = b"# shop\n\n0 rows\n"
    entry = _entry(content=forged)
    path = tmp_path / "forged.md"
    path.write_bytes(sealed(forged, seal_of(entry, ReportFormat.MD, None)))
    assert _broken(path) == set()  # by itself it is consistent: that is why there are register and key
    assert _broken(path, [_entry()]) == {"register"}
    path.write_bytes(sealed(forged, seal_of(entry, ReportFormat.MD, SecretStr("another"))))
    assert _broken(path) == {"signature"}


def test_a_report_slipped_into_the_register(tmp_path: Path) -> None:
    first = _entry()
    second = _entry(2, first.link)
    third = _entry(3, second.link)
    assert broken_at([first, second, third]) is None
    assert broken_at([first, third]) is third
    assert broken_at([first, _entry(2, ORIGIN), third]) == _entry(2, ORIGIN)
    assert _broken(_written(tmp_path, ReportFormat.MD), [first, third]) == {"chain"}


@pytest.mark.parametrize("file", [b"", b"{}", b"hello\n", b"<!-- crossfade-seal: e30= -->\n", b"# crossfade-seal: !\n"])
def test_what_has_no_seal(tmp_path: Path, file: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(file)
    with pytest.raises(UsageError, match="seal") as caught:
        check_file(path, None, None)
    assert "crossfade report list" in caught.value.hint
    with pytest.raises(UsageError, match="cannot be read"):
        check_file(tmp_path / "absent", None, None)
