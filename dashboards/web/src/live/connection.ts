/**
 * The socket to the server, kept alive.
 *
 * In: an address and a world (sockets, time, chance). Out: messages in order, and what the link is like. Guarantees: no
 * message is passed on after a gap in `seq`; after a loss it resumes from the last token, with growing pauses; what was
 * subscribed is subscribed again. It does not guarantee that no message is repeated after a resume.
 */
import { read, type ServerMessage } from "./protocol";

export const RETRY_FIRST_MS = 500;
export const RETRY_MAX_MS = 5_000;
/** The server speaks at least once a second; silence is shown after this … */
export const STALE_AFTER_MS = 5_000;
/** … and ends the connection after this. */
export const DEAD_AFTER_MS = 20_000;

export type Link =
  | { phase: "connecting" }
  | { phase: "live" }
  | { phase: "stale"; sinceMs: number }
  | { phase: "reconnecting"; sinceMs: number; attempt: number; retryAtMs: number };

export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
  onerror: (() => void) | null;
  send(text: string): void;
  close(): void;
}

export interface World {
  open(url: string): Socket;
  nowMs(): number;
  /** Calls back once; the result cancels. */
  after(ms: number, call: () => void): () => void;
  /** From 0 to 1. */
  chance(): number;
}

export interface Listener {
  message(message: ServerMessage): void;
  link(link: Link): void;
}

/** Doubles up to the maximum; up to a third is left to chance, so that a thousand pages do not return together. */
export function retryPauseMs(attempt: number, chance: number): number {
  const full = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(full * (1 - chance / 3));
}

export class Connection {
  private socket: Socket | null = null;
  private opened = false;
  private token: string | null = null;
  private seq: number | null = null;
  private attempt = 0;
  private lastHeardMs: number;
  private lostAtMs: number | null = null;
  private current: Link = { phase: "connecting" };
  private stopTimer: () => void = () => {};
  private readonly subscribed = new Set<string>();

  constructor(
    private readonly url: string,
    private readonly world: World,
    private readonly listener: Listener,
  ) {
    this.lastHeardMs = world.nowMs();
  }

  start(): void {
    this.connect();
  }

  /** Ends the connection for good. */
  stop(): void {
    this.stopTimer();
    this.drop();
  }

  /** Does not wait for the next attempt, for example when the computer is online again. */
  retryNow(): void {
    if (this.current.phase !== "reconnecting" || this.socket) return;
    this.stopTimer();
    this.connect();
  }

  subscribe(contract: string): void {
    if (this.subscribed.has(contract)) return;
    this.subscribed.add(contract);
    if (this.opened) this.socket?.send(JSON.stringify({ subscribe: { contract } }));
  }

  unsubscribe(contract: string): void {
    if (!this.subscribed.delete(contract)) return;
    if (this.opened) this.socket?.send(JSON.stringify({ unsubscribe: { contract } }));
  }

  private connect(): void {
    const resume = this.token === null ? "" : `?resume=${encodeURIComponent(this.token)}`;
    let socket: Socket;
    try {
      socket = this.world.open(this.url + resume);
    } catch {
      this.lost();
      return;
    }
    this.socket = socket;
    this.opened = false;
    this.seq = null;
    this.lastHeardMs = this.world.nowMs();
    socket.onopen = () => {
      this.opened = true;
      for (const contract of this.subscribed) socket.send(JSON.stringify({ subscribe: { contract } }));
    };
    socket.onmessage = (event) => this.heard(event.data);
    socket.onclose = () => this.lost();
    socket.onerror = () => {};
    this.watch();
  }

  private heard(data: unknown): void {
    const message = typeof data === "string" ? read(data) : null;
    const expected = this.seq === null ? null : this.seq + 1;
    const broken = message === null || (message.type === "delta" && expected !== null && message.seq !== expected);
    if (broken) {
      // What is shown may miss a change: begin again from a snapshot.
      this.token = null;
      this.lost();
      return;
    }
    this.seq = message.seq;
    this.token = message.token;
    this.attempt = 0;
    this.lostAtMs = null;
    this.lastHeardMs = this.world.nowMs();
    this.listener.message(message);
    if (this.current.phase !== "live") this.tell({ phase: "live" });
  }

  private watch(): void {
    this.stopTimer();
    this.stopTimer = this.world.after(1_000, () => {
      const silentMs = this.world.nowMs() - this.lastHeardMs;
      if (silentMs >= DEAD_AFTER_MS) {
        this.lost();
        return;
      }
      if (silentMs >= STALE_AFTER_MS && this.current.phase === "live") {
        this.tell({ phase: "stale", sinceMs: this.lastHeardMs });
      }
      this.watch();
    });
  }

  private lost(): void {
    this.drop();
    this.stopTimer();
    this.lostAtMs ??= this.current.phase === "stale" ? this.current.sinceMs : this.world.nowMs();
    const pause = retryPauseMs(this.attempt, this.world.chance());
    this.attempt += 1;
    const retryAtMs = this.world.nowMs() + pause;
    this.tell({ phase: "reconnecting", sinceMs: this.lostAtMs, attempt: this.attempt, retryAtMs });
    this.stopTimer = this.world.after(pause, () => this.connect());
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    this.opened = false;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private tell(link: Link): void {
    this.current = link;
    this.listener.link(link);
  }
}
