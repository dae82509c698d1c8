// What a person does in the console, and what has to come of it.
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer, request as forward } from "node:http";
import { at, faults, PAGES, visit, WIDTHS } from "./looks.mjs";
import { demo, open, OPEN, SECURE, server } from "./programs.mjs";

const ROLES = { reader: ["--role", "read"], boss: ["--role", "admin"], tenant: ["--role", "operate", "--project", SECURE] };

// Logs a user in on the page that one can try things with. The users of the demo come, go and lose their connections as they like.
async function logIn(page, project, name) {
  await visit(page, at("try", project));
  const one = page.locator(".person").first();
  await one.getByLabel("User ID").fill(name);
  await one.getByRole("button", { name: "Log in" }).click();
  await one.locator(".pill", { hasText: "CONNECTED" }).waitFor();
  return one;
}
const button = (page, name) => page.getByRole("button", { name, exact: true });
const notice = (page, text) => page.locator(".notices p", { hasText: text }).first().waitFor();

export const cases = {
  async "the key leaves the address, and stays for this tab alone"({ browser, main }) {
    const { page, complaints, close } = await open(browser, main.url);
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    assert.ok(!page.url().includes("rtm_admin"), page.url());
    assert.equal(await page.evaluate(() => localStorage.length), 0);
    assert.equal(await page.evaluate(() => document.cookie), "");
    await page.reload();
    await page.locator(".bar .pill", { hasText: "Ready" }).waitFor();
    await button(page, "Log out").click();
    await page.getByLabel("Key of the admin API").waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.getItem("rtm.key")), null);
    assert.deepEqual(complaints, []);
    await close();
  },

  async "a wrong key is refused with a sentence"({ browser, main }) {
    const { page, close } = await open(browser, main.base);
    await page.getByLabel("Key of the admin API").fill("rtm_admin_wrong");
    await button(page, "Log in").click();
    await page.getByRole("alert").getByText("This key is not known").waitFor();
    await page.getByLabel("Key of the admin API").fill(main.key);
    await button(page, "Log in").click();
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await close();
  },

  async "what moves on the overview is what the server does"({ browser, main }) {
    const { page, complaints, close } = await open(browser, main.url);
    const value = async (name) => Number((await page.locator(".figure", { hasText: name }).locator(".value").textContent()).replace(/,/g, ""));
    await page.waitForFunction(() => [...document.querySelectorAll(".figure")].some((one) => /Users online/.test(one.textContent) && parseInt(one.querySelector(".value").textContent, 10) > 5));
    const projects = await fetch(`${main.base}admin/v1/projects`, { headers: { Authorization: `Bearer ${main.key}` } }).then((answer) => answer.json());
    const online = projects.items.find((one) => one.app_id === OPEN).users_online;
    assert.ok(Math.abs(await value("Users online") - online) <= 5, `${await value("Users online")} and ${online}`);
    await page.waitForFunction(() => [...document.querySelectorAll(".chart b")].every((one) => one.textContent !== "–"), null, { timeout: 60_000 });
    assert.equal(await page.locator(".uplot canvas").count(), 4);
    assert.deepEqual(complaints, []);
    await close();
  },

  async "every page stands at every width, in both themes and both languages"({ browser, main }) {
    const wrong = [];
    for (const [colorScheme, locale] of [["light", "en-GB"], ["dark", "zh-CN"]]) {
      const { page, complaints, close } = await open(browser, main.url, { colorScheme, locale });
      await page.getByRole("heading", { level: 1 }).waitFor();
      const user = (await fetch(`${main.base}admin/v1/projects/${OPEN}/sessions?limit=1`, { headers: { Authorization: `Bearer ${main.key}` } }).then((answer) => answer.json())).items[0].user_id;
      for (const name of [...PAGES, `users/${user}`, "channels/lobby"]) {
        await visit(page, at(name, OPEN));
        assert.equal(await page.locator("main .fault").count(), 0, `${name}: ${await page.locator("main .fault").allTextContents()}`);
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 900 });
          wrong.push(...(await faults(page)).map((fault) => `${name}, ${width}, ${colorScheme}: ${fault}`));
        }
      }
      assert.equal(await page.evaluate(() => document.documentElement.lang), locale.slice(0, 2));
      if (locale === "zh-CN") assert.match(await page.locator("nav").first().textContent(), /概览.*审计日志/s);
      assert.deepEqual(complaints, []);
      await close();
    }
    assert.deepEqual(wrong, []);
  },

  async "a user is disconnected, banned, and let in again"({ browser, main }) {
    const user = "disturber", { page: own, close: closeOwn } = await open(browser, main.url);
    await own.getByRole("heading", { level: 1 }).waitFor();
    const person = await logIn(own, OPEN, user);
    const { page, close } = await open(browser, main.url);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await visit(page, at("connections", OPEN));
    await page.getByLabel("User begins with").fill(user);
    await button(page, `Disconnect ${user}`).click();
    await page.getByRole("dialog").getByRole("button", { name: "Disconnect", exact: true }).click();
    await notice(page, `${user} was disconnected`);
    await person.getByRole("button", { name: "Log in" }).waitFor();
    await visit(page, at("connections/ended", OPEN, "&reason=kicked"));
    await page.locator("tbody tr", { hasText: user }).first().waitFor();
    await visit(page, at(`users/${user}`, OPEN));
    await button(page, "Ban…").click();
    await page.getByLabel("For how long").selectOption("10m");
    await button(page, "Ban").click();
    await notice(page, `${user} is banned`);
    await page.locator("h1 .pill", { hasText: "banned" }).waitFor();
    await visit(page, at("users", OPEN));
    await page.locator("tbody tr", { hasText: user }).waitFor();
    await visit(page, at(`users/${user}`, OPEN));
    await button(page, "Lift the ban").click();
    await notice(page, `${user} may log in again`);
    await page.locator("h1 .pill", { hasText: "banned" }).waitFor({ state: "detached" });
    await visit(page, "#/audit");
    const actions = await page.locator("tbody code").allTextContents();
    assert.deepEqual(actions.slice(0, 3), ["unban", "ban", "kick"]);
    await closeOwn();
    await close();
  },

  async "a history is read only by whoever wants to, and a message is sent"({ browser, main }) {
    const { page, close } = await open(browser, main.url);
    await visit(page, at("channels/lobby", OPEN));
    await button(page, "Send a message").click();
    await page.getByLabel("Text").fill("from the console");
    await button(page, "Send").click();
    await notice(page, "The message was sent");
    await button(page, "Read the history").click();
    await page.locator("td.text").first().waitFor();
    await close();
  },

  async "a tap shows what happens, and ends"({ browser, main }) {
    const { page, close } = await open(browser, main.url, { clock: true });
    await page.getByRole("heading", { level: 1 }).waitFor();
    await visit(page, at("events", OPEN));
    await page.getByLabel("What", { exact: true }).selectOption("all");
    await page.locator(".feed .type").nth(3).waitFor({ timeout: 60_000 });
    await page.getByText("ends by itself in").waitFor();
    await page.clock.fastForward(10 * 60 * 1000);
    await page.getByText("The tap has ended after 10 minutes.").waitFor();
    const ended = await page.locator(".feed li").count();
    await page.waitForTimeout(2500);
    assert.equal(await page.locator(".feed li").count(), ended, "nothing comes after the end");
    await button(page, "Listen").click();
    await page.getByText("ends by itself in").waitFor();
    await button(page, "Stop").click();
    await page.getByText("Stopped.").waitFor();
    await close();
  },

  async "two users talk on both wires, and each is told"({ browser, main }) {
    const { page, complaints, close } = await open(browser, main.url);
    await page.getByRole("heading", { level: 1 }).waitFor();
    for (const [project, names] of [[OPEN, ["anna", "bert"]], [SECURE, ["carla", "dirk"]]]) {
      await visit(page, at("try", project));
      const people = names.map((_, place) => page.locator(".person").nth(place));
      for (const [place, one] of people.entries()) {
        await one.getByLabel("User ID").fill(names[place]);
        await one.getByRole("button", { name: "Log in" }).click();
        await one.locator(".pill", { hasText: "CONNECTED" }).waitFor();
        await one.getByRole("button", { name: "Join the channel" }).click();
        await one.getByRole("button", { name: "Leave the channel" }).waitFor();
      }
      await people[0].locator(".event", { hasText: "MemberJoined" }).filter({ hasText: names[1] }).waitFor();
      for (const [place, one] of people.entries()) {
        const other = people[1 - place];
        await one.getByLabel("Message").fill(`hello from ${names[place]} 你好`);
        await one.getByRole("button", { name: `To ${names[1 - place]}` }).click();
        await other.locator(".event", { hasText: "MessageFromPeer" }).filter({ hasText: `hello from ${names[place]} 你好` }).waitFor();
        await one.locator(".answer", { hasText: "Delivered" }).first().waitFor();
        await one.getByLabel("Message").fill(`all of you, ${names[place]}`);
        await one.getByRole("button", { name: "To the channel" }).click();
        await other.locator(".event", { hasText: "ChannelMessage" }).filter({ hasText: `all of you, ${names[place]}` }).waitFor();
        await one.getByRole("button", { name: `Call ${names[1 - place]}` }).click();
        await other.getByRole("button", { name: "Accept" }).click();
        await one.locator(".event", { hasText: "LocalInvitationAccepted" }).waitFor();
        await one.getByRole("button", { name: "Cut the connection" }).click();
        await one.locator(".state", { hasText: "RECONNECTING" }).waitFor();
        await one.locator(".pill", { hasText: "CONNECTED" }).waitFor();
      }
      await people[0].locator(".state", { hasText: "Resumed" }).waitFor();
      for (const one of people) {
        await one.getByRole("button", { name: "Log out" }).click();
        await one.getByRole("button", { name: "Log in" }).waitFor();
      }
    }
    assert.deepEqual(complaints, []);
    await close();
  },

  async "a token is made and explained"({ browser, main }) {
    const { page, close } = await open(browser, main.url);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await visit(page, at("tokens", SECURE));
    const make = page.locator(".panel", { hasText: "Make a token" }), explain = page.locator(".panel", { hasText: "Explain a token" });
    await make.getByLabel("User ID").fill("ann");
    await button(page, "Make it").click();
    const token = await make.locator("pre").textContent();
    await explain.getByLabel("Token", { exact: true }).fill(token);
    await button(page, "Explain").click();
    await explain.getByText("It depends on who logs in").waitFor();
    await explain.getByLabel("Who logs in with it").fill("ann");
    await button(page, "Explain").click();
    await explain.getByText("The server lets this user in").waitFor();
    await explain.getByLabel("Who logs in with it").fill("ben");
    await button(page, "Explain").click();
    await explain.getByText("The server refuses it").waitFor();
    await close();
  },

  async "webhooks and the server's own page say what is so"({ browser, main }) {
    const { page, close } = await open(browser, main.url);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await visit(page, at("webhooks", OPEN));
    const hook = page.locator(".panel", { hasText: "demo" });
    await hook.locator("h2 .pill", { hasText: /working|retrying/ }).waitFor();
    await button(page, "Send again…").click();
    await button(page, "Send again").click();
    await notice(page, "are sent again");
    await hook.locator("details tbody tr", { hasText: "204" }).first().waitFor();
    await button(page, "Send a test event").click();
    await notice(page, "the test event");
    await button(page, "Pause").click();
    await hook.locator("h2 .pill", { hasText: "paused" }).waitFor();
    await button(page, "Send again…").click();
    await page.getByLabel("Or from this time on").fill("2020-01-01T00:00");
    await button(page, "Send again").click();
    await notice(page, "are sent again");
    await hook.locator("h2 .pill", { hasText: "paused" }).waitFor();
    await button(page, "Go on").click();
    await hook.locator("h2 .pill", { hasText: /working|retrying/ }).waitFor();
    await visit(page, "#/server");
    await button(page, "Set the log's level").click();
    const level = page.getByRole("textbox", { name: "Level" });
    await level.fill("nonsense");
    // The page is drawn again with what it hears each second.
    for (const _ of [1, 2]) await page.waitForResponse((response) => response.url().endsWith("/drain"));
    await page.evaluate(() => new Promise(requestAnimationFrame));
    assert.equal(await level.inputValue(), "nonsense");
    await button(page, "Set").click();
    await page.locator(".notices .fault").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await button(page, "Read the configuration again").click();
    await page.getByText("Nothing has changed.").waitFor();
    await close();
  },

  async "a server says where each of its settings comes from"({ browser, rtm }) {
    const one = await server(rtm, ROLES);
    const { page, complaints, close } = await open(browser, `${one.base}#key=${one.keys.reader}`);
    await page.locator(".bar .pill", { hasText: "Ready" }).waitFor();
    await page.locator(".panel", { hasText: "Configuration read" }).getByText("none: all is in memory").waitFor();
    await visit(page, "#/server");
    const settings = page.locator(".panel", { hasText: "What the server goes by" });
    await settings.locator("tr", { hasText: "project[1].certificates" }).getByText("file", { exact: true }).waitFor();
    assert.equal(await settings.getByText("5cfd2fd1755d40ecb72977518be15d3b").count(), 0, "a secret is shown");
    assert.equal(await settings.locator("tr", { hasText: "handshake_timeout" }).count(), 0);
    await page.getByLabel("Defaults too").check();
    await settings.locator("tr", { hasText: "handshake_timeout" }).getByText("default", { exact: true }).waitFor();
    await page.getByLabel("Key begins with").fill("project[0].limits");
    await settings.locator("tr", { hasText: "handshake_timeout" }).waitFor({ state: "detached" });
    await page.locator(".panel", { hasText: "Certificates" }).getByText("No listener speaks TLS").waitFor();
    assert.deepEqual(complaints, []);
    await close();
    await one.end();
  },

  async "what a user was refused is counted, and what waits for one is deleted"({ browser, main }) {
    const { page, close } = await open(browser, main.url);
    await page.getByRole("heading", { level: 1 }).waitFor();
    const one = await logIn(page, OPEN, "nobody-else");
    const { page: other, close: closeOther } = await open(browser, main.url);
    await other.getByRole("heading", { level: 1 }).waitFor();
    await visit(other, at("users/nobody-else", OPEN));
    await other.locator(".facts > div", { hasText: "Refused calls" }).getByText("none").waitFor();
    assert.equal(await button(other, "Delete stored messages…").isDisabled(), true);
    await closeOther();
    await one.getByRole("button", { name: "Log out" }).click();
    await visit(page, at("users/nobody-else", OPEN));
    await button(page, "Send a message").click();
    await page.getByLabel("Text").fill("for later");
    await page.getByLabel("Store it if the user is away").check();
    await button(page, "Send").click();
    await notice(page, "Message: stored");
    await button(page, "Delete stored messages…").click();
    await button(page, "Delete").click();
    await notice(page, "Deleted: 1 waiting messages");
    await visit(page, at("channels/lobby", OPEN));
    const rate = page.locator(".figure", { hasText: "Messages per second" }).locator(".value");
    await rate.filter({ hasText: /^[\d.]+$/ }).waitFor();
    await close();
  },

  async "it works below another path of a proxy"({ browser, main }) {
    const target = new URL(main.base);
    const proxy = createServer((request, response) => {
      if (!request.url.startsWith("/ops/rtm/")) { response.writeHead(404); return response.end(); }
      const onwards = forward({ host: target.hostname, port: target.port, method: request.method, path: request.url.slice("/ops/rtm".length), headers: request.headers },
        (answer) => { response.writeHead(answer.statusCode, answer.headers); answer.pipe(response); });
      onwards.on("error", () => response.destroy());
      response.on("close", () => onwards.destroy());
      request.pipe(onwards);
    }).listen(0, "127.0.0.1");
    await once(proxy, "listening");
    const { page, complaints, close } = await open(browser, `http://127.0.0.1:${proxy.address().port}/ops/rtm/#key=${main.key}`);
    await page.locator(".bar .pill", { hasText: "Ready" }).waitFor();
    for (const name of PAGES) {
      await visit(page, at(name, OPEN));
      assert.equal(await page.locator("main .fault").count(), 0, name);
    }
    assert.ok(page.url().includes("/ops/rtm/"), page.url());
    assert.deepEqual(complaints, []);
    await close();
    proxy.close();
    proxy.closeAllConnections();
  },

  async "it is used by keyboard, and on a phone"({ browser, main }) {
    const { page, close } = await open(browser, main.url);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
    await page.getByRole("link", { name: "Connections" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Connections" }).waitFor();
    await page.setViewportSize({ width: 390, height: 844 });
    assert.equal(await page.getByRole("link", { name: "Audit log" }).isVisible(), false);
    await button(page, "Menu").click();
    await page.getByRole("link", { name: "Audit log" }).click();
    await page.getByRole("heading", { name: "Audit log" }).waitFor();
    assert.equal(await page.getByRole("link", { name: "Overview" }).isVisible(), false, "the menu closes");
    await close();
  },

  async "nothing is asked while nobody looks"({ browser, main }) {
    const { page, close } = await open(browser, main.url);
    await visit(page, at("connections", OPEN));
    await page.evaluate(() => {
      Object.defineProperty(document, "hidden", { value: true, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await page.waitForTimeout(500);
    let asked = 0;
    page.on("request", () => { asked++; });
    await page.waitForTimeout(6000);
    assert.equal(asked, 0);
    await page.evaluate(() => {
      delete document.hidden;
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await page.waitForRequest((request) => request.url().includes("/sessions"));
    await close();
  },

  async "a key with too small a role sees, and does nothing"({ browser, rtm }) {
    const one = await server(rtm, ROLES);
    const { page, complaints, close } = await open(browser, `${one.base}#key=${one.keys.reader}`);
    await page.locator(".bar .pill", { hasText: "Ready" }).waitFor();
    await visit(page, at("users/alice", OPEN));
    for (const name of ["Send a message", "Ban…", "Delete data…", "Delete stored messages…", "Read the history"]) {
      assert.equal(await button(page, name).isDisabled(), true, name);
      assert.equal(await button(page, name).getAttribute("title"), "This needs a key with the role operate");
    }
    await visit(page, "#/server");
    assert.equal(await button(page, "Shut it down…").isDisabled(), true);
    await visit(page, "#/audit");
    await page.getByText("This needs a key with the role admin").waitFor();
    const status = await page.evaluate((key) => fetch("admin/v1/drain", { method: "POST", headers: { Authorization: `Bearer ${key}` } }).then((answer) => answer.status), one.keys.reader);
    assert.equal(status, 403, "the server refuses it too");
    assert.deepEqual(complaints, []);
    await close();
    const tenant = await open(browser, `${one.base}#key=${one.keys.tenant}`);
    await tenant.page.getByText("This key is for some projects only").waitFor();
    assert.deepEqual(await tenant.page.locator(".project option").allTextContents(), [SECURE]);
    assert.deepEqual(tenant.complaints, []);
    await tenant.close();
    await one.end();
  },

  async "a server that goes away is missed, and found again"({ browser, rtm }) {
    const one = await server(rtm, ROLES);
    const { page, close } = await open(browser, `${one.base}#key=${one.keys.boss}`);
    await page.locator(".bar .pill", { hasText: "Ready" }).waitFor();
    await one.stop("SIGKILL");
    await page.locator(".bar .pill", { hasText: "No answer for" }).waitFor();
    await page.waitForTimeout(1500);
    await one.again();
    await page.locator(".bar .pill", { hasText: "Ready" }).waitFor();
    await page.waitForFunction(() => /up for/.test(document.querySelector(".banner")?.textContent));
    await close();
    await one.end();
  },

  async "a server is shut down from the page, and seen going"({ browser, rtm }) {
    const own = await demo(rtm, ["--users", "60"]);
    const { page, close } = await open(browser, own.url);
    await page.locator(".bar .pill", { hasText: "Ready" }).waitFor();
    await page.waitForFunction(() => [...document.querySelectorAll(".figure")].some((one) => /Connections/.test(one.textContent) && parseInt(one.querySelector(".value").textContent, 10) > 30));
    await visit(page, at("events", OPEN));
    await visit(page, "#/server");
    await button(page, "Shut it down…").click();
    await page.getByRole("dialog").getByRole("button", { name: "Shut it down", exact: true }).click();
    await page.locator(".panel.bad", { hasText: "connections are left" }).waitFor();
    await page.locator(".bar .pill", { hasText: "No answer for" }).waitFor({ timeout: 30_000 });
    const [code] = await own.ended;
    assert.equal(code, 0);
    await close();
  },
};
