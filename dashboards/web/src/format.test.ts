import { describe, expect, it } from "vitest";
import * as format from "./format";
import { language } from "./lang.svelte";

/** Spaces that do not break are hard to see in a test; `_` stands for them. */
const seen = (text: string): string => text.replaceAll(/[\u202f\u00a0]/gu, "_");

describe("amounts", () => {
  it("sets thousands apart and never uses a comma", () => {
    expect(seen(format.count(1_234_567))).toBe("1_234_567");
    expect(seen(format.litres(18_432_900))).toBe("18_433_L");
    expect([224_000, -9_940_000, 24_000_000].map((ml) => seen(format.flow(ml)))).toEqual(["224_L/h", "−9_940_L/h", "24_m³/h"]);
    expect(seen(format.soldLitres(54_205))).toBe("54.21_L");
  });

  it("follows the currency's exponent", () => {
    expect(seen(format.money(376_419, "RUB"))).toBe("3_764.19_₽");
    expect(seen(format.money(1_500, "JPY"))).toBe("1_500_¥");
    expect(seen(format.money(1_234_567, "KWD"))).toBe("1_234.567_KWD");
    expect(seen(format.money(-5, "EUR"))).toBe("−0.05_€");
  });

  it("promises no coin that is not there", () => {
    expect(seen(format.wholeMoney(199, "EUR"))).toBe("1_€");
    expect(seen(format.wholeMoney(-1, "EUR"))).toBe("−1_€");
  });

  it("keeps small shares visible", () => {
    expect(seen(format.finePercent(4, 1_000))).toBe("0.4_%");
    expect(seen(format.finePercent(0, 1_000))).toBe("0_%");
    expect(format.finePercent(1, 0)).toBe("–");
    expect([0, 0.4, 1.4, 100].map((part) => seen(format.percent(part, 100)))).toEqual(["0_%", "<1_%", "1_%", "100_%"]);
    expect(format.share(5, 0)).toBe(0);
    expect(format.share(-5, 10)).toBe(0);
  });
});

describe("times", () => {
  it("names days in each language, Kazakh without help from the browser", () => {
    const noonUs = Date.UTC(2026, 10, 23, 12) * 1_000;
    const days = (["en", "ru", "kk"] as const).map((code) => (language.choose(code), format.day(noonUs)));
    language.choose("en");
    expect(days).toEqual(["Mon 23 Nov", expect.stringMatching(/^пн, 23 нояб/u), "дс, 23 қар."]);
    expect([noonUs + 3_600e6, noonUs + 3 * 86_400e6].map((nowUs) => format.since(noonUs, nowUs))).toEqual([format.clockMinutes(noonUs), format.day(noonUs)]);
  });

  it("a difference has a sign, and none where it is nothing", () => {
    expect([1_600, -1_600, -400, 400].map((ml) => seen(format.signedLitres(ml)))).toEqual(["+2_L", "−2_L", "0_L", "0_L"]);
  });

  it("chooses the unit that needs no thousands", () => {
    const text = (us: number): string => seen(format.joined(format.duration(us)));
    expect([850, 3_140, 42_700, 1_240_000, 180_000_000].map(text)).toEqual(["850_µs", "3.1_ms", "43_ms", "1.2_s", "3_min"]);
    expect(format.duration(Number.NaN)).toEqual({ value: "–", unit: "" });
  });

  it("names the offset from UTC on both sides", () => {
    expect(format.utcOffset(300)).toBe("UTC+05:00");
    expect(format.utcOffset(-210)).toBe("UTC−03:30");
    expect(format.utcOffset(0)).toBe("UTC+00:00");
  });

  it("shows a moment to the millisecond", () => {
    expect(format.moment(1_768_372_267_123_456)).toMatch(/^2026-01-1\d \d\d:\d\d:07\.123 UTC[+−]\d\d:\d\d$/u);
    expect(format.clock(0)).toBe("–");
  });

  it("says how long something lasts in one unit", () => {
    expect([4_200, 240_000, 7_200_000, 172_800_000].map((ms) => seen(format.lasting(ms)))).toEqual(["4_s", "4_min", "2_h", "2_days"]);
    expect(seen(format.lasting(-5))).toBe("0_s");
  });

  it("rates below ten keep a digit", () => {
    expect([0, 0.24, 9.96, 104.4].map(format.rate)).toEqual(["0", "0.2", "10.0", "104"]);
  });
});
