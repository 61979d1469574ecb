"""The seal of a report's file: a last line that holds the digests of all its forms and its link in the chain.

The digest shows an edit; the link, which the register in the control store knows too, shows an edit with a digest made
anew; an HMAC (`report.signing_key`) shows it without the register, to whoever holds the key. A seal is Base64, so that
it can stand in a comment of every format.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import SecretStr

from config.settings import ReportFormat
from model.errors import UsageError
from stores.control.reports import Entry

MARK: Final = "crossfade-seal:"
FRAMES: Final[Mapping[ReportFormat, tuple[str, str]]] = {
    ReportFormat.HTML: ("<!-- ", " -->"),
    ReportFormat.MD: ("<!-- ", " -->"),
    ReportFormat.JUNIT: ("<!-- ", " -->"),
    ReportFormat.CSV: ("# ", ""),
}
"""What stands around the seal in each format; in JSON it is the last member."""
HINT: Final = "See where the reports are: crossfade report list"
_LINE: Final = re.compile(rb"(?:<!-- |# )?" + MARK.encode() + rb" ([A-Za-z0-9_=-]+)(?: -->)?\n?\Z")


@dataclass(frozen=True, slots=True)
class Seal:
    """What a file says of itself."""

    format: str
    name: str
    number: int
    made_at: str
    actor: str
    outcome: str
    digests: Mapping[str, str]
    previous: str
    link: str
    signature: str = ""

    @property
    def entry(self) -> Entry:
        """The register's entry that would have this seal. Raises ValueError for a time that is none."""
        moment = datetime.fromisoformat(self.made_at).astimezone(UTC)
        return Entry(
            self.name, self.number, moment, self.actor, self.outcome, self.digests, self.previous, self.link
        )  # fmt: skip


def seal_of(entry: Entry, form: ReportFormat, key: SecretStr | None) -> Seal:
    """The seal of one form of a report."""
    moment = entry.made_at.astimezone(UTC).isoformat(timespec="microseconds")
    return Seal(
        str(form), entry.name, entry.number, moment, entry.actor, entry.outcome, dict(entry.digests), entry.previous,
        entry.link, signature(entry.link, key) if key else "",
    )  # fmt: skip


def signature(link: str, key: SecretStr) -> str:
    """HMAC-SHA-256 of a link."""
    return hmac.new(key.get_secret_value().encode(), link.encode(), hashlib.sha256).hexdigest()


def content_digest(content: bytes) -> str:
    """SHA-256 of a file without its seal."""
    return hashlib.sha256(content).hexdigest()


def sealed(content: bytes, seal: Seal) -> bytes:
    """The file: content and seal."""
    code = base64.urlsafe_b64encode(json.dumps(dataclasses.asdict(seal), sort_keys=True).encode()).decode()
    if seal.format == ReportFormat.JSON:
        # The content ends with the object's last brace.
        return content[:-3] + f',\n "seal": "{MARK} {code}"\n}}\n'.encode()
    before, after = FRAMES[ReportFormat(seal.format)]
    return content + f"{before}{MARK} {code}{after}\n".encode()


def opened(file: bytes) -> tuple[bytes, Seal]:
    """Content and seal of a file. Raises UsageError when there is no seal that can be read."""
    content, code = _parted(file)
    try:
        raw: dict[str, Any] = json.loads(base64.urlsafe_b64decode(code))
        seal = Seal(**raw)
        seal.entry  # noqa: B018 its time must be one
        return content, seal
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError("the file's seal cannot be read: it was cut or edited", hint=HINT) from error


def _parted(file: bytes) -> tuple[bytes, bytes]:
    if file.lstrip().startswith(b"{"):
        match = re.search(rb',\n "seal": "' + MARK.encode() + rb' ([A-Za-z0-9_=-]+)"\n}\n\Z', file)
        if match:
            return file[: match.start()] + b"\n}\n", match[1]
    match = _LINE.search(file)
    if match is None:
        raise UsageError("the file has no seal at its end: no report of crossfade, or cut", hint=HINT)
    return file[: match.start()], match[1]
