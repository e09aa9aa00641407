import { describe, expect, it } from "vitest";
import type { DecisionLine } from "./live/protocol";
import { product } from "./products";
import * as words from "./words";

const approved: DecisionLine = {
  id: "0-1", at_us: 1, seen_us: 2, site: "S-1", terminal: "T-1", card: "tok", kind: "sale", verdict: "approve",
  code: "APPROVED", manager: "approved", cashier: "approved", latency_us: 900, risk: [], replayed: false,
};

describe("reasons", () => {
  it("a plain approval needs none", () => {
    expect(words.reason(approved)).toBeNull();
  });
  it("a flag says what was found", () => {
    const line = { ...approved, code: "APPROVED_FLAGGED", risk: [{ rule: "velocity", mode: "flag", value: "5 in 10 min, at most 3" }] };
    expect(words.reason(line)).toBe("Many purchases quickly: 5 in 10 min, at most 3");
  });
  it("a decline says what the manager is told, and the code in words where nothing was said", () => {
    const line: DecisionLine = { ...approved, verdict: "decline", code: "FUNDS", manager: "available 12.00, needed 500.00" };
    expect(words.reason(line)).toBe("available 12.00, needed 500.00");
    expect(words.reason({ ...line, manager: "" })).toBe("Not enough money on the contract");
    expect(words.reason({ ...line, manager: "", code: "SOMETHING_NEW" })).toBe("Something new");
  });
  it("an approval that is not plain has its reason", () => {
    expect(words.reason({ ...approved, code: "POSTED_OFFLINE", manager: "" })).toBe("Sold offline, posted");
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
