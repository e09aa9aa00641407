// A development tool: speaks the live page's protocol with invented data, so that the page can be worked on without a
// running Forecourt. Not shipped, and no proof of anything about the server.
//
//   node dev/feed.mjs [--port 8080] [--rate 30] [--contracts 200] [--sites 40] [--speed 60] [--empty] [--dist dist]
//
// With --dist it serves the built page under the server's content security policy. POST /dev/cut ends all sockets,
// POST /dev/mute stops talking, POST /dev/away refuses connections for 8 s.
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { parseArgs } from "node:util";
import { WebSocketServer } from "ws";
import { invented, levels, siteAnswer } from "./tanks.mjs";

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "8080" },
    rate: { type: "string", default: "30" },
    contracts: { type: "string", default: "200" },
    sites: { type: "string", default: "40" },
    speed: { type: "string", default: "60" },
    dist: { type: "string" },
    empty: { type: "boolean", default: false },
  },
});
const rate = Number(options.rate);
const speed = Number(options.speed);
const empty = options.empty;

let seed = 20260114;
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};
const between = (low, high) => Math.floor(low + random() * (high - low));
const pick = (list) => list[between(0, list.length)];

const startedMs = Date.now();
const networkUs = () => (startedMs + (Date.now() - startedMs) * speed) * 1000;
const nowUs = () => Date.now() * 1000;

const PRODUCTS = [
  { code: "053", price: 6945 },
  { code: "AI-92", price: 5610 },
  { code: "AI-95", price: 6120 },
  { code: "AI-98", price: 7890 },
  { code: "ADBLUE", price: 5200 },
  { code: "LPG", price: 3890 },
];
const WORDS = ["Altay", "Steppe", "Irtysh", "Northern", "Silk Road", "Caspian", "Ural", "Green Valley", "Tien Shan", "Granite"];
const TRADES = ["Logistics", "Haulage", "Dairy", "Construction", "Taxi", "Municipal Services", "Farming Cooperative", "Express"];

// Every entry carries the version at which it last changed; a token is a version.
let version = 1;
const contracts = new Map();
const details = new Map();
const tanks = new Map();
const decisions = [];
const touch = (entry) => Object.assign(entry, { version: ++version });

const endOfDay = () => (Math.floor(networkUs() / 86_400e6) + 1) * 86_400e6;
const cap = (card, kind, limit, unit) => ({ limit: `${card}:daily-${kind}`, scope: { card }, measure: kind, span: { calendar: { unit: "day", count: 1 } }, window: "day 2026-01-14 Asia/Almaty", ends_at_us: endOfDay(), limit_value: limit * unit, used: 0, held: 0, left: limit * unit });
const wide = (limit, scope, measure, span, value, part, more = {}) => {
  const [used, held] = [Math.round(value * part), measure === "count" ? 1 : Math.round(value * 0.06)];
  return { limit, scope, measure, span, window: "since Monday", ends_at_us: span.calendar ? endOfDay() + 86_400e6 * 3 : undefined, limit_value: value, used, held, left: value - used - held, alert_left: Math.round(value / 10), ...more };
};
const PEOPLE = ["Aigul Akhmetova", "Bolat Kim", "Olga Petrova", "Timur Nurlanov"];
/** Texts in three languages. */
const three = (en, ru, kk) => ({ en, ru, kk });
const holdsOf = (detail) => detail.holds.sort((a, b) => a.at_us - b.at_us);
for (let index = 0; !empty && index < Number(options.contracts); index += 1) {
  const id = `C-${String(index + 1).padStart(4, "0")}`;
  const cards = index % 17 === 0 ? between(200, 900) : between(1, 60);
  const currency = index % 5 === 0 ? "RUB" : "KZT";
  const own = between(-200_000, 90_000_000);
  const credit = random() < 0.4 ? between(0, 30) * 1_000_000 : 0;
  const line = { contract: id, name: `${pick(WORDS)} ${pick(TRADES)} ${index + 1}`, currency, own: Math.max(own, -credit), credit, held: 0, unbilled: between(0, 3_000_000), cards, blocked_cards: 0, approved_today: 0, declined_today: 0, last_at_us: 0 };
  if (index % 41 === 3) Object.assign(line, { own: -credit });
  if (index % 29 === 5) Object.assign(line, { own: between(100_000, 900_000), credit: 12_000_000, held: 11_000_000 });
  if (index % 23 === 7) Object.assign(line, { credit: 40_000_000, own: -between(27_000_000, 39_000_000), unbilled: 400_000 });
  if (index === 4) line.blocked = { actor: "issuer_credit", reason: "invoice 1204 is overdue" };
  line.available = line.own + line.credit - line.held - line.unbilled;
  const list = Array.from({ length: Math.min(cards, 220) }, (_, number) => ({
    card: `tok-${id}-${number}`, pan_masked: `7005********${String(between(1000, 9999))}`, vehicle: `${between(100, 999)}ABC${between(1, 17)}`, group: number % 3 ? "trucks" : "cars", driver: `D-${number}`,
    state: random() < 0.04 ? pick(["blocked", "pin_locked", "lost"]) : "active", headroom: [cap(`tok-${id}-${number}`, "volume", between(1, 5) * 100, 1000), cap(`tok-${id}-${number}`, "money", between(2, 9) * 10_000, 100)],
  }));
  const limits = [
    wide("L-month", "contract", "money", { calendar: { unit: "month", count: 1 } }, 250_000_000, random()),
    wide("L-trucks-week", { group: "trucks" }, "volume", { calendar: { unit: "week", count: 1 } }, 9_000_000, random() * 0.9, { product: { group: "DIESEL" } }),
    wide("L-vehicle-0", { vehicle: list[0]?.vehicle ?? "A" }, "volume", { calendar: { unit: "week", count: 1 } }, 400_000, 0.97),
    wide("L-driver-0", { driver: pick(PEOPLE) }, "count", { calendar: { unit: "day", count: 1 } }, 4, 0.5, { mode: "flag", alert_left: undefined }),
    wide("L-half-day", "contract", "money", { rolling: { secs: 43_200 } }, 30_000_000, 0.4, { mode: "flag", window: "last 12 h" }),
    { limit: "L-new", scope: { group: "cars" }, measure: "count", span: { calendar: { unit: "day", count: 1 } }, limit_value: 12, left: 12 },
  ];
  const day = (back) => new Date(networkUs() / 1000 - back * 86_400_000).toISOString().slice(0, 10);
  const top_ups = [
    { at_us: networkUs() - 3_600e6, reference: "PO-88213", amount_minor: 35_000_000, payer: line.name, state: "credited" },
    { at_us: networkUs() - 86_400e6, reference: "PO-88102", amount_minor: 12_500_000, payer: line.name, state: "register_matched", register_day: day(1), register_minor: 12_500_000 },
    { at_us: networkUs() - 2 * 86_400e6, reference: "PO-87990", amount_minor: 20_000_000, payer: line.name, state: "amount_differs", register_day: day(2), register_minor: 19_600_000 },
    { at_us: networkUs() - 3 * 86_400e6, reference: "PO-87654", amount_minor: 8_000_000, payer: line.name, state: "register_missing" },
    { at_us: networkUs() - 3 * 86_400e6, reference: "0000417", payer: "Unknown LLP", register_day: day(3), register_minor: 4_100_000 },
  ];
  line.blocked_cards = list.filter((card) => card.state !== "active").length;
  contracts.set(id, touch({ line }));
  details.set(id, touch({ cards: list, decisions: [], limits, holds: [], top_ups, legal_entity: `${line.name} LLP`, holding: index % 9 === 0 ? "Great Steppe Holding" : undefined }));
}
for (let site = 1; !empty && site <= Number(options.sites); site += 1) {
  const name = `ST-${String(site).padStart(3, "0")}`;
  for (let tank = 1; tank <= between(3, 7); tank += 1) {
    const capacity = pick([10, 15, 20, 25, 40]) * 1_000_000;
    const volume = random() < 0.06 ? between(0, capacity * 0.12) : between(capacity * 0.2, capacity * 0.95);
    const line = { site: name, tank: String(tank), product: PRODUCTS[(tank - 1) % PRODUCTS.length].code, measured_at_us: nowUs(), received_at_us: nowUs(), volume_ml: volume, capacity_ml: capacity, height_mm: Math.round((volume / capacity) * 2400), water_mm: random() < 0.12 ? between(8, 60) : 0, temperature_dc: between(-40, 190), trend_ml_h: -between(0, 900_000), stale: false };
    if (random() < 0.025) Object.assign(line, { stale: true, measured_at_us: networkUs() - between(1, 9) * 3_600_000_000 });
    tanks.set(`${name}/${tank}`, touch(invented({ line }, { site, tank, random, nowUs: networkUs() })));
  }
}

const totals = { decisions: 0, approved: 0, partial: 0, declined: 0, reprompted: 0, readings: 0, replayed: 0, rejected: 0 };
const history = [];
let soldMl = 0;
let offset = 0;
let last = { decisions: 0, readings: 0 };
let rates = { events_per_s: 0, decisions_per_s: 0, readings_per_s: 0 };
let recent = [];

function decide() {
  const contract = pick([...contracts.values()]);
  const line = contract.line;
  const detail = details.get(line.contract);
  const card = detail.cards[Math.floor(random() ** 2 * detail.cards.length)];
  const fuel = pick(PRODUCTS);
  let qty = between(8, 140) * 1000 + between(0, 100) * 10;
  let amount = Math.round((qty * fuel.price) / 1000);
  const limit = card.headroom[0];
  const approved = three("Approved", "Одобрено", "Мақұлданды");
  let [verdict, code, manager, cashier, binding, risk] = ["approve", "APPROVED", approved, approved, undefined, []];
  const decline = (why, ...text) => ([verdict, code, manager, cashier] = ["decline", why, three(...text), three("Declined. Call your fleet office", "Отказ. Позвоните в свой автопарк", "Қабылданбады. Автопаркке хабарласыңыз")]);
  if (card.state !== "active") decline("CARD_BLOCKED", "Card is blocked by the fleet: the driver cannot find it.", "Карта заблокирована клиентом: водитель не может её найти.", "Картаны клиент бұғаттаған: жүргізуші оны таба алмай отыр.");
  else if (random() < 0.015) [verdict, code, manager, cashier] = ["reprompt", "PROMPT_MISSING", three("The odometer was not entered.", "Не введён одометр.", "Одометр енгізілмеген."), three("Enter: odometer", "Введите: одометр", "Енгізіңіз: одометр")];
  else if (random() < 0.01) {
    risk = [{ rule: "impossible_travel", mode: "decline", measured: { travel: { km: 612, minutes: 9, kmh: 4080, kmh_most: 140 } } }];
    decline("FRAUD_TRAVEL", "612 km from the last purchase 9 min ago: this needs a look.", "612 км от прошлой покупки 9 мин назад: стоит проверить.", "9 мин бұрынғы сатып алудан 612 км: тексеру керек.");
  } else if (line.available < amount) {
    binding = { limit: "balance", scope: "contract", measure: "money", span: "lifetime", window: "now", limit_value: line.own + line.credit, used: line.unbilled, held: line.held, left: line.available };
    const [left, asked] = [(line.available / 100).toFixed(2), (amount / 100).toFixed(2)];
    decline("FUNDS", `${left} ${line.currency} is available, ${asked} was asked.`, `Доступно ${left} ${line.currency}, запрошено ${asked}.`, `Қолжетімді ${left} ${line.currency}, сұралғаны ${asked}.`);
  } else if (limit.left <= 0) {
    binding = limit;
    const most = limit.limit_value / 1000;
    decline("LIMIT_PERIOD", `Today's limit of ${most} L is used up.`, `Дневной лимит ${most} л исчерпан.`, `Күндік ${most} л лимит таусылды.`);
  } else if (limit.left < qty) {
    [verdict, code, manager, cashier, binding] = ["partial", "APPROVED", three(`Cut to what is left of ${limit.limit_value / 1000} L today.`, `Урезано до остатка дневного лимита ${limit.limit_value / 1000} л.`, `Күндік ${limit.limit_value / 1000} л лимитінің қалдығына дейін қысқартылды.`), three(`Approved for ${Math.floor(limit.left / 1000)} L`, `Одобрено на ${Math.floor(limit.left / 1000)} л`, `${Math.floor(limit.left / 1000)} л мақұлданды`), { ...limit }];
    qty = limit.left;
    amount = Math.round((qty * fuel.price) / 1000);
  } else if (random() < 0.02) {
    risk = [{ rule: "velocity", mode: "flag", measured: { velocity: { purchases: 5, minutes: 10, unusual_from: 4 } } }];
    [code, manager] = ["APPROVED_FLAGGED", three("Approved: 5 purchases in 10 min need a look.", "Одобрено: 5 покупок за 10 мин, стоит проверить.", "Мақұлданды: 10 минутта 5 сатып алу, тексеру керек.")];
  }
  totals.decisions += 1;
  totals[{ approve: "approved", partial: "partial", decline: "declined", reprompt: "reprompted" }[verdict]] += 1;
  if (verdict === "decline") line.declined_today += 1;
  else if (verdict !== "reprompt") {
    line.approved_today += 1;
    line.unbilled += amount;
    if (random() < 0.3) {
      detail.holds.push({ auth_code: `${offset % 4}-${offset}`, at_us: networkUs(), expires_at_us: networkUs() + 1_800e6, card: card.card, pan_masked: card.pan_masked, vehicle: card.vehicle, site: "ST-001", terminal: "ST-001-T1", pump: 3, product: fuel.code, qty_ml: qty, amount_minor: amount });
      line.held += amount;
    }
    for (const hold of detail.holds.filter((each) => random() < 0.2 || networkUs() > each.expires_at_us + 120e6)) {
      detail.holds.splice(detail.holds.indexOf(hold), 1);
      line.held -= hold.amount_minor;
    }
    line.available = line.own + line.credit - line.held - line.unbilled;
    soldMl += qty;
    for (const each of card.headroom) {
      each.used += each.measure === "volume" ? qty : amount;
      each.left = each.limit_value - each.used - each.held;
    }
  }
  const latency = Math.round(900 + random() ** 6 * 22_000);
  recent.push(latency);
  const at = networkUs();
  Object.assign(line, { last_at_us: at });
  Object.assign(card, { last_at_us: at });
  const site = `ST-${String(between(1, Number(options.sites) + 1)).padStart(3, "0")}`;
  const decision = { id: `${offset % 4}-${offset}`, idem: `idem-${offset}`, at_us: at, seen_us: nowUs(), site, terminal: `${site}-T1`, pump: between(1, 9), contract: line.contract, contract_name: line.name, card: card.card, pan_masked: card.pan_masked, vehicle: card.vehicle, driver: card.driver, auth_code: `${offset % 4}-${offset}`, pieces: random() < 0.05 ? 2 : undefined, kind: "sale", verdict, code, manager, cashier, product: fuel.code, qty_ml: qty, amount_minor: amount, currency: line.currency, latency_us: latency, risk, replayed: false };
  if (binding) decision.binding = { ...binding };
  offset += 1;
  detail.cards = [card, ...detail.cards.filter((each) => each !== card)];
  detail.decisions = [decision, ...detail.decisions].slice(0, 20);
  touch(detail);
  touch(contract);
  decisions.unshift(touch({ line: decision }));
  decisions.length = Math.min(decisions.length, 100);
}

function read(entry) {
  const line = entry.line;
  if (line.stale || line.silence || line.volume_ml === undefined) return;
  const delivering = line.trend_ml_h > 0;
  if (!delivering && line.volume_ml < line.capacity_ml * 0.1 && random() < 0.02) line.trend_ml_h = 24_000_000;
  if (delivering && line.volume_ml > line.capacity_ml * 0.9) line.trend_ml_h = -between(50_000, 900_000);
  line.volume_ml = Math.max(0, Math.round(line.volume_ml + (line.trend_ml_h * speed) / 1800));
  Object.assign(line, { delivering: delivering || undefined, height_mm: Math.round((line.volume_ml / line.capacity_ml) * 2400), measured_at_us: networkUs(), received_at_us: nowUs() });
  totals.readings += 1;
  touch(entry);
}

const allHolds = () =>
  [...details].flatMap(([contract, detail]) => detail.holds.map((hold) => ({ ...hold, contract, contract_name: contracts.get(contract).line.name, currency: contracts.get(contract).line.currency }))).sort((a, b) => a.at_us - b.at_us);

function network(points) {
  const sorted = [...recent].sort((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  return {
    now_us: nowUs(), ...rates, sales_ml_today: soldMl, latency_us: { p50: at(0.5), p99: at(0.99), samples: sorted.length }, totals, holds: { open: allHolds().length, ml: allHolds().reduce((sum, hold) => sum + hold.qty_ml, 0), oldest_at_us: allHolds()[0]?.at_us }, history: points,
    parts: [
      { name: "Kafka", ok: true, detail: "4 partitions, caught up" },
      { name: "MQTT", ok: true, detail: "connected" },
      { name: "Ledger", ok: true, detail: "4 of 4 partitions owned" },
      { name: "Stations", ok: true, detail: "watermark 1 s behind" },
      { name: "ClickHouse", ok: totals.decisions % 9000 < 7000, detail: totals.decisions % 9000 < 7000 ? "0 rows waiting" : "away, 1 204 rows waiting" },
    ],
  };
}

const detailOf = (id) => {
  const detail = details.get(id) ?? { cards: [], decisions: [], limits: [], holds: [], top_ups: [] };
  const { limits, top_ups, legal_entity, holding } = detail;
  return { contract: id, legal_entity, holding, time_zone: "Asia/Almaty", limits, more_limits: 0, holds: holdsOf(detail).slice(0, 100), more_holds: 0, top_ups, cards: detail.cards.slice(0, 200), more_cards: Math.max(0, (contracts.get(id)?.line.cards ?? 0) - 200), decisions: detail.decisions };
};
const since = (entries, token) => [...entries].filter((entry) => entry.version > token).map((entry) => entry.line);

class Client {
  constructor(socket, resume) {
    Object.assign(this, { socket, seq: between(0, 1000), token: resume ?? 0, historyUs: 0, watched: new Map() });
    if (resume === undefined) {
      this.say({ type: "snapshot", state: { network: network(history), ...this.lists(0) } });
      this.historyUs = history.at(-1)?.t_us ?? 0;
    } else this.update();
    socket.on("message", (data) => {
      const { subscribe, unsubscribe } = JSON.parse(String(data));
      if (subscribe) this.watched.set(subscribe.contract, 0);
      if (unsubscribe) this.watched.delete(unsubscribe.contract);
    });
  }
  lists(token) {
    return { decisions: since(decisions, token), contracts: since(contracts.values(), token), tanks: since(tanks.values(), token) };
  }
  say(message) {
    this.token = version;
    this.socket.send(JSON.stringify({ ...message, seq: this.seq, token: String(version) }));
    this.seq += 1;
  }
  update() {
    const changes = Object.fromEntries(Object.entries(this.lists(this.token)).filter(([, list]) => list.length > 0));
    const contract_details = [...this.watched].filter(([id, seen]) => (details.get(id)?.version ?? 1) > seen).map(([id]) => {
      this.watched.set(id, details.get(id)?.version ?? 1);
      return detailOf(id);
    });
    if (contract_details.length > 0) changes.contract_details = contract_details;
    const points = history.filter((point) => point.t_us > this.historyUs);
    this.historyUs = history.at(-1)?.t_us ?? this.historyUs;
    this.say({ type: "delta", changes: { ...changes, network: network(points) } });
  }
}

const clients = new Set();
let mute = false;
let awayUntilMs = 0;
const CSP = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const dev = {
  "/dev/cut": () => clients.forEach((client) => client.socket.terminate()),
  "/dev/mute": () => (mute = !mute),
  "/dev/away": () => {
    awayUntilMs = Date.now() + 8_000;
    clients.forEach((client) => client.socket.terminate());
  },
};
const http = createServer((request, response) => {
  const path = new URL(request.url, "http://host").pathname;
  if (request.method === "POST" && dev[path]) {
    dev[path]();
    response.end("done\n");
    return;
  }
  const decided = /^\/api\/v1\/decisions\/(.+)$/.exec(path);
  if (decided) {
    const detail = [...details.values()].find((each) => each.decisions.some((line) => line.idem === decodeURIComponent(decided[1])));
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ source: "memory", decision: { headroom: detail?.cards[0]?.headroom ?? [] } }));
    return;
  }
  if (path === "/api/v1/holds") {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ open: allHolds().length, holds: allHolds().slice(0, 100) }));
    return;
  }
  const asked = new URL(request.url, "http://host").searchParams;
  const site = /^\/api\/v1\/sites\/(.+)$/.exec(path)?.[1];
  const answer = site ? siteAnswer(site, [...tanks.values()].filter((entry) => entry.line.site === site)) : path === "/api/v1/history/tank" ? levels(tanks.get(`${asked.get("site")}/${asked.get("tank")}`), Number(asked.get("from")), Number(asked.get("to"))) : undefined;
  if (answer) {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
    return;
  }
  const forecast = /^\/api\/v1\/contracts\/(.+)\/forecast$/.exec(path);
  if (forecast) {
    const iso = (us) => new Date(us / 1000 + 5 * 3_600_000).toISOString().slice(0, 19);
    const days = forecast[1].endsWith("8") ? 2 : forecast[1].endsWith("1") ? 0.4 : 12;
    const [now, blocks] = [networkUs(), networkUs() + days * 86_400e6];
    const line = { outlook: "runs_out", now_us: now, time_zone: "Asia/Almaty", available: 1, per_day_minor: 2_345_600, blocks_at_us: blocks, blocks_at_local: iso(blocks) };
    if (days > 1) Object.assign(line, { pay_by_us: blocks - 40_000e6, pay_by_local: iso(blocks - 40_000e6) });
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(line));
    return;
  }
  const file = options.dist && join(options.dist, normalize(path === "/" ? "/index.html" : path));
  if (!file || !existsSync(file)) {
    response.writeHead(404, { "content-type": "application/json" }).end('{"error":"not here"}');
    return;
  }
  response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "content-security-policy": CSP, "x-content-type-options": "nosniff" });
  createReadStream(file).pipe(response);
});
const sockets = new WebSocketServer({ noServer: true });
http.on("upgrade", (request, socket, head) => {
  if (Date.now() < awayUntilMs) {
    socket.destroy();
    return;
  }
  const resume = new URL(request.url, "http://host").searchParams.get("resume");
  sockets.handleUpgrade(request, socket, head, (ws) => {
    const client = new Client(ws, resume === null ? undefined : Number(resume));
    clients.add(client);
    ws.on("close", () => clients.delete(client));
  });
});

let owed = 0;
setInterval(() => {
  if (!empty) {
    owed += rate / 10;
    for (; owed >= 1; owed -= 1) decide();
    const all = [...tanks.values()];
    for (let count = 0; count < all.length / 20; count += 1) read(pick(all));
  }
  if (!mute) clients.forEach((client) => client.update());
}, 100);
setInterval(() => {
  rates = { decisions_per_s: totals.decisions - last.decisions, readings_per_s: totals.readings - last.readings, events_per_s: totals.decisions + totals.readings - last.decisions - last.readings };
  last = { decisions: totals.decisions, readings: totals.readings };
  recent = recent.slice(-rate * 10);
  const { latency_us } = network([]);
  history.push({ t_us: nowUs(), events_per_s: rates.events_per_s, decisions_per_s: rates.decisions_per_s, p50_us: latency_us.p50, p99_us: latency_us.p99 });
  if (history.length > 180) history.shift();
}, 1000);
http.listen(Number(options.port), "127.0.0.1", () => console.log(`invented network on http://127.0.0.1:${options.port}`));
