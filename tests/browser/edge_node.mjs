// A Sparkplug B edge node on Eclipse Tahu's own client: one tank that reports by exception and loses a message.
// usage: node edge_node.mjs mqtt://HOST:PORT GROUP EDGE
// It is born, sends data, skips a sequence number, and is born again when its host asks for it. Ends by `kill`.
import { createRequire } from "node:module";

const sparkplug = createRequire(import.meta.url)("sparkplug-client");
const [serverUrl, groupId, edgeNode] = process.argv.slice(2);
const client = sparkplug.newClient({
  serverUrl,
  username: "",
  password: "",
  groupId,
  edgeNode,
  clientId: `edge-${edgeNode}`,
  version: "spBv1.0",
  publishDeath: true,
});

const tank = "tank-1";
let litres = 20_000;

function births() {
  client.publishNodeBirth({
    timestamp: Date.now(),
    metrics: [{ name: "Node Control/Rebirth", type: "Boolean", value: false }],
  });
  client.publishDeviceBirth(tank, {
    timestamp: Date.now(),
    metrics: [
      { name: "Volume_L", alias: 1, type: "Double", value: litres },
      { name: "Level/Height_mm", alias: 2, type: "Float", value: 1_234.5 },
      { name: "Temp_C", alias: 3, type: "Int16", value: -4 },
      { name: "Product", alias: 4, type: "String", value: "DIESEL" },
    ],
  });
}

function data(value) {
  litres = value;
  // By alias alone, as most edge nodes do; the library wants a name, which may be empty.
  client.publishDeviceData(tank, {
    timestamp: Date.now(),
    metrics: [{ name: "", alias: 1, type: "Double", value: litres }],
  });
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// The library says "birth" when it is connected, and when it connects again.
client.on("birth", async () => {
  births();
  await pause(200);
  data(19_990);
  await pause(200);
  // A message that nobody gets: its number is used up.
  client.seq += 1;
  data(19_980);
});

client.on("ncmd", (payload) => {
  const asked = payload.metrics?.some((metric) => metric.name === "Node Control/Rebirth" && metric.value === true);
  if (asked) {
    litres = 19_970;
    births();
    data(19_960);
  }
});

client.on("error", (error) => {
  console.error(`edge node: ${error}`);
  process.exit(1);
});
