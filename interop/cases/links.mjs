// Networks that work, but are slow, take everything at once, or are far away. These cases run beside all others.
import assert from "node:assert/strict";
import { connected } from "./breaks.mjs";

const texts = (user) => user.all({ type: "MessageFromPeer" }).map(({ message }) => message.text);
const long = (count, length) => Array.from({ length: count }, (_, i) => `${i} `.padEnd(length, "x"));
const once = (list) => [...new Set(list)];
const send = (from, to, all, options) => Promise.all(all.map((text) => from.call("send_message_to_peer", { peer_id: to, text, ...options })));

// The native wire knows what has arrived. On the vendor's, what the network broke off may come again.
const arrived = (t, user, expected) =>
  assert.deepEqual((user.isRust && t.wire === "native" ? texts(user) : once(texts(user))).map(short), expected.map(short));
const short = (text) => text.split(" ")[0];

export const links = {
  async "over a round trip of a second A logs in, and messages go both ways"(t) {
    const net = await t.network({ roundTrip: 1_000 }), a = await t.login("a", { via: net }), b = await t.login("b"), channel_id = t.channel();
    assert.deepEqual(await a.call("send_message_to_peer", { peer_id: b.uid, text: "far" }), { has_peer_received: true });
    assert.deepEqual(await b.call("send_message_to_peer", { peer_id: a.uid, text: "away" }), { has_peer_received: true });
    for (const one of [a, b]) await one.call("join_channel", { channel_id });
    await b.call("send_channel_message", { channel_id, text: "from near" });
    await a.expects({ type: "ChannelMessage", channel_id, message: { text: "from near" } });
    net.cut();
    await connected(t, a);
    assert.deepEqual(await b.call("send_message_to_peer", { peer_id: a.uid, text: "again" }), { has_peer_received: true });
    a.never({ type: "ConnectionStateChanged", state: "ABORTED" });
  },
  async "what waited for A comes over a slow link that breaks three times, whole and in order"(t) {
    const net = await t.network({ bytesPerSecond: 4_000 }), a = await t.login("a", { via: net }), b = await t.login("b");
    net.down();
    await a.expects({ type: "ConnectionStateChanged", state: "RECONNECTING" });
    const all = long(12, 4_096), sent = send(b, a.uid, all).catch(() => {});
    await t.sleep(1_000);
    net.up();
    for (const count of [2, 5, 8]) {
      await t.until(() => once(texts(a)).length >= count, 30_000);
      net.cut();
    }
    await t.until(() => once(texts(a)).length === all.length, 60_000);
    await sent;
    arrived(t, a, all);
  },
  async "a message of 32 KiB reaches A over a slow link"(t) {
    const net = await t.network({ bytesPerSecond: 4_000 }), a = await t.login("a", { via: net }), b = await t.login("b");
    const [text] = long(1, 32_768);
    await b.call("send_message_to_peer", { peer_id: a.uid, text });
    await t.until(() => texts(a).length, 20_000);
    assert.deepEqual(texts(a), [text]);
    a.never({ type: "ConnectionStateChanged", state: "RECONNECTING" });
  },
  async "a message of 32 KiB goes out from A over a slow link"(t) {
    const net = await t.network({ bytesPerSecond: 4_500 }), a = await t.login("a", { via: net }), b = await t.login("b");
    const [text] = long(1, 32_768);
    assert.deepEqual(await a.call("send_message_to_peer", { peer_id: b.uid, text }), { has_peer_received: true });
    assert.deepEqual(texts(b), [text]);
    a.never({ type: "ConnectionStateChanged", state: "RECONNECTING" });
  },
  async "stored messages reach A, slowly, through a proxy that takes them all at once"(t) {
    const b = await t.login("b"), uid = t.uid("later"), all = long(40, 8_192);
    await send(b, uid, all, { offline: true });
    const a = await t.login("a", { uid, via: await t.network({ bytesPerSecond: 20_000, buffers: true }) });
    await t.until(() => texts(a).length >= all.length, 45_000);
    await t.sleep(500);
    assert.deepEqual(texts(a).map(short), all.map(short));
  },
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

// The SDK hears the server's question whether it is there only after all that was sent before.
export const rustLinks = {
  async "Rust behind a slow link, with much on its way, is not said to be away"(t) {
    const net = await t.network({ bytesPerSecond: 100_000, narrow: true }), channel_id = t.channel();
    const rust = await t.login("rust", { via: net }), js = await t.login("js"), watcher = await t.login("js");
    for (const one of [rust, js, watcher]) await one.call("join_channel", { channel_id });
    await watcher.call("subscribe_peers_online_status", { peer_ids: [rust.uid] });
    await watcher.expects({ type: "PeersOnlineStatusChanged", peers: { [rust.uid]: "ONLINE" } });
    const all = long(100, 32_000);
    await Promise.all(all.map((text) => js.call("send_channel_message", { channel_id, text })));
    await t.until(() => rust.all({ type: "ChannelMessage" }).length === all.length, 60_000);
    assert.deepEqual(rust.all({ type: "ChannelMessage" }).map(({ message }) => short(message.text)), all.map(short));
    assert.equal(watcher.all({ type: "PeersOnlineStatusChanged" }).length, 1, "it was said to be away");
    watcher.never({ type: "MemberLeft", member_id: rust.uid });
    rust.never({ type: "ConnectionStateChanged", state: "RECONNECTING" });
  },
};

// What the native wire promises besides: nothing comes twice, and each break costs little.
export const nativeLinks = {
  async "300 KB reach Rust at 4 KB/s over three breaks, once, and each break costs a packet"(t) {
    const net = await t.network({ bytesPerSecond: 4_000 }), rust = await t.login("rust", { via: net }), js = await t.login("js");
    net.down();
    await rust.expects({ type: "ConnectionStateChanged", state: "RECONNECTING" });
    // Three of 32 KiB among them, and a break while one of those is on its way.
    const all = long(30, 7_400).map((text, i) => i % 10 === 4 ? text.padEnd(32_768, "x") : text), sent = send(js, rust.uid, all).catch(() => {});
    await t.sleep(1_000);
    net.up();
    for (const count of [4, 12, 20]) {
      await t.until(() => texts(rust).length >= count, 60_000);
      await t.sleep(1_500);
      net.cut();
    }
    await t.until(() => texts(rust).length >= all.length, 60_000);
    await sent;
    assert.deepEqual(texts(rust).map(short), all.map(short));
    assert.equal(rust.all({ type: "ConnectionStateChanged", state: "RECONNECTING" }).length, 4);
    assert.ok(net.bytes.down < 420_000, `${net.bytes.down} bytes were needed`);
    rust.never({ type: "Gap" });
  },
};
