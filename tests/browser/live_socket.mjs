// Connects to a running Forecourt as any WebSocket client would: prints the shape of the snapshot and the deltas that
// follow. Ends with 1 when the server says anything out of order.
//
//   node tests/browser/live_socket.mjs ws://127.0.0.1:8080/api/v1/live 5
import WebSocket from "ws";

const [url, deltasText = "5"] = process.argv.slice(2);
const wanted = Number(deltasText);
if (!url || !Number.isInteger(wanted) || wanted < 0) {
  console.error("usage: node live_socket.mjs ws://HOST:PORT/api/v1/live [DELTAS]");
  process.exit(2);
}
const WAIT_MS = 30_000;

const fail = (why) => {
  console.error(`failed: ${why}`);
  process.exit(1);
};

/** `12 × {site, tank, …}` of a list, the value of a number, the fields of an object. */
function shape(value, depth = 0) {
  if (Array.isArray(value)) return value.length === 0 ? "none" : `${value.length} × ${shape(value[0], depth + 1)}`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value);
  return depth > 0 ? `{${fields.map(([name]) => name).join(", ")}}` : fields.map(([name, each]) => `\n    ${name}: ${shape(each, 1)}`).join("");
}

let seq = null;
let deltas = 0;
const socket = new WebSocket(url);
const timer = setTimeout(() => fail(`only ${deltas} of ${wanted} deltas came within ${WAIT_MS / 1000} s`), WAIT_MS);
socket.on("error", (error) => fail(`${url}: ${error.message}`));
socket.on("close", (code, reason) => fail(`the server ended the connection: ${code} ${reason}`));
socket.on("message", (data, isBinary) => {
  if (isBinary) fail("a binary frame came; the protocol has text frames only");
  let message;
  try {
    message = JSON.parse(data.toString());
  } catch (error) {
    fail(`a frame is not JSON: ${error.message}`);
  }
  if (typeof message.token !== "string" || message.token === "") fail(`a ${message.type} has no token to resume from`);
  if (seq === null) {
    if (message.type !== "snapshot") fail(`the first message is a ${message.type}, not a snapshot`);
    for (const part of ["network", "decisions", "contracts", "tanks"]) {
      if (!(part in (message.state ?? {}))) fail(`the snapshot has no ${part}`);
    }
    console.log(`snapshot seq ${message.seq}`);
    for (const [part, value] of Object.entries(message.state)) console.log(`  ${part}: ${shape(value)}`);
  } else {
    if (message.type !== "delta") fail(`a ${message.type} came after the snapshot`);
    if (message.seq !== seq + 1) fail(`seq ${message.seq} came after ${seq}: a change is missing`);
    deltas += 1;
    const parts = Object.entries(message.changes).map(([part, value]) => (Array.isArray(value) ? `${value.length} ${part}` : part));
    const newest = message.changes.decisions?.[0];
    const told = newest ? `; newest: ${newest.verdict} ${newest.code} at ${newest.site}` : "";
    console.log(`delta seq ${message.seq}: ${parts.join(", ") || "nothing"}${told}`);
  }
  seq = message.seq;
  if (deltas >= wanted) {
    clearTimeout(timer);
    socket.removeAllListeners("close");
    socket.close();
    console.log(`${deltas} deltas without a gap`);
  }
});
