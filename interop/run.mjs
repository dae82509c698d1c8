#!/usr/bin/env node
// The vendor's JS SDK against the Rust client, through our server, both ways.
//
//   node run.mjs --rtm ../target/debug/rtm --peer ../target/debug/interop-peer
//                [--chromium /usr/bin/chromium] [--no-browser] [--screenshot FILE] [--only TEXT]
//
// Every case runs with the SDK in Node and in headless Chromium, with the Rust client on both of its wires, and with the
// two in both roles. Exit status 0 when no case failed. The last line: 'N passed, N failed'.
import { parseArgs } from "node:util";
import { attributes } from "./cases/attributes.mjs";
import { channels, typedChannels } from "./cases/channels.mjs";
import { commandLine } from "./cases/command-line.mjs";
import { drain } from "./cases/drain.mjs";
import { invitations } from "./cases/invitations.mjs";
import { messages, nativeMessages } from "./cases/messages.mjs";
import { page } from "./cases/page.mjs";
import { patience } from "./cases/patience.mjs";
import { presence } from "./cases/presence.mjs";
import { refusals } from "./cases/refusals.mjs";
import { session } from "./cases/session.mjs";
import { tokens } from "./cases/tokens.mjs";
import { servePages } from "./page/serve.mjs";
import { browserPeers, startBrowser } from "./peers/browser.mjs";
import { nodePeers } from "./peers/node.mjs";
import { rustPeers } from "./peers/rust.mjs";
import { relay, run, serve } from "./server.mjs";

const { values: options } = parseArgs({ options: {
  rtm: { type: "string" }, peer: { type: "string" }, chromium: { type: "string", default: "/usr/bin/chromium" },
  "no-browser": { type: "boolean", default: false }, screenshot: { type: "string" }, only: { type: "string" },
} });
if (!options.rtm || !options.peer) {
  console.error("--rtm and --peer name the two programs");
  process.exit(2);
}
const say = (line) => process.stdout.write(`${line}\n`);
console.log = console.info = console.debug = console.warn = () => {}; // the SDK talks a lot
process.on("unhandledRejection", () => {}); // the SDK drops promises of its own

const APP_ID = `${"0".repeat(28)}open`, SECURE_APP_ID = `${"0".repeat(28)}cert`;
const CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b";
const CASE_MS = 100_000;
const BOTH_ROLES = { ...session, ...messages, ...presence, ...invitations, ...channels, ...attributes, ...refusals, ...tokens };

const token = async (uid, { ttl = "1h", version = "006" } = {}) => {
  const { code, stdout, stderr } = await run(options.rtm,
    ["token", "--app-id", SECURE_APP_ID, "--certificate", CERTIFICATE, "--uid", uid, "--ttl", ttl, "--version", version]);
  if (code !== 0) throw new Error(`rtm token ended with ${code}: ${stderr}`);
  return stdout.trim();
};

const unique = Math.random().toString(36).slice(2, 7);
let serial = 0;

// What a case is given: users of kind `a` and `b`, or `js` and `rust`, and what they need.
function bench(server, kinds, extra) {
  const users = [], relays = [];
  const t = {
    ...extra, rtm: options.rtm, host: server.host, port: server.port, appId: APP_ID, secureAppId: SECURE_APP_ID, token,
    uid: (hint) => `${hint}-${unique}-${++serial}`,
    channel: () => `room-${unique}-${++serial}`,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    async until(holds, ms = 5000) {
      const end = Date.now() + ms;
      while (!(await holds())) {
        if (Date.now() > end) throw new Error(`not within ${ms} ms: ${holds}`);
        await t.sleep(20);
      }
    },
    async relay() {
      const one = await relay(server);
      relays.push(one);
      return one;
    },
    async open(kind, { uid, appId, secure, via = server }) {
      const peers = kinds[kind];
      const user = await peers.open({ uid, appId: appId ?? (secure ? SECURE_APP_ID : APP_ID), host: via.host, port: via.port });
      user.isRust = peers === kinds.rust;
      users.push(user);
      return user;
    },
    async login(kind, { uid = t.uid("user"), token: given, ...rest } = {}) {
      const user = await t.open(kind, { uid, ...rest });
      await user.call("login", { uid, token: given === true ? await token(uid) : given });
      return user;
    },
    pair: async () => [await t.login("a"), await t.login("b")],
    async end() {
      await Promise.all(users.splice(0).map((user) => Promise.race([user.call("logout").catch(() => {}), t.sleep(1000)])));
      for (const one of relays.splice(0)) one.close();
    },
  };
  return t;
}

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
const browser = options["no-browser"] ? null : await startBrowser(options.chromium);
const runtimes = [nodePeers()];
if (browser) runtimes.push(await browserPeers(browser, pages));
const wires = ["native", "vendor"].map((wire) => rustPeers(options.peer, wire));

const pairs = wires.flatMap((rust) => runtimes.map((js) => ({ rust, js, label: `JS in ${js.name}, Rust ${rust.name}` })));
const benchOf = ({ rust, js }, roles) =>
  bench(server, { rust, js, ...roles }, { browser, pages, wire: rust.name, screenshot: options.screenshot });

const slow = pairs.flatMap((pair) =>
  Object.entries(patience).map(([name, body]) => runCase(pair.label, name, body, benchOf(pair))));
async function runPair(pair) {
  const { rust, js } = pair;
  const inTurn = async (label, cases, roles) => {
    for (const [name, body] of Object.entries(cases)) await runCase(label, name, body, benchOf(pair, roles));
  };
  await inTurn(`${pair.label}, A is JS`, BOTH_ROLES, { a: js, b: rust });
  await inTurn(`${pair.label}, A is Rust`, BOTH_ROLES, { a: rust, b: js });
  await inTurn(pair.label, { ...drain, ...typedChannels }, { a: js, b: rust });
  if (rust.name === "native") await inTurn(pair.label, nativeMessages);
  await inTurn(pair.label, js.name === "node" ? commandLine : page);
}
// Node and the browser side by side; within each, one pair after the other, for the SDK shares one address among its clients.
const runs = runtimes.map(async (js) => {
  for (const pair of pairs.filter((one) => one.js === js)) await runPair(pair);
});
await Promise.all([...slow, ...runs]);

for (const one of [...wires, ...runtimes]) await one.close();
await browser?.close();
pages.close();
const { code } = await server.stop();
if (code !== 0) {
  failed++;
  say(`FAILED  the server ended with ${code}`);
}
say(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
