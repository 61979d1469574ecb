"""Commands from the CLI, carried out in the daemon between two ticks, each answered with a result or an error."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Any

import structlog

from config.settings import Settings
from cutover.readers import Readers
from cutover.service import Cutovers
from daemon.lifecycle import Stop
from daemon.parts import Parts
from daemon.tuning import Tuning
from model.errors import CrossfadeError, Refused, UsageError
from stores.control import commands, events
from stores.control.commands import Command, CommandState
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store

log = structlog.get_logger(__name__)


_BY_PLAN = frozenset({"check", "rehearse", "run", "prepare"})
"""What is done with a domain by the plans that the daemon began with."""


class Orders:
    """Knows the verbs; `carry_out` takes at most one command a call."""

    def __init__(self, settings: Settings, parts: Parts, cutovers: Cutovers, readers: Readers, stop: Stop) -> None:
        self._settings = settings
        self._parts = parts
        self._cutovers = cutovers
        self._readers = readers
        self._stop = stop
        self._tuning = Tuning(settings, parts.tune_apply, parts.tune_copy)
        self._verbs: dict[str, Callable[[Command], Mapping[str, Any]]] = {
            "stop": self._end,
            "pause": self._pause,
            "resume": self._resume,
            "tune": self._tune,
            "release": self._release,
            "schema_decide": self._schema_decide,
            "errors_retry": self._errors_retry,
            "errors_discard": self._errors_discard,
            "domain": self._domain,
            "route": self._route,
        }

    def carry_out(self, connection: PostgresConnection) -> None:
        """Take the oldest new command, do it, and answer."""
        if connection.closed:
            return
        try:
            with translated("control store"):
                command = commands.claim(connection, self._settings.name)
                if command is None:
                    return
                state, result = self._answer(command)
                commands.finish(connection, command.id, state, result)
                events.record(
                    connection,
                    self._settings.name,
                    f"command_{command.verb}",
                    f"{command.actor} asked: {command.verb}",
                    args=dict(command.args),
                    state=str(state),
                )
        except CrossfadeError as error:
            log.warning("commands_unreadable", error=str(error))

    def _answer(self, command: Command) -> tuple[CommandState, Mapping[str, Any]]:
        log.info("command", verb=command.verb, actor=command.actor, args=dict(command.args))
        try:
            act = self._verbs.get(command.verb)
            if act is None:
                raise UsageError(f"this daemon does not know the command {command.verb}")
            return CommandState.DONE, act(command)
        except CrossfadeError as error:
            return CommandState.FAILED, {"error": str(error), "hint": error.hint, "exit_code": int(error.exit_code)}

    def _stores(self, command: Command) -> list[str]:
        return self._known(command.args.get("stores", []))

    def _known(self, given: Iterable[object]) -> list[str]:
        names = [str(name) for name in given]
        unknown = [name for name in names if name not in self._settings.stores]
        if unknown:
            raise UsageError(
                f"there is no store {', '.join(unknown)}", hint=f"Stores: {', '.join(self._settings.stores)}"
            )
        return names or list(self._settings.stores)

    def _end(self, command: Command) -> Mapping[str, Any]:
        self._stop.request(f"stopped by {command.actor}")
        return {"stopping": True}

    def _pause(self, command: Command) -> Mapping[str, Any]:
        names = self._stores(command)
        self._parts.pause(names, str(command.args.get("reason") or "") or f"by {command.actor}")
        return {"paused": names}

    def _resume(self, command: Command) -> Mapping[str, Any]:
        names = self._stores(command)
        self._parts.resume(names)
        return {"resumed": names}

    def _tune(self, command: Command) -> Mapping[str, Any]:
        reads = tuple(str(key) for key in command.args.get("read", ()))
        changes = {str(key): str(value) for key, value in command.args.get("change", {}).items()}
        read = self._tuning.read(reads) if reads or changes else self._tuning.read()
        found = (*self._tuning.change(changes), *read)
        return {"settings": [dataclasses.asdict(one) for one in found]}

    def _release(self, command: Command) -> Mapping[str, Any]:
        return {"released": self._parts.release(str(command.args.get("table", "")))}

    def _schema_decide(self, command: Command) -> Mapping[str, Any]:
        accept = bool(command.args.get("accept"))
        return {"plans": self._parts.decide(str(command.args.get("table", "")), accept, command.actor)}

    def _errors_retry(self, command: Command) -> Mapping[str, Any]:
        chosen = command.args
        names = self._known([chosen["store"]] if chosen.get("store") else [])
        found = self._parts.retry_parked(names, chosen.get("id"), chosen.get("table"))
        return {
            "families": [
                {"plan": one.plan_id, "key": list(one.key), "ids": list(one.ids), "error": one.error} for one in found
            ]
        }

    def _errors_discard(self, command: Command) -> Mapping[str, Any]:
        store, identifier = str(command.args["store"]), int(command.args["id"])
        self._parts.discard_parked(store, identifier)
        return {"store": store, "discarded": identifier}

    def _domain(self, command: Command) -> Mapping[str, Any]:
        """Cut over, roll back and the like: taken here, answered through the domain's row when it is over."""
        if command.args.get("act") in _BY_PLAN and self._parts.plans_changed():
            raise Refused(
                "definitions of the source have changed since the daemon began, and the cutover was planned before",
                hint="crossfade stop; crossfade start; then again",
            )
        return self._cutovers.submit(command.id, command.actor, command.args)

    def _route(self, command: Command) -> Mapping[str, Any]:
        """Send readers of a domain somewhere else."""
        args = command.args
        percent = args.get("canary_percent")
        with closing(connect_store(self._settings.control_dsn, application="crossfade daemon")) as connection:
            route = self._readers.send(
                connection,
                str(args.get("domain", "")),
                args.get("reads"),
                None if percent is None else int(percent),
                command.actor,
            )
        return dataclasses.asdict(route)
