import { describe, expect, it } from "vitest";
import { Connection, DEAD_AFTER_MS, RETRY_MAX_MS, retryPauseMs, STALE_AFTER_MS, type Link, type Socket } from "./connection";
import type { ServerMessage } from "./protocol";

/** A world whose clock moves only when told. */
class Stage {
  nowMs = 0;
  sockets: (Socket & { url: string; sent: string[]; closed: boolean })[] = [];
  links: Link[] = [];
  messages: ServerMessage[] = [];
  private timers: { atMs: number; call: () => void }[] = [];
  readonly connection = new Connection(
    "ws://host/live",
    {
      open: (url) => {
        const socket = {
          url, sent: [] as string[], closed: false, onopen: null, onmessage: null, onclose: null, onerror: null,
          send(text: string) { this.sent.push(text); },
          close() { this.closed = true; },
        };
        this.sockets.push(socket);
        return socket;
      },
      nowMs: () => this.nowMs,
      after: (ms, call) => {
        const timer = { atMs: this.nowMs + ms, call };
        this.timers.push(timer);
        return () => (this.timers = this.timers.filter((each) => each !== timer));
      },
      chance: () => 0,
    },
    { message: (message) => this.messages.push(message), link: (link) => this.links.push(link) },
  );

  get socket() {
    const last = this.sockets.at(-1);
    if (!last) throw new Error("no socket was opened");
    return last;
  }
  get phase() {
    return this.links.at(-1)?.phase;
  }
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const next = this.timers.filter((each) => each.atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (!next) break;
      this.timers = this.timers.filter((each) => each !== next);
      this.nowMs = next.atMs;
      next.call();
    }
    this.nowMs = endMs;
  }
  snapshot(seq = 0, token = "t0"): void {
    this.socket.onmessage?.({ data: JSON.stringify({ type: "snapshot", seq, token, state: {} }) });
  }
  delta(seq: number, token = `t${seq}`): void {
    this.socket.onmessage?.({ data: JSON.stringify({ type: "delta", seq, token, changes: {} }) });
  }
}

function live(): Stage {
  const stage = new Stage();
  stage.connection.start();
  stage.socket.onopen?.();
  stage.snapshot();
  return stage;
}

describe("a live connection", () => {
  it("is live with its first message and passes all on", () => {
    const stage = live();
    stage.delta(1);
    stage.delta(2);
    expect(stage.phase).toBe("live");
    expect(stage.messages.map((message) => message.seq)).toEqual([0, 1, 2]);
  });

  it("says when the server falls silent, and recovers when it speaks", () => {
    const stage = live();
    stage.pass(STALE_AFTER_MS + 1_000);
    expect(stage.links.at(-1)).toEqual({ phase: "stale", sinceMs: 0 });
    stage.delta(1);
    expect(stage.phase).toBe("live");
  });

  it("gives a dead connection up", () => {
    const stage = live();
    stage.pass(DEAD_AFTER_MS + 1_000);
    expect(stage.socket.url).toBe("ws://host/live?resume=t0");
    expect(stage.sockets[0]?.closed).toBe(true);
    expect(stage.links.at(-1)).toMatchObject({ phase: "reconnecting", sinceMs: 0 });
  });
});

describe("a lost connection", () => {
  it("resumes from its last token, on whatever number the new connection begins", () => {
    const stage = live();
    stage.delta(1, "a/b c");
    stage.socket.onclose?.();
    expect(stage.phase).toBe("reconnecting");
    stage.pass(500);
    expect(stage.socket.url).toBe("ws://host/live?resume=a%2Fb%20c");
    stage.socket.onopen?.();
    stage.delta(77);
    stage.delta(78);
    expect(stage.phase).toBe("live");
    expect(stage.messages.at(-1)?.seq).toBe(78);
  });

  it("remembers since when, through all attempts", () => {
    const stage = live();
    stage.pass(1_500);
    stage.delta(1);
    stage.socket.onclose?.();
    for (let attempt = 0; attempt < 6; attempt += 1) {
      stage.pass(RETRY_MAX_MS);
      stage.socket.onclose?.();
    }
    expect(stage.links.at(-1)).toMatchObject({ phase: "reconnecting", sinceMs: 1_500, attempt: 7 });
  });

  it("tries at once when told to, but opens one socket only", () => {
    const stage = live();
    stage.socket.onclose?.();
    stage.connection.retryNow();
    stage.connection.retryNow();
    expect(stage.sockets).toHaveLength(2);
    stage.pass(60);
    expect(stage.sockets).toHaveLength(2);
  });

  it("subscribes again to what was looked at", () => {
    const stage = live();
    stage.connection.subscribe("C-1");
    stage.connection.subscribe("C-2");
    stage.connection.unsubscribe("C-2");
    expect(stage.socket.sent).toHaveLength(3);
    stage.socket.onclose?.();
    stage.pass(500);
    stage.socket.onopen?.();
    expect(stage.socket.sent).toEqual([JSON.stringify({ subscribe: { contract: "C-1" } })]);
  });

  it("never comes back after it was stopped", () => {
    const stage = live();
    stage.connection.stop();
    stage.pass(60_000);
    expect(stage.sockets).toHaveLength(1);
  });
});

describe("a gap", () => {
  it("is never shown: the page begins again from a snapshot", () => {
    const stage = live();
    stage.delta(1);
    stage.delta(3);
    expect(stage.messages.map((message) => message.seq)).toEqual([0, 1]);
    stage.pass(500);
    expect(stage.socket.url).toBe("ws://host/live");
  });

  it("is what a frame of another protocol is treated as", () => {
    const stage = live();
    stage.socket.onmessage?.({ data: "<html>" });
    expect(stage.phase).toBe("reconnecting");
    stage.pass(500);
    expect(stage.socket.url).toBe("ws://host/live");
  });
});

describe("pauses", () => {
  it("double up to the maximum and differ between pages", () => {
    expect([0, 1, 2, 3, 9, 99].map((attempt) => retryPauseMs(attempt, 0))).toEqual([500, 1_000, 2_000, 4_000, RETRY_MAX_MS, RETRY_MAX_MS]);
    expect(retryPauseMs(1, 1)).toBe(667);
  });
});
