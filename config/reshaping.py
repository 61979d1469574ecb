"""Rules of a table that reshape rows: masks, soft deletes, routes by value. What they mean is for `transforms`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from config.strict import STRICT


class Mask(StrEnum):
    """What a store gets in place of a value."""

    HMAC = "hmac"
    """HMAC-SHA256 of its text with the store's key: equal values stay equal, nothing else is kept."""
    LAST4 = "last4"
    """`****` and the last four characters."""
    YEAR = "year"
    """The year of a date."""
    NULL = "null"


def _null_is_a_mask(value: Any) -> Any:
    """YAML reads a bare `null` as no value."""
    return Mask.NULL if value is None else value


MaskChoice = Annotated[Mask, BeforeValidator(_null_is_a_mask)]


class SoftDelete(BaseModel):
    """Rows that the application marks as deleted instead of deleting them."""

    model_config = STRICT

    sql: str
    """Holds for a row that counts as deleted."""
    set: dict[str, str] | None = None
    """Source column → value that marks a row when the store deletes it (`now`: the time); unset: read from `sql`."""


def _bare_condition(value: Any) -> Any:
    return {"sql": value} if isinstance(value, str) else value


SoftDeleteRule = Annotated[SoftDelete, BeforeValidator(_bare_condition)]


class Route(BaseModel):
    """Which store a row goes to, by the value of one column. A row whose value changes moves."""

    model_config = STRICT

    by: str
    """Source column."""
    to: dict[str, str] = Field(min_length=1)
    """Value → store."""
    otherwise: str | None = None
    """Store of every other value; unset: a row with another value is set aside in the quarantine."""

    @model_validator(mode="after")
    def _several(self) -> Self:
        if len({*self.to.values(), self.otherwise} - {None}) < 2:
            raise ValueError("names one store only; write `store` instead of `route`")
        return self


class Surrogate(BaseModel):
    """A UUID made of source columns: the same values give the same one in every store and at every time."""

    model_config = STRICT

    of: tuple[str, ...] = Field(min_length=1)
    """Source columns, in the order of the key that they refer to."""
    kind: str | None = Field(default=None, alias="as", min_length=1)
    """What they identify, so that a reference and the row that it refers to get one UUID; unset: the source table."""


def _one_name(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class LookupRule(BaseModel):
    """A column that takes its value from a row of another table of the same store. Names are those of the store."""

    model_config = STRICT

    table: str
    """The table that is looked into."""
    column: str
    """Its column that gives the value."""
    by: Annotated[tuple[str, ...], BeforeValidator(_one_name), Field(min_length=1)]
    """Columns of this table that hold its key, in order."""
    key: Annotated[tuple[str, ...] | None, BeforeValidator(_one_name)] = None
    """Its unique columns that `by` names; unset: its key."""
    otherwise: str | int | float | bool | None = None
    """The value where it has no such row."""


class PythonFunction(BaseModel):
    """A column computed by a function of the user's own."""

    model_config = STRICT

    function: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """`module:function`; it takes the text forms (None for NULL) of `reads` in order."""
    reads: tuple[str, ...] = Field(min_length=1)
    """Source columns."""
    type: str = "text"
    deterministic: bool = False
    """Must be stated: equal values always give the same result, in every process and at every time."""
    inverse: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """`module:function` from the column's text in the store to that of `gives`."""
    gives: str | None = None
    """Source column that the inverse gives; unset: the only one of `reads`."""

    @model_validator(mode="after")
    def _declared(self) -> Self:
        if not self.deterministic:
            raise ValueError(
                "needs `deterministic: true`: a copy, the stream and a comparison must all compute the same value"
            )
        if self.inverse is not None and self.gives is None and len(self.reads) > 1:
            raise ValueError("reads several columns; say with `gives` which one the inverse gives")
        return self
