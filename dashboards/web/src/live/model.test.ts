import { beforeEach, describe, expect, it } from "vitest";
import { DECISIONS_MAX, HISTORY_MAX, Model } from "./model";
import { read, type DecisionLine, type HistoryPoint, type Network, type Snapshot } from "./protocol";

const point = (second: number): HistoryPoint => ({ t_us: second * 1e6, events_per_s: second, decisions_per_s: 1, p50_us: 1, p99_us: 2 });
const network = (history: HistoryPoint[]): Network => ({
  now_us: 1, events_per_s: 5, decisions_per_s: 2, readings_per_s: 3, latency_us: { p50: 1, p99: 2, samples: 3 },
  totals: { decisions: 1, approved: 1, partial: 0, declined: 0, reprompted: 0, readings: 0, replayed: 0, rejected: 0 },
  holds: { open: 0, ml: 0 },
  history, parts: [],
});
const line = (id: number, verdict: DecisionLine["verdict"] = "approve", risk: DecisionLine["risk"] = []): DecisionLine => ({
  id: `0-${id}`, at_us: id, seen_us: id, site: "S-1", terminal: "T", card: "k", kind: "sale", verdict, code: "X",
  manager: { en: "", ru: "", kk: "" }, cashier: { en: "", ru: "", kk: "" }, latency_us: 1, risk, replayed: false,
});
const snapshot = (decisions: DecisionLine[], history: HistoryPoint[] = []): Snapshot => ({
  type: "snapshot", token: "t", seq: 0,
  state: { network: network(history), decisions, contracts: [], tanks: [] },
});
const ids = (lines: readonly DecisionLine[]): string[] => lines.map((each) => each.id);

describe("decisions", () => {
  let model: Model;
  beforeEach(() => {
    model = new Model();
    model.apply(snapshot([line(2), line(1)]));
  });

  it("come newest first, repeats are dropped", () => {
    model.apply({ type: "delta", token: "t", seq: 1, changes: { decisions: [line(4), line(3), line(2)] } });
    expect(ids(model.decisions("all"))).toEqual(["0-4", "0-3", "0-2", "0-1"]);
    expect(model.passed("all")).toBe(4);
  });

  it("a decline stays in its list after a thousand approvals", () => {
    model.apply({ type: "delta", token: "t", seq: 1, changes: { decisions: [line(3, "decline")] } });
    for (let id = 10; id < 1_010; id += 1) model.apply({ type: "delta", token: "t", seq: id, changes: { decisions: [line(id)] } });
    expect(model.decisions("all")).toHaveLength(DECISIONS_MAX);
    expect(ids(model.decisions("declined"))).toEqual(["0-3"]);
    expect(model.decision("0-3")?.verdict).toBe("decline");
  });

  it("are filed under what they are", () => {
    const flagged = line(6, "decline", [{ rule: "velocity", mode: "decline", measured: { velocity: { purchases: 5, minutes: 10, unusual_from: 4 } } }]);
    model.apply({ type: "delta", token: "t", seq: 1, changes: { decisions: [flagged, line(5, "partial")] } });
    expect(ids(model.decisions("flagged"))).toEqual(["0-6"]);
    expect(ids(model.decisions("declined"))).toEqual(["0-6"]);
    expect(ids(model.decisions("partial"))).toEqual(["0-5"]);
  });

  it("agree on the network's time, whatever one terminal's clock says", () => {
    expect(new Model().clockUs()).toBe(0);
    const wrong = { ...line(9), at_us: 9e15 };
    model.apply({ type: "delta", token: "t", seq: 1, changes: { decisions: [wrong, line(4), line(3)] } });
    expect(model.clockUs()).toBe(3);
  });

  it("a new snapshot replaces everything", () => {
    model.apply(snapshot([line(9)]));
    expect(ids(model.decisions("all"))).toEqual(["0-9"]);
  });
});

describe("changes", () => {
  it("touch only what they name", () => {
    const model = new Model();
    model.apply(snapshot([]));
    const touched = model.apply({ type: "delta", token: "t", seq: 1, changes: { tanks: [] , network: { events_per_s: 9 } } });
    expect(touched).toEqual({ network: true, decisions: false, contracts: false, tanks: false, details: false });
    expect(model.network?.events_per_s).toBe(9);
    expect(model.network?.decisions_per_s).toBe(2);
  });

  it("history grows by new points only and keeps three minutes", () => {
    const model = new Model();
    model.apply(snapshot([], [point(1), point(2)]));
    model.apply({ type: "delta", token: "t", seq: 1, changes: { network: { history: [point(2), point(3)] } } });
    expect(model.network?.history.map((each) => each.events_per_s)).toEqual([1, 2, 3]);
    for (let second = 4; second < 300; second += 1) {
      model.apply({ type: "delta", token: "t", seq: second, changes: { network: { history: [point(second)] } } });
    }
    expect(model.network?.history).toHaveLength(HISTORY_MAX);
    expect(model.network?.history.at(-1)?.events_per_s).toBe(299);
  });

  it("replace a tank by its site and number", () => {
    const model = new Model();
    model.apply(snapshot([]));
    const tank = { site: "S", tank: "1", product: "D", measured_at_us: 1, received_at_us: 1, volume_ml: 5, stale: false, registered: false, revision: 0 };
    model.apply({ type: "delta", token: "t", seq: 1, changes: { tanks: [tank] } });
    model.apply({ type: "delta", token: "t", seq: 2, changes: { tanks: [{ ...tank, volume_ml: 4 }] } });
    expect([...model.tanks.values()].map((each) => each.volume_ml)).toEqual([4]);
  });
});

describe("frames", () => {
  it("that are not of this protocol are not read", () => {
    for (const text of ["", "{", "null", "[]", '{"type":"delta"}', '{"type":"other","seq":1,"token":"t"}']) expect(read(text)).toBeNull();
    expect(read('{"type":"delta","seq":1,"token":"t","changes":{}}')).not.toBeNull();
  });
});
