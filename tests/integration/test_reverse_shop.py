"""A whole legacy shop, every row of it written anew by the store, and the source is what it was."""

from __future__ import annotations

from contextlib import closing

from psycopg import sql

from demo.retailcore.address import MysqlAddress
from demo.retailcore.generate import generate
from demo.retailcore.schema import create_database
from tests.support.reversing import reversing
from tests.support.servers import SourceDatabase, StoreDatabase


def test_every_row_of_the_shop_goes_back_as_it_was(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    server = source_db.server
    with closing(MysqlAddress(server.host, server.port, server.user, server.password).connect()) as connection:
        create_database(connection, source_db.database)
    generate(MysqlAddress(server.host, server.port, server.user, server.password, source_db.database), 2000)
    with reversing(source_db, store_db) as bed:
        assert len(bed.plans) > 20
        before = {plan.id: sorted(bed.source_rows(plan), key=repr) for plan in bed.plans}
        stream = bed.start()
        with bed.store() as connection, connection.transaction():
            # Like a bulk job of the application's: the foreign keys hold again in the end.
            connection.execute("SET LOCAL session_replication_role = replica")
            for plan in bed.plans:
                table = sql.Identifier(plan.target.schema, plan.target.name)
                names = sql.SQL(", ").join(sql.Identifier(column.target.name) for column in plan.columns)
                connection.execute(
                    sql.SQL("CREATE TEMPORARY TABLE aside ON COMMIT DROP AS SELECT {} FROM {}").format(names, table)
                )
                connection.execute(sql.SQL("DELETE FROM {}").format(table))
                connection.execute(
                    sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT * FROM aside").format(table, names)
                )
                connection.execute("DROP TABLE aside")
        bed.drain(stream, 120)
        assert stream.state.rows == 2 * sum(map(len, before.values()))
        for plan in bed.plans:
            assert sorted(bed.source_rows(plan), key=repr) == before[plan.id], plan.id
        bed.assert_equal()
