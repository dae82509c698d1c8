// Networks that break: what an application sees when the connection is back, in whatever way it was gone.
import assert from "node:assert/strict";

const texts = (user, pattern) => user.all({ type: "MessageFromPeer", ...pattern }).map(({ message }) => message.text);
const numbered = (count) => Array.from({ length: count }, (_, i) => `number ${i}`);

// Waits until `user` is connected for the `count`th time.
export const connected = (t, user, count = 2, ms = 25_000) =>
  t.until(() => user.all({ type: "ConnectionStateChanged", state: "CONNECTED" }).length >= count, ms);

export const breaks = {
  async "messages to A while its connection is gone are delivered when it is back, once and in order"(t) {
    const net = await t.network(), a = await t.login("a", { via: net }), b = await t.login("b");
    net.down();
    await a.expects({ type: "ConnectionStateChanged", state: "RECONNECTING" });
    const outcomes = Promise.all(numbered(20).map((text) => b.call("send_message_to_peer", { peer_id: a.uid, text })));
    await t.sleep(1_500);
    net.up();
    assert.ok((await outcomes).every((one) => one.has_peer_received));
    await t.sleep(300);
    assert.deepEqual(texts(a, { peer_id: b.uid }), numbered(20));
  },
};
