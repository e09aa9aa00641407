// A wire that can be cut: a TCP relay between the browser and Forecourt. The browser believes that the relay is the server.
import { connect, createServer } from "node:net";

/** Listens on a free port and passes all bytes to `host:port` until it is cut. */
export async function cuttable(host, port) {
  const pairs = new Set();
  let whole = true;
  const server = createServer((near) => {
    if (!whole) {
      near.destroy();
      return;
    }
    const far = connect(port, host);
    const pair = [near, far];
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      pair.forEach((socket) => socket.destroy());
    };
    for (const socket of pair) socket.on("error", end).on("close", end);
    near.pipe(far).pipe(near);
  });
  await new Promise((ready, failed) => server.once("error", failed).listen(0, "127.0.0.1", ready));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Ends every connection and takes no new one. */
    cut() {
      whole = false;
      for (const pair of pairs) pair.forEach((socket) => socket.destroy());
    },
    mend() {
      whole = true;
    },
    close() {
      this.cut();
      server.close();
    },
  };
}
