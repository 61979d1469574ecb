"""Definition of the routing table's part that readers follow, in the control store."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from stores.control.tables import CONTROL

ROUTE = Table(
    "route",
    CONTROL,
    Column("name", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False, server_default=text("0")),
    Column("reads", Text, nullable=False, server_default=text("'source'")),
    # Share of the readers that `reads` takes from the side that is written; 0 when it is the same side.
    Column("canary_percent", Integer, nullable=False, server_default=text("0")),
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("changed_at", TIMESTAMP(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    PrimaryKeyConstraint("name", "domain"),
    info={"since": 4},
)
