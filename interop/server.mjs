// Starts `rtm serve` and other programs.
import { spawn } from "node:child_process";
import { once } from "node:events";
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
    // It stands still, as a virtual machine does while it is saved or moved.
    freeze: () => child.kill("SIGSTOP"),
    thaw: () => child.kill("SIGCONT"),
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
