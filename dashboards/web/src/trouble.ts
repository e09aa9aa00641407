/** Which contracts and tanks need someone: pure rules, the same for lists, counts and colours. */
import type { ContractLine, TankLine } from "./live/protocol";
import { product } from "./products";

/** Below this part of its spending power a contract is short of money. */
export const SHORT_BELOW = 0.1;
/** Below this part of its capacity a tank is low. */
export const LOW_BELOW = 0.15;
/** Above this part of its capacity a tank takes no more: 97 % is the usual safe fill. */
export const FULL_ABOVE = 0.97;
/** Slower changes are evaporation and noise, not a trend. */
const STEADY_ML_H = 20_000;

export type Purse = "empty" | "short" | "fine";

/** What the contract could spend if nothing were held. */
export const spendingPower = (line: ContractLine): number => Math.max(0, line.own) + line.credit;

export function purse(line: ContractLine): Purse {
  if (line.available <= 0) return "empty";
  return line.available < spendingPower(line) * SHORT_BELOW ? "short" : "fine";
}

/** 0 is the deepest trouble: nothing available; then by what part is left. */
function ease(line: ContractLine): number {
  if (line.available <= 0) return -1;
  const power = spendingPower(line);
  return power > 0 ? line.available / power : 0;
}

export type Order = "trouble" | "activity" | "name";

export function ordered(lines: Iterable<ContractLine>, order: Order, search: string): ContractLine[] {
  const wanted = search.trim().toLowerCase();
  const matching = [...lines].filter(
    (line) => wanted === "" || line.name.toLowerCase().includes(wanted) || line.contract.toLowerCase().includes(wanted),
  );
  const byId = (a: ContractLine, b: ContractLine): number => (a.contract < b.contract ? -1 : 1);
  const compare: Record<Order, (a: ContractLine, b: ContractLine) => number> = {
    trouble: (a, b) => ease(a) - ease(b) || a.available - b.available || byId(a, b),
    activity: (a, b) => b.last_at_us - a.last_at_us || byId(a, b),
    name: (a, b) => a.name.localeCompare(b.name) || byId(a, b),
  };
  return matching.sort(compare[order]);
}

/** Filled part, 0 to 1; `null` when the capacity is not known. */
export function level(tank: TankLine): number | null {
  if (tank.capacity_ml === undefined || tank.capacity_ml <= 0) return null;
  return Math.min(1, Math.max(0, tank.volume_ml / tank.capacity_ml));
}

export function isLow(tank: TankLine): boolean {
  const part = level(tank);
  return part !== null && part < LOW_BELOW;
}

export type Trend = "rising" | "falling" | "steady" | "unknown";

export function trend(tank: TankLine): Trend {
  if (tank.trend_ml_h === undefined || tank.stale) return "unknown";
  if (tank.trend_ml_h > STEADY_ML_H) return "rising";
  return tank.trend_ml_h < -STEADY_ML_H ? "falling" : "steady";
}

/** Hours until the tank is empty at its present trend; `null` unless it falls. */
export function hoursLeft(tank: TankLine): number | null {
  if (trend(tank) !== "falling" || tank.trend_ml_h === undefined) return null;
  return tank.volume_ml / -tank.trend_ml_h;
}

export type TankFilter = "all" | "low" | "silent";

export interface Site {
  site: string;
  tanks: TankLine[];
  low: number;
  silent: number;
}

const natural = new Intl.Collator("en", { numeric: true });

/** Tanks by site, both in natural order, only what the filter and the search leave. */
export function sites(tanks: Iterable<TankLine>, filter: TankFilter, search: string): Site[] {
  const wanted = search.trim().toLowerCase();
  const bySite = new Map<string, Site>();
  for (const tank of tanks) {
    if (filter === "low" && !isLow(tank)) continue;
    if (filter === "silent" && !tank.stale) continue;
    const text = `${tank.site} ${product(tank.product).name} ${tank.product}`.toLowerCase();
    if (wanted !== "" && !text.includes(wanted)) continue;
    let site = bySite.get(tank.site);
    if (!site) bySite.set(tank.site, (site = { site: tank.site, tanks: [], low: 0, silent: 0 }));
    site.tanks.push(tank);
    if (tank.stale) site.silent += 1;
    if (isLow(tank)) site.low += 1;
  }
  for (const site of bySite.values()) site.tanks.sort((a, b) => natural.compare(a.tank, b.tank));
  return [...bySite.values()].sort((a, b) => natural.compare(a.site, b.site));
}
