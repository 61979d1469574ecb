"""Tells the outside world that a domain moves: a program, an HTTP address, or both, from the domain's `route`.

route: {exec: [/usr/local/bin/flip, orders], http: "http://127.0.0.1:8080/routes", timeout_s: 5}

Both learn domain, side, epoch and event (hold: a write stop is about to begin; flip: write there from now on;
release: the write stop is over). They may be called again with the same values and must not mind.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cutover.phases import Side
from model.errors import ConfigError, CrossfadeError

TIMEOUT_S: Final = 5.0
_SHOWN: Final = 300


class HookEvent(StrEnum):
    """What a hook is told."""

    HOLD = "hold"
    FLIP = "flip"
    RELEASE = "release"


class HookFailed(CrossfadeError):
    """A route hook failed."""

    transient = True
    default_hint = "See its output, mend it; it is called again by itself after the point of no return."


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of one domain."""

    domain: str
    command: tuple[str, ...] = ()
    address: str = ""
    timeout_s: float = TIMEOUT_S

    @staticmethod
    def of(domain: str, route: Mapping[str, Any]) -> Hooks:
        """Read a domain's `route`. Raises ConfigError."""
        unknown = sorted(set(route) - {"exec", "http", "timeout_s"})
        if unknown:
            raise ConfigError(
                f"domains.{domain}.route does not know {unknown[0]}", hint="It knows exec, http and timeout_s."
            )
        command = route.get("exec", ())
        if isinstance(command, str) or not all(isinstance(word, str) for word in command):
            raise ConfigError(
                f"domains.{domain}.route.exec must be a list of words", hint='["/path/to/program", "word"]'
            )
        address = route.get("http", "")
        if address and not str(address).startswith(("http://", "https://")):
            raise ConfigError(f"domains.{domain}.route.http must begin with http:// or https://")
        return Hooks(domain, tuple(command), str(address), float(route.get("timeout_s", TIMEOUT_S)))

    def problem(self) -> str:
        """Why a hook could not be called, as far as can be told without calling it; "" when it seems well."""
        if self.command and shutil.which(self.command[0]) is None:
            return f"there is no program {self.command[0]}"
        if self.address:
            parts = urllib.parse.urlsplit(self.address)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            try:
                socket.create_connection((parts.hostname or "", port), self.timeout_s).close()
            except OSError as error:
                return f"{parts.hostname}:{port} cannot be reached: {error}"
        return ""

    def call(self, event: HookEvent, side: Side, epoch: int) -> dict[str, Any]:
        """Call every hook; gives what they answered. Raises HookFailed."""
        told = {"domain": self.domain, "side": str(side), "epoch": epoch, "event": str(event)}
        answers: dict[str, Any] = {}
        if self.command:
            answers["exec"] = self._run(told)
        if self.address:
            answers["http"] = self._post(told)
        return answers

    def _run(self, told: Mapping[str, Any]) -> int:
        environment = {**os.environ, **{f"CROSSFADE_{name.upper()}": str(value) for name, value in told.items()}}
        try:
            done = subprocess.run(
                self.command, env=environment, capture_output=True, text=True, timeout=self.timeout_s, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HookFailed(f"the route hook could not be run: {error}", domain=self.domain) from error
        if done.returncode:
            raise HookFailed(
                f"the route hook ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-_SHOWN:]}",
                domain=self.domain,
                event=told["event"],
            )
        return done.returncode

    def _post(self, told: Mapping[str, Any]) -> int:
        request = urllib.request.Request(
            self.address, json.dumps(told).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
                return int(answer.status)
        except (OSError, urllib.error.URLError) as error:
            raise HookFailed(f"the route hook {self.address} failed: {error}", domain=self.domain) from error
