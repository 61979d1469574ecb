"""The unix account that servers run as.

Neither PostgreSQL nor mysqld agrees to run as root, so root hands the data folder and the process to an account
without rights. Anybody else runs servers as themselves.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from servers.errors import ServerUnavailable


@dataclass(frozen=True, slots=True)
class Account:
    """A unix account, by number."""

    name: str
    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        """Whether no change of user is needed."""
        return self.uid == os.geteuid()

    def give(self, path: Path) -> None:
        """Make `path` and all below it belong to this account."""
        if self.is_us:
            return
        os.chown(path, self.uid, self.gid, follow_symlinks=False)
        for folder, subfolders, files in os.walk(path):
            for name in (*subfolders, *files):
                os.chown(Path(folder) / name, self.uid, self.gid, follow_symlinks=False)

    def can_reach(self, path: Path) -> bool:
        """Whether this account may enter every folder on the way to `path` (which need not exist)."""
        for folder in path.resolve().parents:
            try:
                facts = folder.stat()
            except FileNotFoundError:
                continue
            if facts.st_uid == self.uid:
                needed = stat.S_IXUSR
            elif facts.st_gid == self.gid:
                needed = stat.S_IXGRP
            else:
                needed = stat.S_IXOTH
            if not facts.st_mode & needed:
                return False
        return True


def server_account() -> Account:
    """The account for servers: `nobody` when we are root, else our own."""
    uid = os.geteuid()
    if uid != 0:
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = str(uid)
        return Account(name, uid, os.getegid())
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise ServerUnavailable(
            "There is no account 'nobody' to run database servers as, and they refuse to run as root",
            hint="Run as an ordinary user, or add the account.",
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
