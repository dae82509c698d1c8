// node receiver.mjs PORT [echo]: acknowledges each message, or also sends it back; says "ready", and goes on until it is killed.
import { io } from "socket.io-client";

const [port, echo] = process.argv.slice(2);
const socket = io(`http://127.0.0.1:${port}`, { transports: ["websocket"], auth: { user: "receiver" } });
socket.on("message", (text, acknowledge) => {
  acknowledge();
  if (echo) socket.emit("message", "publisher", text, () => {});
});
socket.on("connect", () => process.stdout.write("ready\n"));
