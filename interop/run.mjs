#!/usr/bin/env node
// The vendor's JS SDK against the Rust client, through our server, both ways.
//
//   node run.mjs --rtm ../target/debug/rtm --peer ../target/debug/interop-peer
//                [--chromium /usr/bin/chromium] [--firefox /usr/bin/firefox-esr] [--proxies] [--screenshot FILE] [--only TEXT]
//
// Every case runs with the SDK in Node and in each browser that is named, with the Rust client on both of its wires, and with
// the two in both roles. Those about networks run with each of these as the one whose network it is. With --proxies, users
// meet through nginx, haproxy and caddy as docs/proxies.md configures them.
// Exit status 0 when no case failed. The last line: 'N passed, N failed'.
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { APP_ID, bench, CERTIFICATE, SECURE_APP_ID } from "./bench.mjs";
import { attributes } from "./cases/attributes.mjs";
import { breaks, longBreaks, rustBreaks } from "./cases/breaks.mjs";
import { channels, typedChannels } from "./cases/channels.mjs";
import { commandLine } from "./cases/command-line.mjs";
import { drain } from "./cases/drain.mjs";
import { invitations } from "./cases/invitations.mjs";
import { links, nativeLinks, rustLinks } from "./cases/links.mjs";
import { messages, nativeMessages } from "./cases/messages.mjs";
import { page } from "./cases/page.mjs";
import { patience } from "./cases/patience.mjs";
import { presence } from "./cases/presence.mjs";
import { behindProxy, withoutUpgrade } from "./cases/proxies.mjs";
import { refusals } from "./cases/refusals.mjs";
import { sdkHabits } from "./cases/sdk-habits.mjs";
import { session } from "./cases/session.mjs";
import { tokens } from "./cases/tokens.mjs";
import { servePages } from "./page/serve.mjs";
import { browserPeers, startBrowser } from "./peers/browser.mjs";
import { nodePeers } from "./peers/node.mjs";
import { rustPeers } from "./peers/rust.mjs";
import { startProxies } from "./proxies.mjs";
import { serve } from "./server.mjs";

const { values: options } = parseArgs({ options: {
  rtm: { type: "string" }, peer: { type: "string" }, chromium: { type: "string" }, firefox: { type: "string" },
  proxies: { type: "boolean", default: false }, screenshot: { type: "string" }, only: { type: "string" },
} });
if (!options.rtm || !options.peer) {
  console.error("--rtm and --peer name the two programs");
  process.exit(2);
}
const say = (line) => process.stdout.write(`${line}\n`);
console.log = console.info = console.debug = console.warn = () => {}; // the SDK talks a lot
process.on("unhandledRejection", () => {}); // the SDK drops promises of its own

const CASE_MS = 120_000;
const BOTH_ROLES = { ...session, ...messages, ...presence, ...invitations, ...channels, ...attributes, ...refusals, ...tokens };

let passed = 0, failed = 0;
async function runCase(label, name, body, t) {
  const full = `[${label}] ${name}`, start = Date.now();
  if (options.only && !full.includes(options.only)) return;
  let timer;
  try {
    await Promise.race([body(t), new Promise((_, no) => { timer = setTimeout(() => no(new Error(`no end within ${CASE_MS} ms`)), CASE_MS); })]);
    passed++;
    say(`ok      ${full} (${Date.now() - start} ms)`);
  } catch (error) {
    failed++;
    const text = error instanceof Error ? error.message : JSON.stringify(error);
    say(`FAILED  ${full}\n        ${text.slice(0, 2000).split("\n").join("\n        ")}`);
  } finally {
    clearTimeout(timer);
    await t.end();
  }
}

const server = await serve(options.rtm, ["--listen", "127.0.0.1:0", "--project", APP_ID, "--project", `${SECURE_APP_ID}:${CERTIFICATE}`]);
const pages = await servePages();
const browsers = await Promise.all(["chromium", "firefox"].filter((name) => options[name]).map((name) => startBrowser(name, options[name])));
const runtimes = [nodePeers(), ...await Promise.all(browsers.map((browser) => browserPeers(browser, pages)))];
const proxies = options.proxies ? await startProxies(options.rtm) : null;
const wires = ["native", "vendor"].map((wire) => rustPeers(options.peer, wire));
const [node] = runtimes, [native] = wires;

const pairs = runtimes.flatMap((js) => wires.map((rust) => ({ rust, js, label: `JS in ${js.name}, Rust ${rust.name}` })));
const benchOf = ({ rust, js }, roles, at = server) =>
  bench(options.rtm, at, { rust, js, ...roles }, { browser: js.browser, pages, wire: rust.name, screenshot: options.screenshot });

// What mostly waits is started first, each case as soon as another has ended; the others follow one another, pair by pair.
const waiting = [], lanes = [];
const wait = (label, cases, ...where) => {
  for (const [name, body] of Object.entries(cases)) waiting.push(() => runCase(label, name, body, benchOf(...where)));
};
const inTurn = async (label, cases, ...where) => {
  for (const [name, body] of Object.entries(cases)) await runCase(label, name, body, benchOf(...where));
};

for (const pair of pairs) {
  const { rust, js, label } = pair;
  wait(label, patience, pair);
  lanes.push(async () => {
    await inTurn(`${label}, A is JS`, BOTH_ROLES, pair, { a: js, b: rust });
    await inTurn(`${label}, A is Rust`, BOTH_ROLES, pair, { a: rust, b: js });
    await inTurn(label, { ...drain, ...typedChannels, ...sdkHabits }, pair, { a: js, b: rust });
    if (rust === native) await inTurn(label, nativeMessages, pair);
    await inTurn(label, js === node ? commandLine : page, pair);
  });
}
for (const a of [...wires, ...runtimes]) {
  const pair = a.isRust ? { rust: a, js: node } : { rust: native, js: a };
  const label = `A is ${a.isRust ? "Rust" : "JS"} ${a.name}`, roles = { a, b: a.isRust ? node : native };
  wait(label, { ...longBreaks, ...links }, pair, roles);
  if (a === native) wait(label, nativeLinks, pair);
  if (a.isRust) wait(label, { ...rustBreaks, ...rustLinks }, pair);
  lanes.push(() => inTurn(label, breaks, pair, roles));
}
for (const proxy of proxies?.all ?? []) {
  const users = [...(proxy.advertises ? [native] : wires).map((rust) => ({ rust, js: node })), ...runtimes.slice(1).map((js) => ({ rust: native, js }))];
  const own = proxy.upgrades ? behindProxy(proxy) : withoutUpgrade;
  lanes.push(async () => {
    for (const pair of proxy.upgrades ? users : []) {
      const cases = proxy.advertises ? messages : { ...session, ...messages, ...channels };
      const label = `${proxy.name}, JS in ${pair.js.name}, Rust ${pair.rust.name}`;
      await inTurn(label, cases, pair, { a: pair.js, b: pair.rust }, proxy);
    }
    if (!proxy.advertises) await inTurn(proxy.name, own, users[0], {}, proxy);
  });
}

const WAITING_AT_ONCE = 48, LANES_AT_ONCE = 3 * availableParallelism();
const work = (jobs, workers) => Array.from({ length: workers }, async () => { while (jobs.length) await jobs.shift()(); });
await Promise.all([...work(waiting, WAITING_AT_ONCE), ...work(lanes, LANES_AT_ONCE)]);

for (const one of [...wires, ...runtimes, ...browsers]) await one.close();
await proxies?.stop();
pages.close();
const { code } = await server.stop();
if (code !== 0) {
  failed++;
  say(`FAILED  the server ended with ${code}`);
}
say(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
