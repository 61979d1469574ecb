"""Checks a report's file: that its content is what was sealed, and that the seal is in the chain. Changes nothing."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from model.errors import UsageError
from reports.seal import Seal, content_digest, opened, signature
from stores.control.reports import Entry, broken_at


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `holds` None: it could not be."""

    what: str
    holds: bool | None
    detail: str


def check_file(path: Path, register: Sequence[Entry] | None, key: SecretStr | None) -> tuple[Seal, tuple[Finding, ...]]:
    """The seal of a file and all that was looked at; without `register` only what the file shows by itself.

    Raises UsageError for a file that cannot be read or has no seal.
    """
    try:
        file = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="See: crossfade report list") from error
    content, seal = opened(file)
    found = [_content(content, seal), _link(seal), _signature(seal, key)]
    if register is not None:
        found += _registered(seal, register)
    return seal, tuple(found)


def _content(content: bytes, seal: Seal) -> Finding:
    wanted, is_ = seal.digests.get(seal.format, ""), content_digest(content)
    detail = f"sha256 {is_}" if wanted == is_ else f"sha256 {is_}, sealed was {wanted or 'nothing'}: it was edited"
    return Finding("content", wanted == is_, detail)


def _link(seal: Seal) -> Finding:
    holds = seal.entry.linked() == seal.link
    return Finding("seal", holds, f"link {seal.link}" if holds else "the seal itself was edited")


def _signature(seal: Seal, key: SecretStr | None) -> Finding:
    if key is None or not seal.signature:
        why = "no signing key is configured" if key is None else "the report was made without a signing key"
        return Finding("signature", None, why)
    holds = hmac.compare_digest(signature(seal.link, key), seal.signature)
    return Finding("signature", holds, "made with the key" if holds else "not made with this key")


def _registered(seal: Seal, register: Sequence[Entry]) -> list[Finding]:
    mine = next((entry for entry in register if entry.number == seal.number), None)
    if mine is None:
        return [Finding("register", False, f"report {seal.number} of {seal.name} is not in the register")]
    same = mine.link == seal.link and dict(mine.digests) == dict(seal.digests)
    broken = broken_at(register)
    chain = f"{len(register)} reports, each follows from the one before"
    return [
        Finding(
            "register", same, f"report {seal.number}" if same else f"the register has another report {seal.number}"
        ),
        Finding("chain", broken is None, chain if broken is None else f"broken at report {broken.number}"),
    ]
