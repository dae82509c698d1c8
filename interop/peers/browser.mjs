// The vendor's SDK, unmodified, in headless Chromium: all users of a run live in one page.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { Peer } from "./peer.mjs";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export async function startBrowser(executablePath) {
  const profile = await mkdtemp(join(tmpdir(), "rtm-interop-"));
  const context = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: FLAGS });
  return {
    context,
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

export async function browserPeers(browser, pages) {
  const page = await browser.context.newPage();
  const peers = new Map();
  await page.exposeFunction("happened", (id, event) => peers.get(id)?.happened(event));
  await page.goto(`${pages.url}/agent.html`);
  await page.waitForFunction(() => window.ready);
  return {
    name: "chromium",
    async open({ uid, appId, host, port }) {
      const id = String(peers.size);
      const peer = new Peer("JS in Chromium", uid, async (name, args) => {
        const { ok, error } = await page.evaluate(([id, name, args]) => window.call(id, name, args), [id, name, args]);
        if (error) throw error;
        return ok;
      });
      peers.set(id, peer);
      await page.evaluate(([id, config]) => window.open_agent(id, config), [id, { appId, host, port }]);
      return peer;
    },
    close: () => page.close(),
  };
}
