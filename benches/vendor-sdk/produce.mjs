// node produce.mjs HOST:PORT APP_ID UID TO WINDOW: logs in with the vendor's SDK, says "ready", and does what it reads: "send N".
import { createInterface } from "node:readline";
import { logIn, print } from "./sdk.mjs";

const [to, window] = process.argv.slice(5);
const client = await logIn(...process.argv.slice(2, 5));
const message = { text: "x".repeat(64) };
print("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const start = process.hrtime.bigint();
  let left = Number(line.split(" ")[1]);
  const some = async () => {
    while (left-- > 0) {
      const { hasPeerReceived } = await client.sendMessageToPeer(message, to);
      if (!hasPeerReceived) throw new Error("a message was not received");
    }
  };
  await Promise.all(Array.from({ length: Number(window) }, some));
  print(process.hrtime.bigint() - start);
}
process.exit();
