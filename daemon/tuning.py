"""Settings that may change while the daemon runs. A change lasts until the daemon ends; the file stays as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from config.settings import ApplySettings, LogSettings, Part, Settings, SnapshotSettings
from model.errors import UsageError
from transforms.rules import nearest

TUNABLE: Final = (
    "apply.max_rows",
    "apply.max_bytes",
    "apply.max_parked_rows",
    "snapshot.max_threads_running",
    "snapshot.max_history_length",
    "snapshot.max_replica_lag_s",
    "log.level",
)
"""Keys of the configuration that take effect at once."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """One setting: what is in force, and what the file says."""

    key: str
    value: str
    configured: str


class Tuning:
    """Holds what is in force and hands a changed part to whom it concerns. For one thread."""

    def __init__(
        self,
        settings: Settings,
        apply: Callable[[ApplySettings], None],
        snapshot: Callable[[SnapshotSettings], None],
    ) -> None:
        self._configured = settings
        self._parts: dict[str, Part] = {"apply": settings.apply, "snapshot": settings.snapshot, "log": settings.log}
        self._apply = apply
        self._snapshot = snapshot

    def read(self, keys: tuple[str, ...] = TUNABLE) -> tuple[Tuned, ...]:
        """The settings of these keys. Raises UsageError for one that cannot be tuned."""
        return tuple(self._read(key) for key in keys)

    def change(self, values: Mapping[str, str]) -> tuple[Tuned, ...]:
        """Put values in force, all or none; gives the settings afterwards. Raises UsageError."""
        changed: dict[str, Part] = {}
        for key, value in values.items():
            part, name = _split(key)
            now = changed.get(part, self._parts[part])
            given = None if value.lower() in ("none", "null", "") else value
            try:
                changed[part] = type(now).model_validate({**now.model_dump(), name: given})
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise UsageError(
                    f"{key} cannot be {value!r}: {reason}", hint=f"Read it: crossfade tune {key}"
                ) from None
        for name, settings in changed.items():
            self._parts[name] = settings
            self._hand_out(settings)
        return self.read(tuple(values))

    def _read(self, key: str) -> Tuned:
        part, name = _split(key)
        configured = getattr(getattr(self._configured, part), name)
        return Tuned(key, _shown(getattr(self._parts[part], name)), _shown(configured))

    def _hand_out(self, part: Part) -> None:
        match part:
            case ApplySettings():
                self._apply(part)
            case SnapshotSettings():
                self._snapshot(part)
            case LogSettings():
                logging.getLogger().setLevel(part.level.upper())


def _split(key: str) -> tuple[str, str]:
    if key not in TUNABLE:
        raise UsageError(
            f"{key} cannot be changed while the daemon runs",
            hint=nearest(key, TUNABLE) or f"What can: {', '.join(TUNABLE)}; all else: the file, and a restart.",
        )
    part, _, name = key.partition(".")
    return part, name


def _shown(value: object) -> str:
    return "none" if value is None else str(value)
