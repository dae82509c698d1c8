// The programs that the console is tried with, and how a page is opened.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { run } from "../server.mjs";

let files = null;
export const takeFilesFrom = (directory) => { files = directory; };

export const OPEN = "0123456789abcdef0123456789abcdef", SECURE = "fedcba9876543210fedcba9876543210";

// A program that has said its first lines.
async function started(rtm, args, wanted) {
  const child = spawn(rtm, args, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, RTM_LOG: "error" } });
  const lines = [], ended = once(child, "exit");
  const said = (async () => {
    for await (const line of createInterface({ input: child.stdout })) if (lines.push(line) === wanted) return;
  })();
  await Promise.race([said, ended.then(([code]) => { throw new Error(`rtm ${args[0]} ended with ${code}`); })]);
  return {
    lines, ended, isRunning: () => child.exitCode === null && child.signalCode === null,
    async stop(signal = "SIGTERM") { child.kill(signal); return (await ended)[0]; },
  };
}

// `rtm demo`, and the URL of its console.
export async function demo(rtm, args = []) {
  const program = await started(rtm, ["demo", "--seconds", "900", ...args], 4);
  const [, url] = /^console: (http:\/\/127\.0\.0\.1:\d+\/#key=rtm_admin_\S+)$/.exec(program.lines[0]) ?? [];
  if (!url) throw new Error(`rtm demo said ${JSON.stringify(program.lines[0])}`);
  const [base, key] = url.split("#key=");
  return { ...program, url, base, key };
}

// The system may give a port again that it has just given.
const portsGiven = new Set();

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  if (portsGiven.has(port)) return freePort();
  portsGiven.add(port);
  return port;
}

// `rtm serve` with keys of these roles, at addresses that it has again when it is started again.
export async function server(rtm, keys) {
  const directory = await mkdtemp(join(tmpdir(), "rtm-console-")), file = join(directory, "rtm.toml");
  const [listen, admin] = [await freePort(), await freePort()];
  const made = {};
  let config = `listen = "127.0.0.1:${listen}"\n[admin]\nlisten = "127.0.0.1:${admin}"\n`;
  for (const [name, args] of Object.entries(keys)) {
    const { stdout } = await run(rtm, ["admin", "new-key", "--name", name, ...args]);
    const [key, ...table] = stdout.split("\n");
    made[name] = key;
    config += `${table.join("\n")}\n`;
  }
  await writeFile(file, `${config}[[project]]\napp_id = "${OPEN}"\n[[project]]\napp_id = "${SECURE}"\ncertificates = ["5cfd2fd1755d40ecb72977518be15d3b"]\n`);
  const start = () => started(rtm, ["serve", "--config", file], 2);
  let program = await start();
  return {
    base: `http://127.0.0.1:${admin}/`, keys: made, file,
    stop: (signal) => program.stop(signal),
    async again() { program = await start(); },
    isRunning: () => program.isRunning(),
    async end() {
      if (program.isRunning()) await program.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

// A page whose complaints are kept: errors, what its rules forbid, and answers that it should not get.
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-GB", colorScheme: "light", reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("console", (message) => { if (message.type() === "error" && !/Failed to load resource|WebSocket connection|ERR_/.test(message.text())) complaints.push(message.text()); });
  // Files that were changed since the program was built.
  if (files) await page.route(/\/console\/[\w.\/-]+$/, (route) => route.fulfill({ path: join(files, new URL(route.request().url()).pathname.replace(/^.*\/console\//, "")) }));
  if (options.clock) await page.clock.install();
  await page.goto(url);
  return { page, complaints, close: () => context.close() };
}
