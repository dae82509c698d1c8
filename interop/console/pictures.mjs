// Draws every page of the console, at three widths and in both themes.
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { at, faults, PAGES, visit, WIDTHS } from "./looks.mjs";
import { demo, open, OPEN, SECURE } from "./programs.mjs";

const HEIGHTS = { 1440: 900, 820: 1000, 390: 844 };

// Gives what is wrong with them.
export async function draw(browser, rtm, directory, users, seconds, languages = ["en-GB"]) {
  const main = await demo(rtm, ["--users", String(users)]);
  const ask = (path, method = "GET", body) => fetch(`${main.base}admin/v1${path}`, {
    method, body: body && JSON.stringify(body), headers: { Authorization: `Bearer ${main.key}`, ...(body && { "Content-Type": "application/json" }) },
  }).then((answer) => answer.json());
  const wrong = [];
  await mkdir(directory, { recursive: true });
  // The charts want something to show.
  await new Promise((done) => setTimeout(done, seconds * 1000));
  const pages = [...PAGES.map((name) => [name, name.replace("/", "-")]), ["users/", "user"], ["channels/lobby", "channel"]];
  // Something for the audit log.
  for (const [method, path, body] of [["POST", "users/kofi/kick"], ["PUT", "users/troll/ban", { for: "24h" }], ["POST", "channels/lobby/messages", { from: "support", text: "back in five minutes" }], ["PUT", "users/spam-1/ban", { until: "forever" }]]) {
    await ask(`/projects/${OPEN}/${path}`, method, body);
  }
  for (const locale of languages) {
    for (const colorScheme of ["light", "dark"]) {
      const { page, complaints, close } = await open(browser, main.url, { colorScheme, locale, viewport: { width: WIDTHS[0], height: HEIGHTS[WIDTHS[0]] } });
      await page.getByRole("heading", { level: 1 }).waitFor();
      for (const [name, file] of pages) {
        const [known] = name === "users/" ? (await ask(`/projects/${OPEN}/sessions?sort=channels&state=online&limit=1`)).items : [];
        await visit(page, at(known ? `${name}${known.user_id}` : name, name === "tokens" ? SECURE : OPEN));
        if (name === "tokens") await explain(page);
        if (name === "try") await talk(page);
        if (["users/", "channels/"].some((kind) => name.startsWith(kind))) await page.locator(".tap .primary").click();
        await page.waitForTimeout(name === "events" || name.includes("/") ? 6000 : 1200);
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: HEIGHTS[width] });
          await page.waitForTimeout(250);
          await page.evaluate(() => scrollTo(0, 0));
          wrong.push(...(await faults(page)).map((fault) => `${name}, ${width}, ${colorScheme}, ${locale}: ${fault}`));
          const language = locale === "en-GB" ? "" : `-${locale.slice(0, 2)}`;
          await page.screenshot({ path: join(directory, `console-${file}-${width}-${colorScheme}${language}.png`) });
        }
        await page.setViewportSize({ width: WIDTHS[0], height: HEIGHTS[WIDTHS[0]] });
      }
      wrong.push(...complaints);
      await close();
    }
  }
  await main.stop();
  // Fewer colours make them a third as large.
  await promisify(execFile)("sh", ["-c", `pngquant --force --ext .png --speed 1 64 "$1"/console-*.png`, "sh", directory]).catch((error) => wrong.push(`they are large: ${error.message}`));
  return wrong;
}

// A token, and what the server makes of it.
async function explain(page) {
  const [explained, made] = [page.locator(".panel").first(), page.locator(".panel").nth(1)];
  await made.locator("input").first().fill("ann");
  await made.locator("button.primary").click();
  const token = await made.locator("pre").textContent();
  await explained.locator("textarea").fill(token);
  await explained.locator("input").fill("ann");
  await explained.locator("button.primary").click();
  await explained.locator(".facts").waitFor();
}

// Two users who have said something.
async function talk(page) {
  const people = [0, 1].map((place) => page.locator(".person").nth(place));
  for (const one of people) {
    await one.getByRole("button", { name: /^(Log in|登录)$/ }).click();
    await one.getByRole("button", { name: /^(Join the channel|加入频道)$/ }).click();
    await one.getByRole("button", { name: /^(Leave the channel|离开频道)$/ }).waitFor();
  }
  for (const [place, one] of people.entries()) {
    await one.getByLabel(/^(Message|消息)$/).fill(place ? "hi ann, this is the vendor's wire" : "hello ben");
    await one.getByRole("button", { name: place ? /ann$/ : /ben$/ }).first().click();
    await one.locator(".answer", { hasText: "Delivered" }).first().waitFor();
  }
  await people[0].getByRole("button", { name: /^(Call|呼叫) ben$/ }).click();
  await page.locator(".ringing").waitFor();
}
