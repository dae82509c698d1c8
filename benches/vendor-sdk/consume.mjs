// node consume.mjs HOST:PORT APP_ID UID: logs in with the vendor's SDK, says "ready", and takes events until it is killed.
import { createRequire } from "node:module";
import WebSocket from "ws";
import xhr2 from "xhr2";

const [gateway, appId, uid] = process.argv.slice(2);
const print = (line) => process.stdout.write(`${line}\n`);
console.log = console.info = console.debug = console.warn = () => {}; // the SDK talks a lot

// The SDK expects a browser's globals.
Object.defineProperty(globalThis, "navigator", { value: { userAgent: "node" }, configurable: true });
globalThis.window ??= globalThis;
globalThis.WebSocket = WebSocket;
globalThis.XMLHttpRequest = xhr2.XMLHttpRequest;
const { ArRTM } = createRequire(import.meta.url)("ar-rtm-sdk");

const [host, port] = gateway.split(":");
const client = ArRTM.createInstance(appId, {
  logFilter: ArRTM.LOG_FILTER_OFF,
  confPriCloudAddr: { ServerAdd: host, Port: Number(port), Wss: false },
});
let events = 0;
client.on("MessageFromPeer", () => { events++; });
await client.login({ uid });
print("ready");
