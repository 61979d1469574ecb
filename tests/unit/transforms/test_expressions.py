"""The expression language: what it refuses, and the meanings that need no server to check."""

from __future__ import annotations

import pytest

from model.errors import ConfigError, ValueRefused
from model.rows import Field
from tests.support.plans import column, table
from transforms.expressions import compile_condition, compile_expression

TABLE = table(
    "t",
    column("id", "int"),
    column("name", "varchar(20)", nullable=True),
    column("price", "decimal(10,2)", nullable=True),
    column("born", "date", nullable=True),
    column("ratio", "double", nullable=True),
    column("doc", "json", nullable=True),
    column("order", "int"),
    column("wide", "decimal(65,30)"),
)
ROW = (b"7", b"Ada ", b"1.50", b"0000-00-00", b"0.1", None, b"3", b"0." + b"0" * 30)


def value(text: str) -> Field:
    return compile_expression(text, TABLE).compiled.evaluate(ROW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id", b"7"),
        ("price * 2", b"3.00"),
        ("price + id", b"8.50"),
        ("name", b"Ada "),
        ("name = 'Ada'", b"0"),
        ("TRIM(name) = 'Ada'", b"1"),
        ("NAME", b"Ada "),
        ("`order` + 1", b"4"),
        ("born = '0000-00-00'", b"1"),
        ("born < '1970-01-01 00:00:00'", b"1"),
        ("YEAR(born)", b"0"),
        ("doc IS NULL", b"1"),
        ("CAST(ratio AS DECIMAL(5,2))", b"0.10"),
        ("name NOT IN ('x', NULL)", None),
        ("name IN ('Ada ', NULL)", b"1"),
        ("NULL OR id = 7", b"1"),
        ("IF(price > 1, 'dear', 'cheap')", b"dear"),
        ("CASE id WHEN 7 THEN 'seven' END", b"seven"),
        ("CASE id WHEN 8 THEN 'eight' END", None),
        ("-price", b"-1.50"),
        ("_utf8mb4'x'", b"x"),
        ("'a' 'b'", b"ab"),
        ("id /* the key */ = 7", b"1"),
    ],
)
def test_values(text: str, expected: Field) -> None:
    assert value(text) == expected


REFUSED = [
    ("SLEEP(1)", "SLEEP is not allowed"),
    ("NOW()", "NOW is not allowed"),
    ("RAND()", "not allowed"),
    ("(SELECT 1)", "not allowed"),
    ("id FROM t", "not one expression"),
    ("id, name", "not one expression"),
    ("1; DROP TABLE t", "not one expression"),
    ("id = ", "cannot be read"),
    ("id AS x", "ALIAS is not allowed"),
    ("id / 2", "DIV is not allowed"),
    ("other.id", "COLUMN is not allowed"),
    ("nmae", "the column 'nmae'"),
    ("name = 5", "do not go together"),
    ("name + 1", "a number is needed"),
    ("ratio > 0.5", "do not go together|a number is needed"),
    ("ratio", "no exact text"),
    ("doc = 'x'", "do not go together"),
    ("born = 'yesterday'", "compared with a date"),
    ("born = name", "mixed with text"),
    ("1e3", "not an exact decimal"),
    ("name LIKE id", "pattern"),
    ("name LIKE 'a!%' ESCAPE '!'", "not allowed"),
    ("name = 'a\\nb'", "backslash"),
    ("name COLLATE utf8mb4_bin = 'a'", "COLLATE is not allowed"),
    ("name REGEXP 'a'", "not allowed"),
    ("SUBSTRING(name, 0)", "at least 1"),
    ("SUBSTRING(name, id)", "at least 1"),
    ("TRIM(LEADING 'x' FROM name)", "TRIM is not allowed"),
    ("CAST(name AS DATE)", "not allowed"),
    ("CAST(name AS DECIMAL(5,2))", "a number is needed"),
    ("CAST(name AS CHAR(3))", "not allowed"),
    ("CAST(price AS DECIMAL(5,2))", r"cannot hold every value"),
    ("wide * wide", "exceeds the source's DECIMAL"),
    ("COALESCE(NULL, NULL)", "every branch is NULL"),
    ("NULL", "no exact text"),
    ("COALESCE(name, id)", "do not go together"),
    ("", "cannot be read|not one expression"),
    ("@@version", "not allowed"),
    ("@x", "not allowed"),
    ("0x41", "not allowed"),
    ("LENGTH(name) OVER ()", "not allowed"),
    ("COUNT(*)", "not allowed"),
    ("*", "not allowed"),
    ("DISTINCT id", "not one expression|not allowed"),
    ("id INTO OUTFILE '/tmp/x'", "not one expression|cannot be read"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_everything_else_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        compile_expression(text, TABLE)
    assert caught.value.where["expression"] == text
    assert caught.value.hint


def test_a_condition_is_needed_where_one_is() -> None:
    assert compile_condition("id", TABLE).evaluate(ROW) == b"1"
    assert compile_condition("price > 2", TABLE).evaluate(ROW) == b"0"
    assert compile_condition("doc IS NOT NULL AND id = 7", TABLE).evaluate(ROW) == b"0"
    with pytest.raises(ConfigError, match="a condition is needed"):
        compile_condition("name", TABLE)


def test_only_the_columns_that_are_read_are_asked_for() -> None:
    assert compile_condition("price > 1 AND id IN (1, 2)", TABLE).columns == (0, 2)
    assert compile_expression("'x'", TABLE).compiled.columns == ()


def test_a_float_that_does_not_fit_is_refused_with_its_row() -> None:
    compiled = compile_expression("CAST(ratio AS DECIMAL(3,2))", TABLE).compiled
    with pytest.raises(ValueRefused):
        compiled.evaluate((b"7", None, None, None, b"10.0", None, b"3", b"0"))


def test_names_and_texts_are_quoted() -> None:
    compiled = compile_expression("CONCAT(`order`, 'it''s', 'ü')", TABLE).compiled
    assert "`order`" in compiled.mysql and '"order"' in compiled.postgres
    assert "'it''s'" in compiled.postgres
    assert "0x6974277" in compiled.mysql and "0xc3bc" in compiled.mysql
    compared = compile_condition("name < 'b'", TABLE)
    assert compared.mysql.count("USING binary") == 2 and compared.postgres.count('COLLATE "C"') == 2


@pytest.mark.parametrize("text", ["LOWER(name)", "name = 'a'", "name LIKE 'a%'", "LENGTH(name)", "NULLIF(name, 'a')"])
def test_our_own_meaning_is_not_given_to_the_sources_expressions(text: str) -> None:
    compile_expression(text, TABLE)
    with pytest.raises(ConfigError):
        compile_expression(text, TABLE, own_meaning=False)
    compile_expression("CHAR_LENGTH(name) + price", TABLE, own_meaning=False)
