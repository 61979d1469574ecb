"""The folder where fetched servers and initialised data folders are kept between runs, per user.

Entries appear whole or not at all (filled under a temporary name, then renamed), and two processes that want the
same entry at once make it once: the second waits on a file lock and finds it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.account import server_account

_SYSTEM_CACHE = Path("/var/cache/crossfade/servers")


def cache_folder() -> Path:
    """`$CROSSFADE_SERVERS_CACHE`, else `crossfade/servers` in the XDG cache folder.

    The servers' account must be able to reach it; where it cannot (root's home is closed), the system's cache
    folder is taken.
    """
    if chosen := os.environ.get("CROSSFADE_SERVERS_CACHE"):
        folder = Path(chosen).expanduser().absolute()
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        folder = Path(base) / "crossfade" / "servers"
        if not server_account().can_reach(folder / "entry"):
            folder = _SYSTEM_CACHE
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the cache's lock called `name` against other processes and threads."""
    with (cache_folder() / f".{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def entry(name: str, fill: Callable[[Path], None]) -> Path:
    """The cached folder called `name`; when it is not there, `fill` is given an empty folder to become it."""
    path = cache_folder() / name
    if path.is_dir():
        return path
    with locked(name):
        if path.is_dir():
            return path
        work = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=cache_folder()))
        try:
            work.chmod(0o755)
            fill(work)
            work.rename(path)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return path
