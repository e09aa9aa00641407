/**
 * The messages of `GET /api/v1/live`, as the server writes them.
 *
 * Amounts are integers: millilitres (`_ml`), a currency's smallest coin (`_minor`, balances), microseconds since 1970 or
 * as a duration (`_us`), millimetres (`_mm`), tenths of a degree (`_dc`).
 */

export type Verdict = "approve" | "partial" | "decline" | "reprompt";

/** The same text three times. */
export interface Languages {
  en: string;
  ru: string;
  kk: string;
}

export type Scope = "contract" | { group: string } | { card: string } | { vehicle: string } | { driver: string };
export type ProductSelector = "all" | { group: string } | { product: string };
export type CalendarUnit = "day" | "week" | "month" | "quarter" | "year";
export type Window =
  | "per_transaction"
  | "lifetime"
  | "one_off"
  | { calendar: { unit: CalendarUnit; count: number } }
  | { rolling: { secs: number } };

/** A limit as it stood: `left = limit_value − used − held`, in ml, minor units or purchases after `measure`. */
export interface Headroom {
  limit: string;
  scope: Scope;
  /** All products where it is absent. */
  product?: ProductSelector;
  measure: "volume" | "money" | "count";
  /** What goes beyond is declined where it is absent. */
  mode?: "flag" | "shadow";
  span: Window;
  /** The window in words, with its first day. */
  window?: string;
  /** A calendar window's end: from then on nothing of it is used. */
  ends_at_us?: number;
  limit_value: number;
  /** Absent while no purchase was seen since the limit was set. */
  used?: number;
  held?: number;
  left: number;
  alert_left?: number;
  valid_from_us?: number;
  valid_to_us?: number;
  /** Counts only what is sold while the terminal is offline. */
  offline?: boolean;
}

export interface RiskFinding {
  rule: string;
  mode: string;
  measured:
    | { velocity: { purchases: number; minutes: number; unusual_from: number } }
    | { travel: { km: number; minutes: number; kmh?: number; kmh_most: number } };
}

/** An open hold: reserved, and not yet completed, reversed or expired. */
export interface HoldLine {
  auth_code: string;
  at_us: number;
  expires_at_us: number;
  card: string;
  pan_masked?: string;
  vehicle?: string;
  site: string;
  terminal: string;
  pump?: number;
  product?: string;
  qty_ml: number;
  amount_minor: number;
}

/** A hold among those of all contracts: `GET /api/v1/holds`. */
export interface NetworkHoldLine extends HoldLine {
  contract: string;
  contract_name: string;
  currency: string;
}

export interface TopUpLine {
  at_us: number;
  reference: string;
  /** This and `state` are absent where the bank's register shows a payment that nobody knows. */
  amount_minor?: number;
  state?: "credited" | "register_matched" | "register_missing" | "amount_differs";
  payer?: string;
  /** The banking day, `2026-01-14`. */
  register_day?: string;
  register_minor?: number;
}

/** `GET /api/v1/contracts/{id}/forecast`. Local times are the contract's own, without zone. */
export interface ForecastLine {
  outlook: "no_history" | "empty" | "lasts" | "runs_out";
  now_us: number;
  time_zone: string;
  available: number;
  per_day_minor?: number;
  blocks_at_us?: number;
  blocks_at_local?: string;
  /** Absent where it is too late for a bank order. */
  pay_by_us?: number;
  pay_by_local?: string;
}

export interface BlockLine {
  actor: "client" | "issuer_risk" | "issuer_credit" | "system";
  reason: string;
  until_us?: number;
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
    reprompted: number;
    readings: number;
    replayed: number;
    rejected: number;
  };
  /** Open holds of all contracts. */
  holds: { open: number; ml: number; oldest_at_us?: number };
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
  manager: Languages;
  cashier: Languages;
  vehicle?: string;
  driver?: string;
  auth_code?: string;
  /** Of the first line. */
  product?: string;
  qty_ml?: number;
  /** Goods counted in pieces. */
  pieces?: number;
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
  /** Top-ups less bills and fees. */
  own: number;
  credit: number;
  held: number;
  /** Bought and not yet billed. */
  unbilled: number;
  /** `own + credit − held − unbilled`. */
  available: number;
  blocked?: BlockLine;
  cards: number;
  blocked_cards: number;
  approved_today: number;
  declined_today: number;
  last_at_us: number;
}

export interface CardLine {
  card: string;
  pan_masked?: string;
  group?: string;
  vehicle?: string;
  driver?: string;
  state: "active" | "blocked" | "pin_locked" | "not_yet" | "expired" | "lost" | "stolen" | "closed";
  headroom: Headroom[];
  last_at_us?: number;
}

export interface ContractDetail {
  contract: string;
  legal_entity?: string;
  holding?: string;
  time_zone: string;
  /** Of the contract, its groups, vehicles and drivers; those of cards stand with the cards. */
  limits: Headroom[];
  more_limits: number;
  /** Oldest first, at most 100. */
  holds: HoldLine[];
  more_holds: number;
  /** Latest first, at most 20. */
  top_ups: TopUpLine[];
  /** Most recently used first, at most 200. */
  cards: CardLine[];
  /** How many cards are not in `cards`. */
  more_cards: number;
  /** The last 20, newest first. */
  decisions: DecisionLine[];
}

export type AlarmName = "low_low" | "low" | "high" | "high_high" | "water_ingress" | "suspected_leak" | "unexplained_loss" | "unit_slip" | "clock_wrong";
export type SilenceCause = "controller_offline" | "site" | "gauge" | "invalid_readings" | "unknown";
export type ReadingRefused = "repeat" | "invalid_height" | "no_volume" | "impossible" | "ambiguous" | "unit_slip" | "too_old" | "too_many_tanks";

/** One time of ten it comes before `p10`, as likely before as after `p50`; absent beyond a year. */
export interface MomentSpan {
  p10?: number;
  p50?: number;
}

export interface TankForecast {
  daily_ml: number;
  low_at_us: MomentSpan;
  empty_at_us: MomentSpan;
  order_by_us?: number;
  order_ml: number;
}

export interface TankLine {
  site: string;
  tank: string;
  product: string;
  /** False: nobody told what the tank is. Its values are as they were sent. */
  registered: boolean;
  /** This and the next two are absent while no level is known. */
  measured_at_us?: number;
  received_at_us?: number;
  volume_ml?: number;
  capacity_ml?: number;
  /** How far it may be filled. */
  safe_ml?: number;
  height_mm?: number;
  water_mm?: number;
  water_ml?: number;
  temperature_dc?: number;
  trend_ml_h?: number;
  stale: boolean;
  delivering?: boolean;
  /** As registered; what is absent is not told. */
  thresholds?: { low_low_ml?: number; low_ml?: number; high_ml?: number; high_high_ml?: number; water_mm?: number };
  /** What somebody should look at; absent: nothing. */
  alarms?: AlarmName[];
  silence?: { since_us: number; cause: SilenceCause };
  last_delivery?: { began_at_us: number; gross_ml: number };
  forecast?: TankForecast;
  /** Readings that gave no level, and why the last of them gave none. */
  asides?: { count: number; because: ReadingRefused; at_us: number };
  /** Counts changes of what the line does not carry: events, days, registration. */
  revision: number;
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
