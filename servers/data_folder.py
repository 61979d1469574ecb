"""Data folders: initialised once per flavour and version into a cached template, copied for every start.

A folder keeps its own passport (flavour, version, port, password; readable by its owner alone), so a server can be
started again on it by another process.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

from model.errors import UsageError
from servers import cache, mysql, postgres
from servers.account import Account
from servers.errors import ServerFailed
from servers.flavour import Engine, Flavour
from servers.installation import Installation

_PASSPORT = "crossfade-server.json"
_LAYOUT = 1
"""Part of the templates' names: count up when what `initialise` does changes."""


@dataclass(frozen=True, slots=True)
class Passport:
    """What has to be known to start a data folder's server and to log in."""

    flavour: str
    version: str
    port: int
    password: str

    def __repr__(self) -> str:
        return f"Passport({self.flavour} {self.version} on port {self.port})"

    def write(self, data: Path, account: Account) -> None:
        """Store it in the data folder."""
        path = data / _PASSPORT
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))
        account.give(path)

    @classmethod
    def read(cls, data: Path) -> Passport | None:
        """The folder's passport, or None when no server of ours was ever made there."""
        path = data / _PASSPORT
        return cls(**json.loads(path.read_text())) if path.exists() else None


def driver(flavour: Flavour) -> ModuleType:
    """The module that knows how servers of this engine are made and told what to do."""
    return postgres if flavour.engine is Engine.POSTGRES else mysql


def prepare(installation: Installation, data: Path, account: Account) -> Passport:
    """Make `data` a folder that a server can be started on; a folder that is one already is left as it is.

    Raises UsageError when it holds something else.
    """
    flavour = installation.flavour
    if (known := Passport.read(data)) is not None:
        if known.flavour != flavour.name:
            raise UsageError(f"The data folder is of {known.flavour}, not {flavour}", hint="Take another.", folder=data)
        return known
    if data.exists() and any(data.iterdir()):
        raise UsageError("The data folder is not empty and holds no server of ours", hint="Take another.", folder=data)
    template = _template(installation, account)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    data.chmod(0o700)
    done = subprocess.run(
        ["cp", "-a", "--reflink=auto", f"{template / 'data'}/.", str(data)], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise ServerFailed(f"The data folder could not be filled: {done.stderr.strip()}", folder=data)
    account.give(data)
    passport = Passport.read(data)
    assert passport is not None
    return passport


def _template(installation: Installation, account: Account) -> Path:
    def fill(folder: Path) -> None:
        data = folder / "data"
        data.mkdir(mode=0o700)
        password = secrets.token_urlsafe(12).replace("-", "x").replace("_", "y")
        driver(installation.flavour).initialise(installation, data, account, password)
        shutil.rmtree(folder / "setup")
        Passport(installation.flavour.name, installation.version, 0, password).write(data, account)

    name = f"template-{installation.flavour}-{installation.version}-{account.name}-{_LAYOUT}"
    return cache.entry(name, fill)
