// Networks that work, but are slow, take everything at once, or are far away. These cases run beside all others.
import assert from "node:assert/strict";

const texts = (user) => user.all({ type: "MessageFromPeer" }).map(({ message }) => message.text);
const long = (count, length) => Array.from({ length: count }, (_, i) => `${i} `.padEnd(length, "x"));
const once = (list) => [...new Set(list)];
const send = (from, to, all, options) => Promise.all(all.map((text) => from.call("send_message_to_peer", { peer_id: to, text, ...options })));

const short = (text) => text.split(" ")[0];

export const links = {
  async "stored messages that a proxy had taken when it broke come at A's next login"(t) {
    const net = await t.network({ bytesPerSecond: 20_000, buffers: true }), b = await t.login("b"), uid = t.uid("later");
    const all = long(20, 8_192);
    await send(b, uid, all, { offline: true });
    const a = await t.open("a", { uid, via: net });
    a.call("login", { uid }).catch(() => {});
    await t.until(() => net.bytes.down > 30_000, 30_000);
    net.down();
    await t.sleep(1_000);
    const before = texts(a);
    const again = await t.login("a", { uid });
    await t.until(() => new Set([...before, ...texts(again)]).size === all.length, 15_000);
    assert.deepEqual(once([...before, ...texts(again)]).map(short), all.map(short));
  },
};
