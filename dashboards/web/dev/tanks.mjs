// What the invented network knows of its tanks beyond their levels: registrations, events, days, books, history.

const DAY_US = 86_400e6;
const HOUR_US = 3_600e6;
const LITRE = 1_000;

const event = (number, began, ended, kind, more = {}) => ({ product: "", number, version: 1, began_at_us: Math.round(began), ended_at_us: ended === null ? undefined : Math.round(ended), kind, ...more });

/** A line with its registration, events and days; the first two sites show one of everything. */
export function invented(entry, { site, tank, random, nowUs }) {
  const line = entry.line;
  const between = (low, high) => Math.floor(low + random() * (high - low));
  Object.assign(line, { registered: true, revision: 1, measured_at_us: nowUs, received_at_us: Date.now() * 1000 });
  const capacity = line.capacity_ml;
  const daily = Math.round(capacity * (0.06 + random() * 0.1));
  const role = site <= 2 ? tank : 0;
  Object.assign(entry, { events: [], days: [], daily, nowUs });
  if (role === 4) {
    Object.assign(line, { registered: false, volume_ml: undefined, capacity_ml: undefined, trend_ml_h: undefined, measured_at_us: undefined, received_at_us: undefined, height_mm: 1_412, asides: { count: 1_204, because: "no_volume", at_us: nowUs } });
    return entry;
  }
  const low = Math.round(capacity * 0.2);
  Object.assign(line, { safe_ml: Math.round(capacity * 0.95), thresholds: { low_low_ml: Math.round(capacity * 0.08), low_ml: low, high_ml: site % 3 === 1 ? Math.round(capacity * 0.92) : undefined } });
  if (role === 1) Object.assign(line, { volume_ml: Math.round(capacity * 0.42), water_mm: 18, water_ml: 70 * LITRE });
  if (role === 2) Object.assign(line, { volume_ml: Math.round(capacity * 0.55), trend_ml_h: 24_000_000, delivering: true });
  if (role === 3) Object.assign(line, { volume_ml: Math.round(capacity * 0.14), silence: { since_us: nowUs - 5.3 * HOUR_US, cause: "gauge" }, stale: true, measured_at_us: nowUs - 5.3 * HOUR_US, alarms: ["low"] });
  if (role === 5) Object.assign(line, { alarms: ["water_ingress", "suspected_leak"], water_mm: 46 });
  const at = (ml) => Math.max(0, line.volume_ml - ml) / daily;
  const span = (days) => ({ p10: Math.round(nowUs + days * 0.8 * DAY_US), p50: Math.round(nowUs + days * DAY_US) });
  line.forecast = { daily_ml: daily, low_at_us: span(at(low)), empty_at_us: span(at(0)), order_by_us: Math.round(nowUs + Math.max(0, at(low) * 0.8 - 2) * DAY_US), order_ml: Math.round(Math.min(18_000 * LITRE, capacity * 0.7)) };

  const brought = (ago, ml, ticket) => ({ delivery: { gross_ml: ml, error_ml: 38 * LITRE, net_15_ml: Math.round(ml * 0.9963), sold_ml: 214 * LITRE, water_before_dmm: 40, water_after_dmm: 42, ticket_ml: ticket, ticket_difference_ml: ticket && ml - ticket } });
  const every = Math.max(2, Math.round((capacity * 0.6) / daily));
  let number = Math.ceil(30 / every) + 1;
  entry.brought = new Map();
  for (let ago = (every % 3) + 0.4; ago < 30; ago += every) {
    const ml = daily * every;
    number -= 1;
    entry.brought.set(number, { agoUs: ago * DAY_US, ml });
    const more = number % 3 === 0 ? { version: 3 } : {};
    entry.events.push(event(number, nowUs - ago * DAY_US, nowUs - ago * DAY_US + 0.55 * HOUR_US, brought(ago, ml, number % 4 === 1 ? undefined : ml + (number % 2 ? 160 : -12) * LITRE), more));
  }
  if (line.delivering) entry.events.push(event(90, nowUs - 0.4 * HOUR_US, null, brought(0, 6_300 * LITRE)));
  if (role === 1) {
    entry.events.push(event(1, nowUs - 0.6 * DAY_US, nowUs - 0.59 * DAY_US, { unexplained_loss: { lost_ml: 118 * LITRE, error_ml: 14 * LITRE } }));
    line.alarms = ["unexplained_loss"];
    entry.events.push(event(91, nowUs - 0.3 * DAY_US, nowUs - 0.29 * DAY_US, brought(0, 1_900 * LITRE), { version: 2, withdrawn: true }));
    entry.events.push(event(2, nowUs - 0.8 * DAY_US, nowUs - 0.66 * DAY_US, { silence: { cause: "site" } }, { version: 2 }));
    entry.events.push(event(1, nowUs - 3 * DAY_US, nowUs - 2.7 * DAY_US, { clock_wrong: { offset_s: 3_600 } }, { version: 2 }));
    entry.events.push(event(1, nowUs - 9 * DAY_US, nowUs - 8 * DAY_US, { unit_slip: { column: "volume", ratio_e3: 264 } }, { version: 2 }));
  }
  if (role === 3) entry.events.push(event(1, nowUs - 5.3 * HOUR_US, null, { silence: { cause: "gauge" } }), event(4, nowUs - 9 * HOUR_US, null, { level_alarm: { level: "low", volume_ml: low } }));
  if (role === 5) entry.events.push(event(1, nowUs - 0.9 * DAY_US, null, { water_ingress: { before_dmm: 120, after_dmm: 460 } }), event(1, nowUs - 2 * DAY_US, null, { suspected_leak: { rate_ml_per_hour: 920, error_ml_per_hour: 180, quiet_hours: 96 } }));
  entry.events.sort((a, b) => b.began_at_us - a.began_at_us);
  const last = entry.events.find((each) => each.kind.delivery && !each.withdrawn);
  if (last) line.last_delivery = { began_at_us: last.began_at_us, gross_ml: last.kind.delivery.gross_ml };

  const today = Math.floor(nowUs / DAY_US);
  for (let ago = 45; ago >= 1; ago -= 1) {
    const bad = random();
    const used = bad < 0.06 ? between(300, 1_000) : bad < 0.15 ? between(1_150, 1_360) : between(1_425, 1_441);
    const quality = { expected: 1_440, used, repaired: bad < 0.03 ? 60 : 0, redated: 0, late: bad < 0.2 ? between(1, 40) : 0, repeats: 3, dropped: bad < 0.15 ? between(1, 30) : 0, silent_s: Math.max(0, 1_400 - used) * 60 };
    const delivered = ago % every === 0 ? daily * every : 0;
    const missing = Math.round((random() - (tank === 1 ? 0.85 : 0.5)) * daily * 0.012);
    entry.days.push({ day: today - ago, version: 1, quality, score_e2: Math.round(((used - quality.repaired / 2) / 1_440) * 10_000), delivered, sold: Math.round(daily * (0.8 + random() * 0.4)), missing });
  }
  return entry;
}

/** Levels as they must have been for the present level, the daily sales and the deliveries. */
export function levels(entry, fromUs, toUs) {
  if (!entry || entry.line.volume_ml === undefined) return { points: [] };
  const { line, daily } = entry;
  const points = [];
  const capacity = line.capacity_ml;
  const gone = entry.events.filter((each) => each.kind.silence && !each.withdrawn);
  for (let us = fromUs; us < Math.min(toUs, line.measured_at_us); us += (toUs - fromUs) / 600) {
    if (gone.some((each) => us > each.began_at_us && us < (each.ended_at_us ?? Infinity))) continue;
    const sold = (at) => {
      const day = Math.floor(at / DAY_US);
      const hour = (at % DAY_US) / DAY_US;
      return (day + 3 * hour ** 2 - 2 * hour ** 3) * daily;
    };
    let ml = line.volume_ml + sold(line.measured_at_us) - sold(us);
    for (const each of entry.events) {
      if (!each.kind.delivery || each.withdrawn) continue;
      const end = each.ended_at_us ?? entry.nowUs;
      const part = Math.min(1, Math.max(0, (us - each.began_at_us) / (end - each.began_at_us)));
      ml -= each.kind.delivery.gross_ml * (1 - part);
    }
    points.push({ t_us: Math.round(us), volume_ml: Math.round(Math.min(capacity * 0.97, Math.max(capacity * 0.04, ml))), water_mm: line.water_mm || undefined });
  }
  return { points };
}

function wetStock(entries) {
  const products = new Map();
  for (const { line, days, daily } of entries) {
    if (days.length === 0) continue;
    const known = products.get(line.product) ?? new Map();
    products.set(line.product, known);
    let level = daily * 6;
    for (const day of days) {
      const row = known.get(day.day) ?? { day: day.day, tanks: 0, opening_ml: 0, delivered_ml: 0, sold_ml: 0, closing_ml: 0 };
      const closing = level + day.delivered - day.sold + day.missing;
      Object.assign(row, { tanks: row.tanks + 1, opening_ml: row.opening_ml + level, delivered_ml: row.delivered_ml + day.delivered, sold_ml: row.sold_ml + day.sold, closing_ml: row.closing_ml + closing });
      known.set(day.day, row);
      level = Math.max(closing, daily * 2);
    }
  }
  return [...products].map(([product, days], place) => {
    const rows = [...days.values()];
    const variance = (row) => row.closing_ml - (row.opening_ml + row.delivered_ml - row.sold_ml);
    const shown = rows.map((row, at) => {
      const month = rows.slice(Math.max(0, at - 29), at + 1);
      const sum = (of) => month.reduce((total, each) => total + of(each), 0);
      const size = Math.abs(variance(row));
      const allowed = Math.max(row.sold_ml * 0.005, 30 * LITRE);
      const line_ml = Math.round(sum((each) => each.sold_ml) * 0.01 + 492_104);
      return { ...row, variance_ml: variance(row), grade: size <= allowed ? "fine" : size <= 2 * allowed ? "look" : "escalate", week_ml: 0, month_ml: sum(variance), line_ml, over_line: Math.abs(sum(variance)) > line_ml, drift_lost_ml: place === 0 ? 92 * LITRE : 0, drift_gained_ml: 0 };
    });
    return { product, sales_are_known: place !== 1, cause: place === 0 ? "meter" : "none", days: shown.slice(-30) };
  });
}

export function siteAnswer(site, entries) {
  const details = entries.map(({ line, events, days }) => ({ tank: line.tank, events, days: days.map(({ delivered, sold, missing, ...day }) => day) }));
  return { site, online: true, online_since_us: (entries[0]?.nowUs ?? 0) - 31 * HOUR_US, tanks: entries.map((entry) => entry.line), tank_details: details, wet_stock: wetStock(entries), products: [], decisions: [] };
}
