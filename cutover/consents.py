"""What an operator has accepted for a move, by name: columns that do not go back exactly, gates, other servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config.settings import DomainSettings
from model.errors import UsageError


@dataclass(frozen=True, slots=True)
class Consents:
    """From the configuration and the command line together."""

    lossy: frozenset[str] = frozenset()
    """`table.column` of the source."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Gate → the reason for letting it pass."""
    identity: bool = False
    """Whether the servers of now are taken for the right ones though they are not those of the preparation."""

    @classmethod
    def of(cls, domain: DomainSettings, args: Mapping[str, Any]) -> Consents:
        """From `domains.NAME.gates` and an order's arguments. Raises UsageError for an override without a reason."""
        overrides = {str(gate): str(reason) for gate, reason in dict(domain.gates.get("override", {})).items()}
        for text in args.get("override", ()):
            gate, _, reason = str(text).partition("=")
            overrides[gate.strip()] = reason.strip()
        for gate, reason in overrides.items():
            if not reason:
                raise UsageError(f"gate {gate} is overridden without a reason", hint=f"--override '{gate}=REASON'")
        lossy = (*domain.gates.get("accept_lossy", ()), *args.get("accept_lossy", ()))
        return cls(frozenset(map(str, lossy)), overrides, bool(args.get("accept_identity")))
