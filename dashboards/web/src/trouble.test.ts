import { describe, expect, it } from "vitest";
import type { ContractLine, DecisionLine, Headroom, TankLine } from "./live/protocol";
import * as trouble from "./trouble";

const contract = (id: string, own: number, credit: number, held = 0, last = 0): ContractLine => ({
  contract: id, name: `Fleet ${id}`, currency: "RUB", own, credit, held, unbilled: 0, available: own + credit - held, cards: 1,
  blocked_cards: 0, approved_today: 0, declined_today: 0, last_at_us: last,
});
const tank = (site: string, id: string, part: number, more: Partial<TankLine> = {}): TankLine => ({
  site, tank: id, product: "DIESEL", measured_at_us: 1, received_at_us: 1, volume_ml: part * 10_000_000,
  capacity_ml: 10_000_000, stale: false, registered: true, revision: 0, ...more,
});

describe("contracts", () => {
  const usual: trouble.Typical = new Map([["RUB", 40]]);
  it("who cannot pay comes first, then whose money lasts for the fewest purchases", () => {
    const lines = [contract("a", 900, 100), contract("b", -100, 100), contract("c", 1_000, 0, 950), contract("d", 0, 0)];
    expect(trouble.ordered(lines, "trouble", "", usual).map((line) => line.contract)).toEqual(["b", "d", "c", "a"]);
    expect(lines.map((line) => trouble.purse(line, usual))).toEqual(["fine", "empty", "short", "empty"]);
  });
  it("a big fleet is short earlier, and before a small one with as much money", () => {
    const small = contract("small", 400, 0);
    const big = { ...contract("big", 400, 0), cards: 200 };
    expect(trouble.purchasesLeft(big, usual)).toBe(10);
    expect([small, big].map((line) => trouble.purse(line, usual))).toEqual(["fine", "short"]);
    expect(trouble.ordered([small, big], "trouble", "", usual).map((line) => line.contract)).toEqual(["big", "small"]);
  });
  it("a usual purchase is the middle one of its currency, declines left out", () => {
    const bought = (amount_minor: number, currency: string, verdict = "approve") => ({ amount_minor, currency, verdict }) as DecisionLine;
    const recent = [bought(10, "RUB"), bought(900, "RUB"), bought(30, "RUB"), bought(5_000, "RUB", "decline"), bought(7, "KZT")];
    expect([...trouble.typical(recent)]).toEqual([["RUB", 30], ["KZT", 7]]);
    expect(trouble.purchasesLeft(contract("a", 1, 0), new Map())).toBeNull();
    expect(trouble.purse(contract("a", 1, 0), new Map())).toBe("fine");
  });
  it("is found by name or number, whatever the case", () => {
    const lines = [contract("C-1", 1, 0), contract("C-22", 1, 0)];
    expect(trouble.ordered(lines, "name", "fleet c-2", usual).map((line) => line.contract)).toEqual(["C-22"]);
    expect(trouble.ordered(lines, "name", "c-1", usual)).toHaveLength(1);
  });
  it("by activity the latest comes first", () => {
    const lines = [contract("a", 1, 0, 0, 10), contract("b", 1, 0, 0, 20)];
    expect(trouble.ordered(lines, "activity", "", usual).map((line) => line.contract)).toEqual(["b", "a"]);
  });
});

describe("credit", () => {
  it("is used by what own money does not cover", () => {
    expect(trouble.creditUsed(contract("a", 500, 0))).toBeNull();
    expect(trouble.creditUsed(contract("a", 500, 1_000))).toBe(0);
    expect(trouble.creditUsed({ ...contract("a", -300, 1_000, 200), unbilled: 250 })).toBe(0.75);
    expect(trouble.creditUsed(contract("a", -1_200, 1_000))).toBe(1.2);
  });
});

describe("limits", () => {
  const limit: Headroom = { limit: "L", scope: "contract", measure: "volume", span: { calendar: { unit: "day", count: 1 } }, ends_at_us: 100, limit_value: 50, used: 30, held: 5, left: 15 };
  it("are fresh again when their window has ended", () => {
    expect(trouble.standing(limit, 99)).toEqual({ used: 30, held: 5, left: 15, known: true });
    expect(trouble.standing(limit, 100)).toEqual({ used: 0, held: 0, left: 50, known: true });
  });
  it("say so when nothing is known of their usage", () => {
    const { used: _, held: __, ends_at_us: ___, ...unseen } = limit;
    expect(trouble.standing({ ...unseen, left: 50 }, 1e9)).toEqual({ used: 0, held: 0, left: 50, known: false });
  });
});

describe("tanks", () => {
  it("are grouped by site in natural order", () => {
    const all = [tank("S-10", "1", 0.5), tank("S-2", "10", 0.5), tank("S-2", "9", 0.05), tank("S-2", "1", 0.5, { stale: true })];
    const groups = trouble.sites(all, "all", "");
    expect(groups.map((site) => [site.site, site.tanks.map((t) => t.tank), site.low, site.silent])).toEqual([
      ["S-2", ["1", "9", "10"], 1, 1],
      ["S-10", ["1"], 0, 0],
    ]);
    expect(trouble.sites(all, "low", "").flatMap((site) => site.tanks.map((t) => t.tank))).toEqual(["9"]);
    expect(trouble.sites(all, "silent", "")).toHaveLength(1);
    expect(trouble.sites(all, "all", "s-10")).toHaveLength(1);
  });
  it("have a level only when the capacity is known", () => {
    const { capacity_ml: _, ...unknown } = tank("S", "1", 0.5);
    expect(trouble.level(unknown)).toBeNull();
    expect(trouble.isLow(unknown)).toBe(false);
    expect(trouble.level(tank("S", "1", 1.2))).toBe(1);
  });
  it("are low where the registration says so, or else below 15 %", () => {
    expect([0.14, 0.16].map((part) => trouble.isLow(tank("S", "1", part)))).toEqual([true, false]);
    const thresholds = { low_ml: 3_000_000 };
    expect([0.29, 0.31].map((part) => trouble.isLow(tank("S", "1", part, { thresholds })))).toEqual([true, false]);
  });
  it("are full at their safe fill, or else at 97 %", () => {
    expect([0.96, 0.98].map((part) => trouble.isFull(tank("S", "1", part)))).toEqual([false, true]);
    expect([0.84, 0.86].map((part) => trouble.isFull(tank("S", "1", part, { safe_ml: 8_500_000 })))).toEqual([false, true]);
    expect(trouble.room(tank("S", "1", 0.5, { safe_ml: 8_500_000 }))).toBe(3_500_000);
    expect(trouble.room(tank("S", "1", 0.9, { safe_ml: 8_500_000 }))).toBe(0);
  });
  it("that need someone are found: with alarms, silent, without registration", () => {
    const since = { since_us: 1, cause: "gauge" as const };
    const all = [tank("S", "1", 0.5, { alarms: ["water_ingress"] }), tank("S", "2", 0.5, { silence: since }), tank("S", "3", 0.5, { registered: false }), tank("S", "4", 0.5)];
    const found = (filter: trouble.TankFilter) => trouble.sites(all, filter, "").flatMap((site) => site.tanks.map((each) => each.tank));
    expect([found("alarm"), found("silent"), found("unregistered")]).toEqual([["1"], ["2"], ["3"]]);
  });
  it("of which no level is known are neither low nor full and have no level", () => {
    const { volume_ml: _, measured_at_us: __, ...unknown } = tank("S", "1", 0.5);
    expect([trouble.level(unknown), trouble.isLow(unknown), trouble.isFull(unknown), trouble.hoursLeft(unknown)]).toEqual([null, false, false, null]);
  });
  it("a silent gauge has no trend", () => {
    expect(trouble.trend(tank("S", "1", 0.5, { trend_ml_h: -500_000 }))).toBe("falling");
    expect(trouble.trend(tank("S", "1", 0.5, { trend_ml_h: -500_000, stale: true }))).toBe("unknown");
    expect(trouble.trend(tank("S", "1", 0.5, { trend_ml_h: 3_000 }))).toBe("steady");
    expect(trouble.hoursLeft(tank("S", "1", 0.5, { trend_ml_h: -500_000 }))).toBe(10);
  });
});
