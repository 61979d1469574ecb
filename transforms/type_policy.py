"""The configuration's choices that types and casts depend on, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from config.settings import Defaults, ZeroDates
from model.position import Flavour


@dataclass(frozen=True, slots=True)
class TypePolicy:
    """The choices of the configuration that types depend on."""

    flavour: Flavour
    zero_dates: ZeroDates = ZeroDates.INFINITY
    tinyint1: Literal["smallint", "boolean"] = "smallint"
    json: Literal["jsonb", "json", "text"] | None = None
    enum: Literal["text", "enum"] = "text"
    set: Literal["array", "text"] = "array"
    nul_characters: Literal["quarantine", "strip"] = "quarantine"
    spatial: Literal["bytea", "geometry"] = "bytea"

    @staticmethod
    def of(defaults: Defaults, flavour: Flavour, zero_dates: ZeroDates | None = None) -> TypePolicy:
        """The policy of `defaults`, with a table's own choice for zero dates."""
        return TypePolicy(
            flavour,
            zero_dates or defaults.zero_dates,
            defaults.tinyint1,
            defaults.json_,
            defaults.enum,
            defaults.set_,
            defaults.nul_characters,
            defaults.spatial,
        )
