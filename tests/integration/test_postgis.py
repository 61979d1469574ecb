"""Spatial columns as PostGIS' geometry: copied, streamed, compared, written in the store, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servers import Engine, RunningServer
from servers.flavour import MYSQL_5_6
from tests.support.assessing import assess, settings_for, worst
from tests.support.reshaping import reshaping
from tests.support.servers import SourceDatabase, StoreDatabase, store_database

AWAY = "gis odd"
"""The extension need not be on anybody's search path."""


@pytest.fixture
def spatial_db(postgres15: RunningServer) -> Iterator[StoreDatabase]:
    """A fresh database of a server that has PostGIS; it is not created yet."""
    with store_database(postgres15) as database:
        if not database.rows("SELECT FROM pg_available_extensions WHERE name = 'postgis'"):
            pytest.skip("no PostGIS on the store's server (make postgis)")
        yield database


def points(axes: bool, x: float, y: float) -> str:
    """Longitude x, latitude y. Texts of this SRID have the latitude first where the server knows of axes (MySQL 8)."""
    return f"ST_GeomFromText('POINT({f'{y} {x}' if axes else f'{x} {y}'})', 4326)"


def shape(text: str, srid: int = 0) -> str:
    return f"ST_GeomFromText('{text}', {srid})"


HOLED = "POLYGON((0 0,10 0,10 10,0 10,0 0),(1 1,2 1,2 2,1 1))"
FLAT = "GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 -1))"
NESTED = "GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 -1),GEOMETRYCOLLECTION(POINT(3 4)))"
"""MariaDB and MySQL 5.6 make NULL of such a text."""
SEEN = f'SELECT id, "{AWAY}".ST_AsEWKT(p), "{AWAY}".ST_AsEWKT(g), "{AWAY}".ST_AsEWKT(c) FROM places ORDER BY id'
HELD = "SELECT id, HEX(p), HEX(g), HEX(c) FROM places ORDER BY id"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "source", ["mysql-9.7", "mariadb-10.11", pytest.param("mysql-5.6", marks=pytest.mark.matrix)], indirect=True
)
def test_there_and_back(source_db: SourceDatabase, spatial_db: StoreDatabase, tmp_path: Path) -> None:
    flavour = source_db.server.flavour
    old = flavour is MYSQL_5_6
    axes = flavour.engine is Engine.MYSQL and not old
    mixed = NESTED if axes else FLAT
    hollow = "GEOMETRYCOLLECTION(POINT(0 0))" if old else "GEOMETRYCOLLECTION EMPTY"  # MySQL 5.6 takes no empty shape
    index = "" if old else ", SPATIAL INDEX near (p)"  # InnoDB has them since MySQL 5.7
    store = spatial_db
    tables = (
        (
            f"CREATE TABLE places (id INT PRIMARY KEY, p POINT NOT NULL {'SRID 4326' if axes else ''}, g GEOMETRY,"
            f" c GEOMETRYCOLLECTION{index}) ENGINE=InnoDB"
        ),
        (
            f"INSERT INTO places VALUES (1, {points(axes, 13.4, 52.5)}, {shape('LINESTRING(0 0,1.5 -1e-300)', 3857)},"
            f" {shape(hollow)}), (2, {points(axes, -180, -90)}, NULL, NULL),"
            f" (3, {points(axes, 0, 0)}, {shape(HOLED)}, {shape(mixed, 3857)})"
        ),
    )
    parts: dict[str, Any] = {
        "defaults": {"spatial": "geometry"}, "domains": {"all": {"tables": ["places"], "stores": ["main"]}},
        "cutover": {"max_lag_s": 30, "max_write_stop_s": 60}, "report": {"directory": str(tmp_path / "reports")},
    }  # fmt: skip
    source_db.execute("DROP DATABASE IF EXISTS crossfade_control")
    with reshaping(source_db, {"main": store}, tmp_path, *tables, **parts) as bed:
        refused = bed.migration.run("schema", "apply")
        assert refused.code and 'type "geometry' in refused.err and "crossfade assess" in refused.err, refused
        settings = settings_for(source_db.server, source_db.database, store.dsn, defaults={"spatial": "geometry"})
        lacking = worst(assess(settings), "store_extensions")
        assert lacking.level == "BLOCK" and lacking.fix.startswith("CREATE EXTENSION postgis;")
        store.execute(f'CREATE SCHEMA "{AWAY}"', f'CREATE EXTENSION postgis SCHEMA "{AWAY}"')
        assert worst(assess(settings), "store_extensions").level == "OK"
        bed.start()
        typed = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'places'::regclass"
        kinds = {name: kind.removeprefix(f'"{AWAY}".') for name, kind in store.rows(f"{typed} AND attnum > 1")}
        assert kinds == {"p": f"geometry(Point{',4326' if axes else ''})", "g": "geometry", "c": "geometry"}
        assert store.rows("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%USING gist (p)'") == [
            (0 if old else 1,)
        ]
        seen = [
            (1, "SRID=4326;POINT(13.4 52.5)", "SRID=3857;LINESTRING(0 0,1.5 -1e-300)", hollow),
            (2, "SRID=4326;POINT(-180 -90)", None, None),
            (3, "SRID=4326;POINT(0 0)", HOLED, f"SRID=3857;{mixed}"),
        ]
        assert store.rows(SEEN) == seen
        bed.change(
            f"UPDATE places SET p = {points(axes, 2.5, 48)}, g = NULL WHERE id = 1",
            f"UPDATE places SET g = {shape('MULTIPOINT(1 1,2 2)')} WHERE id = 2",
            "DELETE FROM places WHERE id = 3",
            f"INSERT INTO places VALUES (4, {points(axes, 1, 2)}, {shape('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))')},"
            f" {shape(mixed)})",
        )
        seen = [
            (1, "SRID=4326;POINT(2.5 48)", None, hollow),
            (2, "SRID=4326;POINT(-180 -90)", "MULTIPOINT(1 1,2 2)", None),
            (4, "SRID=4326;POINT(1 2)", "MULTIPOLYGON(((0 0,1 0,1 1,0 0)))", mixed),
        ]
        assert store.rows(SEEN) == seen
        # The source itself computes the hashes.
        document = bed.migration.ok("-o", "json", "verify").document()
        assert [(table["not_pushed"], table["rows_compared_again"]) for table in document["tables"]] == [([], 0)]
        store.execute(f"""UPDATE places SET g = '{"0101000000" + "00" * 16}' WHERE id = 2""")
        assert bed.migration.run("verify").code == 5
        bed.migration.ok("repair")
        bed.assert_clean()

        assert not bed.migration.ok("-o", "json", "cutover", "plan", "all").document()["lossy"]
        before = source_db.rows(HELD)
        bed.migration.ok("cutover", "run", "all", "--confirm", "all")
        bad = ["POINT Z (1 2 3)", "POINT EMPTY", "LINESTRING EMPTY", "CIRCULARSTRING(0 0,1 1,2 0)"]
        bad += ["GEOMETRYCOLLECTION EMPTY"] if old else []
        for text in bad:
            with pytest.raises(psycopg.errors.CheckViolation, match="cannot hold this value of public\\.places\\.g"):
                store.execute(f"""UPDATE places SET g = "{AWAY}".ST_GeomFromText('{text}') WHERE id = 1""")
        made = f'"{AWAY}".ST_GeomFromEWKT'
        store.execute(
            f"INSERT INTO places VALUES (5, {made}('SRID=4326;POINT(13.4 52.5)'), {made}('{HOLED}'),"
            f" {made}('SRID=3857;{hollow}'))",
            f"UPDATE places SET g = {made}('MULTILINESTRING((0 0,1 1),(2 2,3 3))'), c = NULL WHERE id = 1",
            "DELETE FROM places WHERE id = 2",
        )
        bed.migration.ok("rollback", "run", "all", "--confirm", "all")
        source_db.execute(
            "CREATE TABLE wanted LIKE places",
            f"INSERT INTO wanted VALUES (5, {points(axes, 13.4, 52.5)}, {shape(HOLED)},"
            f" {shape(hollow, 3857)}),"
            f" (1, {points(axes, 2.5, 48)}, {shape('MULTILINESTRING((0 0,1 1),(2 2,3 3))')}, NULL)",
        )
        wanted = {row[0]: row for row in source_db.rows(HELD.replace("places", "wanted"))}
        wanted[4] = next(row for row in before if row[0] == 4)
        assert source_db.rows(HELD) == [wanted[number] for number in (1, 4, 5)]
        bed.migration.wait_caught_up()
        assert bed.verified()["places>main:public.places"] == "pass"
