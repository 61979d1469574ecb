"""Servers in containers, where a container engine answers. The last resort: nothing else to try comes after it."""

from __future__ import annotations

from dataclasses import dataclass

from servers.errors import RouteFailed
from servers.flavour import Flavour
from servers.installation import ContainerImage
from servers.routes import Say


@dataclass(frozen=True, slots=True)
class InContainer:
    """Run the official image."""

    image: str

    @property
    def title(self) -> str:
        """A few words for people."""
        return f"container image {self.image}"

    def fetch(self, flavour: Flavour, say: Say) -> ContainerImage:
        """The image's name, once the engine has it."""
        try:
            import docker  # type: ignore[import-untyped]
            import testcontainers.core.container  # noqa: F401
        except ImportError:
            raise RouteFailed("testcontainers is not installed") from None
        try:
            engine = docker.from_env()
            engine.ping()
            say(f"{flavour}: pulling the image {self.image}")
            engine.images.pull(*self.image.rsplit(":", 1))
        except docker.errors.DockerException as error:
            raise RouteFailed(f"no container engine answers, or it has no such image: {error}") from error
        return ContainerImage(flavour, self.image, self.title)
