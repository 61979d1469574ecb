"""The ways to come by a server's programs, one module each; `servers.provisioning` has their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from servers.flavour import Flavour
from servers.installation import ContainerImage, Installation

Say = Callable[[str], None]
"""Takes one line about the progress."""


class Route(Protocol):
    """One way to come by a flavour."""

    @property
    def title(self) -> str:
        """A few words for people."""

    def fetch(self, flavour: Flavour, say: Say) -> Installation | ContainerImage:
        """The server's programs. Raises RouteFailed when this way is closed on this machine."""
