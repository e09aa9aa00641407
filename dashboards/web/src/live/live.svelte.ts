/**
 * The live network as the components see it.
 *
 * Messages change the model at once; what is drawn follows at most once per animation frame. A page in the background
 * keeps its model current and draws nothing.
 */
import { Connection, type Link, type World } from "./connection";
import { Model, type Filter, type Touched } from "./model";
import type { ContractDetail, ContractLine, DecisionLine, Network, TankLine } from "./protocol";

/** Drawing a part more often than this would show nothing more: figures would flicker, levels glide for a second anyway. */
const DRAW_EVERY_MS: Record<keyof Touched, number> = { network: 250, decisions: 0, contracts: 250, tanks: 500, details: 0 };

const browser: World = {
  open: (url) => new WebSocket(url) as never,
  nowMs: () => Date.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
  chance: () => Math.random(),
};

export class Live {
  link = $state.raw<Link>({ phase: "connecting" });
  /** True from the first snapshot on. */
  ready = $state(false);
  network = $state.raw<Network | null>(null);
  /** Wall clock, once a second: for "since", "retry in" and times that age. */
  nowMs = $state(Date.now());

  private readonly model = new Model();
  private readonly connection: Connection;
  private decisionsVersion = $state(0);
  private contractsVersion = $state(0);
  private tanksVersion = $state(0);
  private detailsVersion = $state(0);
  private pending: Touched = none();
  private frame = 0;
  private readonly drawnMs: Partial<Record<keyof Touched, number>> = {};
  private readonly watchers = new Map<string, number>();

  constructor(url: string) {
    this.connection = new Connection(url, browser, {
      message: (message) => {
        const touched = this.model.apply(message);
        for (const part of Object.keys(touched) as (keyof Touched)[]) this.pending[part] ||= touched[part];
        if (this.frame === 0) this.frame = requestAnimationFrame(() => this.draw());
      },
      link: (link) => {
        this.link = link;
      },
    });
  }

  /** Begins to live; the result ends it. */
  start(): () => void {
    this.connection.start();
    const clock = setInterval(() => (this.nowMs = Date.now()), 1_000);
    const wake = (): void => {
      if (document.visibilityState === "visible") this.connection.retryNow();
    };
    addEventListener("online", wake);
    document.addEventListener("visibilitychange", wake);
    return () => {
      clearInterval(clock);
      cancelAnimationFrame(this.frame);
      removeEventListener("online", wake);
      document.removeEventListener("visibilitychange", wake);
      this.connection.stop();
    };
  }

  retryNow(): void {
    this.connection.retryNow();
  }

  decisions(filter: Filter): readonly DecisionLine[] {
    void this.decisionsVersion;
    return this.model.decisions(filter);
  }

  passed(filter: Filter): number {
    void this.decisionsVersion;
    return this.model.passed(filter);
  }

  decision(id: string): DecisionLine | undefined {
    void this.decisionsVersion;
    void this.detailsVersion;
    return this.model.decision(id);
  }

  /** The network's clock; 0 before the first decision. */
  get clockUs(): number {
    void this.decisionsVersion;
    return this.model.clockUs();
  }

  get contracts(): ReadonlyMap<string, ContractLine> {
    void this.contractsVersion;
    return this.model.contracts;
  }

  get tanks(): ReadonlyMap<string, TankLine> {
    void this.tanksVersion;
    return this.model.tanks;
  }

  detail(contract: string): ContractDetail | undefined {
    void this.detailsVersion;
    return this.model.details.get(contract);
  }

  /** Asks for a contract's cards and decisions for as long as someone looks; the result ends it. */
  watch(contract: string): () => void {
    const before = this.watchers.get(contract) ?? 0;
    this.watchers.set(contract, before + 1);
    if (before === 0) this.connection.subscribe(contract);
    return () => {
      const left = (this.watchers.get(contract) ?? 1) - 1;
      if (left > 0) {
        this.watchers.set(contract, left);
        return;
      }
      this.watchers.delete(contract);
      this.connection.unsubscribe(contract);
      this.model.forget(contract);
    };
  }

  private draw(): void {
    this.frame = 0;
    const touched = none();
    const nowMs = performance.now();
    // What is not due waits for the next message, and one comes every second.
    for (const part of Object.keys(touched) as (keyof Touched)[]) {
      const due = nowMs - (this.drawnMs[part] ?? -Infinity) >= DRAW_EVERY_MS[part];
      if (!this.pending[part] || !due) continue;
      touched[part] = true;
      this.pending[part] = false;
      this.drawnMs[part] = nowMs;
    }
    if (touched.network) this.network = this.model.network;
    if (touched.decisions) this.decisionsVersion += 1;
    if (touched.contracts) this.contractsVersion += 1;
    if (touched.tanks) this.tanksVersion += 1;
    if (touched.details) this.detailsVersion += 1;
    this.ready ||= this.model.network !== null;
  }
}

function none(): Touched {
  return { network: false, decisions: false, contracts: false, tanks: false, details: false };
}
