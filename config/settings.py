"""The configuration as frozen models, one per part. A function takes the part it needs, never the whole.

Unknown keys are refused; secrets are `SecretStr` from end to end. Text values may hold `${env:NAME}`, `${file:path}`
and `${cred:name}`, which the loader has resolved before these models see them.
"""

from __future__ import annotations

import re
import zoneinfo
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, field_validator, model_validator

from config.read_model import ReadModelRule
from config.reshaping import LookupRule, MaskChoice, PythonFunction, Route, SoftDeleteRule, Surrogate
from config.strict import STRICT
from model.position import Flavour


class Part(BaseModel):
    """Base of every part."""

    model_config = STRICT


class Tls(StrEnum):
    """How far TLS is asked for."""

    OFF = "off"
    PREFERRED = "preferred"
    REQUIRED = "required"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


class SourceSettings(Part):
    """The legacy server."""

    engine: Flavour
    host: str = "127.0.0.1"
    port: int = 3306
    user: str
    password: SecretStr = SecretStr("")
    databases: tuple[str, ...] = Field(min_length=1)
    """The databases whose tables are migrated."""
    tls: Tls = Tls.PREFERRED
    tls_ca: Path | None = None
    position: Literal["auto", "gtid", "file"] = "auto"
    server_id: int | None = Field(default=None, ge=1, le=2**32 - 1)
    """Our replica id; unset: derived from the migration's name."""
    replicas: tuple[Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$")], ...] = ()
    """`host:port` of servers that may take the source's place: a cutover waits until they have what it rests on."""
    heartbeat_s: float = Field(default=5.0, gt=0, le=300)
    connect_timeout_s: float = Field(default=10.0, gt=0)
    _gate_pass: SecretStr | None = PrivateAttr(default=None)

    @property
    def gate_pass(self) -> SecretStr | None:
        """The pass that our sessions show at a closed gate; never in the file, a daemon makes its own."""
        return self._gate_pass

    def of_replica(self, address: str) -> SourceSettings:
        """These settings for one of the replicas."""
        host, _, port = address.rpartition(":")
        return self.model_copy(update={"host": host.strip("[]"), "port": int(port)})

    def with_gate_pass(self, secret: str) -> SourceSettings:
        """These settings for sessions that may write through our own gate."""
        copy = self.model_copy()
        copy._gate_pass = SecretStr(secret)
        return copy


MaskKey = Annotated[SecretStr, Field(min_length=16)]


class StoreSettings(Part):
    """One target PostgreSQL database."""

    dsn: SecretStr
    schema_: str = Field(default="public", alias="schema")
    mask_key: MaskKey | None = None
    """Key of the `hmac` masks of this store; unset: `defaults.mask_key`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ControlSettings(Part):
    """Where our own state that belongs to no store lives."""

    dsn: SecretStr


class RelaySettings(Part):
    """The durable log between reader and appliers."""

    directory: Path = Path("crossfade-relay")
    segment_bytes: int = Field(default=64 << 20, ge=1 << 16)
    budget_bytes: int = Field(default=10 << 30, ge=1 << 20)


class Naming(StrEnum):
    """How target names are made from source names."""

    KEEP = "keep"
    LOWER = "lower"
    SNAKE_CASE = "snake_case"


class ZeroDates(StrEnum):
    """What becomes of 0000-00-00 and other dates that PostgreSQL does not have."""

    INFINITY = "infinity"
    """-infinity: fits NOT NULL and keys, and can be turned back."""
    NULL = "null"
    QUARANTINE = "quarantine"


class Defaults(Part):
    """What holds for every table unless a rule says otherwise."""

    store: str | None = None
    naming: Naming = Naming.KEEP
    zero_dates: ZeroDates = ZeroDates.INFINITY
    tinyint1: Literal["smallint", "boolean"] = "smallint"
    json_: Literal["jsonb", "json", "text"] | None = Field(default=None, alias="json")
    """Unset: jsonb for MySQL, json for MariaDB (where JSON is text and keeps its spelling)."""
    enum: Literal["text", "enum"] = "text"
    set_: Literal["array", "text"] = Field(default="array", alias="set")
    foreign_keys: bool = True
    nul_characters: Literal["quarantine", "strip"] = "quarantine"
    spatial: Literal["bytea", "geometry"] = "bytea"
    """geometry is the type of PostGIS, which every store with a spatial column needs then."""
    mask_key: MaskKey | None = None
    """Key of `hmac` masks; the same key in several stores lets their masked values be joined."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class TypeRule(Part):
    """Target type for all columns that match `table.column` globs or a source type glob."""

    match: str
    to: str


class Constant(Part):
    """A column that the source does not have."""

    value: str | int | float | bool | None
    type: str = "text"


class Expression(Part):
    """A column computed from the row by a vetted SQL expression."""

    sql: str
    type: str = "text"
    reverse: str | None = None


class OutputRule(Part):
    """One target table made of a source table's rows."""

    store: str | None = None
    table: str | None = None
    rename: dict[str, str] = {}
    only: tuple[str, ...] | None = None
    """Source columns to take; unset: all."""
    exclude: tuple[str, ...] = ()
    add: dict[str, Constant] = {}
    types: dict[str, str] = {}
    map: dict[str, dict[str, str | None]] = {}
    """Source column → value → value, as text; `*` is the default, else unknown values are refused."""
    mask: dict[str, MaskChoice] = {}
    """Source column → what the store gets in place of its values."""
    expr: dict[str, Expression] = {}
    python: dict[str, PythonFunction] = {}
    surrogate: dict[str, Surrogate] = {}
    """Target column → the source columns that its UUID is made of."""
    lookup: dict[str, LookupRule] = {}
    """Target column → the row of another table that gives its value."""
    where: str | None = None
    delete_when: SoftDeleteRule | None = None
    """Rows for which this holds count as deleted."""
    key: tuple[str, ...] | None = None
    """Target columns that identify a row; unset: those of the source."""
    zero_dates: ZeroDates | None = None


class TableRule(OutputRule):
    """The rule for one source table (or a glob of tables)."""

    skip: bool = False
    reason: str | None = None
    to: tuple[OutputRule, ...] = ()
    """Several outputs; each starts from this rule and overrides it."""
    route: Route | None = None
    """One output per store, each with the rows of its values."""

    @model_validator(mode="after")
    def _one_way_to_stores(self) -> Self:
        if self.route is not None and (self.to or self.store):
            raise ValueError("`route` says which stores the rows go to; leave out `to` and `store`")
        return self


class DomainSettings(Part):
    """Tables that are cut over together."""

    tables: tuple[str, ...]
    stores: tuple[str, ...] = ()
    app_roles: tuple[str, ...] = ()
    """Roles of the stores that applications log in as: they get their write privileges at the cutover."""
    route: dict[str, Any] = {}
    gates: dict[str, Any] = {}


class SnapshotSettings(Part):
    """The first copy."""

    workers: int = Field(default=2, ge=1, le=64)
    chunk_bytes: int = Field(default=16 << 20, ge=1 << 12)
    max_threads_running: int | None = Field(default=None, ge=1)
    """Chunk reads pause while the source runs more threads than this; unset: whatever it runs."""
    max_history_length: int | None = Field(default=None, ge=1)
    """They pause while InnoDB's history list is longer than this: old versions of rows that it must keep."""
    max_replica_lag_s: float | None = Field(default=None, gt=0)
    """They pause while one of `source.replicas` is further behind, or cannot say how far."""


class ApplySettings(Part):
    """How changes are grouped into a store's transactions."""

    max_rows: int = Field(default=20_000, ge=1)
    max_bytes: int = Field(default=16 << 20, ge=1 << 12)
    max_parked_rows: int = Field(default=1_000, ge=1)
    """So many parked changes hold a table."""


class RetrySettings(Part):
    """The one retry policy."""

    attempts: int = Field(default=30, ge=1)
    first_wait_s: float = Field(default=0.2, ge=0)
    max_wait_s: float = Field(default=10.0, ge=0)
    max_elapsed_s: float = Field(default=900.0, gt=0)


class Invariant(Part):
    """Statements whose answers on the source and in the stores must agree, as values and in any order of rows."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")
    source: str = Field(min_length=1)
    """SQL of the source's dialect, with names of databases."""
    store: str | None = None
    sql: str | None = None
    """PostgreSQL for `store`."""
    stores: dict[str, str] = {}
    """Instead of both: store → PostgreSQL; the rows of all stores together are the answer."""

    @model_validator(mode="after")
    def _one_way(self) -> Invariant:
        single = self.store is not None and self.sql is not None
        if (self.store is not None or self.sql is not None) == bool(self.stores) or single == bool(self.stores):
            raise ValueError("needs `store` and `sql`, or `stores` with one statement each")
        return self

    @property
    def statements(self) -> dict[str, str]:
        """Store → its statement."""
        return dict(self.stores) or {str(self.store): str(self.sql)}


class VerifySettings(Part):
    """Reconciliation."""

    workers: int = Field(default=2, ge=1, le=64)
    leaf_rows: int = Field(default=10, ge=1)
    chunk_rows: int = Field(default=200_000, ge=1)
    """Rows that are compared, leased and proven at a time."""
    settle_s: float = Field(default=30.0, gt=0)
    statement_timeout_s: float = Field(default=600.0, gt=0)
    """A chunk whose statement takes longer is halved; one that cannot be is undecided."""
    max_findings: int = Field(default=10_000, ge=1)
    """Differing rows of a table after which its comparison stops; the rest is undecided."""
    invariants: tuple[Invariant, ...] = ()
    period_s: float | None = Field(default=86_400.0, gt=0)
    """The daemon proves every row at least once in so many seconds; null: it proves nothing by itself."""
    max_threads_running: int | None = Field(default=None, ge=1)
    """The daemon's verification pauses while the source runs more threads than this; unset: that of `snapshot`."""


class CutoverSettings(Part):
    """Limits of a cutover, seconds."""

    max_lag_s: float = 2.0
    max_write_stop_s: float = 30.0
    verify_not_older_s: float = 86_400.0
    max_read_lag_s: float = Field(default=10.0, gt=0)
    """Readers that were sent to the stores go back to the source when a store is further behind."""
    min_retention_s: float = 86_400.0
    """How long both sides must keep their logs."""
    soak_s: float = 604_800.0
    """How long a domain must have been served by its stores before `finalize` gives up the way back."""


class Webhook(Part):
    """Where a report's JSON is posted. The address may hold a secret."""

    url: SecretStr
    token: SecretStr | None = None
    """Sent as a bearer token."""

    @field_validator("url")
    @classmethod
    def _web(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url


class Mail(Part):
    """How a report is sent by e-mail."""

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["starttls", "tls", "off"] = "starttls"
    user: str = ""
    password: SecretStr = SecretStr("")
    sender: str
    to: tuple[str, ...] = Field(min_length=1)


class ReportFormat(StrEnum):
    """A form of a report."""

    HTML = "html"
    JSON = "json"
    MD = "md"
    CSV = "csv"
    JUNIT = "junit"


class ReportSettings(Part):
    """Reports: where they are written, when, in which forms, and where they are delivered."""

    directory: Path = Path("crossfade-reports")
    schedule: str | None = None
    """Five fields of cron; unset: only on demand."""
    timezone: str = "UTC"
    """The schedule's: a name of the IANA database."""
    formats: tuple[ReportFormat, ...] = Field(default=(ReportFormat.HTML, ReportFormat.JSON), min_length=1)
    keep_days: float = Field(default=90.0, gt=0)
    samples_keep_days: float = Field(default=7.0, gt=0)
    """How long lag and throughput over time are kept."""
    signing_key: SecretStr | None = None
    """With it every report carries an HMAC that nobody makes without it."""
    copy_to: Path | None = None
    webhook: Webhook | None = None
    mail: Mail | None = None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in zoneinfo.available_timezones():
            raise ValueError(f"there is no time zone {name!r}; a name such as Europe/Berlin")
        return name

    @field_validator("schedule")
    @classmethod
    def _cron(cls, schedule: str | None) -> str | None:
        if schedule is None:
            return None
        from croniter import croniter  # most commands have no use for it

        if len(schedule.split()) != 5 or not croniter.is_valid(schedule):
            raise ValueError("not five fields of cron, such as `0 7 * * *`")
        return schedule


class HttpSettings(Part):
    """The HTTP server of the daemon: health, metrics, routes, status."""

    listen: str = "127.0.0.1:8440"
    """HOST:PORT; an IPv6 address in brackets; port 0 takes a free one."""
    token: SecretStr | None = None
    """Bearer token of requests that change something; unset: they are refused."""

    @field_validator("listen")
    @classmethod
    def _readable(cls, listen: str) -> str:
        if listen_address(listen) is None:
            raise ValueError("not HOST:PORT")
        return listen

    @model_validator(mode="after")
    def _guarded(self) -> HttpSettings:
        if not self.loopback and not (self.token and self.token.get_secret_value()):
            raise ValueError("an address that other hosts can reach needs a `token`")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        found = listen_address(self.listen)
        assert found is not None
        return found

    @property
    def loopback(self) -> bool:
        """Whether only this host can reach it."""
        host = self.address[0]
        return host == "localhost" or (host[:4] == "127." and host.count(".") == 3) or host == "::1"


def listen_address(text: str) -> tuple[str, int] | None:
    """Host and port of `HOST:PORT`, None when it is not that."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:\s]+)):(\d{1,5})", text)
    if match is None or int(match[3]) > 65535:
        return None
    return match[1] or match[2], int(match[3])


class LogSettings(Part):
    """Logs."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


TableName = Annotated[str, Field(min_length=1)]


class Settings(Part):
    """The whole file."""

    version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")
    """The migration's name: names the stream in every store."""
    source: SourceSettings
    stores: dict[str, StoreSettings] = Field(min_length=1)
    control: ControlSettings | None = None
    """Unset: the first store."""
    relay: RelaySettings = RelaySettings()
    defaults: Defaults = Defaults()
    types: tuple[TypeRule, ...] = ()
    python_path: tuple[Path, ...] = ()
    """Folders in which modules of `python` functions are looked for, before Python's own path."""
    tables: dict[TableName, TableRule] = {}
    """Source table (`table` or `database.table`, globs allowed) → rule."""
    read_models: dict[TableName, ReadModelRule] = {}
    """Name of a table in a store → how it is made of others."""
    domains: dict[str, DomainSettings] = {}
    snapshot: SnapshotSettings = SnapshotSettings()
    apply: ApplySettings = ApplySettings()
    retry: RetrySettings = RetrySettings()
    verify: VerifySettings = VerifySettings()
    cutover: CutoverSettings = CutoverSettings()
    report: ReportSettings = ReportSettings()
    http: HttpSettings | None = None
    """Unset: the daemon listens nowhere; `http: {}` is loopback, port 8440."""
    log: LogSettings = LogSettings()

    @property
    def control_dsn(self) -> SecretStr:
        """DSN of the control store: its own, else the first store's."""
        return self.control.dsn if self.control else next(iter(self.stores.values())).dsn
