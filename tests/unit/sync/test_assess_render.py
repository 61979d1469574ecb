"""Plain renderings of an assessment."""

from __future__ import annotations

from sync.assess import SOURCE_CHECKS, STORE_CHECKS, Assessment, Finding, Level, assessment_json, assessment_text

FOUND = Assessment(
    (
        Finding("a", Level.OK, "source", "fine"),
        Finding("a", Level.WARN, "d.t", "not so fine", "ALTER TABLE t;"),
        Finding("b", Level.OK, "source", "well"),
    )
)


def test_ok_is_left_out_beside_worse_of_the_same_check() -> None:
    text = assessment_text(FOUND)
    assert "fine" in text
    assert "source: fine" not in text
    assert "source: well" in text
    assert "→ ALTER TABLE t;" in text
    assert text.endswith("2 OK · 1 WARN · 0 BLOCK")
    assert "source: fine" in assessment_text(FOUND, every=True)


def test_json_holds_everything() -> None:
    assert assessment_json(FOUND) == {
        "blocked": False,
        "findings": [
            {"check": "a", "level": "OK", "subject": "source", "message": "fine", "fix": ""},
            {"check": "a", "level": "WARN", "subject": "d.t", "message": "not so fine", "fix": "ALTER TABLE t;"},
            {"check": "b", "level": "OK", "subject": "source", "message": "well", "fix": ""},
        ],
    }


def test_only_block_blocks() -> None:
    assert not FOUND.blocked
    assert Assessment((*FOUND.findings, Finding("c", Level.BLOCK, "x", "no", "do"))).blocked


def test_names_of_checks_are_unique_words_with_a_title() -> None:
    assert not set(SOURCE_CHECKS) & set(STORE_CHECKS)
    for name, check in {**SOURCE_CHECKS, **STORE_CHECKS}.items():
        assert name == check.name
        assert name.replace("_", "").isalnum()
        assert check.title
