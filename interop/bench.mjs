// What a case is given: users of each kind, networks and servers of its own, and an end that takes them all away.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { network } from "./network.mjs";
import { run, serve } from "./server.mjs";

export const APP_ID = `${"0".repeat(28)}open`, SECURE_APP_ID = `${"0".repeat(28)}cert`;
export const CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b";

const unique = Math.random().toString(36).slice(2, 7);
let serial = 0;

// `server` is where users log in; `kinds` says which peers `a`, `b`, `js` and `rust` are, as far as the case asks for them.
export function bench(rtm, server, kinds, extra) {
  const users = [], networks = [], servers = [];
  const t = {
    ...extra, rtm, host: server.host, port: server.port, appId: APP_ID, secureAppId: SECURE_APP_ID,
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
    async token(uid, { ttl = "1h", version = "006" } = {}) {
      const { code, stdout, stderr } = await run(rtm,
        ["token", "--app-id", SECURE_APP_ID, "--certificate", CERTIFICATE, "--uid", uid, "--ttl", ttl, "--version", version]);
      if (code !== 0) throw new Error(`rtm token ended with ${code}: ${stderr}`);
      return stdout.trim();
    },
    async network(conditions) {
      const one = await network(server, conditions);
      networks.push(one);
      return one;
    },
    // A server of the case's own, with a store if it asks for one; `again` is one that ended, whose address and store it takes over.
    async serve({ listen = "127.0.0.1:0", store = false, again } = {}) {
      const data = again ? again.data : store && await mkdtemp(join(tmpdir(), "rtm-interop-"));
      const address = again ? `${again.host}:${again.port}` : listen;
      const one = await serve(rtm, ["--listen", address, "--project", APP_ID, ...(data ? ["--data-dir", data] : [])]);
      one.data = data;
      servers.push(one);
      return one;
    },
    async open(kind, { uid, appId, secure, via = server }) {
      const peers = kinds[kind];
      const { host, port, tls, authority } = via;
      const user = await peers.open({ uid, appId: appId ?? (secure ? SECURE_APP_ID : APP_ID), host, port, tls, authority });
      user.isRust = peers.isRust ?? false;
      users.push(user);
      return user;
    },
    async login(kind, { uid = t.uid("user"), token, ...rest } = {}) {
      const user = await t.open(kind, { uid, ...rest });
      await user.call("login", { uid, token: token === true ? await t.token(uid) : token });
      return user;
    },
    pair: async () => [await t.login("a"), await t.login("b")],
    async end() {
      await Promise.all(users.splice(0).map((user) => Promise.race([user.call("logout").catch(() => {}), t.sleep(1000)])));
      for (const one of networks.splice(0)) one.close();
      for (const one of servers.splice(0)) {
        await one.stop("SIGKILL");
        if (one.data) await rm(one.data, { recursive: true, force: true });
      }
    },
  };
  return t;
}
