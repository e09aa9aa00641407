/** `GET /api/v1/sites/{site}` and `GET /api/v1/history/tank`, as the server writes them; see protocol.ts for the units. */
import type { AlarmName, DecisionLine, SilenceCause, TankLine } from "./protocol";

export type Column = "volume" | "volume15" | "ullage" | "water_volume" | "height" | "water" | "temperature" | "percent" | "density";

export interface Delivery {
  gross_ml: number;
  /** The true value lies within this, 19 times of 20. */
  error_ml: number;
  net_15_ml?: number;
  sold_ml: number;
  water_before_dmm?: number;
  water_after_dmm?: number;
  ticket_ml?: number;
  /** Gross less ticket. */
  ticket_difference_ml?: number;
}

export type EventKind =
  | { delivery: Delivery }
  | { unexplained_loss: { lost_ml: number; error_ml: number } }
  | { suspected_leak: { rate_ml_per_hour: number; error_ml_per_hour: number; quiet_hours: number } }
  | { water_ingress: { before_dmm: number; after_dmm: number } }
  | { level_alarm: { level: Extract<AlarmName, "low_low" | "low" | "high" | "high_high">; volume_ml: number } }
  | { silence: { cause: SilenceCause } }
  | { unit_slip: { column: Column; ratio_e3: number } }
  | { clock_wrong: { offset_s: number } };

/** The same kind and number is the same event; this is its latest version. */
export interface TankEvent {
  product: string;
  number: number;
  version: number;
  withdrawn?: boolean;
  began_at_us: number;
  /** Absent while it lasts. */
  ended_at_us?: number;
  kind: EventKind;
}

export interface DayQuality {
  expected: number;
  used: number;
  repaired: number;
  redated: number;
  late: number;
  repeats: number;
  dropped: number;
  silent_s: number;
}

export interface TankDay {
  /** Days since 1970 by the tank's wall clock. */
  day: number;
  version: number;
  stock?: { opening_ml: number; closing_ml: number; delivered_ml: number; consumed_ml: number; gained_ml: number; sold_ml: number; measured: boolean };
  quality: DayQuality;
  score_e2: number;
}

export interface TankSetup {
  at_us: number;
  product: string;
  capacity_ml: number;
  /** Hundredths of a percent. */
  safe_fill: number;
  density_15?: number;
  expected_interval_s: number;
  lead_time_hours: number;
  truck_ml?: number;
  sales_are_known: boolean;
  utc_offset_min: number;
}

export interface TankDetail {
  tank: string;
  setup?: TankSetup;
  /** Newest first. */
  events: TankEvent[];
  /** Oldest first. */
  days: TankDay[];
}

export interface StockDay {
  day: number;
  /** The sum of so many. */
  tanks: number;
  opening_ml: number;
  delivered_ml: number;
  sold_ml: number;
  closing_ml: number;
  /** Physical less book. */
  variance_ml: number;
  grade: "fine" | "look" | "escalate";
  week_ml: number;
  month_ml: number;
  line_ml: number;
  over_line: boolean;
  drift_lost_ml: number;
  drift_gained_ml: number;
}

export interface WetStock {
  product: string;
  sales_are_known: boolean;
  cause: "none" | "meter" | "deliveries" | "steady" | "once" | "unclear";
  /** Oldest first. */
  days: StockDay[];
}

export interface SiteAnswer {
  site: string;
  online?: boolean;
  online_since_us?: number;
  tanks: TankLine[];
  tank_details: TankDetail[];
  wet_stock: WetStock[];
  products: { product: string; minutes: number; sales: number; declines: number; sold_ml: number; consumed_ml: number }[];
  decisions: DecisionLine[];
}

/** `GET /api/v1/history/sales`. */
export interface TankSales {
  /** Oldest first. */
  sales: TankSale[];
  judged: number;
  differ: number;
  /** Positive when more left the tank than the meters counted. */
  difference_ml: number;
}

export interface TankSale {
  t_us: number;
  id: string;
  pump?: number;
  counted_ml: number;
  /** Absent where no readings stand beside the sale. */
  tank?: { drop_ml: number; error_ml: number; difference_ml: number; differs: boolean };
}

export interface LevelPoint {
  t_us: number;
  volume_ml: number;
  height_mm?: number;
  water_mm?: number;
  temperature_dc?: number;
}
