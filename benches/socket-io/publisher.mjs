// node publisher.mjs PORT BYTES WINDOW: says "ready", and then does what it reads: "send N" and "ping N".
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [port, bytes, window] = process.argv.slice(2).map(Number);
const text = "x".repeat(bytes);
const socket = io(`http://127.0.0.1:${port}`, { transports: ["websocket"], auth: { user: "publisher" } });
let cameBack = () => {};
socket.on("message", (_, acknowledge) => { acknowledge(); cameBack(); });

const send = (count) => new Promise((resolve) => {
  let [left, underWay] = [count, 0];
  const fill = () => {
    for (; left > 0 && underWay < window; left--, underWay++) socket.emit("message", "receiver", text, acknowledged);
  };
  const acknowledged = () => {
    underWay--;
    if (left > 0) fill();
    else if (underWay === 0) resolve();
  };
  fill();
});
const ping = () => new Promise((resolve) => {
  cameBack = resolve;
  socket.emit("message", "receiver", text, () => {});
});

await new Promise((resolve) => socket.once("connect", resolve));
process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  const [what, count] = line.split(" ");
  let start = process.hrtime.bigint();
  const took = () => process.hrtime.bigint() - start;
  if (what === "send") {
    await send(Number(count));
    process.stdout.write(`${took()}\n`);
  } else {
    const all = [];
    for (let i = 0; i < Number(count); i++) {
      start = process.hrtime.bigint();
      await ping();
      all.push(took());
    }
    process.stdout.write(`${all.join(" ")}\n`);
  }
}
process.exit();
