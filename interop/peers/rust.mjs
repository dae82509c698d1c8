// A user of the Rust client: a process that takes calls and gives answers and events as JSON lines.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Peer } from "./peer.mjs";

export function rustPeers(program, wire) {
  const running = new Set();
  return {
    name: wire,
    isRust: true,
    async open({ uid, appId, host, port, tls, authority }) {
      const child = spawn(program, ["--gateway", `${tls ? "https" : "http"}://${host}:${port}`, "--app-id", appId, "--wire", wire],
        { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, ...(authority && { SSL_CERT_FILE: authority }) } });
      running.add(child);
      const pending = new Map();
      let serial = 0;
      const peer = new Peer(`Rust (${wire})`, uid, (name, args) => new Promise((resolve, reject) => {
        pending.set(++serial, { resolve, reject });
        child.stdin.write(`${JSON.stringify({ id: serial, call: { [name]: args } })}\n`);
      }));
      // Its process stands still, as on a laptop that is closed.
      peer.freeze = () => child.kill("SIGSTOP");
      peer.thaw = () => child.kill("SIGCONT");
      createInterface({ input: child.stdout }).on("line", (line) => {
        const { id, ok, error, event, value } = JSON.parse(line);
        if (event) return peer.happened(value ? { ...event, value } : event);
        const call = pending.get(id);
        pending.delete(id);
        if (error) call.reject(error);
        else call.resolve(ok);
      });
      child.stdin.on("error", () => {});
      child.on("exit", () => {
        running.delete(child);
        for (const { reject } of pending.values()) reject({ message: "the Rust peer ended" });
      });
      return peer;
    },
    async close() {
      for (const child of running) child.kill("SIGKILL");
    },
  };
}
