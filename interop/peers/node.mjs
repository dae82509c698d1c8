// The vendor's SDK, unmodified, in this process: it expects a browser's globals, which are given here.
import { createRequire } from "node:module";
import WebSocket from "ws";
import xhr2 from "xhr2";
import { Agent } from "./agent.mjs";
import { Peer } from "./peer.mjs";

// A browser that the SDK takes for an old one, so that it starts the keep-alive itself; Chromium shows the other way.
Object.defineProperty(globalThis, "navigator", { value: { userAgent: "node" }, configurable: true, writable: true });
globalThis.window ??= globalThis;
globalThis.WebSocket = WebSocket;
globalThis.XMLHttpRequest = class extends xhr2.XMLHttpRequest {
  // As in a browser: a request that breaks has no status, whatever had come of its answer.
  _setError() {
    super._setError();
    this.status = 0;
  }
};

// All clients of a copy of the SDK share one address, that of the client that was given one last: each address has its own.
const require = createRequire(import.meta.url);
const copies = new Map();
function sdkFor(address) {
  if (!copies.has(address)) {
    delete require.cache[require.resolve("ar-rtm-sdk")];
    copies.set(address, require("ar-rtm-sdk").ArRTM);
  }
  return copies.get(address);
}

export function nodePeers() {
  return {
    name: "node",
    async open({ uid, appId, host, port, tls }) {
      // The certificates of a test are its own; whether they are good is for the Rust peers to judge.
      if (tls) process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
      const agent = new Agent({ ArRTM: sdkFor(`${host}:${port}`), appId, host, port, tls }, (event) => peer.happened(event));
      const peer = new Peer("JS in Node", uid, (name, args) => agent.call(name, args));
      return peer;
    },
    async close() {},
  };
}
