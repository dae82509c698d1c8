// The vendor's SDK, unmodified, in a headless browser: all users of a run live in one page.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, firefox } from "playwright-core";
import { Peer } from "./peer.mjs";

const CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

// Debian's Firefox is driven over WebDriver BiDi at its --remote-debugging-port: "moz-firefox" asks for that.
const BROWSERS = {
  chromium: { type: chromium, options: { args: CHROMIUM_FLAGS } },
  firefox: { type: firefox, options: { channel: "moz-firefox" } },
};

export async function startBrowser(name, executablePath) {
  const { type, options } = BROWSERS[name];
  const profile = await mkdtemp(join(tmpdir(), "rtm-interop-"));
  const context = await type.launchPersistentContext(profile, { executablePath, headless: true, ignoreHTTPSErrors: true, ...options });
  return {
    name,
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
    name: browser.name,
    browser,
    async open({ uid, appId, host, port, tls }) {
      const id = String(peers.size);
      const peer = new Peer(`JS in ${browser.name}`, uid, async (name, args) => {
        const { ok, error } = await page.evaluate(([id, name, args]) => window.call(id, name, args), [id, name, args]);
        if (error) throw error;
        return ok;
      });
      peers.set(id, peer);
      await page.evaluate(([id, config]) => window.open_agent(id, config), [id, { appId, host, port, tls }]);
      return peer;
    },
    close: () => page.close(),
  };
}
