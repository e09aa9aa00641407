/**
 * What the page knows: a snapshot with all deltas since.
 *
 * In: messages in the order of the socket. Out: the current network, decisions, contracts and tanks, and which of them
 * the message touched. Lists are bounded. A replaced entry is a new object, an unchanged entry stays the same object.
 */
import type {
  Changes, ContractDetail, ContractLine, DecisionLine, HistoryPoint, Network, ServerMessage, State, TankLine,
} from "./protocol";

/** Points of the charts: three minutes, one a second. */
export const HISTORY_MAX = 180;
/** Decisions kept per filter. Declines outlive the stream of approvals in their own list. */
export const DECISIONS_MAX = 200;

/** So many decisions agree on the network's time. */
const CLOCK_OF = 15;

export type Filter = "all" | "declined" | "partial" | "flagged";
export const FILTERS: readonly Filter[] = ["all", "declined", "partial", "flagged"];

export interface Touched {
  network: boolean;
  decisions: boolean;
  contracts: boolean;
  tanks: boolean;
  details: boolean;
}

export const isFlagged = (line: DecisionLine): boolean => line.risk.length > 0 || line.code === "APPROVED_FLAGGED";

const belongs: Record<Filter, (line: DecisionLine) => boolean> = {
  all: () => true,
  declined: (line) => line.verdict === "decline",
  partial: (line) => line.verdict === "partial",
  flagged: isFlagged,
};

export const tankKey = (tank: { site: string; tank: string }): string => `${tank.site}/${tank.tank}`;

export class Model {
  network: Network | null = null;
  readonly contracts = new Map<string, ContractLine>();
  readonly tanks = new Map<string, TankLine>();
  readonly details = new Map<string, ContractDetail>();
  private lists: Record<Filter, DecisionLine[]> = { all: [], declined: [], partial: [], flagged: [] };
  private counts: Record<Filter, number> = { all: 0, declined: 0, partial: 0, flagged: 0 };

  /** Newest first. The array is never changed, only replaced. */
  decisions(filter: Filter): readonly DecisionLine[] {
    return this.lists[filter];
  }

  /** How many have passed since the page was opened; tells a reader what came while he read. */
  passed(filter: Filter): number {
    return this.counts[filter];
  }

  /**
   * The network's clock: the middle event time of the newest decisions, so that one terminal with a wrong clock does not
   * move it. 0 before the first decision.
   */
  clockUs(): number {
    const times = this.lists.all.slice(0, CLOCK_OF).map((line) => line.at_us);
    return times.sort((a, b) => a - b)[times.length >> 1] ?? 0;
  }

  /** The decision, if the page still remembers it. */
  decision(id: string): DecisionLine | undefined {
    for (const filter of FILTERS) {
      const found = this.lists[filter].find((line) => line.id === id);
      if (found) return found;
    }
    for (const detail of this.details.values()) {
      const found = detail.decisions.find((line) => line.id === id);
      if (found) return found;
    }
    return undefined;
  }

  /** What is known of a contract's cards is dropped; it came by subscription. */
  forget(contract: string): void {
    this.details.delete(contract);
  }

  apply(message: ServerMessage): Touched {
    if (message.type === "snapshot") {
      this.replace(message.state);
      return { network: true, decisions: true, contracts: true, tanks: true, details: true };
    }
    return this.change(message.changes);
  }

  private replace(state: State): void {
    this.network = { ...state.network, history: state.network.history.slice(-HISTORY_MAX) };
    this.contracts.clear();
    this.tanks.clear();
    this.details.clear();
    this.lists = { all: [], declined: [], partial: [], flagged: [] };
    this.change({ decisions: state.decisions, contracts: state.contracts, tanks: state.tanks });
  }

  private change(changes: Changes): Touched {
    if (changes.network) this.network = merged(this.network, changes.network);
    const news = changes.decisions ? this.fresh(changes.decisions) : [];
    for (const filter of FILTERS) {
      const matching = news.filter(belongs[filter]);
      if (matching.length === 0) continue;
      this.counts[filter] += matching.length;
      this.lists[filter] = [...matching, ...this.lists[filter]].slice(0, DECISIONS_MAX);
    }
    for (const line of changes.contracts ?? []) this.contracts.set(line.contract, line);
    for (const line of changes.tanks ?? []) this.tanks.set(tankKey(line), line);
    for (const detail of changes.contract_details ?? []) this.details.set(detail.contract, detail);
    return {
      network: changes.network !== undefined,
      decisions: news.length > 0,
      contracts: (changes.contracts?.length ?? 0) > 0,
      tanks: (changes.tanks?.length ?? 0) > 0,
      details: (changes.contract_details?.length ?? 0) > 0,
    };
  }

  /** A resumed connection may repeat a decision that was shown. */
  private fresh(lines: DecisionLine[]): DecisionLine[] {
    const known = new Set(this.lists.all.map((line) => line.id));
    return lines.filter((line) => !known.has(line.id) && known.add(line.id));
  }
}

function merged(before: Network | null, changes: Partial<Network>): Network | null {
  if (before === null) return null;
  const lastUs = before.history.at(-1)?.t_us ?? 0;
  const news: HistoryPoint[] = (changes.history ?? []).filter((point) => point.t_us > lastUs);
  const history = news.length === 0 ? before.history : [...before.history, ...news].slice(-HISTORY_MAX);
  return { ...before, ...changes, history };
}
