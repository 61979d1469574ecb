"""Definition of the table that remembers a store's read models. Runs nothing."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Table, Text, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from stores.control.tables import STORE

READ_MODEL = Table(
    "read_model",
    STORE,
    # schema.name of the table
    Column("place", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    # Set by the model's triggers when they could not follow a change.
    Column("stale", Boolean, nullable=False, server_default=text("false")),
    Column("error", Text, nullable=False, server_default=text("''")),
    Column("since", TIMESTAMP(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    info={"since": 4},
)
