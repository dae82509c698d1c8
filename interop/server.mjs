// Starts `rtm serve` and other programs, and a TCP relay whose connections a case can cut.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

export async function serve(rtm, args) {
  const child = spawn(rtm, ["serve", ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const ready = once(lines, "line").then(([line]) => line);
  const ended = once(child, "exit");
  const first = await Promise.race([ready, ended.then(([code]) => { throw new Error(`rtm serve ended with ${code}`); })]);
  const address = /^listening on (.+):(\d+)$/.exec(first);
  if (!address) throw new Error(`rtm serve said ${JSON.stringify(first)}`);
  return {
    host: address[1],
    port: Number(address[2]),
    // Sends the signal and answers the exit status and how long the end took.
    async stop(signal = "SIGTERM") {
      const start = Date.now();
      child.kill(signal);
      const [code] = await ended;
      return { code, ms: Date.now() - start };
    },
  };
}

// Runs a program to its end.
export async function run(program, args, { input } = {}) {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end(input);
  let stdout = "", stderr = "";
  child.stdout.on("data", (data) => { stdout += data; });
  child.stderr.on("data", (data) => { stderr += data; });
  const [code] = await once(child, "close");
  return { code, stdout, stderr };
}

export async function relay({ host, port }) {
  const open = new Set();
  let silent = false;
  const server = createServer((near) => {
    const far = connect(port, host);
    for (const [one, other] of [[near, far], [far, near]]) {
      open.add(one);
      if (silent) one.pause();
      one.on("data", (data) => other.write(data));
      one.on("end", () => other.end());
      one.on("error", () => {});
      one.on("close", () => { open.delete(one); other.destroy(); });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: "127.0.0.1",
    port: server.address().port,
    // Nothing goes through, and no connection breaks.
    silence() { silent = true; for (const socket of open) socket.pause(); },
    speak() { silent = false; for (const socket of open) socket.resume(); },
    // The network fails: nobody says goodbye.
    cut() { for (const socket of open) socket.resetAndDestroy(); },
    close() { server.close(); this.cut(); },
  };
}
