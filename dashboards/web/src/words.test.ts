import { afterEach, describe, expect, it } from "vitest";
import { soldLitres } from "./format";
import { language, plural } from "./lang.svelte";
import type { DecisionLine, Headroom, Window } from "./live/protocol";
import { product } from "./products";
import * as words from "./words";

const said = (en: string, ru = en, kk = en) => ({ en, ru, kk });
const approved: DecisionLine = {
  id: "0-1", at_us: 1, seen_us: 2, site: "S-1", terminal: "T-1", card: "tok", kind: "sale", verdict: "approve",
  code: "APPROVED", manager: said("approved"), cashier: said("approved"), latency_us: 900, risk: [], replayed: false,
};
afterEach(() => language.choose("en"));

describe("reasons", () => {
  it("a plain approval needs none", () => {
    expect(words.reason(approved)).toBeNull();
  });
  it("everything else says what the manager is told, in the viewer's language", () => {
    const line: DecisionLine = { ...approved, verdict: "decline", code: "FUNDS", manager: said("not enough", "не хватает", "жетпейді") };
    const each = (["en", "ru", "kk"] as const).map((code) => (language.choose(code), words.reason(line)));
    expect(each).toEqual(["not enough", "не хватает", "жетпейді"]);
  });
  it("and the code in words where nothing was said", () => {
    expect(words.reason({ ...approved, verdict: "decline", code: "SOMETHING_NEW", manager: said("") })).toBe("Something new");
    expect(words.reason({ ...approved, code: "POSTED_OFFLINE", manager: said("") })).toBe("Posted offline");
  });
  it("a finding is told in figures", () => {
    const travel = { rule: "impossible_travel", mode: "decline", measured: { travel: { km: 612, minutes: 9, kmh: 4_080, kmh_most: 140 } } };
    expect(words.found(travel)).toBe("612 km in 9 min, 4080 km/h; at most 140 km/h is believed");
    language.choose("ru");
    expect(words.found(travel)).toBe("612 км за 9 мин, 4080 км/ч; правдоподобно не более 140 км/ч");
  });
});

describe("limits", () => {
  const limit: Headroom = { limit: "L-7", scope: { group: "trucks" }, product: { product: "053" }, measure: "volume", span: { calendar: { unit: "week", count: 1 } }, limit_value: 5, left: 5 };
  it("are named by what they count and over which time", () => {
    const spans: Window[] = ["per_transaction", "lifetime", "one_off", { calendar: { unit: "month", count: 3 } }, { rolling: { secs: 43_200 } }, { rolling: { secs: 604_800 } }];
    expect(words.limit(limit)).toBe("Litres · Diesel · per week");
    expect(spans.map(words.windowOf)).toEqual(["per purchase", "ever", "once", "per 3 months", "in any 12\u00a0h", "in any 7\u00a0days"]);
    language.choose("ru");
    expect(words.limit({ ...limit, measure: "count" })).toBe("Покупки · ДТ · в неделю");
    expect([words.scope(limit.scope), words.scope("contract")]).toEqual(["Группа trucks", "Весь договор"]);
    language.choose("kk");
    expect(words.limit({ ...limit, measure: "money", product: "all" })).toBe("Ақша · аптасына");
  });
});

describe("languages", () => {
  it("counts as Russians do", () => {
    const forms = [1, 2, 5, 11, 12, 21, 22, 25, 111, 101].map((count) => plural(count, ["карта", "карты", "карт"]));
    expect(forms).toEqual(["карта", "карты", "карт", "карт", "карт", "карта", "карты", "карт", "карт", "карта"]);
  });
  it("writes numbers as each language does", () => {
    expect(soldLitres(1_234_560)).toBe("1\u202f234.56\u00a0L");
    language.choose("kk");
    expect(soldLitres(1_234_560)).toBe("1\u202f234,56\u00a0л");
  });
});

describe("cards", () => {
  it("shows the last digits, else the token", () => {
    expect(words.card({ card: "tok-1", pan_masked: "7005********4821" })).toBe("•••• 4821");
    expect(words.card({ card: "tok-1", pan_masked: "*4821" })).toBe("•••• 4821");
    expect(words.card({ card: "tok-1" })).toBe("tok-1");
  });
});

describe("products", () => {
  it("knows the usual codes and shows others as they come", () => {
    const names = ["DIESEL", "053", "АИ-95", "ai92", "AI-100", "LPG", "AdBlue", "XYZ-7"].map((code) => product(code).name);
    expect(names).toEqual(["Diesel", "Diesel", "AI-95", "AI-92", "AI-100", "LPG", "AdBlue", "XYZ-7"]);
  });
});
