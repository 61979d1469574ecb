"""How every part of the configuration is read: frozen, unknown keys refused, defaults checked too."""

from __future__ import annotations

from pydantic import ConfigDict

STRICT = ConfigDict(frozen=True, extra="forbid", validate_default=True)
