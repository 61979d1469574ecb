"""Servers installed system-wide from the machine's own distribution, when we are root or sudo asks for no password.

Only programs are wanted: while the packages are set up no service may start, and no PostgreSQL cluster is made. A
service that already runs is not touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from servers import cache
from servers.commands import as_root, run
from servers.errors import RouteFailed
from servers.flavour import Flavour
from servers.installation import Installation
from servers.routes import Say
from servers.routes.on_machine import OnMachine

_POLICY = "/usr/sbin/policy-rc.d"
_NO_CLUSTER = "/etc/postgresql-common/createcluster.d/crossfade.conf"
_APT = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300")


@dataclass(frozen=True, slots=True)
class FromDistribution:
    """Install `package` with apt."""

    package: str

    @property
    def title(self) -> str:
        """A few words for people."""
        return f"package {self.package} of the distribution"

    def fetch(self, flavour: Flavour, say: Say) -> Installation:
        """Install the package when the distribution has it in the wanted version, then find it on the machine."""
        root = as_root()
        if root is None:
            raise RouteFailed("we are not root and sudo wants a password")
        with cache.locked("distribution"):
            if not self._offers(flavour):
                say(f"{flavour}: refreshing the package lists")
                run([*root, *_APT, "update"], tries=2)
            if not self._offers(flavour):
                raise RouteFailed(f"the distribution has no {self.package} of version {flavour.series}")
            say(f"{flavour}: installing {self.package} from the distribution")
            install = [*root, *_APT, "install", "-y", "--no-install-recommends", self.package]
            with _no_services(root):
                try:
                    run(install)
                except RouteFailed:  # old lists name files that the archive no longer has
                    run([*root, *_APT, "update"], tries=2)
                    run(install)
        found = OnMachine(title=self.title)
        return found.fetch(flavour, say)

    def _offers(self, flavour: Flavour) -> bool:
        for line in run(["apt-cache", "policy", self.package]).splitlines():
            label, _, version = line.strip().partition(": ")
            if label == "Candidate":
                return flavour.takes(version.rpartition(":")[2].partition("-")[0].partition("+")[0])
        return False


@contextmanager
def _no_services(root: list[str]) -> Iterator[None]:
    """Keep packages from starting services; what is put in place for that is taken away again."""
    script = 'test ! -e "$1" || exit 0; mkdir -p "${1%/*}"; printf "%s\\n" "$2" >"$1"; chmod "$3" "$1"; echo placed'
    placed: list[str] = []
    for path, text, mode in (
        (_POLICY, "#!/bin/sh\nexit 101", "755"),
        (_NO_CLUSTER, "create_main_cluster = false", "644"),
    ):
        if "placed" in run([*root, "sh", "-c", script, "sh", path, text, mode]):
            placed.append(path)
    try:
        yield
    finally:
        for path in placed:
            run([*root, "rm", "-f", path])
