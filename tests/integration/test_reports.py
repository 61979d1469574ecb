"""Reports on a real control store: made, chained, compared, scheduled, delivered, expired."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
from pydantic import SecretStr

from config.settings import Mail, ReportFormat, Settings, Webhook
from daemon.reporting import Reporting
from daemon.sampling import SPAN_S, Sampling
from reports.check import check_file
from reports.deliver import deliver
from reports.make import MadeReport, NotWritten, make_report
from stores.control import daemons, reports, samples, verify_runs
from stores.control.migrations import prepare_control, prepare_store
from stores.control.verify_runs import StoredFinding
from stores.postgres import PostgresConnection, connect_store
from tests.support.servers import StoreDatabase

PLAN = "shop.t>main:public.t"
SECRET = "a-secret-in-the-address"


@pytest.fixture
def settings(store_db: StoreDatabase, tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "name": "shop",
            "source": {"engine": "mysql", "user": "u", "databases": ["shop"]},
            "stores": {"main": {"dsn": store_db.dsn}},
            "domains": {"all": {"tables": ["*"]}},
            "report": {"directory": tmp_path / "reports", "signing_key": "k3y", "schedule": "*/10 * * * *"},
        }
    )


@pytest.fixture
def control(settings: Settings) -> Iterator[PostgresConnection]:
    """A store that streams one table, verified and well."""
    with connect_store(settings.control_dsn) as connection:
        prepare_store(connection)
        prepare_control(connection)
        connection.execute(
            "INSERT INTO crossfade.checkpoint (stream, flavour, binlog_file, binlog_offset, seq, applied_transactions) "
            "VALUES ('shop', 'mysql', 'bin.000001', 99, 7, 7)"
        )
        connection.execute(
            "INSERT INTO crossfade.table_state (stream, plan_id, phase) VALUES ('shop', %s, 'streaming')", (PLAN,)
        )
        _verified(connection, "pass")
        yield connection


def _verified(connection: PostgresConnection, outcome: str) -> int:
    verdict = {
        "tables": [{"plan_id": PLAN, "outcome": outcome, "mode": "checksum", "source_rows": 10, "target_rows": 10,
                    "why": "", "transform_hash": "ab"}]
    }  # fmt: skip
    return verify_runs.add_run(connection, "shop", "auto", outcome, datetime.now(UTC), verdict)


def _make(settings: Settings, *forms: ReportFormat) -> MadeReport:
    return make_report(settings, forms or tuple(ReportFormat), actor="ana@h", since_s=3600.0)


def test_a_chain_of_reports_that_tell_what_changed(settings: Settings, control: PostgresConnection) -> None:
    first = _make(settings)
    assert first.entry.outcome == "pass" and first.document["changes"]["since"] is None
    run = _verified(control, "fail")
    finding = StoredFinding(PLAN, {"id": "7"}, "differs", [{"column": "v", "source": "secret-one", "target": "two"}])
    verify_runs.add_findings(control, "shop", run, [finding])
    second = _make(settings)
    assert second.entry.outcome == "fail"
    assert "verdict: pass → fail" in second.document["changes"]["items"]
    assert second.document["findings"]["open"][0]["columns"] == ["v"]
    register = reports.every(control, "shop")
    assert [entry.number for entry in register] == [1, 2] and reports.broken_at(register) is None
    assert register[1].previous == register[0].link
    for made in (first, second):
        for path in made.files.values():
            assert "secret-one" not in path.read_text()
            seal, found = check_file(path, register, settings.report.signing_key)
            assert all(one.holds for one in found), (path, found)
            assert seal.number == made.entry.number
    # The register cannot be mended either.
    control.execute("UPDATE crossfade.report SET outcome = 'pass' WHERE number = 2")
    broken = reports.broken_at(reports.every(control, "shop"))
    assert broken is not None and broken.number == 2


def test_two_at_once_are_two_in_the_chain(settings: Settings, control: PostgresConnection) -> None:
    failed: list[BaseException] = []

    def make() -> None:
        try:
            _make(settings, ReportFormat.JSON)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    register = reports.every(control, "shop")
    assert not failed and len(register) == 4 and reports.broken_at(register) is None


def test_what_cannot_be_written_is_not_registered(
    settings: Settings, control: PostgresConnection, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    report = settings.report.model_copy(update={"directory": tmp_path / "file"})
    with pytest.raises(NotWritten) as caught:
        _make(settings.model_copy(update={"report": report}))
    assert "report.directory" in caught.value.hint
    assert reports.every(control, "shop") == ()


def test_a_store_that_is_away_is_in_the_report(settings: Settings, control: PostgresConnection) -> None:
    stores = {**settings.stores, "gone": settings.stores["main"].model_copy(
        update={"dsn": SecretStr(f"postgresql://u:{SECRET}@127.0.0.1:1/d")})}  # fmt: skip
    made = _make(settings.model_copy(update={"stores": stores}))
    assert made.entry.outcome == "inconclusive"
    assert any("gone" in reason["text"] for reason in made.document["verdict"]["reasons"])
    assert all(SECRET not in path.read_text() for path in made.files.values())


def test_the_schedule_catches_up_once_and_forgets_in_time(settings: Settings, control: PostgresConnection) -> None:
    fence = daemons.register(control, "shop", "h", 1)
    reporting = Reporting(settings, fence)
    now = datetime.now(UTC).replace(minute=1, second=0)  # what is due every ten minutes is not due within seconds
    assert reporting.look(now) is None  # nothing was missed before it began
    later = now + timedelta(hours=5)
    made = reporting.look(later)
    assert made is not None and made.entry.actor.startswith("schedule@")
    assert reporting.look(later + timedelta(seconds=1)) is None
    assert reporting.look(later + timedelta(minutes=11)) is not None
    # Another daemon, after a long rest: one report, whatever was missed.
    again = Reporting(settings, daemons.register(control, "shop", "h", 2))
    assert reporting.look(later + timedelta(days=9)) is None  # displaced
    assert again.look(later + timedelta(days=9)) is not None
    assert again.look(later + timedelta(days=9, seconds=5)) is None
    control.execute("UPDATE crossfade.report SET made_at = made_at - interval '1 year' WHERE number = 1")
    assert again.look(later + timedelta(days=10)) is not None
    assert all(not path.exists() for path in made.files.values())
    assert reports.document_of(control, "shop", 1) is None
    assert reports.document_of(control, "shop", 2) is not None


@pytest.fixture
def web() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that remembers what is posted; /broken answers 500."""
    posted: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            posted.append({"token": self.headers.get("Authorization"), **body})
            self.send_response(500 if "broken" in self.path else 204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            return

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}", posted
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def mailbox() -> Iterator[tuple[int, list[str]]]:
    """A mail server that takes everything."""
    letters: list[str] = []

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    self.wfile.write(b"354 go\r\n")
                    text = b""
                    while (part := self.rfile.readline()) != b".\r\n":
                        text += part
                    letters.append(text.decode())
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                if verb == b"QUIT":
                    return

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], letters
        server.shutdown()


def test_every_way_of_delivery(
    settings: Settings,
    control: PostgresConnection,
    tmp_path: Path,
    web: tuple[str, list[dict[str, Any]]],
    mailbox: tuple[int, list[str]],
) -> None:
    address, posted = web
    port, letters = mailbox
    ways = settings.report.model_copy(
        update={
            "copy_to": tmp_path / "copies",
            "webhook": Webhook(url=SecretStr(f"{address}/hook/{SECRET}"), token=SecretStr("t0ken")),
            "mail": Mail(host="127.0.0.1", port=port, tls="off", sender="us@here", to=("dba@here", "sre@here")),
        }
    )
    made = _make(settings)
    assert deliver(made, ways) == {"copy_to": "", "webhook": "", "mail": ""}
    copies = {path.name: path.read_bytes() for path in (tmp_path / "copies").iterdir()}
    assert copies == {path.name: path.read_bytes() for path in made.files.values()}
    (notice,) = posted
    assert (notice["outcome"], notice["number"], notice["token"]) == ("pass", 1, "Bearer t0ken")
    (letter,) = letters
    assert "Subject: shop: PASS (report 1)" in letter and "To: dba@here, sre@here" in letter
    assert all(path.name in letter for path in made.files.values())


def test_a_way_that_fails_keeps_none_from_being_tried(
    settings: Settings,
    control: PostgresConnection,
    tmp_path: Path,
    web: tuple[str, list[dict[str, Any]]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    address, posted = web
    (tmp_path / "file").write_text("")
    ways = settings.report.model_copy(
        update={
            "copy_to": tmp_path / "file" / "below",
            "webhook": Webhook(url=SecretStr(f"{address}/broken/{SECRET}")),
            "mail": Mail(host="127.0.0.1", port=1, tls="off", sender="us@here", to=("dba@here",)),
        }
    )
    outcome = deliver(_make(settings, ReportFormat.JSON), ways)
    assert "500" in outcome["webhook"] and outcome["copy_to"] and outcome["mail"]
    assert len(posted) == 1
    assert SECRET not in str(outcome) and SECRET not in caplog.text


def test_samples_are_few_and_forgotten(control: PostgresConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("daemon.sampling.time.monotonic", lambda: clock[0])
    sampling = Sampling("shop", keep_days=1.0)
    for second in range(61):
        status = {"stores": [{"name": "main", "lag_s": 0.1 if second % 7 else 3.0, "rows_applied": 50 * second},
                             {"name": "away", "lag_s": None, "rows_applied": 0}]}  # fmt: skip
        sampling.note(status)
        sampling.write(control, status)
        clock[0] += 1.0
    found = samples.since(control, "shop", 3600.0)
    main = [one for one in found if one.store == "main"]
    assert sum(one.rows for one in main) == 3000
    assert {one.lag_s for one in found if one.store == "away"} == {None}
    rows = control.execute("SELECT count(*), max(lag_max_s), min(lag_s) FROM crossfade.sample WHERE store = 'main'")
    assert rows.fetchone() == (60 / SPAN_S, 3.0, 0.1)
    (figures,) = [one for one in samples.figures(control, "shop", 3600.0) if one.store == "main"]
    assert (figures.longest_s, figures.rows) == (3.0, 3000)
    control.execute("UPDATE crossfade.sample SET at = at - interval '2 days'")
    assert samples.prune(control, "shop", 1.0) == 2 * 60 / SPAN_S
