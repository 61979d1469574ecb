"""Definitions as the schema history keeps them: whole, and the same for as long as they say the same."""

from __future__ import annotations

import dataclasses

from model.tables import TableDef
from tests.support.plans import column, table


def test_a_field_that_came_later_leaves_kept_definitions_as_they_were() -> None:
    kept = table("places", column("id", "int"), column("c", "geometrycollection", nullable=True))
    assert "no_empty_shape" not in kept.to_json(), "or every fingerprint of a running migration would be another"
    told = dataclasses.replace(
        kept, columns=(kept.columns[0], dataclasses.replace(kept.columns[1], no_empty_shape=True))
    )
    assert TableDef.from_json(told.to_json()) == told != kept == TableDef.from_json(kept.to_json())
    assert told.fingerprint() != kept.fingerprint()
