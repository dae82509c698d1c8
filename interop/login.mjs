// The vendor's SDK logs two users in at a server, and one sends the other a message: node login.mjs --server HOST:PORT --app-id APPID
import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { nodePeers } from "./peers/node.mjs";

const { values } = parseArgs({ options: { server: { type: "string" }, "app-id": { type: "string" } } });
const [host, port] = values.server.split(":");
const peers = nodePeers();
async function login(uid) {
  const user = await peers.open({ uid, appId: values["app-id"], host, port: Number(port), tls: false });
  await user.call("login", { uid });
  return user;
}
const [alice, bob] = [await login("alice"), await login("bob")];
assert.deepEqual(await alice.call("send_message_to_peer", { peer_id: "bob", text: "hello" }), { has_peer_received: true });
assert.equal((await bob.expects({ type: "MessageFromPeer", peer_id: "alice" })).message.text, "hello");
await Promise.all([alice, bob].map((user) => user.call("logout")));
console.log("two users of the vendor's SDK have talked");
process.exit(0);
