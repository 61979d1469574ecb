"""Gathers a report's content from the control store and the stores. Reads only; works with and without a daemon.

What cannot be read is in the report with its reason; nothing is left out in silence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from config.redaction import redacted
from config.settings import Settings
from cutover.readiness import STALE_S
from model.errors import CrossfadeError
from reports.judgement import judge
from reports.proofs import coverage, findings, schema_parity, tables_of, totals
from stores.control import checkpoints, daemons, domains, quarantine, samples, table_states
from stores.control.migrations import prepare_control
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store

SCHEMA: Final = "crossfade.report/1"
LISTED: Final = 200
"""So many parked changes and findings are listed by key; all are counted."""


def collect(settings: Settings, *, actor: str, since_s: float, now: datetime | None = None) -> dict[str, Any]:
    """The content as JSON values, without comparison and seal. Raises Unreachable when the control store is away."""
    moment = now or datetime.now(UTC)
    with closing(connect_store(settings.control_dsn, application="crossfade report")) as control:
        prepare_control(control)
        with translated("control store"):
            document: dict[str, Any] = {
                "schema": SCHEMA,
                "migration": settings.name,
                "made_at": stamp(moment),
                "period": {"from": stamp(moment - timedelta(seconds=since_s)), "to": stamp(moment)},
                "made_by": actor,
                "tool_version": _version(),
                "status": _status(control, settings),
                "stores": _stores(settings),
            }
            document["tables"] = tables_of(control, settings.name, document["stores"])
            document["coverage"] = coverage(control, settings.name, since_s)
            document["findings"] = findings(control, settings.name, LISTED)
            document["schema_parity"] = schema_parity(control, settings.name)
            document["totals"] = totals(control, settings.name)
            document["series"] = _series(control, settings.name, since_s)
            document["domains"] = _domains(control, settings, document["status"])
    document["fingerprints"] = _fingerprints(settings, document)
    document["verdict"] = judge(document)
    return document


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _version() -> str:
    try:
        return version("crossfade")
    except PackageNotFoundError:
        return "checkout"


def _status(control: PostgresConnection, settings: Settings) -> dict[str, Any]:
    daemon = daemons.read(control, settings.name)
    if daemon is None or not daemon.status:
        return {"state": "NEVER_STARTED", "health": "failed", "reasons": [], "silent_s": None, "source": None}
    told = daemon.status
    return {
        "state": told.get("state"),
        "health": told.get("health"),
        "reasons": list(told.get("reasons", ())),
        "since": told.get("since"),
        "silent_s": round(daemon.silent_s, 1),
        "host": daemon.host,
        "source": told.get("source"),
        "reverse": list(told.get("reverse", ())),
        "domains": list(told.get("domains", ())),
    }


def _stores(settings: Settings) -> list[dict[str, Any]]:
    return [_store(settings, name) for name in settings.stores]


def _store(settings: Settings, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": name, "server": "", "database": "", "problem": "", "seq": None, "position": "", "gtids": "", "lsn": "",
        "rows_applied": None, "transactions_applied": None, "phases": {}, "reasons": {}, "parked": {},
        "parked_rows": [],
    }  # fmt: skip
    try:
        with (
            closing(connect_store(settings.stores[name].dsn, application="crossfade report")) as connection,
            translated(f"store {name}"),
        ):
            server = connection.execute("SELECT current_setting('server_version'), current_database()").fetchone()
            row = connection.execute("SELECT to_regclass('crossfade.checkpoint') IS NOT NULL").fetchone()
            assert server is not None
            found |= {"server": f"PostgreSQL {server[0]}", "database": server[1]}
            checkpoint = checkpoints.read(connection, settings.name) if row and row[0] else None
            if checkpoint is None:
                return {**found, "problem": "never started"}
            lsn = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
            states = table_states.load(connection, settings.name).values()
            parked = quarantine.count_parked(connection, settings.name)
            listed = quarantine.parked(connection, settings.name, LISTED)
            return {
                **found,
                "seq": checkpoint.seq,
                "position": str(checkpoint.position.coordinate),
                "gtids": checkpoint.position.gtids,
                "lsn": lsn[0] if lsn else "",
                "rows_applied": checkpoint.applied_rows,
                "transactions_applied": checkpoint.applied_transactions,
                "phases": {state.plan_id: str(state.phase) for state in states},
                "reasons": {state.plan_id: state.reason for state in states if state.reason},
                "parked": parked,
                "parked_rows": [
                    {
                        "id": one.id,
                        "plan": one.plan_id,
                        "key": list(one.key),
                        "op": one.op,
                        "error": one.error,
                        "since": stamp(datetime.fromtimestamp(one.since_s, UTC)),
                    }
                    for one in listed
                ],
            }
    except CrossfadeError as error:
        return {**found, "problem": str(error)}


def _series(control: PostgresConnection, name: str, since_s: float) -> dict[str, Any]:
    found: dict[str, list[list[Any]]] = {}
    for one in samples.since(control, name, since_s):
        rate = one.rows / one.seconds if one.seconds else 0.0
        found.setdefault(one.store, []).append(
            [round(one.at.timestamp(), 1), _short(one.lag_s), _short(one.lag_max_s), round(rate, 2)]
        )
    figures = [
        {
            "store": one.store,
            "p50_s": _short(one.p50_s),
            "p95_s": _short(one.p95_s),
            "p99_s": _short(one.p99_s),
            "longest_s": _short(one.longest_s),
            "rows": one.rows,
            "rows_per_s": round(one.rows / one.seconds, 2) if one.seconds else 0.0,
            "observed_s": round(one.seconds, 1),
        }
        for one in samples.figures(control, name, since_s)
    ]
    return {"columns": ["at_s", "lag_s", "lag_max_s", "rows_per_s"], "stores": found, "figures": figures}


def _short(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def _domains(control: PostgresConnection, settings: Settings, status: Mapping[str, Any]) -> list[dict[str, Any]]:
    known = {state.domain: state for state in domains.every(control, settings.name)}
    found: list[dict[str, Any]] = []
    for name in settings.domains:
        state = known.get(name)
        streams = [one for one in status.get("reverse", ()) if one.get("domain") == name]
        # What going back costs now, as the daemon has just measured it; None of a domain that the source serves.
        fresh = status.get("domains", ()) if (status["silent_s"] or 0.0) < STALE_S else ()
        ready = next((one.get("rollback") for one in fresh if one.get("domain") == name), None)
        if state is None:
            found.append({"domain": name, "phase": "following", "side": "source", "epoch": 0, "problem": "",
                          "reverse": streams, "rollback": ready, "result": {}})  # fmt: skip
            continue
        found.append(
            {
                "domain": name,
                "phase": state.phase,
                "side": state.side,
                "epoch": state.epoch,
                "problem": state.problem,
                "since": stamp(datetime.fromtimestamp(state.since_s, UTC)),
                "reverse": streams,
                "rollback": ready,
                # The gates of the last check or rehearsal, or the outcome of the last move.
                "result": dict(state.result),
            }
        )
    return found


def _fingerprints(settings: Settings, document: Mapping[str, Any]) -> dict[str, Any]:
    """Digests of the configuration (without secrets) and of the positions that the report speaks of."""
    source = document["status"].get("source") or {}
    positions = {
        "source": {"position": source.get("position"), "seq": source.get("seq")},
        "stores": {
            store["name"]: {key: store.get(key) for key in ("seq", "position", "gtids", "lsn")}
            for store in document["stores"]
        },
    }
    return {
        "config_sha256": digest(redacted(settings)),
        "positions": positions,
        "positions_sha256": digest(positions),
        "transforms": sorted({table["transform"] for table in document["tables"] if table.get("transform")}),
    }


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in its canonical form: sorted keys, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
