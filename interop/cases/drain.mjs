// A server that goes down and comes back on the same port: both clients return by themselves.
import assert from "node:assert/strict";
import { serve } from "../server.mjs";

export const drain = {
  async "SIGTERM drains the server in time, and A and B come back to the next one"(t) {
    const args = (port) => ["--listen", `127.0.0.1:${port}`, "--project", t.appId];
    const first = await serve(t.rtm, args(0));
    const a = await t.login("a", { via: first }), b = await t.login("b", { via: first });
    const { code, ms } = await first.stop("SIGTERM");
    assert.equal(code, 0);
    assert.ok(ms < 10_000, `it took ${ms} ms`);
    for (const one of [a, b]) await one.expects({ type: "ConnectionStateChanged", state: "RECONNECTING" });
    const second = await serve(t.rtm, args(first.port));
    try {
      for (const one of [a, b]) {
        await t.until(async () => one.all({ type: "ConnectionStateChanged", state: "CONNECTED" }).length === 2, 20_000);
      }
      assert.deepEqual(await a.call("send_message_to_peer", { peer_id: b.uid, text: "still here" }), { has_peer_received: true });
      await b.expects({ type: "MessageFromPeer", peer_id: a.uid, message: { text: "still here" } });
    } finally {
      await t.end();
      await second.stop("SIGINT");
    }
  },
};
