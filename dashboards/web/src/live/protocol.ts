/**
 * The messages of `GET /api/v1/live`, as the server writes them.
 *
 * Amounts are integers: millilitres (`_ml`), a currency's smallest coin (`_minor`, balances), microseconds since 1970 or
 * as a duration (`_us`), millimetres (`_mm`), tenths of a degree (`_dc`).
 */

export type Verdict = "approve" | "partial" | "decline";

/** A limit as it stood: `left = limit_value − used − held`. */
export interface Headroom {
  limit: string;
  measure: "volume" | "money";
  window: string;
  limit_value: number;
  used: number;
  held: number;
  left: number;
}

export interface RiskFinding {
  rule: string;
  mode: string;
  value: string;
}

export interface HistoryPoint {
  t_us: number;
  events_per_s: number;
  decisions_per_s: number;
  p50_us: number;
  p99_us: number;
}

export interface Part {
  name: string;
  ok: boolean;
  detail: string;
}

export interface Network {
  now_us: number;
  events_per_s: number;
  decisions_per_s: number;
  readings_per_s: number;
  sales_ml_today?: number;
  /** From the request's arrival to the decision read back from the ledger, over the last 10 s. */
  latency_us: { p50: number; p99: number; samples: number };
  totals: {
    decisions: number;
    approved: number;
    partial: number;
    declined: number;
    readings: number;
    replayed: number;
    rejected: number;
  };
  /** One point a second; a delta carries only new ones. */
  history: HistoryPoint[];
  parts: Part[];
}

export interface DecisionLine {
  /** Partition and offset in the ledger. */
  id: string;
  /** The request's idempotency key: opens the full decision. */
  idem?: string;
  at_us: number;
  seen_us: number;
  site: string;
  terminal: string;
  pump?: number;
  contract?: string;
  contract_name?: string;
  card: string;
  pan_masked?: string;
  kind: string;
  verdict: Verdict;
  code: string;
  manager: string;
  cashier: string;
  product?: string;
  qty_ml?: number;
  amount_minor?: number;
  currency?: string;
  /** Unknown for decisions that were recorded before this server began to read. */
  latency_us?: number;
  binding?: Headroom;
  risk: RiskFinding[];
  replayed: boolean;
}

export interface ContractLine {
  contract: string;
  name: string;
  currency: string;
  /** Top-ups less captures; negative when the credit line is in use. */
  own: number;
  credit: number;
  held: number;
  /** `own + credit − held`. */
  available: number;
  cards: number;
  blocked_cards: number;
  approved_today: number;
  declined_today: number;
  last_at_us: number;
}

export interface CardLine {
  card: string;
  pan_masked?: string;
  vehicle?: string;
  state: "active" | "blocked";
  headroom: Headroom[];
  last_at_us?: number;
}

export interface ContractDetail {
  contract: string;
  /** Most recently used first, at most 200. */
  cards: CardLine[];
  /** How many cards are not in `cards`. */
  more_cards: number;
  /** The last 20, newest first. */
  decisions: DecisionLine[];
}

export interface TankLine {
  site: string;
  tank: string;
  product: string;
  measured_at_us: number;
  received_at_us: number;
  volume_ml: number;
  capacity_ml?: number;
  height_mm?: number;
  water_mm?: number;
  temperature_dc?: number;
  trend_ml_h?: number;
  stale: boolean;
}

export interface State {
  network: Network;
  /** Newest first. */
  decisions: DecisionLine[];
  contracts: ContractLine[];
  tanks: TankLine[];
}

export interface Changes {
  network?: Partial<Network>;
  /** New ones only, newest first. */
  decisions?: DecisionLine[];
  contracts?: ContractLine[];
  tanks?: TankLine[];
  contract_details?: ContractDetail[];
}

export interface Snapshot {
  type: "snapshot";
  token: string;
  seq: number;
  state: State;
}

export interface Delta {
  type: "delta";
  token: string;
  seq: number;
  changes: Changes;
}

export type ServerMessage = Snapshot | Delta;

/** Reads one frame; `null` when it is not a message of this protocol. */
export function read(text: string): ServerMessage | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  const message = value as Partial<Snapshot> | Partial<Delta>;
  if (typeof message.seq !== "number" || typeof message.token !== "string") return null;
  if (message.type === "snapshot" && typeof message.state === "object") return message as Snapshot;
  if (message.type === "delta" && typeof message.changes === "object") return message as Delta;
  return null;
}
