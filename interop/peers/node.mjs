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
globalThis.XMLHttpRequest = xhr2.XMLHttpRequest;
const { ArRTM } = createRequire(import.meta.url)("ar-rtm-sdk");

export function nodePeers() {
  return {
    name: "node",
    async open({ uid, appId, host, port }) {
      const agent = new Agent({ ArRTM, appId, host, port }, (event) => peer.happened(event));
      const peer = new Peer("JS in Node", uid, (name, args) => agent.call(name, args));
      return peer;
    },
    async close() {},
  };
}
