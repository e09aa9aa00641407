import { afterEach, describe, expect, it } from "vitest";
import { language, LANGS } from "../lang.svelte";
import { marks } from "../marks";
import * as tanks from "../tanks";
import { hasAlarm, isLow, isSilent, room } from "../trouble";
import type { SiteAnswer } from "./site";
import written from "./site.example.json";

/** As the server's own test wrote it. */
const answer = written as unknown as SiteAnswer;
const tank = (id: string) => answer.tanks.find((each) => each.tank === id)!;
const detail = (id: string) => answer.tank_details.find((each) => each.tank === id)!;
const all = answer.tank_details.flatMap((each) => each.events);
afterEach(() => language.choose("en"));

describe("what the server writes of a site", () => {
  it("holds every kind of event, and each is told in every language", () => {
    const kinds = new Set(all.map((event) => Object.keys(event.kind)[0]));
    expect([...kinds].sort()).toEqual(["clock_wrong", "delivery", "level_alarm", "silence", "suspected_leak", "unexplained_loss", "unit_slip", "water_ingress"]);
    for (const { key } of LANGS) {
      language.choose(key);
      for (const { title, details } of all.map(tanks.event)) expect([title, ...details].join(" ")).not.toMatch(/undefined|NaN|null|–|^$/u);
    }
  });

  it("says what is open on the lines", () => {
    expect([isSilent(tank("2")), hasAlarm(tank("2")), isLow(tank("2")), tank("2").delivering]).toEqual([true, true, true, true]);
    expect(tanks.byGravity(tank("2").alarms)).toEqual(["suspected_leak", "low"]);
    for (const { key } of LANGS) {
      language.choose(key);
      expect(tanks.silence(tank("2").silence!.cause)).toMatch(/\S/u);
      expect(tanks.refused(tank("3").asides!.because)).toMatch(/\S/u);
    }
    expect(room(tank("1"))).toBe(19_500_000);
  });

  it("a tank of which only useless readings are known has no level", () => {
    expect([tank("3").registered, tank("3").volume_ml, tank("3").asides?.count, detail("3").setup]).toEqual([false, undefined, 1, undefined]);
  });

  it("tells when to order, and nothing that was withdrawn is marked", () => {
    expect(tanks.order(tank("1").forecast!, tank("1").measured_at_us!)?.words).toMatch(/^Order 2\d.\d{3}.L by .*; reaches low in 3.days$/u);
    const nowUs = tank("1").measured_at_us!;
    expect(detail("1").events.filter((event) => event.withdrawn)).toHaveLength(1);
    expect(marks(detail("1").events, nowUs - tanks.DAY_US, nowUs).filter((mark) => mark.tone === "delivery")).toHaveLength(1);
  });

  it("days and books have the figures that are shown", () => {
    expect(detail("1").days).toHaveLength(8);
    for (const day of detail("1").days) expect([day.score_e2, day.quality.expected, day.stock?.sold_ml]).toEqual([10_000, 1_440, 1_000_000]);
    const [stock] = answer.wet_stock;
    expect(stock?.days).toHaveLength(8);
    for (const day of stock!.days) {
      expect(day.closing_ml - (day.opening_ml + day.delivered_ml - day.sold_ml)).toBe(day.variance_ml);
      expect([day.tanks, day.variance_ml, day.grade]).toEqual([2, -43_000, "look"]);
    }
    expect(stock?.days.at(-1)?.month_ml).toBe(-344_000);
  });
});
