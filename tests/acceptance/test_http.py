"""The daemon over HTTP, as an operator, a scraper and a gateway use it, through a real cutover and back."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.test_cutover import migrated_shop
from tests.support.migration import Migration
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.shop import Shop

TOKEN = "a-very-secret-token"
HTTP = f'http: {{listen: "127.0.0.1:0", token: {TOKEN}}}\n'


@pytest.fixture
def shop(source_db: SourceDatabase, new_store_db: Callable[[], StoreDatabase], tmp_path: Path) -> Iterator[Shop]:
    """A shop that streams, with a daemon that listens."""
    with migrated_shop(source_db, new_store_db, tmp_path, rows=2_000, more=HTTP) as found:
        yield found


@pytest.fixture
def configured(mariadb_db: SourceDatabase, store15: StoreDatabase, tmp_path: Path) -> Iterator[Migration]:
    """A configuration over one small table, with a server."""
    found = Migration(tmp_path)
    mariadb_db.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(20))", "INSERT INTO t VALUES (1, 'one')")
    found.ok("init", "--source", mariadb_db.dsn, "--store", f"main={store15.dsn}")
    with found.config.open("a") as file:
        file.write("\ndomains: {all: {tables: ['*']}}\n" + HTTP)
    yield found
    found.close()


@pytest.fixture
def migration(configured: Migration) -> Migration:
    """That table streams, and the daemon listens."""
    configured.ok("schema", "apply")
    configured.start()
    configured.wait_caught_up()
    return configured


def client_of(migration: Migration) -> httpx.Client:
    """A client of the daemon; where it listens is in the status."""
    status = migration.ok("-o", "json", "status").document()
    return httpx.Client(base_url=f"http://{status['http']}", timeout=300.0)


class Gateway:
    """Follows the routing table by long poll, as a gateway does: each answer's time and content."""

    def __init__(self, base: httpx.URL) -> None:
        self.seen: list[tuple[float, dict[str, Any]]] = []
        self._base = base
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        epoch = 0
        with httpx.Client(base_url=self._base, timeout=60.0) as client:
            while not self._stop.is_set():
                route = client.get("/v1/routes/orders", params={"after_epoch": epoch, "wait": "1s"}).json()
                self.seen.append((time.time(), route))
                epoch = route["epoch"]

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def flip_to(self, side: str) -> tuple[float, dict[str, Any]]:
        """When it first saw this side."""
        return next((at, route) for at, route in self.seen if route["side"] == side)


class Listener:
    """Follows the routing table as server-sent events."""

    def __init__(self, base: httpx.URL) -> None:
        self.routes: list[dict[str, Any]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(base,), daemon=True)
        self._thread.start()

    def _run(self, base: httpx.URL) -> None:
        with (
            httpx.Client(base_url=base, timeout=60.0) as client,
            client.stream("GET", "/v1/routes/orders/events") as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    self.routes.append(json.loads(line[6:]))
                if self._stop.is_set():
                    return

    def close(self) -> None:
        self._stop.set()
        self._thread.join(30)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_gateway_follows_a_domain_there_and_back(shop: Shop) -> None:
    migration = shop.migration
    migration.ok("verify")
    with client_of(shop.migration) as client:
        gateway, listener = Gateway(client.base_url), Listener(client.base_url)
        readers_first(shop, client)
        migration.ok("cutover", "run", "orders", "--confirm", "orders", timeout_s=300)
        after = client.get("/v1/routes/orders").json()
        assert (after["side"], after["reads"], after["canary_percent"], after["phase"]) == (
            "stores", "stores", 0, "live",
        )  # fmt: skip
        refused = migration.run("route", "set", "orders", "--reads", "source")
        assert refused.code == 3, refused
        migration.ok("rollback", "run", "orders", "--confirm", "orders", timeout_s=300)
        there, home = sorted((migration.folder / "reports").glob("cutover-orders-*.json"))
        for proof in (there, home):
            migration.ok("report", "verify", "--offline", str(proof))
        back = client.get("/v1/routes/orders").json()
        assert (back["side"], back["reads"]) == ("source", "source")
        (domain,) = [one for one in client.get("/api/v1/cutover").json()["domains"] if one["domain"] == "orders"]
        assert domain["phase"] == "prepared" and domain["steps"]
        gateway.close()
        client.post("/api/v1/pause", headers={"Authorization": f"Bearer {TOKEN}"})
        client.post("/api/v1/resume", headers={"Authorization": f"Bearer {TOKEN}"})
        listener.close()
    epochs = [route["epoch"] for _, route in gateway.seen]
    assert epochs == sorted(epochs)
    sides = [route["side"] for route in listener.routes]
    assert [side for n, side in enumerate(sides) if n == 0 or side != sides[n - 1]] == ["source", "stores", "source"]
    assert any(route["held"] for route in listener.routes)
    revisions = [route["revision"] for route in listener.routes]
    assert revisions == sorted(set(revisions))
    at, route = gateway.flip_to("stores")
    committed = time.mktime(time.strptime(route["changed_at"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
    print(f"the flip reached the gateway {at - committed - float(route['changed_at'][19:23]):.4f} s after its row")


def readers_first(shop: Shop, client: httpx.Client) -> None:
    """A tenth of the readers, then all, then none."""
    migration = shop.migration
    migration.wait_caught_up()
    migration.ok("route", "set", "orders", "--reads", "stores", "--canary", "10")
    route = client.get("/v1/routes/orders").json()
    assert (route["side"], route["reads"], route["canary_percent"]) == ("source", "stores", 10)
    answers = {client.get("/v1/routes/orders", params={"key": str(n)}).json()["read_from"] for n in range(60)}
    assert answers == {"source", "stores"}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    asked = client.post("/api/v1/route", json={"domain": "orders", "reads": "source"}, headers=headers)
    assert asked.status_code == 200, asked.text
    assert asked.json()["result"]["reads"] == "source"
    shown = migration.ok("route", "show", "orders").out
    assert "writers to the source · readers to the source" in shown


def test_the_daemon_tells_and_takes_orders(migration: Migration) -> None:
    migration.ok("verify")
    with client_of(migration) as client:
        for path in ("/livez", "/readyz", "/healthz", "/healthz?max_lag=1h"):
            assert client.get(path).status_code == 200, path
        status = client.get("/api/v1/status").json()
        assert (status["schema"], status["source"]["connected"]) == ("crossfade.status/1", True)
        (table,) = client.get("/api/v1/tables").json()["tables"]
        assert (table["phase"], table["verified"], table["open_findings"]) == ("streaming", "pass", 0)
        assert [one["plan"] for one in client.get("/api/v1/tables/t").json()["tables"]] == [table["plan"]]
        run = client.get("/api/v1/verify").json()
        assert client.get(f"/api/v1/verify/{run['id']}").json()["verdict"]["tables"]
        assert client.get("/api/v1/history").json()["events"][0]["kind"] == "daemon_started"
        shown = client.get("/api/v1/config").text
        assert TOKEN not in shown and '"listen": "127.0.0.1:0"' in shown
        check_metrics(client.get("/metrics").text)
        check_refusals(client)
        check_reports(migration)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        route = client.post("/api/v1/route", json={"domain": "all", "reads": "stores"}, headers=headers)
        assert route.json()["result"]["canary_percent"] == 100
        paused = client.post("/api/v1/pause", json={"stores": ["main"], "reason": "lunch"}, headers=headers)
        assert paused.json()["result"] == {"paused": ["main"]}
        document = migration.wait(lambda found: any(reason["code"] == "PAUSED" for reason in found["reasons"]))
        assert [reason["message"] for reason in document["reasons"]] == ["paused: lunch"]
        assert client.post("/api/v1/resume", json={}, headers=headers).status_code == 200
        tuned = client.post("/api/v1/tune", json={"change": {"apply.max_rows": 5000}}, headers=headers).json()
        assert [(one["key"], one["value"]) for one in tuned["result"]["settings"]] == [("apply.max_rows", "5000")]
        (report, _) = client.get("/api/v1/reports").json()["reports"]
        assert client.get(f"/api/v1/reports/{report['number']}").json()["verdict"]["outcome"] == "pass"
        assert client.get("/api/v1/errors").json()["count"] == 0
        assert client.get("/api/v1/series").json()["order"] == ["main"]
        # An open long poll does not hold up the end; it hears of it, and that readers are brought back.
        answers: list[dict[str, Any]] = []
        query = {"after_revision": client.get("/v1/routes/all").json()["revision"], "wait": "300s"}
        waiting = threading.Thread(
            target=lambda: answers.append(client.get("/v1/routes/all", params=query).json()), daemon=True
        )
        waiting.start()
        assert migration.terminate() == 0, migration.log_tail()
        waiting.join(30)
    assert [(answer["reads"], answer["reason"]) for answer in answers] == [("source", "the daemon ended")]
    assert TOKEN not in migration.log.read_text()


def test_an_address_that_is_taken_is_refused_before_anything_begins(configured: Migration) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        text = configured.config.read_text()
        configured.config.write_text(text.replace("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"))
        done = configured.run("start")
    assert done.code == 3 and "http.listen" in done.err and "Address already in use" in done.err, done


def check_reports(migration: Migration) -> None:
    """Made in every form; each file is what was made until somebody edits it."""
    made = migration.ok("-o", "json", "report", "make", "--format", "html,json,md,csv,junit").document()
    assert made["outcome"] == "pass" and set(made["files"]) == {"html", "json", "md", "csv", "junit"}
    for form, path in made["files"].items():
        file = Path(path)
        checked = migration.ok("-o", "json", "report", "verify", path).document()
        assert {one["what"]: one["holds"] for one in checked["checks"]} == {
            "content": True, "seal": True, "signature": None, "register": True, "chain": True,
        }, form  # fmt: skip
        file.write_bytes(file.read_bytes().replace(b"pass", b"Pass", 1))
        if form in ("html", "json"):
            done = migration.run("report", "verify", "--offline", path)
            assert done.code == 3 and "it was edited" in done.err, done
    again = migration.run("report", "make", "--format", "json", "--fail-on", "findings,coverage<50,age>0s")
    assert again.code == 7 and "limit: the oldest proof" in again.out, again
    listed = migration.ok("-o", "json", "report", "list").document()["reports"]
    assert [one["number"] for one in listed] == [1, 2]
    shown = migration.ok("-o", "json", "report", "show", "1").document()
    assert (shown["schema"], shown["number"]) == ("crossfade.report/1", 1)
    assert "| t | main | streaming | pass |" in migration.ok("report", "show").out
    assert migration.run("report", "make", "--format", "pdf").code == 2


def check_metrics(text: str) -> None:
    """Prometheus can read it, and it says what is so."""
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {name for name in families if not name.startswith(("crossfade_", "process_"))} == set()

    def value(name: str, **labels: str) -> float:
        found = [sample.value for sample in families[name].samples if labels.items() <= sample.labels.items()]
        assert len(found) == 1, (name, labels, found)
        return found[0]

    assert value("crossfade_up") == value("crossfade_leader") == value("crossfade_source_connected") == 1
    assert value("crossfade_state", state="SYNCING") + value("crossfade_state", state="CATCHING_UP") == 1
    assert value("crossfade_target_lag_seconds", target="main") >= 0
    assert value("crossfade_route_side", domain="all", side="source") == 1
    assert value("crossfade_domain_phase", domain="all", phase="following") == 1
    assert value("crossfade_proven_ratio") == 1 and value("crossfade_ddl_pending") == 0
    assert value("crossfade_verify_runs", mode="auto", result="pass") == 1
    assert abs(value("crossfade_source_last_event_timestamp_seconds") - time.time()) < 60
    assert len(families["crossfade_verify_last_success_timestamp_seconds"].samples) == 1


def check_refusals(client: httpx.Client) -> None:
    """Nothing is changed without the token, and every mistake is told what would be right."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert client.post("/api/v1/pause").status_code == 401
    assert client.post("/api/v1/pause", headers={"Authorization": "Bearer nonsense"}).status_code == 401
    for path, body, status in (
        ("/api/v1/explode", b"{}", 400),
        ("/api/v1/pause", b"not json", 400),
        ("/api/v1/pause", b"[1]", 400),
        ("/api/v1/pause", b'{"store": "orders"}', 400),
        ("/api/v1/pause", b'{"stores": ["moon"]}', 400),
        ("/api/v1/route", b'{"domain": "moon", "reads": "stores"}', 400),
        ("/api/v1/route", b'{"domain": "all", "reads": "moon"}', 400),
        ("/api/v1/pause", b'{"reason": "' + b"x" * 70_000 + b'"}', 400),
    ):
        answer = client.post(path, content=body, headers=headers)
        assert answer.status_code == status, (path, body[:60], answer.text)
        assert answer.json()["next_steps"], (path, body[:60])
    for path in ("/v1/routes/moon", "/v1/routes/moon/events", "/nothing", "/api/v1/verify/999999"):
        assert client.get(path).status_code == 404, path
    for query in ("after_epoch=x", "wait=never&after_epoch=1"):
        assert client.get(f"/v1/routes/all?{query}").status_code == 400, query
