"""Literals of the catalogues: unescaping, labels, defaults of both dialects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.tables import DefaultKind
from sync.mysql.literals import bare_default, labels, quoted_default, quoted_name, unescaped, unquoted

ESCAPED = {"\0": "\\0", "\n": "\\n", "\r": "\\r", "\x1a": "\\Z", "\\": "\\\\"}


def quoted(text: str) -> str:
    """As MySQL prints a literal."""
    return "'" + "".join(ESCAPED.get(c, "''" if c == "'" else c) for c in text) + "'"


@given(st.text())
def test_unquoting_is_the_inverse_of_printing(text: str) -> None:
    assert unquoted(quoted(text)[1:-1]) == text


@given(st.lists(st.text(), min_size=1, max_size=6), st.sampled_from(["enum", "set"]))
def test_labels_of_any_text(members: list[str], kind: str) -> None:
    assert labels(f"{kind}({','.join(map(quoted, members))})") == tuple(members)


@given(st.text())
def test_quoted_default_is_its_text(text: str) -> None:
    assert quoted_default(quoted(text), "varchar") == (DefaultKind.LITERAL, text)


@given(st.text())
def test_expression_without_its_outer_backslashes(text: str) -> None:
    stored = "".join("\\" + c if c in "\\'" else ESCAPED.get(c, c) for c in text)
    assert unescaped(stored) == text


@pytest.mark.parametrize(
    ("text", "type_", "generated", "expected"),
    [
        ("NULL", "varchar", False, (DefaultKind.LITERAL, "NULL")),
        ("CURRENT_TIMESTAMP", "varchar", False, (DefaultKind.LITERAL, "CURRENT_TIMESTAMP")),
        ("CURRENT_TIMESTAMP", "timestamp", False, (DefaultKind.NOW, "CURRENT_TIMESTAMP")),
        ("CURRENT_TIMESTAMP(3)", "datetime", True, (DefaultKind.NOW, "CURRENT_TIMESTAMP(3)")),
        ("now()", "datetime", True, (DefaultKind.NOW, "CURRENT_TIMESTAMP")),
        ("curdate()", "date", True, (DefaultKind.EXPRESSION, "curdate()")),
        ("uuid()", "char", True, (DefaultKind.EXPRESSION, "uuid()")),
        ("uuid()", "char", False, (DefaultKind.LITERAL, "uuid()")),
        ("b'101'", "bit", False, (DefaultKind.LITERAL, "b'101'")),
        ("0x61", "varbinary", False, (DefaultKind.LITERAL, "0x61")),
        ("a", "varbinary", False, (DefaultKind.LITERAL, "0x61")),
        ("0x61", "varchar", False, (DefaultKind.LITERAL, "0x61")),
    ],
)
def test_defaults_of_mysql(text: str, type_: str, generated: bool, expected: tuple[DefaultKind, str]) -> None:
    assert bare_default(text, type_, generated) == expected


@pytest.mark.parametrize(
    ("text", "type_", "expected"),
    [
        ("NULL", "int", (DefaultKind.NULL, None)),
        ("'NULL'", "varchar", (DefaultKind.LITERAL, "NULL")),
        ("'now()'", "text", (DefaultKind.LITERAL, "now()")),
        ("current_timestamp()", "datetime", (DefaultKind.NOW, "CURRENT_TIMESTAMP")),
        ("current_timestamp(6)", "timestamp", (DefaultKind.NOW, "CURRENT_TIMESTAMP(6)")),
        ("current_timestamp()", "varchar", (DefaultKind.EXPRESSION, "current_timestamp()")),
        ("(1 + 1)", "int", (DefaultKind.EXPRESSION, "(1 + 1)")),
        ("concat('a','b')", "varchar", (DefaultKind.EXPRESSION, "concat('a','b')")),
        ("'a' 'b'", "varchar", (DefaultKind.EXPRESSION, "'a' 'b'")),
        ("-1.50", "decimal", (DefaultKind.LITERAL, "-1.50")),
        ("1e10", "double", (DefaultKind.LITERAL, "1e10")),
        ("_latin1'x'", "varchar", (DefaultKind.LITERAL, "x")),
        ("'a'", "varbinary", (DefaultKind.LITERAL, "0x61")),
    ],
)
def test_defaults_of_mariadb(text: str, type_: str, expected: tuple[DefaultKind, str | None]) -> None:
    assert quoted_default(text, type_) == expected


def test_names_are_quoted_part_by_part() -> None:
    assert quoted_name("d`b", "t.x") == "`d``b`.`t.x`"
