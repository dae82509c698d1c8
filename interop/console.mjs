#!/usr/bin/env node
// The console in a real browser: every page, what its buttons do, and what it shows when the server goes away.
//
//   node console.mjs --rtm ../target/debug/rtm --chromium /usr/bin/chromium [--only TEXT] [--files ../crates/rtm-server/console]
//                    [--pictures DIR [--users N] [--seconds N] [--locale LOCALE]...]
//
// With --pictures it draws every page at three widths and in both themes, after some seconds of 1,000 users in 100 channels,
// and tests nothing but how they look. With --files the page's files
// are those, and not the program's. Exit status 0 when nothing failed. The last line: 'N passed, N failed'.
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { cases } from "./console/cases.mjs";
import { draw } from "./console/pictures.mjs";
import { demo, takeFilesFrom } from "./console/programs.mjs";

const { values: options } = parseArgs({ options: {
  rtm: { type: "string" }, files: { type: "string" }, chromium: { type: "string" }, only: { type: "string" }, pictures: { type: "string" },
  users: { type: "string", default: "1000" }, seconds: { type: "string", default: "120" }, locale: { type: "string", multiple: true, default: ["en-GB"] },
} });
if (!options.rtm || !options.chromium) {
  console.error("--rtm and --chromium name the two programs");
  process.exit(2);
}

if (options.files) takeFilesFrom(options.files);

const CASE_MS = 180_000;
const browser = await chromium.launch({ executablePath: options.chromium, args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
let passed = 0, failed = 0;

async function run(name, body) {
  if (options.only && !name.includes(options.only)) return;
  const start = Date.now();
  let timer;
  try {
    await Promise.race([body(), new Promise((_, no) => { timer = setTimeout(() => no(new Error(`no end within ${CASE_MS} ms`)), CASE_MS); })]);
    passed++;
    console.log(`ok      ${name} (${Date.now() - start} ms)`);
  } catch (error) {
    failed++;
    console.log(`FAILED  ${name}\n        ${error.message.slice(0, 3000).split("\n").join("\n        ")}`);
  } finally {
    clearTimeout(timer);
    for (const context of browser.contexts()) await context.close();
  }
}

if (options.pictures) {
  const wrong = await draw(browser, options.rtm, options.pictures, Number(options.users), Number(options.seconds), options.locale);
  for (const one of wrong) console.log(`FAILED  ${one}`);
  failed = wrong.length;
  passed = failed ? 0 : 1;
} else {
  const main = await demo(options.rtm, ["--users", "40"]);
  for (const [name, body] of Object.entries(cases)) await run(name, () => body({ browser, main, rtm: options.rtm }));
  if (main.isRunning()) await main.stop();
}
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
