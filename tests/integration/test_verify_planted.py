"""Differences of every kind are planted into a loaded store, one table at a time; each is found, nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.support.loading import Loaded, loaded
from tests.support.servers import SourceDatabase, StoreDatabase
from validators.findings import FindingKind, Mode, Outcome, TableVerdict

SOURCE = [
    # Traps of text: separators and markers of the canonical form inside of values.
    "CREATE TABLE words (id INT PRIMARY KEY, a VARCHAR(60) CHARACTER SET utf8mb4, b TEXT CHARACTER SET utf8mb4)",
    (
        "INSERT INTO words VALUES (1, NULL, NULL), (2, '', ''), (3, 'NULL', 'N'), (4, 'ab', 'c'), (5, X'611F62', 'c'),"
        " (6, 'x ', 'y'), (7, 'caf\\u00e9', 'z'), (8, '2:ab', '1:c'), (9, '<null>', '\\\\'), (10, 'p|', 'q'),"
        " (11, _utf8mb4 X'636166C3A9', '1'), (12, _utf8mb4 X'63616665CC81', '2'), (13, _utf8mb4 X'F09F9880', '3')"
    ),
    # Numbers and moments.
    (
        "CREATE TABLE figures (id BIGINT UNSIGNED PRIMARY KEY, d DOUBLE, f FLOAT, n DECIMAL(12,4), z BIGINT UNSIGNED,"
        " t DATETIME(6), s TIMESTAMP(3) NULL, y DATE, h TIME(2), bits BIT(5), flag TINYINT(1))"
    ),
    (
        "INSERT INTO figures VALUES"
        " (1, 0.1, 0.1, '-12.5', 18446744073709551615, '2024-02-29 12:00:00.000001', '2024-05-05 05:05:05.120',"
        "  '2024-02-29', '-838:59:59', b'10101', 1),"
        " (2, 1e22, 16777216, '0', 0, '1000-01-01 00:00:00', NULL, '0000-00-00', '00:00:00.5', b'0', 0),"
        " (3, 1e23, 1e-30, '99999999.9999', 9223372036854775808, '9999-12-31 23:59:59.999999', '1970-01-01 00:00:01',"
        "  '9999-12-31', '838:59:59', b'11111', -1),"
        " (4, -1e-200 * 1e-200, -1.5, '-0.0001', 1, '0000-00-00 00:00:00', '2038-01-19 03:14:07.999', '1000-01-01',"
        "  '26:00:00', b'1', 2),"
        " (5, 5e-324, 3.4028235e38, '1', 2, '2024-01-01 00:00:00.100000', '2024-01-01 00:00:00.5', NULL, NULL, NULL,"
        "  NULL),"
        " (18446744073709551615, 1.7976931348623157e308, 1e15, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),"
        " (7, 123456789.12345678, 0.3, '2', 3, NULL, NULL, NULL, NULL, NULL, NULL),"
        " (8, 2e15, 1e16, '3', 4, NULL, NULL, NULL, NULL, NULL, NULL),"
        " (9, 1e-5, 1e-5, '3', 4, NULL, NULL, NULL, NULL, NULL, NULL),"
        " (10, 0e0, 0, '3', 4, NULL, NULL, NULL, NULL, NULL, NULL)"
    ),
    # A composite key whose first column tells few leaves, and a key that the source compares without case.
    "CREATE TABLE stock (warehouse TINYINT, product INT, qty INT, PRIMARY KEY (warehouse, product))",
    "CREATE TABLE codes (code VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci PRIMARY KEY, v INT)",
    "CREATE TABLE pairs (a VARCHAR(10) CHARACTER SET utf8mb4, b BINARY(4), v INT, PRIMARY KEY (a, b))",
    "CREATE TABLE days (day DATE PRIMARY KEY, v INT)",
    # No key at all.
    "CREATE TABLE `lines` (a INT, b VARCHAR(20))",
    "CREATE TABLE labels (id INT PRIMARY KEY, e ENUM('','a','b c'), s SET('x','y','z'), raw VARBINARY(20), c CHAR(5))",
    (
        "INSERT INTO labels VALUES (1,'a','x,z',X'00FF','ab'), (2,'','',X'','a  '), (3,'b c','x,y,z',NULL,''),"
        " (4,NULL,NULL,X'5C78','e')"
    ),
    # Leaves of several rows, below zero too, and leaves whose column names several rows each.
    "CREATE TABLE dense (id INT PRIMARY KEY, v INT)",
    "CREATE TABLE parts (id SMALLINT, part INT, v INT, PRIMARY KEY (id, part))",
    "CREATE TABLE nothing (id INT PRIMARY KEY)",
]


@pytest.fixture
def pair(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> Iterator[Loaded]:
    """The tables above, filled and loaded."""
    with source_db.connect(sql_mode="") as connection, connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        for statement in SOURCE:
            cursor.execute(statement)
        cursor.executemany(
            "INSERT INTO stock VALUES (%s, %s, %s)", [(w, p, w * p) for w in range(-2, 3) for p in range(60)]
        )
        cursor.executemany("INSERT INTO codes VALUES (%s, %s)", [(f"Code-{n:03}é", n) for n in range(80)])
        cursor.executemany(
            "INSERT INTO pairs VALUES (%s, %s, %s)", [(f"p{n % 7}", n.to_bytes(2), n) for n in range(90)]
        )
        cursor.executemany(
            "INSERT INTO days VALUES (%s, %s)", [(f"2024-{m:02}-{d:02}", d) for m in range(1, 8) for d in (1, 9)]
        )
        cursor.execute("INSERT INTO days VALUES ('0000-00-00', 0)")
        cursor.executemany("INSERT INTO dense VALUES (%s, %s)", [(n, n % 3) for n in range(-300, 300) if n % 7])
        cursor.executemany(
            "INSERT INTO parts VALUES (%s, %s, %s)", [(n, part, n) for n in range(-100, 100) for part in range(3)]
        )
        cursor.executemany("INSERT INTO `lines` VALUES (%s, %s)", [(n % 40, f"line {n % 40}") for n in range(120)])
    with loaded(source_db, store_db, tmp_path) as found:
        yield found


Found = dict[tuple[str | None, ...], tuple[FindingKind, tuple[str, ...]]]
Plant = tuple[str, list[str], dict[tuple[str, ...], tuple[FindingKind, tuple[str, ...]]]]


def found_in(verdict: TableVerdict) -> Found:
    """Key → kind and columns of what was found in a table."""
    assert verdict.control is not False
    assert (verdict.outcome is Outcome.FAIL) == bool(verdict.findings), verdict
    return {
        tuple(value for _, value in finding.key): (finding.kind, tuple(column.column for column in finding.columns))
        for finding in verdict.findings
    }


def keys_of(pair: Loaded, table: str) -> Found:
    """What is found in one table."""
    return found_in(pair.judged(table))


DIFFERS, MISSING, EXTRA = FindingKind.DIFFERS, FindingKind.MISSING, FindingKind.EXTRA
PLANTED: list[Plant] = [
    ("words", ["UPDATE words SET a = 'NULL' WHERE id = 1"], {("1",): (DIFFERS, ("a",))}),
    ("words", ["UPDATE words SET a = NULL WHERE id = 3"], {("3",): (DIFFERS, ("a",))}),
    ("words", ["UPDATE words SET a = '' WHERE id = 1"], {("1",): (DIFFERS, ("a",))}),
    ("words", ["UPDATE words SET a = NULL WHERE id = 2"], {("2",): (DIFFERS, ("a",))}),
    ("words", ["UPDATE words SET b = 'N' WHERE id = 1"], {("1",): (DIFFERS, ("b",))}),
    ("words", ["UPDATE words SET b = 'NULL' WHERE id = 1"], {("1",): (DIFFERS, ("b",))}),
    ("words", ["UPDATE words SET a = 'a', b = 'bc' WHERE id = 4"], {("4",): (DIFFERS, ("a", "b"))}),
    ("words", ["UPDATE words SET a = 'a', b = E'b\\x1f1:c' WHERE id = 5"], {("5",): (DIFFERS, ("a", "b"))}),
    ("words", ["UPDATE words SET a = 'x' WHERE id = 6"], {("6",): (DIFFERS, ("a",))}),
    ("words", ["UPDATE words SET a = U&'cafe\\0301' WHERE id = 11"], {("11",): (DIFFERS, ("a",))}),
    ("words", ["UPDATE words SET a = U&'caf\\00e9' WHERE id = 12"], {("12",): (DIFFERS, ("a",))}),
    ("words", ["UPDATE words SET a = 'AB' WHERE id = 4"], {("4",): (DIFFERS, ("a",))}),
    (
        "words",
        ["UPDATE words SET a = 'p', b = '|q' WHERE id = 10", "UPDATE words SET b = E'\\\\\\\\' WHERE id = 9"],
        {("10",): (DIFFERS, ("a", "b")), ("9",): (DIFFERS, ("b",))},
    ),
    ("figures", ["UPDATE figures SET d = '-0' WHERE id = 10"], {("10",): (DIFFERS, ("d",))}),
    ("figures", ["UPDATE figures SET d = 0.10000000000000002 WHERE id = 1"], {("1",): (DIFFERS, ("d",))}),
    ("figures", ["UPDATE figures SET d = 1.0000000000000002e22 WHERE id = 2"], {("2",): (DIFFERS, ("d",))}),
    ("figures", ["UPDATE figures SET f = '0.10000001' WHERE id = 1"], {("1",): (DIFFERS, ("f",))}),
    ("figures", ["UPDATE figures SET n = 0.0001 WHERE id = 4"], {("4",): (DIFFERS, ("n",))}),
    ("figures", ["UPDATE figures SET z = z - 1 WHERE id = 1"], {("1",): (DIFFERS, ("z",))}),
    ("figures", ["UPDATE figures SET t = t + interval '1 microsecond' WHERE id = 2"], {("2",): (DIFFERS, ("t",))}),
    ("figures", ["UPDATE figures SET t = NULL WHERE id = 4"], {("4",): (DIFFERS, ("t",))}),
    ("figures", ["UPDATE figures SET s = s + interval '1 hour' WHERE id = 1"], {("1",): (DIFFERS, ("s",))}),
    ("figures", ["UPDATE figures SET y = NULL WHERE id = 2"], {("2",): (DIFFERS, ("y",))}),
    ("figures", ["UPDATE figures SET h = -h WHERE id = 1"], {("1",): (DIFFERS, ("h",))}),
    ("figures", ["UPDATE figures SET bits = B'10100' WHERE id = 1"], {("1",): (DIFFERS, ("bits",))}),
    ("figures", ["DELETE FROM figures WHERE id = 18446744073709551615"], {("18446744073709551615",): (MISSING, ())}),
    ("stock", ["DELETE FROM stock WHERE warehouse = -2 AND product = 0"], {("-2", "0"): (MISSING, ())}),
    ("stock", ["INSERT INTO stock VALUES (100, 1, 1)"], {("100", "1"): (EXTRA, ())}),
    (
        "stock",
        ["UPDATE stock SET product = 900 WHERE warehouse = 1 AND product = 1"],
        {("1", "1"): (MISSING, ()), ("1", "900"): (EXTRA, ())},
    ),
    (
        "codes",
        ["UPDATE codes SET code = 'CODE-005É' WHERE v = 5"],
        {("Code-005é",): (MISSING, ()), ("CODE-005É",): (EXTRA, ())},
    ),
    ("codes", ["UPDATE codes SET v = -v WHERE v = 79"], {("Code-079é",): (DIFFERS, ("v",))}),
    ("pairs", ["UPDATE pairs SET v = 0 WHERE v = 13"], {("p6", "000d0000"): (DIFFERS, ("v",))}),
    ("days", ["UPDATE days SET v = 1 WHERE day = '-infinity'"], {("-infinity",): (DIFFERS, ("v",))}),
    ("days", ["UPDATE days SET v = 1 WHERE day = '2024-07-09'"], {("2024-07-09",): (DIFFERS, ("v",))}),
    ("labels", ["UPDATE labels SET s = '{x}' WHERE id = 1"], {("1",): (DIFFERS, ("s",))}),
    ("labels", ["UPDATE labels SET s = NULL WHERE id = 2"], {("2",): (DIFFERS, ("s",))}),
    ("labels", ["UPDATE labels SET s = '{z,x}' WHERE id = 1"], {("1",): (DIFFERS, ("s",))}),
    ("labels", ["UPDATE labels SET e = NULL WHERE id = 2"], {("2",): (DIFFERS, ("e",))}),
    ("labels", ["UPDATE labels SET raw = NULL WHERE id = 2"], {("2",): (DIFFERS, ("raw",))}),
    ("labels", ["UPDATE labels SET c = 'a ' WHERE id = 2"], {("2",): (DIFFERS, ("c",))}),
    ("nothing", ["INSERT INTO nothing VALUES (1)"], {("1",): (EXTRA, ())}),
]


def rounds() -> list[list[Plant]]:
    """Plants that can be tried at once, for they concern different tables."""
    found: list[list[Plant]] = []
    for plant in PLANTED:
        free = next((chosen for chosen in found if all(other[0] != plant[0] for other in chosen)), None)
        if free is None:
            found.append([plant])
        else:
            free.append(plant)
    return found


def test_what_follows_an_equal_chunk_is_looked_at_by_large_leaves_first(pair: Loaded) -> None:
    chunked = pair.settings.verify.model_copy(update={"chunk_rows": 100, "workers": 1})
    settings = pair.settings.model_copy(update={"verify": chunked})
    for table, rows in (("dense", 515), ("parts", 600)):
        equal = pair.judged(table, settings=settings)
        assert (equal.outcome, equal.source_rows) == (Outcome.PASS, rows)
        assert 1 < equal.leaves < rows // 20  # in leaves of ten rows there would be twice as many
    with pair.store_db.connect() as store:
        store.execute("UPDATE dense SET v = v + 1 WHERE id IN (-100, 101, 102)")
        store.execute("DELETE FROM dense WHERE id = 299")
        store.execute("INSERT INTO dense VALUES (7, 1)")
        store.execute("UPDATE parts SET v = v + 1 WHERE id = 90 AND part = 1")
    assert found_in(pair.judged("dense", settings=settings)) == {
        ("-100",): (DIFFERS, ("v",)),
        ("7",): (EXTRA, ()),
        ("101",): (DIFFERS, ("v",)),
        ("102",): (DIFFERS, ("v",)),
        ("299",): (MISSING, ()),
    }
    assert found_in(pair.judged("parts", settings=settings)) == {("90", "1"): (DIFFERS, ("v",))}


@pytest.mark.parametrize(("table", "most"), [("dense", 100), ("lines", 7)])
def test_a_table_that_differs_everywhere_is_not_compared_to_its_end(pair: Loaded, table: str, most: int) -> None:
    with pair.store_db.connect() as store:
        store.execute("UPDATE dense SET v = v + 1")
        store.execute("UPDATE lines SET a = a + 1000")
    limited = pair.settings.verify.model_copy(update={"max_findings": 7, "chunk_rows": 100, "workers": 1})
    verdict = pair.judged(table, settings=pair.settings.model_copy(update={"verify": limited}))
    assert verdict.outcome is Outcome.FAIL
    assert "verify.max_findings" in verdict.why
    # A batch of keys is compared to its end; what comes after it is undecided.
    assert 7 <= len(verdict.findings) <= most
    assert verdict.unresolved or table == "lines"


def test_every_planted_difference_is_found_and_nothing_else(pair: Loaded) -> None:
    for mode in (Mode.CHECKSUM, Mode.ROWS):
        clean = pair.verify(mode=mode)
        assert clean.outcome is Outcome.PASS, [
            (t.source, t.why, t.findings) for t in clean.tables if t.outcome != "pass"
        ]
        # Both servers print these alike, zero dates too: nothing had to be compared by value.
        exact = [table for table in clean.tables if table.source.endswith((".days", ".stock", ".labels", ".dense"))]
        assert [table.leaves_compared_again for table in exact] == [0, 0, 0, 0]
    failures = []
    for number, chosen in enumerate(rounds()):
        with pair.store_db.connect() as connection:
            for _, statements, _ in chosen:
                for statement in statements:
                    connection.execute(statement)  # type: ignore[call-overload]
        # The first round in both modes, the others in turn: the comparison of rows is the same.
        for mode in (Mode.CHECKSUM, Mode.ROWS) if number == 0 else ((Mode.CHECKSUM, Mode.ROWS)[number % 2],):
            expected = {table: wanted for table, _, wanted in chosen}
            for verdict in pair.verify(mode=mode).tables:
                found = found_in(verdict)
                table = verdict.source.partition(".")[2]
                if found != expected.get(table, {}):
                    failures.append((mode, table, found, [plant for plant in chosen if plant[0] == table]))
        for table, _, _ in chosen:
            pair.store_db.execute(f'TRUNCATE "{table}"')
            pair.load(table)
    assert not failures, "\n".join(map(str, failures))


def test_a_shift_of_every_row_is_found(pair: Loaded) -> None:
    pair.store_db.execute("UPDATE figures SET t = t + interval '5 hours' WHERE t < '9000-01-01' AND t > '-infinity'")
    assert set(keys_of(pair, "figures")) == {("1",), ("2",), ("5",)}
    pair.store_db.execute("UPDATE stock SET qty = qty + 1")
    found = keys_of(pair, "stock")
    assert len(found) == 300
    assert set(found.values()) == {(DIFFERS, ("qty",))}


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_any_number_of_rows_of_a_leaf_may_differ(pair: Loaded, share: float) -> None:
    """One, which the sums of the leaf tell, or several, which they do not; side by side in one table."""
    random = Random(int(share * 100))
    expected: Found = {}
    with pair.store_db.connect() as connection:
        rows = connection.execute("SELECT id, v FROM dense ORDER BY id").fetchall()
        for key, _ in rows:
            if random.random() >= share:
                continue
            kind = random.choice((DIFFERS, MISSING, EXTRA))
            if kind is DIFFERS:
                connection.execute("UPDATE dense SET v = v + 1 WHERE id = %s", (key,))
            elif kind is MISSING:
                connection.execute("DELETE FROM dense WHERE id = %s", (key,))
            else:
                key = key // 7 * 7  # which the source leaves out
                connection.execute("INSERT INTO dense VALUES (%s, 0) ON CONFLICT DO NOTHING", (key,))
            expected[(str(key),)] = (kind, ("v",) if kind is DIFFERS else ())
        for number in range(int(600 * share)):
            key, part = random.randrange(-100, 100), random.randrange(3)
            connection.execute("UPDATE parts SET v = %s WHERE id = %s AND part = %s", (1000 + number, key, part))
        changed = connection.execute("SELECT id, part FROM parts WHERE v >= 1000").fetchall()
    assert keys_of(pair, "dense") == expected
    assert keys_of(pair, "parts") == {(str(key), str(part)): (DIFFERS, ("v",)) for key, part in changed}


def test_rows_doubled_an_even_number_of_times_are_found(pair: Loaded) -> None:
    pair.store_db.execute(
        'INSERT INTO "lines" SELECT * FROM "lines" WHERE a = 7 LIMIT 2',
        "ALTER TABLE stock DROP CONSTRAINT stock_pkey",
        "INSERT INTO stock SELECT s.* FROM stock s, generate_series(1, 2) WHERE warehouse = 1 AND product = 5",
    )
    keyless = pair.judged("lines")
    assert (keyless.extra, keyless.missing, keyless.different) == (1, 0, 0)
    assert keyless.findings[0].note == "2 times"
    keyed = pair.judged("stock")
    assert [(finding.kind, finding.note) for finding in keyed.findings] == [(EXTRA, "3 times instead of 1")]


def test_keyless_rows_that_swap_a_value_are_found(pair: Loaded) -> None:
    pair.store_db.execute(
        """UPDATE "lines" SET b = 'line 4' WHERE ctid = (SELECT ctid FROM "lines" WHERE a = 3 LIMIT 1)"""
    )
    verdict = pair.judged("lines")
    assert {(finding.kind, finding.key) for finding in verdict.findings} == {
        (MISSING, (("a", "3"), ("b", "line 3"))),
        (EXTRA, (("a", "3"), ("b", "line 4"))),
    }


def test_counts_disagree(pair: Loaded) -> None:
    pair.store_db.execute("DELETE FROM stock WHERE product = 3")
    verdict = pair.judged("stock", Mode.COUNTS)
    assert (verdict.outcome, verdict.source_rows, verdict.target_rows, verdict.missing) == (Outcome.FAIL, 300, 295, 5)
    assert pair.judged("lines", Mode.COUNTS).outcome is Outcome.PASS


def test_a_sample_says_that_it_is_one(pair: Loaded) -> None:
    clean = pair.verify(mode=Mode.SAMPLE)
    assert clean.outcome is Outcome.PASS
    assert {table.mode for table in clean.tables if table.source.endswith(".stock")} == {Mode.SAMPLE}
    assert all(
        "a sample of" in table.why for table in clean.tables if not table.source.endswith((".lines", ".nothing"))
    )
    pair.store_db.execute("UPDATE stock SET qty = qty + 1", "DELETE FROM days WHERE day = '-infinity'")
    assert pair.judged("stock", Mode.SAMPLE).different > 100
    # The lowest key is always in the sample.
    assert pair.judged("days", Mode.SAMPLE).missing == 1
