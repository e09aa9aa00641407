/** Which contracts and tanks need someone: pure rules, the same for lists, counts and colours. */
import type { ContractLine, DecisionLine, Headroom, TankLine } from "./live/protocol";
import { product } from "./products";

/** A contract is short when it can pay fewer purchases than this … */
const SHORT_PURCHASES = 3;
/** … or fewer than this for each of its cards. */
const SHORT_PURCHASES_PER_CARD = 0.1;
/** Below this part of its capacity a tank is low. */
const LOW_BELOW = 0.15;
/** Above this part of its capacity a tank takes no more, where its safe fill is not known. */
const FULL_ABOVE = 0.97;
/** Slower changes are evaporation and noise, not a trend. */
const STEADY_ML_H = 20_000;

export type Purse = "empty" | "short" | "fine";

/** What the contract could spend if nothing were held. */
export const spendingPower = (line: ContractLine): number => Math.max(0, line.own) + line.credit;

/** How much of the credit line is in use, 0 to 1 and beyond; `null` without one. */
export const creditUsed = (line: ContractLine): number | null =>
  line.credit > 0 ? Math.max(0, line.held + line.unbilled - line.own) / line.credit : null;

/** What is left of a limit at `nowUs`: a calendar window that has ended is fresh again. */
export function standing(limit: Headroom, nowUs: number): { used: number; held: number; left: number; known: boolean } {
  const over = limit.ends_at_us !== undefined && nowUs >= limit.ends_at_us;
  if (over) return { used: 0, held: 0, left: limit.limit_value, known: true };
  return { used: limit.used ?? 0, held: limit.held ?? 0, left: limit.left, known: limit.used !== undefined };
}

/** What a purchase usually costs, in minor units by currency. */
export type Typical = ReadonlyMap<string, number>;

/** The middle amount of recent purchases in each currency. */
export function typical(recent: readonly DecisionLine[]): Typical {
  const amounts = new Map<string, number[]>();
  for (const line of recent) {
    if (line.verdict === "decline" || line.verdict === "reprompt" || !line.currency || !line.amount_minor || line.amount_minor <= 0) continue;
    const known = amounts.get(line.currency);
    if (known) known.push(line.amount_minor);
    else amounts.set(line.currency, [line.amount_minor]);
  }
  return new Map([...amounts].map(([currency, all]) => [currency, all.sort((a, b) => a - b)[all.length >> 1] ?? 0]));
}

/** For how many usual purchases the money lasts; `null` while nothing was bought in the contract's currency. */
export function purchasesLeft(line: ContractLine, usual: Typical): number | null {
  const amount = usual.get(line.currency);
  return amount === undefined || amount <= 0 ? null : Math.max(0, Math.floor(line.available / amount));
}

export function purse(line: ContractLine, usual: Typical): Purse {
  if (line.available <= 0) return "empty";
  const left = purchasesLeft(line, usual);
  return left !== null && left < Math.max(SHORT_PURCHASES, line.cards * SHORT_PURCHASES_PER_CARD) ? "short" : "fine";
}

/** Purchases for each card: the fewer, the deeper the trouble. Below zero nothing can be paid. */
function ease(line: ContractLine, usual: Typical): number {
  if (line.available <= 0) return -1;
  const amount = usual.get(line.currency);
  return amount === undefined || amount <= 0 ? Infinity : line.available / amount / Math.max(1, line.cards);
}

/** Like a difference, also for infinities. */
const compared = (a: number, b: number): number => (a === b ? 0 : a < b ? -1 : 1);

export type Order = "trouble" | "activity" | "name";

export function ordered(lines: Iterable<ContractLine>, order: Order, search: string, usual: Typical): ContractLine[] {
  const wanted = search.trim().toLowerCase();
  const matching = [...lines].filter(
    (line) => wanted === "" || line.name.toLowerCase().includes(wanted) || line.contract.toLowerCase().includes(wanted),
  );
  const byId = (a: ContractLine, b: ContractLine): number => (a.contract < b.contract ? -1 : 1);
  const compare: Record<Order, (a: ContractLine, b: ContractLine) => number> = {
    trouble: (a, b) => compared(ease(a, usual), ease(b, usual)) || a.available - b.available || byId(a, b),
    activity: (a, b) => b.last_at_us - a.last_at_us || byId(a, b),
    name: (a, b) => a.name.localeCompare(b.name) || byId(a, b),
  };
  return matching.sort(compare[order]);
}

/** A volume as a part of the capacity, 0 to 1; `null` when either is not known. */
export function partOf(tank: TankLine, ml: number | undefined): number | null {
  if (ml === undefined || tank.capacity_ml === undefined || tank.capacity_ml <= 0) return null;
  return Math.min(1, Math.max(0, ml / tank.capacity_ml));
}

/** Filled part. */
export const level = (tank: TankLine): number | null => partOf(tank, tank.volume_ml);

/** As registered, or else by its part. */
export function isLow(tank: TankLine): boolean {
  const part = level(tank);
  const low = tank.thresholds?.low_ml;
  return part !== null && (low === undefined ? part < LOW_BELOW : (tank.volume_ml ?? 0) <= low);
}

export function isFull(tank: TankLine): boolean {
  const part = level(tank);
  return part !== null && (tank.safe_ml === undefined ? part > FULL_ABOVE : (tank.volume_ml ?? 0) > tank.safe_ml);
}

/** What may still be filled in; to the brim where the safe fill is not known. */
export function room(tank: TankLine): number | null {
  const until = tank.safe_ml ?? tank.capacity_ml;
  return until === undefined || tank.volume_ml === undefined ? null : Math.max(0, until - tank.volume_ml);
}

/** Its gauge says nothing, by the clock here or by what the station found. */
export const isSilent = (tank: TankLine): boolean => tank.stale || tank.silence !== undefined;
export const hasAlarm = (tank: TankLine): boolean => (tank.alarms?.length ?? 0) > 0;

export type Trend = "rising" | "falling" | "steady" | "unknown";

export function trend(tank: TankLine): Trend {
  if (tank.trend_ml_h === undefined || isSilent(tank)) return "unknown";
  if (tank.trend_ml_h > STEADY_ML_H) return "rising";
  return tank.trend_ml_h < -STEADY_ML_H ? "falling" : "steady";
}

/** Hours until the tank is empty at its present trend; `null` unless it falls. */
export function hoursLeft(tank: TankLine): number | null {
  if (trend(tank) !== "falling" || tank.trend_ml_h === undefined || tank.volume_ml === undefined) return null;
  return tank.volume_ml / -tank.trend_ml_h;
}

export type TankFilter = "all" | "low" | "alarm" | "silent" | "unregistered";
export const passes: Record<TankFilter, (tank: TankLine) => boolean> = {
  all: () => true,
  low: isLow,
  alarm: hasAlarm,
  silent: isSilent,
  unregistered: (tank) => !tank.registered,
};

export interface Site {
  site: string;
  tanks: TankLine[];
  low: number;
  silent: number;
}

const natural = new Intl.Collator("en", { numeric: true });

/** Tanks of one site in natural order. */
export const ofSite = (tanks: Iterable<TankLine>): TankLine[] => [...tanks].sort((a, b) => natural.compare(a.tank, b.tank));

/** Tanks by site, both in natural order, only what the filter and the search leave. */
export function sites(tanks: Iterable<TankLine>, filter: TankFilter, search: string): Site[] {
  const wanted = search.trim().toLowerCase();
  const bySite = new Map<string, Site>();
  for (const tank of tanks) {
    if (!passes[filter](tank)) continue;
    const text = `${tank.site} ${product(tank.product).name} ${tank.product}`.toLowerCase();
    if (wanted !== "" && !text.includes(wanted)) continue;
    let site = bySite.get(tank.site);
    if (!site) bySite.set(tank.site, (site = { site: tank.site, tanks: [], low: 0, silent: 0 }));
    site.tanks.push(tank);
    if (isSilent(tank)) site.silent += 1;
    if (isLow(tank)) site.low += 1;
  }
  for (const site of bySite.values()) site.tanks = ofSite(site.tanks);
  return [...bySite.values()].sort((a, b) => natural.compare(a.site, b.site));
}
