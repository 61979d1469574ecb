"""Resolves `${env:NAME}`, `${env:NAME:-default}`, `${file:path}` and `${cred:name}` in texts; `$${` is a literal `${`.

`cred` reads a file of $CREDENTIALS_DIRECTORY, where systemd (LoadCredential=) puts secrets. What comes out of a
reference is not looked at again, so a password may hold `${`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Unresolved(ValueError):
    """A reference cannot be resolved; holds message, hint and the reference's offset in the text."""

    def __init__(self, message: str, hint: str, offset: int) -> None:
        super().__init__(message)
        self.hint = hint
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Resolver:
    """Where references are looked up: the folder that relative paths start from, and the environment."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def resolve(self, text: str) -> str:
        """The text with every reference replaced. Raises Unresolved at the first that cannot be."""
        return _REFERENCE.sub(self._replacement, text)

    def _replacement(self, hit: re.Match[str]) -> str:
        if hit[0] == "$${":
            return "${"
        if hit[1] is None:
            raise Unresolved("a reference `${` has no closing `}`", "Write $${ for a literal ${.", hit.start())
        scheme, colon, rest = hit[1].partition(":")
        lookup = {"env": self._env, "file": self._file, "cred": self._cred}.get(scheme)
        if lookup is None or not colon:
            raise Unresolved(
                f"unknown reference `{hit[0]}`",
                "Use ${env:NAME}, ${env:NAME:-default}, ${file:path} or ${cred:name}; $${ is a literal ${.",
                hit.start(),
            )
        try:
            return lookup(rest)
        except Unresolved as error:
            error.offset = hit.start()
            raise

    def _env(self, rest: str) -> str:
        name, separator, default = rest.partition(":-")
        if not _NAME.fullmatch(name):
            raise Unresolved(f"`{name}` is not the name of an environment variable", "", 0)
        value = self.environment.get(name)
        if separator and not value:
            return default
        if value is None:
            hint = f"Set it, or give a default: ${{env:{name}:-…}}"
            raise Unresolved(f"the environment variable {name} is not set", hint, 0)
        return value

    def _file(self, rest: str) -> str:
        if not rest:
            raise Unresolved("${file:} names no file", "", 0)
        return _content(self.folder / rest, f"the file {rest}")

    def _cred(self, rest: str) -> str:
        directory = self.environment.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise Unresolved(
                f"the credential {rest} cannot be read: CREDENTIALS_DIRECTORY is not set",
                f"systemd sets it for a unit with LoadCredential={rest}:/path/to/file",
                0,
            )
        if not rest or "/" in rest or rest in (".", ".."):
            raise Unresolved(f"`{rest}` is not the name of a credential", "", 0)
        return _content(Path(directory) / rest, f"the credential {rest}")


def _content(path: Path, what: str) -> str:
    """A secret file's text without its last line end."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Unresolved(f"{what} cannot be read: {error.strerror}", f"Looked for {path}", 0) from None
    except UnicodeDecodeError:
        raise Unresolved(f"{what} is not UTF-8 text", "", 0) from None
    return text.removesuffix("\n").removesuffix("\r")
