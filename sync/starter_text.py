"""The text of a starter configuration: every default spelt out, every decision beside the table that it is about.

Pure: facts in, YAML out. What it writes is compiled before it is handed out (`sync.starter`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from config.settings import SourceSettings
from model.tables import TableDef, TableId
from stores.mysql import ServerInfo
from transforms.types import GEOMETRY_TYPES

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")
_UNPRINTABLE = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")
_YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
_DATES = {"date", "datetime", "timestamp"}
_TRANSACTIONAL = {"innodb", "rocksdb", "tokudb", "xtradb"}
_AUTOMATIC = {
    "view": "a view holds no rows of its own; create it in the store by hand",
    "sequence": "a sequence is not a table; create it in the store by hand",
    "versioned": "system-versioned: the binlog mixes history with rows; drop the versioning to migrate it",
}
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class StarterStore:
    """A store of the starter: its DSN as it is to stand in the file, and without a password for the comment."""

    name: str
    dsn: str
    shown: str


@dataclass(frozen=True, slots=True)
class Starter:
    """Everything that the text is made of."""

    name: str
    info: ServerInfo
    source: SourceSettings
    password: str | None
    """The reference that stands for the source's password; None when there is none."""
    stores: tuple[StarterStore, ...]
    tables: Mapping[TableId, TableDef]
    zero_dates_possible: bool
    skipped: Mapping[TableId, str] = field(default_factory=dict)
    """Tables that the plan refuses, with its words."""
    renamed: Mapping[TableId, str] = field(default_factory=dict)
    """Tables that need another name, because two databases have one of this name."""


def automatic_skip(table: TableDef) -> str | None:
    """Why a table of this kind is left out, None for an ordinary one."""
    return _AUTOMATIC.get(table.kind)


def rule_key(table: TableId, databases: Sequence[str]) -> str:
    """The key of the table's rule: with the database when there are several."""
    return table.name if len(databases) == 1 else str(table)


def starter_yaml(starter: Starter) -> str:
    """The file's text."""
    return "\n".join(
        [*_head(starter), *_source(starter), *_stores(starter), *_defaults(starter), *_tables(starter), *_tail()]
    )


def _head(starter: Starter) -> list[str]:
    product = "MariaDB" if starter.info.mariadb else "MySQL"
    return [
        f"# crossfade: {product} {starter.info.version_text} to {len(starter.stores)} PostgreSQL store(s).",
        "# It works as it is. Next: crossfade assess. Every key: crossfade config schema.",
        "# Values: ${env:NAME}, ${env:NAME:-default}, ${file:path} (relative to this file) or ${cred:name} (systemd).",
        "",
        "version: 1",
        f"name: {starter.name}  # names the stream in every store: do not change it once begun",
        "",
    ]


def _source(starter: Starter) -> list[str]:
    source = starter.source
    lines = [
        "source:",
        f"  engine: {starter.info.flavour.value}",
        f"  host: {scalar(source.host)}",
        f"  port: {source.port}",
        f"  user: {scalar(source.user)}",
    ]
    if starter.password is not None:
        lines.append(f"  password: {scalar(starter.password)}  # or ${{env:…}}, ${{cred:…}}; never write it in here")
    lines += [
        f"  databases: [{', '.join(scalar(name) for name in source.databases)}]",
        f"  tls: {scalar(source.tls.value)}  # off, preferred, required, verify-ca, verify-full (with tls_ca: FILE)",
        "",
    ]
    return lines


def _stores(starter: Starter) -> list[str]:
    lines = ["stores:"]
    for store in starter.stores:
        lines.append(f"  {scalar(store.name)}:")
        shown = "" if store.shown == store.dsn else f"  # {store.shown}"
        lines.append(f"    dsn: {scalar(store.dsn)}{shown}")
        lines.append("    schema: public")
    return [*lines, "# control: {dsn: …}  # our own state that belongs to no store; unset: the first store", ""]


def _defaults(starter: Starter) -> list[str]:
    many = len(starter.stores) > 1
    where = "  # every table without a store of its own goes here" if many else ""
    dates = (
        "The source accepts 0000-00-00"
        if starter.zero_dates_possible
        else "The source refuses new 0000-00-00; old rows may hold some"
    )
    json_type, json_note = (
        ("json", "MariaDB keeps the spelling") if starter.info.mariadb else ("jsonb", "or json, text")
    )
    return [
        "defaults:",
        f"  store: {scalar(starter.stores[0].name)}{where}",
        "  naming: keep  # or lower, snake_case",
        f"  # {dates}; they become -infinity, which fits NOT NULL and can go back.",
        "  zero_dates: infinity  # or null, quarantine",
        "  tinyint1: smallint  # boolean where a column holds 0 and 1 only",
        f"  json: {json_type}  # {json_note}",
        "  enum: text  # with a CHECK on the labels; or enum, a type of its own",
        "  set: array  # text[] with a CHECK; or text",
        "  foreign_keys: true",
        "  nul_characters: quarantine  # PostgreSQL's texts take no NUL character; or strip",
        "",
    ]


def _tables(starter: Starter) -> list[str]:
    databases = starter.source.databases
    lines = [
        "# Every table of the source; {} takes it as it is. Rules: store, table, rename, only, exclude, add, types,",
        "# map, expr, where, key, zero_dates, skip with reason, to (several outputs).",
    ]
    rules: list[str] = []
    for table in sorted(starter.tables.values(), key=lambda table: table.id):
        key = rule_key(table.id, databases)
        reason = starter.skipped.get(table.id) or automatic_skip(table)
        if set(key) & set("*?["):
            # As a rule's key it would be a pattern; without a rule the table is taken as it is.
            rules.append(f"  # {key}: taken as it is")
            continue
        if reason is not None:
            rules.append(f"  {scalar(key)}: {{skip: true, reason: {scalar(reason)}}}")
            continue
        rules += [f"  # {line}" for note in _notes(table, starter) for line in _wrapped(note)]
        body = f"{{table: {scalar(starter.renamed[table.id])}}}" if table.id in starter.renamed else "{}"
        rules.append(f"  {scalar(key)}: {body}  # {_facts(table)}")
    if not any(not rule.lstrip().startswith("#") for rule in rules):
        return [*lines, "tables: {}", *rules, ""]
    return [*lines, "tables:", *rules, ""]


def _facts(table: TableDef) -> str:
    key = f"key {', '.join(table.key)}" if table.key else "no key"
    return f"about {table.rows_estimate} rows, {max(1, table.bytes_estimate >> 10)} KiB, {key}"


def _notes(table: TableDef, starter: Starter) -> list[str]:
    """What a person may want to decide about this table."""
    notes = []
    if not table.key:
        notes.append(
            "No primary key: copied exactly, changes find rows by all their columns; a cutover wants a key first."
        )
    if table.engine.lower() not in _TRANSACTIONAL:
        notes.append(f"Engine {table.engine} has no transactions; better convert it to InnoDB before.")
    zero = [c.name for c in table.columns if c.type in _DATES and (c.default or "").startswith("0000-00-00")]
    if zero:
        notes.append(f"Dates that default to 0000-00-00, then -infinity in the store: {', '.join(zero)}.")
    flags = [c.name for c in table.columns if c.type == "tinyint" and c.length == 1]
    if flags:
        notes.append(
            f"TINYINT(1), kept as smallint: {', '.join(flags)}. For a boolean: types: {{{flags[0]}: boolean}}."
        )
    shapes = [column.name for column in table.columns if column.type in GEOMETRY_TYPES]
    if shapes:
        notes.append(f"Geometry, kept as the source's bytes (SRID and WKB): {', '.join(shapes)}.")
    generated = [column.name for column in table.columns if column.generated]
    if generated:
        notes.append(f"Generated columns: {', '.join(generated)}; see: crossfade config explain {table.id.name}.")
    special = [index.name for index in table.indexes if index.kind in ("fulltext", "spatial")]
    if special:
        notes.append(f"FULLTEXT and SPATIAL indexes have no equal, make your own in the store: {', '.join(special)}.")
    if table.triggers:
        notes.append(f"Triggers stay in the source (what they do arrives): {', '.join(table.triggers)}.")
    if table.partitioned:
        notes.append("Partitioned in the source, a plain table in the store.")
    if table.id in starter.renamed:
        notes.append("Another database has a table of this name too.")
    return notes


def _wrapped(note: str) -> list[str]:
    lines, line = [], ""
    for word in note.split():
        if line and len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def _tail() -> list[str]:
    return [
        "# Tables that are cut over together:",
        "# domains: {orders: {tables: [orders, order_items], stores: [main]}}",
        "",
        "relay: {directory: crossfade-relay}  # the log between reader and stores, on a local disk",
        "report: {directory: crossfade-reports}",
        "# The daemon's dashboard, metrics and routing table, on this host only: http://127.0.0.1:8440/",
        "# http: {}",
        "",
    ]


def scalar(text: str) -> str:
    """A YAML scalar: bare when no reader can take it for something else, else in double quotes (JSON's are YAML's)."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    # What YAML does not take as it is, it takes as \\u or \\U; JSON leaves it bare.
    return _UNPRINTABLE.sub(lambda hit: f"\\U{ord(hit[0]):08x}", quoted)
