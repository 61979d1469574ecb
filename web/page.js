// The dashboard: reads /api/v1, writes nothing unless a token was typed. No text of the data ever becomes markup.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);
const ICON = { good: "✓", bad: "✗", warn: "!" };
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
let sortBy = { column: 0, down: false };
let tables = [];

function el(name, properties = {}, ...children) {
  const found = Object.assign(document.createElement(name), properties);
  found.append(...children.filter((child) => child !== null));
  return found;
}

function svg(name, attributes, ...children) {
  const found = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
  found.append(...children);
  return found;
}

function marked(kind, text) {
  return el("span", { className: kind }, `${ICON[kind]} ${text}`);
}

const number = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));

function lag(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds === 0) return "0";
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : seconds < 100 ? `${seconds.toFixed(1)} s` : age(seconds);
}

function age(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  for (const [limit, unit, each] of [[100, "s", 1], [6000, "min", 60], [172800, "h", 3600]]) {
    if (seconds < limit) return `${(seconds / each).toFixed(seconds / each < 10 ? 1 : 0)} ${unit}`;
  }
  return `${(seconds / 86400).toFixed(1)} d`;
}

const bytes = (count) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  for (; count >= 1024 && index < 4; index++) count /= 1024;
  return `${count.toFixed(index ? 1 : 0)} ${units[index]}`;
};

const plan = (id) => {
  const [source, target] = id.split(">");
  const from = source.split(".").pop();
  const to = target.split(":").pop();
  return to.split(".").pop() === from ? from : `${from} → ${to}`;
};

// -- talking to the daemon

async function ask(path, body) {
  const headers = {};
  const token = $("token").value;
  if (token) headers.Authorization = `Bearer ${token}`;
  const options = body === undefined ? { headers } : { headers, method: "POST", body: JSON.stringify(body) };
  const answer = await fetch(path, options);
  const document_ = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(document_.error || answer.statusText), { steps: document_.next_steps || [] });
  return document_;
}

function tell(text) {
  $("told").textContent = text;
  $("told").hidden = false;
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => ($("told").hidden = true), 6000);
}

async function order(verb, body) {
  try {
    await ask(`/api/v1/${verb}`, body);
    tell(`${verb}: done`);
  } catch (error) {
    tell([error.message, ...(error.steps || [])].join(" → "));
  }
  showStatus();
}

function copyable(command) {
  return el("code", { title: "click to copy", onclick: () => copyText(command) }, command);
}

function copyText(text) {
  navigator.clipboard.writeText(text).then(() => tell(`copied: ${text}`), () => tell(text));
}

// -- state, stores, source, copy

async function showStatus() {
  let status;
  try {
    status = await ask("/api/v1/status");
  } catch (error) {
    $("bar").className = "lost";
    $("state").textContent = "✗ NO ANSWER";
    $("reason").textContent = error.message === "Failed to fetch" ? "the daemon does not answer; what is below is old" : error.message;
    $("next").textContent = "crossfade status";
    return;
  }
  if (!status.state) return;
  const kind = { healthy: "good", degraded: "warn", failed: "bad" }[status.health] || "warn";
  document.title = `${ICON[kind]} ${status.migration}: ${status.state}`;
  $("bar").className = status.health;
  $("name").textContent = status.migration;
  $("state").textContent = `${ICON[kind]} ${status.state.replace("_", " ")} · ${status.health}`;
  $("since").textContent = `since ${age((Date.now() - Date.parse(status.since)) / 1000)}`;
  const reasons = status.reasons.map((reason) => `${reason.subject}: ${reason.message}`);
  $("reason").textContent = reasons.join(" · ");
  $("reason").title = reasons.join("\n");
  $("next").textContent = status.next_steps[0] || "";
  $("fresh").textContent = new Date(status.at).toLocaleTimeString("en-GB");
  showStores(status.stores);
  showSource(status);
}

function showStores(stores) {
  const may = Boolean($("token").value);
  $("stores").tBodies[0].replaceChildren(...stores.map((store, index) => {
    const kind = { running: "good", halted: "bad" }[store.state] || "warn";
    const verb = store.state === "paused" ? "resume" : "pause";
    const body = verb === "pause" ? { stores: [store.name], reason: "from the dashboard" } : { stores: [store.name] };
    const button = may ? el("button", { onclick: () => order(verb, body) }, verb) : "";
    return el("tr", {}, el("td", {}, swatch(index), store.name), el("td", {}, marked(kind, store.state)),
      el("td", { className: "n" }, lag(store.lag_s)), el("td", { className: "n" }, number(store.waiting_transactions)),
      el("td", { className: "n" }, number(Math.round(store.rows_per_s))), el("td", {}, button));
  }));
}

function showSource(status) {
  const source = status.source;
  const facts = source ? [
    ["source", source.connected ? marked("good", "connected") : marked("bad", "not connected")],
    ["last event", source.last_event_age_s === null ? "none yet" : `${lag(source.last_event_age_s)} ago`],
    ["position", el("span", { className: "mono" }, source.position || "–")],
    ["relay", `${bytes(source.relay_bytes)} of ${bytes(source.relay_budget_bytes)}`],
  ] : [];
  $("source").replaceChildren(...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  const copy = status.copy;
  const copying = copy && ["COPYING", "STARTING"].includes(status.state);
  $("copy").hidden = !copying;
  if (!copying) return;
  const eta = copy.eta_low_s === null ? "" : ` · ${age(copy.eta_low_s)} to ${age(copy.eta_high_s)} left`;
  $("copy-text").textContent = `copy ${copy.percent} % · ${number(copy.rows_done)} of ${number(copy.rows_expected)} rows (${copy.basis}) · ${number(Math.round(copy.rows_per_s))} rows/s${eta}`;
  $("copy-done").style.width = `${Math.min(100, copy.percent)}%`;
}

// -- charts

function swatch(index) {
  const line = svg("line", { x1: 0, x2: 24, y1: 4, y2: 4, class: `line s${index % 6}`, "stroke-dasharray": DASHES[index % 4] });
  return svg("svg", { class: "swatch", viewBox: "0 0 24 8", "aria-hidden": "true" }, line);
}

function chart(room, lines, column, shown, label) {
  const [width, height, left, right, top, bottom] = [room.clientWidth || 460, 132, 52, 8, 8, 20];
  const all = lines.flatMap(([, points]) => points);
  const values = all.map((point) => point[column]).filter((value) => value !== null);
  if (!values.length) return el("p", { className: "soft" }, "nothing was measured yet: a sample every 10 s");
  const low = Math.min(...all.map((point) => point[0]));
  const high = Math.max(low + 60, ...all.map((point) => point[0]));
  const steps = ticks(Math.max(...values));
  const peak = steps[steps.length - 1];
  const x = (at) => left + ((at - low) / (high - low)) * (width - left - right);
  const y = (value) => height - bottom - (Math.min(value, peak) / peak) * (height - top - bottom);
  const found = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const step of steps) {
    found.append(svg("line", { class: "gridline", x1: left, x2: width - right, y1: y(step), y2: y(step) }));
    found.append(svg("text", { x: left - 6, y: y(step) + 3.5, "text-anchor": "end" }, shown(step)));
  }
  for (let part = 0; part <= 4; part++) {
    const at = low + ((high - low) * part) / 4;
    const anchor = part === 0 ? "start" : part === 4 ? "end" : "middle";
    const clock = new Date(at * 1000).toLocaleTimeString("en-GB").slice(0, high - low < 480 ? 8 : 5);
    found.append(svg("text", { x: x(at), y: height - 5, "text-anchor": anchor }, clock));
  }
  lines.forEach(([name, points], index) => {
    let path = "";
    let before = null;
    for (const point of points) {
      if (point[column] === null) { before = null; continue; }
      path += `${before === null || point[0] - before > 60 ? "M" : "L"}${x(point[0]).toFixed(1)} ${y(point[column]).toFixed(1)}`;
      before = point[0];
    }
    const line = svg("path", { class: `line s${index % 6}`, d: path, "stroke-dasharray": DASHES[index % 4] });
    line.append(svg("title", {}, name));
    found.append(line);
  });
  return found;
}

function ticks(highest) {
  const rough = Math.max(highest, 1e-3) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((value) => value >= rough * 0.999);
  return Array.from({ length: Math.ceil(highest / step - 1e-9) + 1 || 2 }, (_, index) => index * step);
}

async function showSeries() {
  const series = await ask("/api/v1/series?minutes=60");
  const lines = series.order.map((name) => [name, series.stores[name] || []]);
  $("lag-chart").replaceChildren(chart($("lag-chart"), lines, 2, lag, "highest lag per store"));
  $("rate-chart").replaceChildren(chart($("rate-chart"), lines, 3, (value) => `${number(value)}/s`, "changes per second and store"));
}

// -- tables

const PHASES = { streaming: "good", current: "good", held: "bad", stale: "bad" };
const named = (row) => (row.name ? row.name : plan(row.plan));
// What a store computes by itself has a state in the place of a phase, and nothing of it is ever parked.
const computed = (row) => ({ ...row, phase: row.state, kind: row.plan.split(">")[0], parked: null,
  reason: [row.since && `since ${row.since}`, row.error, row.next && `→ ${row.next}`].filter(Boolean).join(": ") });

const COLUMNS = [
  ["table", named, (row) => el("td", { className: "name", title: row.plan }, named(row),
    row.kind ? el("span", { className: "soft" }, ` ${row.kind}`) : "")],
  ["store", (row) => row.store, (row) => el("td", {}, row.store)],
  ["phase", (row) => row.phase, (row) => el("td", { title: row.reason || "" },
    marked(PHASES[row.phase] || "warn", row.phase))],
  ["parked", (row) => -row.parked, (row) => el("td", { className: row.parked ? "n bad" : "n" }, row.parked ? `✗ ${number(row.parked)}` : number(row.parked))],
  ["findings", (row) => -row.open_findings, (row) => el("td", { className: row.open_findings ? "n bad" : "n" }, row.open_findings ? `✗ ${number(row.open_findings)}` : "0")],
  ["verified", (row) => row.verified || "", (row) => el("td", { title: row.verified_at || "" },
    marked({ pass: "good", fail: "bad" }[row.verified] || "warn", row.verified ? `${row.verified}, ${age((Date.now() - Date.parse(row.verified_at)) / 1000)}` : "never"))],
  ["proven", (row) => (row.proof ? row.proof.percent : -1), (row) => el("td", { className: row.proof && row.proof.complete ? "n" : "n warn", title: row.proof ? row.proof.why : "" },
    row.proof ? `${row.proof.percent} %` : "–")],
  ["oldest", (row) => (row.proof ? -row.proof.oldest_age_s : 0), (row) => el("td", { className: "n" }, row.proof ? age(row.proof.oldest_age_s) : "–")],
  ["chunks in key order", (row) => row.strip.length, (row) => el("td", {}, strip(row.strip))],
];
const NUMBERS = new Set(["parked", "findings", "proven", "oldest"]);

function strip(cells) {
  if (!cells.length) return "–";
  const each = 130 / cells.length;
  const bad = cells.filter((cell) => cell[0] === "differs").length;
  const label = `${cells.filter((cell) => cell[0] === "proven").length} of ${cells.length} parts proven${bad ? `, ${bad} differ` : ""}`;
  const found = svg("svg", { class: "strip", viewBox: "0 0 130 12", role: "img", "aria-label": label });
  cells.forEach(([state, seconds, rows], index) => {
    const kind = state === "proven" && seconds !== null
      ? ["h0", "h1", "h2", "h3"].find((_, step) => seconds < [3600, 21600, 86400, 604800][step]) || "h4"
      : { differs: "bad", undecided: "open" }[state] || "none";
    const rect = svg("rect", { class: kind, x: index * each, width: Math.max(each - 0.4, 0.5), height: 12 });
    rect.append(svg("title", {}, `${state}, ${age(seconds)}, ${number(rows)} rows`));
    found.append(rect);
  });
  return found;
}

function drawTables() {
  $("tables").tHead.rows[0].replaceChildren(...COLUMNS.map(([name], index) => {
    const sorted = sortBy.column === index ? (sortBy.down ? "descending" : "ascending") : "none";
    const head = el("th", { className: NUMBERS.has(name) ? "n" : "", tabIndex: 0 }, name + (sorted === "none" ? "" : sortBy.down ? " ↓" : " ↑"));
    head.setAttribute("aria-sort", sorted);
    const sort = () => { sortBy = { column: index, down: sortBy.column === index && !sortBy.down }; drawTables(); };
    head.onclick = sort;
    head.onkeydown = (event) => { if (event.key === "Enter") sort(); };
    return head;
  }));
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = tables.filter((row) => {
    const text = `${row.plan} ${row.store} ${row.phase} ${row.verified || "never"}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const key = COLUMNS[sortBy.column][1];
  const order_ = (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a.plan < b.plan ? -1 : 1);
  shown.sort(sortBy.down ? (a, b) => order_(b, a) : order_);
  $("tables").tBodies[0].replaceChildren(...shown.map((row) => el("tr", {}, ...COLUMNS.map(([, , cell]) => cell(row)))));
  $("table-count").textContent = shown.length === tables.length ? `${tables.length}` : `${shown.length} of ${tables.length}`;
}

async function showTables() {
  const found = await ask("/api/v1/tables");
  tables = [...found.tables, ...found.computed.map(computed)];
  drawTables();
}

// -- domains, quarantine, events

async function showDomains() {
  const { domains } = await ask("/api/v1/cutover");
  const { routes } = await ask("/v1/routes");
  $("domain-list").replaceChildren(...domains.map((domain) => {
    const route = routes.find((one) => one.domain === domain.domain);
    const gates = (domain.result && domain.result.gates) || [];
    const streams = domain.reverse.map((one) => `${one.store} ${one.mode}, lag ${lag(one.lag_s)}`).join(" · ");
    const readers = route.canary_percent ? ` · ${route.canary_percent} % of the readers: ${route.reads}` : "";
    return el("div", { className: "domain" },
      el("p", {}, el("b", {}, domain.domain), ` ${domain.phase.replace("_", " ")} · writes: `, el("b", {}, domain.side), `${readers} · epoch ${route.epoch}`),
      domain.problem ? el("p", {}, marked("bad", domain.problem)) : null,
      streams ? el("p", { className: "soft" }, `way back: ${streams}`) : null,
      gates.length ? el("ul", { className: "gates" }, ...gates.map((gate) =>
        el("li", { title: `${gate.value} (limit: ${gate.limit})${gate.passed ? "" : ` → ${gate.next}`}` },
          marked(gate.passed ? "good" : "bad", gate.passed ? gate.gate : `${gate.gate}: ${gate.value}`))))
        : el("p", { className: "soft" }, copyable(`crossfade cutover check ${domain.domain}`)));
  }));
  if (!domains.length) $("domain-list").replaceChildren(el("p", { className: "soft" }, "no domain is configured"));
}

async function showParked() {
  const { errors, count } = await ask("/api/v1/errors");
  $("parked-count").textContent = count ? number(count) : "";
  $("parked").replaceChildren(...errors.map((one) => el("li", {},
    marked("bad", `${plan(one.plan)} ${one.key.join(", ")}`), ` ${one.error} `, copyable(`crossfade errors show ${one.id} --store ${one.store}`))));
  if (!errors.length) $("parked").replaceChildren(el("li", {}, marked("good", "nothing waits")));
}

async function showEvents() {
  const { events } = await ask("/api/v1/history?limit=60");
  $("events").replaceChildren(...events.reverse().map((one) => {
    const moment = new Date(one.at);
    const clock = moment.toLocaleString("en-GB", { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
    return el("li", {}, el("time", { dateTime: one.at }, clock), one.kind === "daemon_stopped" ? `the daemon stopped: ${one.message}` : one.message);
  }));
}

// -- the round

function every(seconds, act) {
  const run = async () => {
    if (!document.hidden) await act().catch(() => null);
    setTimeout(run, seconds * 1000);
  };
  run();
}

$("token").value = sessionStorage.getItem("token") || "";
$("token").oninput = () => sessionStorage.setItem("token", $("token").value);
$("who").onsubmit = (event) => { event.preventDefault(); showStatus(); };
$("filter").oninput = drawTables;
$("next").onclick = () => copyText($("next").textContent);
every(2, showStatus);
every(5, showTables);
every(10, showSeries);
every(5, showDomains);
every(5, showEvents);
every(10, showParked);
