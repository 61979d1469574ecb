"""The loader: what it accepts, and the place and words of every kind of mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import load_settings, redacted
from config.problems import InvalidConfig
from config.settings import Settings, Tls, ZeroDates
from model.errors import ConfigError, ExitCode
from model.position import Flavour

GOOD = """\
version: 1
name: shop
source:
  engine: mysql
  host: db.internal
  port: 3307
  user: crossfade
  password: ${env:SOURCE_PASSWORD}
  databases: [shop, crm]
  tls_ca: ca.pem
stores:
  orders: {dsn: "${file:secrets/orders.dsn}", schema: sales}
  people:
    dsn: ${cred:people}
    schema: staff
defaults: {store: orders, zero_dates: "null", json: text}
relay: {directory: relay, segment_bytes: 0x10000}
tables:
  orders: {rename: {ord_id: order_id}, to: [{store: people}]}
  "log_*": {skip: true, reason: cold}
"""


def load(tmp_path: Path, text: str, **environment: str) -> Settings:
    file = tmp_path / "crossfade.yaml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file, environment=environment)


def problems(tmp_path: Path, text: str, **environment: str) -> list[tuple[int, int, str, str]]:
    with pytest.raises(InvalidConfig) as caught:
        load(tmp_path, text, **environment)
    assert caught.value.exit_code == ExitCode.USAGE
    return [(p.mark.line, p.mark.column, p.message, p.hint) for p in caught.value.problems]


def minimal(source: str = "{engine: mysql, user: u, databases: [d]}", rest: str = "") -> str:
    return f"name: shop\nsource: {source}\nstores: {{a: {{dsn: 'postgresql://u:pw@h/d'}}}}\n{rest}"


@pytest.fixture
def good(tmp_path: Path) -> Settings:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "orders.dsn").write_text("postgresql://o:geheim@h/o\n")
    (tmp_path / "people").write_text("postgresql://p:sekret@h/p")
    return load(tmp_path, GOOD, SOURCE_PASSWORD="s3cr3t: #x", CREDENTIALS_DIRECTORY=str(tmp_path))


def test_every_kind_of_value_is_read(good: Settings, tmp_path: Path) -> None:
    assert good.source.engine is Flavour.MYSQL
    assert good.source.password.get_secret_value() == "s3cr3t: #x"
    assert good.source.databases == ("shop", "crm")
    assert good.stores["orders"].dsn.get_secret_value() == "postgresql://o:geheim@h/o"
    assert good.stores["people"].dsn.get_secret_value() == "postgresql://p:sekret@h/p"
    assert good.stores["people"].schema_ == "staff"
    assert good.defaults.zero_dates is ZeroDates.NULL
    assert good.defaults.json_ == "text"
    assert good.relay.segment_bytes == 65536
    assert good.tables["log_*"].skip
    assert good.control_dsn.get_secret_value() == "postgresql://o:geheim@h/o"


def test_relative_paths_start_at_the_file(good: Settings, tmp_path: Path) -> None:
    assert good.source.tls_ca == tmp_path / "ca.pem"
    assert good.relay.directory == tmp_path / "relay"
    assert good.report.directory == tmp_path / "crossfade-reports"


def test_absolute_paths_stay(tmp_path: Path) -> None:
    assert load(tmp_path, minimal(rest="relay: {directory: /var/relay}")).relay.directory == Path("/var/relay")


def test_no_secret_survives_printing(good: Settings) -> None:
    shown = str(redacted(good)) + repr(good)
    for secret in ("s3cr3t", "geheim", "sekret"):
        assert secret not in shown
    plain = redacted(good)
    assert plain["stores"]["orders"]["dsn"] == "postgresql://o:***@h/o"
    assert plain["source"]["password"] == "***"
    assert plain["relay"]["segment_bytes"] == 65536


def test_redaction_reaches_free_form_parts(tmp_path: Path) -> None:
    text = minimal(
        rest="domains: {o: {tables: [x], route: {api_token: abc, url: 'http://u:pw@h/x', args: {password: q}}}}"
    )
    assert redacted(load(tmp_path, text))["domains"]["o"]["route"] == {
        "api_token": "***",
        "url": "http://u:***@h/x",
        "args": {"password": "***"},
    }


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://root@h/shop", {"engine": "mysql", "host": "h", "port": 3306, "databases": ("shop",)}),
        ("mariadb://u:p%40s%2Fs@h:3310/a,b", {"engine": "mariadb", "port": 3310, "databases": ("a", "b")}),
        ("mysql://u:p@[::1]:3306/d?tls=required&server_id=7", {"host": "::1", "tls": Tls.REQUIRED, "server_id": 7}),
    ],
)
def test_source_as_url(tmp_path: Path, url: str, expected: dict[str, object]) -> None:
    source = load(tmp_path, minimal(f"{{url: '{url}'}}")).source
    assert {name: getattr(source, name) for name in expected} == expected


def test_password_of_url_is_decoded_and_hidden(tmp_path: Path) -> None:
    settings = load(tmp_path, minimal("{url: '${env:URL}'}"), URL="mysql://u:p%40s%2Fs@h/d")
    assert settings.source.password.get_secret_value() == "p@s/s"
    assert "p@s" not in repr(settings)


BAD = [
    ("unknown top-level key", minimal(rest="tabels: {}\n"), (4, 1, "unknown key `tabels`", "Did you mean `tables`?")),
    (
        "unknown nested key",
        minimal(rest="tables:\n  orders:\n    to:\n      - tabel: x\n"),
        (7, 9, "unknown key `tabel` in tables.orders.to[0]", "Did you mean `table`?"),
    ),
    (
        "a word of another tool",
        minimal("{engine: mysql, user: u, databases: [d], hostname: h}"),
        (2, 50, "unknown key `hostname` in source", "Did you mean `host`?"),
    ),
    (
        "unknown key like nothing we know",
        minimal(rest="log: {zzz: 1}\n"),
        (4, 7, "unknown key `zzz` in log", "Known here: format, level"),
    ),
    (
        "wrong word",
        minimal("{engine: mysq, user: u, databases: [d]}"),
        (2, 18, "source.engine: must be one of mysql, mariadb, is 'mysq'", "Did you mean `mysql`?"),
    ),
    (
        "not a number",
        minimal(rest="log: {level: debug}\nretry:\n  attempts: many\n"),
        (6, 13, "retry.attempts: must be a whole number, is 'many'", ""),
    ),
    (
        "out of range",
        minimal(rest="snapshot: {workers: 0}\n"),
        (4, 21, "snapshot.workers: must be greater than or equal to 1, is 0", ""),
    ),
    (
        "a text where a list belongs",
        minimal("{engine: mysql, user: u, databases: d}"),
        (2, 45, "source.databases: must be a list, is 'd'", "Write [d]"),
    ),
    ("a list where keys belong", minimal(rest="relay: [1]\n"), (4, 8, "relay: must hold keys and values", "")),
    ("null where keys belong", minimal(rest="relay:\n"), (4, 1, "relay: must hold keys and values, is empty", "")),
    (
        "missing key",
        minimal("{engine: mysql, user: u}"),
        (2, 1, "source needs the key `databases`", "databases: [shop]"),
    ),
    (
        "wrong name",
        minimal().replace("name: shop", "name: Shop!"),
        (1, 7, "name: must match ^[a-z][a-z0-9_]{0,30}$", ""),
    ),
    (
        "duplicate",
        minimal(rest="log: {level: info}\nlog: {level: error}\n"),
        (5, 1, "duplicate key `log`", "It is already on line 4."),
    ),
    (
        "unset variable",
        minimal("{engine: mysql, user: u, databases: [d], password: '${env:NOPE}'}"),
        (
            2,
            60,
            "source.password: the environment variable NOPE is not set",
            "Set it, or give a default: ${env:NOPE:-…}",
        ),
    ),
    (
        "unknown reference",
        minimal(rest="log: {level: '${var:x}'}\n"),
        (
            4,
            14,
            "log.level: unknown reference `${var:x}`",
            "Use ${env:NAME}, ${env:NAME:-default}, ${file:path} or ${cred:name}; $${ is a literal ${.",
        ),
    ),
    (
        "reference without an end",
        minimal(rest="log: {level: '${env:x'}\n"),
        (4, 14, "log.level: a reference `${` has no closing `}`", "Write $${ for a literal ${."),
    ),
    (
        "credential without a folder",
        minimal(rest="report: {directory: '${cred:t}'}\n"),
        (
            4,
            21,
            "report.directory: the credential t cannot be read: CREDENTIALS_DIRECTORY is not set",
            "systemd sets it for a unit with LoadCredential=t:/path/to/file",
        ),
    ),
    (
        "unknown store of a table",
        minimal(rest="tables:\n  x: {store: aa}\n"),
        (5, 14, "tables.x.store: no store is called `aa`", "Did you mean `a`?"),
    ),
    (
        "unknown store of a domain",
        minimal(rest="domains: {o: {tables: [x], stores: [a, zz]}}\n"),
        (4, 40, "domains.o.stores[1]: no store is called `zz`", "Defined: a"),
    ),
    (
        "lag of no replica",
        minimal(rest="snapshot: {max_replica_lag_s: 5}\n"),
        (
            4,
            31,
            "snapshot.max_replica_lag_s: no replica is named whose lag could be asked for",
            'Name them: source.replicas: ["HOST:PORT"]',
        ),
    ),
    (
        "URL of another scheme",
        minimal("{url: 'postgres://u:topsecret@h/d'}"),
        (
            2,
            15,
            "source.url: the URL must begin with mysql:// or mariadb://",
            "mysql://USER:PASSWORD@HOST:PORT/DATABASE",
        ),
    ),
    (
        "URL and field",
        minimal("{url: 'mysql://u:p@h/d', host: other}"),
        (2, 34, "`host` is given twice: here and in source.url", "Keep one of the two."),
    ),
    (
        "second document",
        minimal() + "---\nname: x\n",
        (5, 1, "a second YAML document", "One file holds one migration."),
    ),
    ("unknown tag", minimal(rest="log: {level: !x info}\n"), (4, 14, "unknown YAML tag !x", "")),
]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_mistake_is_reported_at_its_place(tmp_path: Path, text: str, expected: tuple[int, int, str, str]) -> None:
    assert problems(tmp_path, text) == [expected]


def test_all_mistakes_of_a_file_come_at_once(tmp_path: Path) -> None:
    text = minimal(
        "{engine: mysq, user: u, databases: [d], password: '${env:NOPE}'}",
        "log: {level: info}\nlog: {level: info}\nretry: {attempts: x}\ntables: {t: {skp: true}}\n",
    )
    assert [(line, column) for line, column, *_ in problems(tmp_path, text)] == [
        (2, 18),
        (2, 59),
        (5, 1),
        (6, 19),
        (7, 14),
    ]
    with pytest.raises(InvalidConfig, match="5 errors in"):
        load(tmp_path, text)


def test_syntax_error_has_its_place_and_a_hint_on_references(tmp_path: Path) -> None:
    found = problems(tmp_path, "name: shop\nsource: {password: ${env:X}}\n")
    assert len(found) == 1
    line, _, message, hint = found[0]
    assert line == 2
    assert message.startswith("not YAML: ")
    assert hint == "Quote texts that hold ${…} inside { }."


def test_empty_file(tmp_path: Path) -> None:
    assert problems(tmp_path, "# nothing\n") == [
        (1, 1, "the file must hold keys and values", "Start from: crossfade init")
    ]


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file") as caught:
        load_settings(tmp_path / "absent.yaml")
    assert "crossfade init" in caught.value.hint


def test_file_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "crossfade.yaml"
    file.write_bytes(b"name: shop\n# \xff\n")
    with pytest.raises(InvalidConfig) as caught:
        load_settings(file)
    assert [(p.mark.line, p.message) for p in caught.value.problems] == [(2, "the file is not UTF-8")]


@pytest.mark.parametrize(
    ("source", "rest"),
    [
        ("{url: 'mysql://u:topsecret@h:bad/d'}", ""),
        ("{url: 'mysql://u:topsecret@h/d?x=1'}", ""),
        ("{engine: mysql, user: u, databases: [d], password: [topsecret]}", ""),
        ("{engine: mysql, user: u, databases: [d]}", "http: {token: {x: topsecret}}"),
        ("{engine: mysql, user: u, databases: [d], port: '${env:TOP}'}", ""),
        ("{engine: mysql, user: u, databases: [d]}", "control: {dsn: topsecret}"),
    ],
)
def test_errors_hold_no_secret(tmp_path: Path, source: str, rest: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, minimal(source, rest), TOP="topsecret")
    assert "topsecret" not in f"{caught.value} {caught.value.hint} {caught.value.where}"


def test_yaml_is_version_1_2(tmp_path: Path) -> None:
    """`no`, `on` and dates are texts; octal is 0o17."""
    text = minimal(
        rest="tables: {no: {reason: on}, 2024-01-01: {add: {x: {value: 2024-01-02}}}}\nretry: {attempts: 0o17}\n"
    )
    settings = load(tmp_path, text)
    assert settings.tables["no"].reason == "on"
    assert settings.tables["2024-01-01"].add["x"].value == "2024-01-02"
    assert settings.retry.attempts == 15


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    text = minimal(rest="tables:\n  a: &base {skip: true, reason: x}\n  b: {<<: *base, reason: y}\n  c: *base\n")
    tables = load(tmp_path, text).tables
    assert (tables["b"].skip, tables["b"].reason, tables["c"].reason) == (True, "y", "x")


def test_alias_that_holds_itself_is_refused(tmp_path: Path) -> None:
    found = problems(tmp_path, minimal(rest="tables: &t\n  a: *t\n"))
    assert any(message == "an alias that holds itself" for _, _, message, _ in found)


def test_null_is_the_name_of_a_policy(tmp_path: Path) -> None:
    text = minimal(rest="defaults: {zero_dates: null}\ntables:\n  a: {zero_dates: null}\n  b: {}\n")
    settings = load(tmp_path, text)
    assert settings.defaults.zero_dates is ZeroDates.NULL
    assert settings.tables["a"].zero_dates is ZeroDates.NULL
    assert settings.tables["b"].zero_dates is None


@pytest.mark.parametrize(
    ("listen", "address", "loopback"),
    [
        ("127.0.0.1:8440", ("127.0.0.1", 8440), True),
        ("127.9.9.9:1", ("127.9.9.9", 1), True),
        ("localhost:0", ("localhost", 0), True),
        ("[::1]:8440", ("::1", 8440), True),
        ("0.0.0.0:80", ("0.0.0.0", 80), False),
        ("[::]:80", ("::", 80), False),
        ("127.evil.example:80", ("127.evil.example", 80), False),
    ],
)
def test_where_the_daemon_listens(tmp_path: Path, listen: str, address: tuple[str, int], loopback: bool) -> None:
    text = minimal(rest=f"http: {{listen: '{listen}', token: topsecret}}")
    http = load(tmp_path, text).http
    assert http is not None
    assert (http.address, http.loopback) == (address, loopback)
    assert "topsecret" not in str(redacted(load(tmp_path, text)))
    if not loopback:
        ((line, _, message, _),) = problems(tmp_path, minimal(rest=f"http: {{listen: '{listen}'}}"))
        assert line == 4 and "needs a `token`" in message


def test_no_server_unless_asked_for(tmp_path: Path) -> None:
    assert load(tmp_path, minimal()).http is None
    http = load(tmp_path, minimal(rest="http: {}")).http
    assert http is not None and http.address == ("127.0.0.1", 8440)


@pytest.mark.parametrize("listen", ["8440", "127.0.0.1", "127.0.0.1:", ":8440", "::1:8440", "h:99999", "a b:1", "h:-1"])
def test_an_address_that_is_none(tmp_path: Path, listen: str) -> None:
    ((_, _, message, _),) = problems(tmp_path, minimal(rest=f"http: {{listen: '{listen}'}}"))
    assert message == "http.listen: not HOST:PORT"
