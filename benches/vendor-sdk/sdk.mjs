// The vendor's SDK under Node: log in as a user, and what the programs here print.
import { createRequire } from "node:module";
import WebSocket from "ws";
import xhr2 from "xhr2";

export const print = (line) => process.stdout.write(`${line}\n`);
console.log = console.info = console.debug = console.warn = () => {}; // the SDK talks a lot

// The SDK expects a browser's globals.
Object.defineProperty(globalThis, "navigator", { value: { userAgent: "node" }, configurable: true });
globalThis.window ??= globalThis;
globalThis.WebSocket = WebSocket;
globalThis.XMLHttpRequest = xhr2.XMLHttpRequest;
const { ArRTM } = createRequire(import.meta.url)("ar-rtm-sdk");

export async function logIn(gateway, appId, uid) {
  const [host, port] = gateway.split(":");
  const client = ArRTM.createInstance(appId, {
    logFilter: ArRTM.LOG_FILTER_OFF,
    confPriCloudAddr: { ServerAdd: host, Port: Number(port), Wss: false },
  });
  await client.login({ uid });
  return client;
}
