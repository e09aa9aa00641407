// The page of a running Forecourt in a real browser: is it live, does it show what happens, does it come back?
//
//   node tests/browser/live_page.mjs http://127.0.0.1:8080 [screenshot.png]
//
// Needs transactions and tank readings to flow, as the demo's do. Ends with 1 and a reason when the page falls short.
// FORECOURT_CHROMIUM names another browser than Debian's.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { cuttable } from "./cuttable.mjs";

const [base, picture] = process.argv.slice(2);
if (!base) {
  console.error("usage: node live_page.mjs http://HOST:PORT [screenshot.png]");
  process.exit(2);
}
const target = new URL(base);
const wire = await cuttable(target.hostname, Number(target.port || 80));
const profile = await mkdtemp(join(tmpdir(), "forecourt-browser-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.FORECOURT_CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  viewport: { width: 1440, height: 900 },
  colorScheme: "dark",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
const page = context.pages()[0] ?? (await context.newPage());

/** What the page complained about; while the wire is cut, failed connections are what we asked for. */
const complaints = [];
let cut = false;
page.on("console", (message) => {
  const text = message.text();
  const asked = cut && /WebSocket connection to|Failed to load resource/u.test(text);
  if (message.type() === "error" && !asked) complaints.push(text);
});
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("request", (request) => {
  const url = new URL(request.url());
  if (url.host !== new URL(wire.url).host && url.protocol !== "data:") complaints.push(`the page asked a stranger: ${request.url()}`);
});
await page.addInitScript(() => {
  addEventListener("securitypolicyviolation", (event) => console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI}`));
});

/** So many contracts are opened in search of one whose cards have limits. */
const TRIED_MAX = 6;
const number = (text) => Number(text.replaceAll(/[^\d.]/gu, ""));
const figure = async (name) => number(await page.locator(`[data-figure=${name}]`).innerText());
const passed = async () => Number(await page.locator("[data-passed]").getAttribute("data-passed"));

/** Waits until `probe` gives something true. */
async function eventually(what, probe, withinMs = 30_000) {
  const endMs = Date.now() + withinMs;
  let last;
  while (Date.now() < endMs) {
    last = await probe();
    if (last) return last;
    await page.waitForTimeout(100);
  }
  throw new assert.AssertionError({ message: `${what} (waited ${withinMs / 1000} s, last seen: ${JSON.stringify(last)})` });
}
const linkIs = (phase) => async () => (await page.locator("[data-link]").getAttribute("data-link")) === phase;

const checks = {
  async "the page is served with a content security policy"() {
    const answer = await page.goto(wire.url);
    assert.equal(answer.status(), 200, `GET / answered ${answer.status()}`);
    const policy = answer.headers()["content-security-policy"] ?? "";
    assert.match(policy, /default-src 'self'/u, `the policy is "${policy}"`);
    assert.doesNotMatch(policy, /script-src[^;]*unsafe/u, `scripts are not protected by "${policy}"`);
  },
  async "it goes live"() {
    await eventually("the connection never became live", linkIs("live"));
  },
  async "decisions appear and grow in number"() {
    await eventually("no decision was drawn", async () => (await page.locator("[data-decision]").count()) > 0);
    const before = await passed();
    await eventually(`no decision came after the first ${before}`, async () => (await passed()) > before);
    const row = await page.locator("[data-decision]").first().innerText();
    assert.match(row, /Approved|Partial|Declined/u, `the newest decision has no verdict in words: ${row}`);
    assert.match(row, /\d\d:\d\d:\d\d/u, `the newest decision has no time: ${row}`);
  },
  async "events a second and decision latency are figures"() {
    for (const name of ["events", "decisions", "p50", "p99"]) {
      await eventually(`"${name}" never became a positive number`, async () => (await figure(name)) > 0);
    }
    const [decided] = [await figure("decided")];
    assert.ok(decided > 0, "nothing was counted as decided");
    assert.ok((await page.locator(".chart canvas").count()) >= 2, "the charts were not drawn");
  },
  async "a contract shows its balance, and after a click its cards' remaining limits"() {
    await page.locator("[data-choice=activity]").click();
    await page.locator("#decisions-title").hover();
    const contracts = page.locator("[data-contract]");
    await eventually("no contract is listed", () => contracts.first().isVisible());
    const detail = page.locator("[data-part=details]");
    // Not every contract limits its cards: one of the busiest does.
    for (let place = 0; ; place += 1) {
      assert.ok(place < Math.min(TRIED_MAX, await contracts.count()), "none of the busiest contracts has a card with a limit");
      const contract = contracts.nth(place);
      const name = await contract.getAttribute("data-contract");
      assert.match(await contract.locator("[data-available]").innerText(), /\d/u, `the available money of ${name} is no number`);
      await contract.click();
      await eventually(`contract ${name} did not open`, () => detail.isVisible());
      assert.match(await detail.locator("[data-balance]").innerText(), /\d/u, `contract ${name} opened without a balance`);
      await eventually(`no card of ${name} appeared`, async () => (await detail.locator("[data-card]").count()) > 0);
      if ((await detail.locator("[data-card] [data-limit][data-left]").count()) > 0) break;
      await page.keyboard.press("Escape");
    }
    assert.match(await detail.locator("[data-limit]").first().innerText(), /left of/u, "a limit does not say what is left");
  },
  async "Escape closes the contract"() {
    await page.keyboard.press("Escape");
    await eventually("the details stayed open", async () => (await page.locator("[data-part=details]").count()) === 0);
  },
  async "tanks are drawn and their levels change"() {
    await eventually("no tank is drawn", async () => (await page.locator("[data-tank]").count()) > 0);
    const volumes = () =>
      page.locator("[data-tank]").evaluateAll((tanks) => Object.fromEntries(tanks.map((tank) => [tank.dataset.tank, tank.dataset.volume])));
    const before = await volumes();
    const changed = await eventually("no tank's level changed", async () => {
      const now = await volumes();
      return Object.keys(now).find((tank) => before[tank] !== undefined && now[tank] !== before[tank]);
    }, 60_000);
    console.log(`     ${changed}: ${before[changed]} ml, then ${(await volumes())[changed]} ml`);
    const filled = await page.locator("[data-tank] .liquid").first().evaluate((liquid) => getComputedStyle(liquid).translate);
    assert.match(filled, /%|px/u, `the level is not drawn: ${filled}`);
  },
  async "a picture is taken"() {
    if (picture) await page.screenshot({ path: picture });
  },
  async "it says so when the connection is cut, and comes back"() {
    cut = true;
    wire.cut();
    await eventually("the page did not notice the cut", linkIs("reconnecting"), 10_000);
    assert.ok(await page.locator("[data-part=away]").isVisible(), "nothing tells the viewer that the server is away");
    assert.ok((await page.locator("[data-tank]").count()) > 0, "the last known tanks were taken away");
    await page.waitForTimeout(1_500);
    const resumed = page.waitForEvent("websocket", { predicate: (socket) => socket.url().includes("resume="), timeout: 30_000 });
    wire.mend();
    await resumed.catch(() => assert.fail("the page did not ask to resume where it was"));
    await eventually("the page did not come back", linkIs("live"));
    cut = false;
    const before = await passed();
    await eventually("no decision came after the reconnection", async () => (await passed()) > before);
  },
  async "the browser had nothing to complain about"() {
    assert.deepEqual(complaints, [], `console errors:\n${complaints.join("\n")}`);
  },
};

let failed = null;
for (const [what, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok   ${what}`);
  } catch (error) {
    failed = error;
    console.error(`FAIL ${what}\n     ${error.message}`);
    if (complaints.length > 0) console.error(`     the console says:\n     ${complaints.join("\n     ")}`);
    if (picture) await page.screenshot({ path: picture }).catch(() => {});
    break;
  }
}
await context.close();
wire.close();
await rm(profile, { recursive: true, force: true });
process.exit(failed ? 1 : 0);
