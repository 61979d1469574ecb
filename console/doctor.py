"""`doctor`: what this installation is, and whether it can reach what the configuration names."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import typer

from config.load import load_settings
from config.settings import Settings
from console.output import Invocation
from console.render import size
from daemon.client import look
from model.errors import CrossfadeError, ExitCode
from stores.mysql import connect_source, probe
from stores.postgres import connect_store
from sync.mysql.kernel import compiled

PACKAGES = ("mysql-replication", "PyMySQL", "psycopg", "SQLAlchemy", "sqlglot", "pydantic", "typer")


def register(app: typer.Typer) -> None:
    """Add this command to the root."""
    app.command("doctor")(doctor)


def doctor(context: typer.Context) -> int:
    """Look at the installation, the configuration and every server it names. Exit 4 when one cannot be reached."""
    invocation: Invocation = context.obj
    found: list[tuple[str, bool, str]] = [
        ("python", True, platform.python_version()),
        ("packages", True, ", ".join(f"{name} {version(name)}" for name in PACKAGES)),
        ("decoder", True, "compiled" if compiled() else "uncompiled: slower; install a C compiler and reinstall"),
    ]
    try:
        settings = load_settings(invocation.config)
    except CrossfadeError as error:
        found.append(("configuration", False, f"{error}. {error.hint}"))
    else:
        found.append(("configuration", True, str(invocation.config)))
        found += [_tried(name, check) for name, check in _checks(settings)]
    if invocation.json:
        invocation.emit(
            "crossfade.doctor/1", {"checks": [{"name": n, "ok": ok, "finding": text} for n, ok, text in found]}
        )
    else:
        invocation.say(*[f"{'ok  ' if ok else 'BAD '} {name}: {text}" for name, ok, text in found])
    return ExitCode.CLEAN if all(ok for _, ok, _ in found) else ExitCode.UNREACHABLE


def _checks(settings: Settings) -> list[tuple[str, Callable[[], str]]]:
    def source() -> str:
        with closing(connect_source(settings.source)) as connection:
            info = probe(connection)
        return f"{info.flavour.value} {info.version_text}, {'GTIDs' if info.gtids else 'no GTIDs'}"

    def store(name: str) -> str:
        with closing(connect_store(settings.stores[name].dsn)) as connection:
            return f"PostgreSQL {connection.info.server_version // 10000}"

    def daemon() -> str:
        seen = look(settings)
        if seen.alive and seen.daemon is not None:
            return f"runs as pid {seen.daemon.pid} on {seen.daemon.host}, fence {seen.daemon.fence}"
        return "none runs"

    def disk() -> str:
        folder: Path = settings.relay.directory
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        if free < settings.relay.budget_bytes:
            raise CrossfadeError(
                f"{size(free)} free for a relay budget of {size(settings.relay.budget_bytes)}",
                hint="Lower relay.budget_bytes or move relay.directory.",
            )
        return f"{size(free)} free, budget {size(settings.relay.budget_bytes)}"

    checks: list[tuple[str, Callable[[], str]]] = [("source", source)]
    checks += [(f"store {name}", lambda name=name: store(name)) for name in settings.stores]  # type: ignore[misc]
    return [*checks, ("daemon", daemon), ("relay disk", disk)]


def _tried(name: str, check: Callable[[], str]) -> tuple[str, bool, str]:
    try:
        return name, True, check()
    except CrossfadeError as error:
        return name, False, f"{error}. {error.hint}"
