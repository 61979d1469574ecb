"""The name of the schema that holds our own tables, in every store and in the control store."""

from __future__ import annotations

from typing import Final

SCHEMA: Final = "crossfade"
