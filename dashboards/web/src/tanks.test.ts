import { afterEach, describe, expect, it } from "vitest";
import { language } from "./lang.svelte";
import type { TankForecast, TankLine } from "./live/protocol";
import type { EventKind, TankEvent } from "./live/site";
import { marks } from "./marks";
import * as tanks from "./tanks";

const HOUR = 3_600e6;
const NOW = Date.UTC(2026, 0, 15, 8) * 1_000;
/** Narrow spaces as `_`, so that texts can be read. */
const seen = (text: string | null): string | null => text?.replaceAll(/[\u00a0\u202f]/gu, "_") ?? null;
const event = (kind: EventKind, more: Partial<TankEvent> = {}): TankEvent => ({ product: "DIESEL", number: 1, version: 1, began_at_us: NOW - 2 * HOUR, ended_at_us: NOW - HOUR, kind, ...more });
const told = (of: TankEvent): (string | null)[] => {
  const { title, details } = tanks.event(of);
  return [title, ...details].map(seen);
};
const delivery = { gross_ml: 18_040_000, error_ml: 40_000, net_15_ml: 17_950_000, sold_ml: 300_000, ticket_ml: 18_200_000, ticket_difference_ml: -160_000 };
afterEach(() => language.choose("en"));

describe("events in words", () => {
  it("a delivery tells its error, 15 °C, sales meanwhile and the ticket", () => {
    expect(told(event({ delivery }))).toEqual(["18_040_L ± 40_L delivered", "17_950_L at 15 °C", "300_L sold meanwhile", "ticket 18_200_L: −160_L (−0.88_%)"]);
    expect(tanks.ticketIsOff(event({ delivery }))).toBe(true);
    expect(tanks.ticketIsOff(event({ delivery: { ...delivery, ticket_difference_ml: 39_000 } }))).toBe(false);
    language.choose("ru");
    expect(told(event({ delivery: { gross_ml: 5_000_000, error_ml: 20_000, sold_ml: 0 } }))).toEqual(["Слито 5_000_л ± 20_л", "накладная не передана"]);
  });
  it("what still lasts is told in the present", () => {
    const { ended_at_us: _, ...open } = event({ silence: { cause: "gauge" } });
    expect(told(open)).toEqual(["The gauge is silent", "Other tanks are heard: probe, cable or battery"]);
    expect(told({ ...open, kind: { delivery } })[0]).toBe("A delivery is going on: 18_040_L ± 40_L so far");
    language.choose("kk");
    expect(told(event({ silence: { cause: "site" } }))[0]).toBe("Датчик үнсіз болды");
  });
  it("the others say what was measured", () => {
    expect(told(event({ unexplained_loss: { lost_ml: 118_000, error_ml: 14_000 } }))).toEqual(["118_L ± 14_L went that nobody bought"]);
    expect(told(event({ suspected_leak: { rate_ml_per_hour: 920, error_ml_per_hour: 180, quiet_hours: 96 } }))[0]).toBe("A leak of 0.9 ± 0.2_L/h is suspected");
    expect(told(event({ water_ingress: { before_dmm: 120, after_dmm: 465 } }))).toEqual(["Water came in: 12_mm → 46.5_mm"]);
    expect(told(event({ unit_slip: { column: "volume", ratio_e3: 264 } }))[1]).toBe("It is 0.264 times what it should be");
    expect([240, -240].map((offset_s) => told(event({ clock_wrong: { offset_s } }))[0])).toEqual(["The gauge's clock is 4_min ahead", "The gauge's clock is 4_min behind"]);
  });
  it("an end is no correction, and neither is a withdrawal", () => {
    const silence = { silence: { cause: "gauge" as const } };
    const { ended_at_us: _, ...open } = event(silence, { version: 2 });
    expect([event(silence, { version: 2 }), event(silence, { version: 4 }), open, event({ delivery }, { version: 3 }), event({ delivery }, { version: 2, withdrawn: true })].map(tanks.corrections)).toEqual([0, 2, 1, 2, 0]);
    language.choose("ru");
    expect([1, 2, 5].map(tanks.corrected)).toEqual(["исправлено: 1 раз", "исправлено: 2 раза", "исправлено: 5 раз"]);
  });
});

describe("supply", () => {
  const forecast = (lowHours: [number, number], orderHours: number): TankForecast => ({
    daily_ml: 3_000_000, low_at_us: { p10: NOW + lowHours[0] * HOUR, p50: NOW + lowHours[1] * HOUR }, empty_at_us: {}, order_by_us: NOW + orderHours * HOUR, order_ml: 18_000_000,
  });
  it("says what to order by when and why", () => {
    const later = tanks.order(forecast([4 * 24, 6 * 24], 50), NOW);
    expect(seen(later?.words ?? null)).toMatch(/^Order 18_000_L by \S+ 17 Jan \d\d:00; reaches low in 4–6_days$/u);
    expect(later?.urgent).toBe(false);
    expect(tanks.order(forecast([30, 40], 0), NOW)).toMatchObject({ urgent: true });
    expect(seen(tanks.order(forecast([30, 40], 0), NOW)?.words ?? null)).toBe("Order 18_000_L now: reaches low in 30–40_h");
    expect(seen(tanks.order(forecast([-1, 9], -5), NOW)?.words ?? null)).toBe("Order 18_000_L now: the low level may be reached any time");
  });
  it("is silent where nothing runs low", () => {
    const { order_by_us: _, ...never } = forecast([1, 2], 3);
    expect(tanks.order({ ...never, low_at_us: {} }, NOW)).toBeNull();
    expect(tanks.within({}, NOW)).toBeNull();
  });
  it("tells one figure where both are the same, and counts days as Russians do", () => {
    expect(seen(tanks.within({ p10: NOW + 96 * HOUR, p50: NOW + 97 * HOUR }, NOW))).toBe("4_days");
    language.choose("ru");
    expect(seen(tanks.within({ p10: NOW + 20 * HOUR, p50: NOW + 504 * HOUR }, NOW))).toBe("1–21_день");
    const tank = { measured_at_us: NOW, forecast: { ...forecast([1, 2], 3), empty_at_us: { p50: NOW + 72 * HOUR } } } as TankLine;
    expect(seen(tanks.lasts(tank))).toBe("3_дня");
  });
});

describe("alarms", () => {
  it("the gravest is shown first", () => {
    expect(tanks.gravest(["low", "water_ingress", "suspected_leak"])).toBe("suspected_leak");
    expect(tanks.byGravity(["clock_wrong", "low"])).toEqual(["low", "clock_wrong"]);
    expect(tanks.gravest(undefined)).toBeUndefined();
  });
});

describe("marks over the levels", () => {
  const from = NOW - 24 * HOUR;
  it("lie within the range, oldest first; what lasts reaches to its end", () => {
    const { ended_at_us: _, ...open } = event({ level_alarm: { level: "low", volume_ml: 1 } }, { began_at_us: NOW - HOUR });
    const drawn = marks([open, event({ delivery }), event({ silence: { cause: "site" } }, { began_at_us: from - HOUR, ended_at_us: from + HOUR })], from, NOW);
    expect(drawn.map((mark) => [mark.tone, (mark.fromUs - from) / HOUR, (mark.toUs - from) / HOUR])).toEqual([["silence", 0, 1], ["delivery", 22, 23], ["alarm", 23, 24]]);
    expect(drawn[1]?.ml).toBe(18_040_000);
  });
  it("leave out what was withdrawn, is elsewhere, or is no moment", () => {
    const leak = event({ suspected_leak: { rate_ml_per_hour: 1, error_ml_per_hour: 1, quiet_hours: 1 } });
    expect(marks([event({ delivery }, { withdrawn: true }), event({ delivery }, { began_at_us: 1, ended_at_us: 2 }), leak], from, NOW)).toEqual([]);
  });
  it("a short event is wide enough to be seen", () => {
    const [mark] = marks([event({ unexplained_loss: { lost_ml: 5, error_ml: 1 } }, { ended_at_us: NOW - 2 * HOUR })], from, NOW);
    expect((mark?.toUs ?? 0) - (mark?.fromUs ?? 0)).toBeGreaterThan(HOUR / 30);
    expect(mark?.ml).toBe(-5);
  });
});
