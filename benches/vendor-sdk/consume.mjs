// node consume.mjs HOST:PORT APP_ID UID: logs in with the vendor's SDK, says "ready", and takes events until it is killed.
import { logIn, print } from "./sdk.mjs";

const client = await logIn(...process.argv.slice(2));
let events = 0;
client.on("MessageFromPeer", () => { events++; });
print("ready");
