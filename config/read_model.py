"""Read models as the configuration declares them. What they mean is for `transforms.read_models`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from config.strict import STRICT


class ReadModelRule(BaseModel):
    """A denormalised table of one store, kept up to date with the tables that it is made of."""

    model_config = ConfigDict(**STRICT, populate_by_name=True)

    store: str | None = None
    """Unset: the only store."""
    sql: str
    """PostgreSQL's SELECT over tables of the store."""
    key: tuple[str, ...] = Field(min_length=1)
    """Columns of the SELECT that identify a row."""
    from_: dict[str, str] = Field(alias="from", min_length=1)
    """Base table → the way from its changed rows to the keys: columns of it in the order of the key, or a SELECT of
    the keys over `changed`, which holds the old and the new rows of a change."""
    indexes: tuple[tuple[str, ...], ...] = ()
    """Columns of further indexes."""
