// nginx, haproxy and caddy, each in front of a server of its own, with the configurations of docs/proxies.md: their blocks are
// taken from the page as they stand, and only addresses, names and files are put in place of those of the page.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { APP_ID, CERTIFICATE, SECURE_APP_ID } from "./bench.mjs";
import { run, serve } from "./server.mjs";

export async function startProxies(rtm) {
  const page = await readFile(new URL("../docs/proxies.md", import.meta.url), "utf8");
  const block = (language) => {
    const found = [...page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))];
    if (found.length !== 1) throw new Error(`docs/proxies.md has ${found.length} blocks of ${language}`);
    return found[0][1];
  };
  const folder = await mkdtemp(join(tmpdir(), "rtm-proxies-"));
  const certificate = await makeCertificate(folder);
  const common = { rtm, folder, block, certificate };
  const all = await Promise.all([
    start({ ...common, name: "nginx", kind: nginx }),
    start({ ...common, name: "nginx that does not pass Host on", kind: nginx, advertise: true, leaveOut: /^ *proxy_set_header Host .*\n/m }),
    start({ ...common, name: "nginx with HTTP/1.0", kind: nginx, leaveOut: /^ *proxy_http_version .*\n/m, upgrades: false }),
    start({ ...common, name: "haproxy", kind: haproxy }),
    start({ ...common, name: "haproxy that sends PROXY headers", kind: haproxy, proxyHeader: true, leaveOut: /^ *option forwardfor\n/m }),
    start({ ...common, name: "caddy", kind: caddy }),
  ]);
  return {
    all,
    async stop() {
      await Promise.all(all.map((proxy) => proxy.stop()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

// Puts what a test has in place of what the page has; each of them has to be there.
function put(text, replacements) {
  for (const [from, to] of replacements) {
    if (!text.includes(from)) throw new Error(`docs/proxies.md has no ${from} where it should be`);
    text = text.replaceAll(from, to);
  }
  return text;
}

async function start({ rtm, folder, block, certificate, name, kind, advertise = false, proxyHeader = false, leaveOut, upgrades = true }) {
  const home = await mkdtemp(join(folder, `${kind.name}-`)), port = await freePort();
  let config = put(block("toml"), [['"127.0.0.1:8080"', '"127.0.0.1:0"']]);
  if (proxyHeader) config = put(config, [['["127.0.0.1:0"]', '[{ address = "127.0.0.1:0", proxy_protocol = "required" }]']]);
  if (advertise) config = `advertise = "localhost:${port}"\n${config}`;
  config += `\n[[project]]\napp_id = "${APP_ID}"\n\n[[project]]\napp_id = "${SECURE_APP_ID}"\ncertificates = ["${CERTIFICATE}"]\n`;
  const file = join(home, "rtm.toml");
  await writeFile(file, config);
  let server = await serve(rtm, ["--config", file]);

  const given = { home, port, backend: `127.0.0.1:${server.port}`, certificate };
  let text = await kind.configure(block(kind.name), given);
  if (leaveOut && !leaveOut.test(text)) throw new Error(`docs/proxies.md has no line like ${leaveOut}`);
  if (leaveOut) text = text.replace(leaveOut, "");
  if (proxyHeader) text = put(text, [[" check", " check send-proxy-v2"]]);
  const path = join(home, kind.file);
  await writeFile(path, text);
  const log = [];
  const [command, ...args] = kind.command(path, given);
  const proxy = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, HOME: home, XDG_DATA_HOME: home } });
  for (const stream of [proxy.stdout, proxy.stderr]) stream.on("data", (data) => log.push(data));
  const ended = once(proxy, "exit");
  await Promise.race([answers(port), ended.then(() => { throw new Error(`${name} ended: ${Buffer.concat(log)}`); })]);
  return {
    name, upgrades, advertises: advertise, reloadBreaks: kind.reloadBreaks, host: "localhost", port, tls: true, authority: kind.authority(given),
    reload: () => kind.reload(proxy, path, given),
    // The server behind it is killed, and is there again some time later.
    async crash(ms) {
      await server.stop("SIGKILL");
      await new Promise((resolve) => setTimeout(resolve, ms));
      await writeFile(file, config.replace('"127.0.0.1:0"', `"${given.backend}"`));
      server = await serve(rtm, ["--config", file]);
    },
    async stop() {
      proxy.kill("SIGTERM");
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 2_000))]);
      proxy.kill("SIGKILL");
      await server.stop("SIGKILL");
    },
  };
}

const PAGE_SERVER = "127.0.0.1:8080", PAGE_NAME = "rtm.example.com";

const nginx = {
  name: "nginx",
  file: "nginx.conf",
  // The page's block belongs into nginx's `http`; what surrounds it lets nginx run in a folder.
  configure: (block, { home, port, backend, certificate }) => `
    daemon off; pid ${home}/nginx.pid; worker_processes 2; ${process.getuid() === 0 ? "user root;" : ""}
    events {}
    http {
      access_log off;
      client_body_temp_path ${home}/1; proxy_temp_path ${home}/2; fastcgi_temp_path ${home}/3; uwsgi_temp_path ${home}/4; scgi_temp_path ${home}/5;
      ${put(block, [["listen 443", `listen 127.0.0.1:${port}`], [PAGE_NAME, "localhost"], [PAGE_SERVER, backend],
        ["/etc/rtm/fullchain.pem", certificate.chain], ["/etc/rtm/key.pem", certificate.key]])}
    }`,
  command: (path, { home }) => ["nginx", "-e", `${home}/error.log`, "-c", path],
  reload: (proxy) => proxy.kill("SIGHUP"),
  authority: ({ certificate }) => certificate.chain,
};

const haproxy = {
  name: "haproxy",
  file: "haproxy.cfg",
  configure: (block, { port, backend, certificate }) =>
    put(block, [["bind :443", `bind 127.0.0.1:${port}`], [PAGE_SERVER, backend], ["/etc/rtm/both.pem", certificate.both]]),
  command: (path) => ["haproxy", "-W", "-f", path],
  reload: (proxy) => proxy.kill("SIGUSR2"),
  authority: ({ certificate }) => certificate.chain,
};

const caddy = {
  name: "caddy",
  reloadBreaks: true,
  file: "Caddyfile",
  // Its certificate comes from an authority of its own, and not from the public one that it asks for the page's name.
  async configure(block, given) {
    given.admin = `localhost:${await freePort()}`;
    const site = put(block, [[PAGE_NAME, `https://localhost:${given.port}`], [PAGE_SERVER, given.backend]]);
    return `{\n\tadmin ${given.admin}\n\tlocal_certs\n\tskip_install_trust\n\tauto_https disable_redirects\n}\n${site}`;
  },
  command: (path) => ["caddy", "run", "--adapter", "caddyfile", "--config", path],
  async reload(proxy, path, { admin }) {
    const { code, stderr } = await run("caddy", ["reload", "--force", "--adapter", "caddyfile", "--config", path, "--address", admin]);
    if (code !== 0) throw new Error(`caddy reload ended with ${code}: ${stderr}`);
  },
  authority: ({ home }) => join(home, "caddy/pki/authorities/local/root.crt"),
};

async function makeCertificate(folder) {
  const [key, chain, both] = ["key.pem", "chain.pem", "both.pem"].map((name) => join(folder, name));
  const { code, stderr } = await run("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
    "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", chain]);
  if (code !== 0) throw new Error(`openssl ended with ${code}: ${stderr}`);
  await writeFile(both, await readFile(chain, "utf8") + await readFile(key, "utf8"));
  return { key, chain, both };
}

// The system may give a port again that it has just given.
const portsGiven = new Set();

async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  if (portsGiven.has(port)) return freePort();
  portsGiven.add(port);
  return port;
}

async function answers(port, ms = 15_000) {
  for (const end = Date.now() + ms; ;) {
    const socket = connect(port, "localhost");
    const open = await new Promise((resolve) => socket.once("connect", () => resolve(true)).once("error", () => resolve(false)));
    socket.destroy();
    if (open) return;
    if (Date.now() > end) throw new Error(`nothing listens at port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
