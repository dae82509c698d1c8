// Networks that break: what an application sees when the connection is back, in whatever way it was gone.
import assert from "node:assert/strict";

const texts = (user, pattern) => user.all({ type: "MessageFromPeer", ...pattern }).map(({ message }) => message.text);
const numbered = (count) => Array.from({ length: count }, (_, i) => `number ${i}`);

// Waits until `user` is connected for the `count`th time.
export const connected = (t, user, count = 2, ms = 25_000) =>
  t.until(() => user.all({ type: "ConnectionStateChanged", state: "CONNECTED" }).length >= count, ms);

export const breaks = {
  async "all that happens in a channel while A's connection is gone reaches A afterwards, once and in order"(t) {
    const net = await t.network(), channel_id = t.channel();
    const a = await t.login("a", { via: net }), b = await t.login("b"), leaves = await t.login("b"), comes = await t.login("b");
    for (const one of [a, b, leaves]) await one.call("join_channel", { channel_id });
    await a.expects({ type: "MemberJoined", channel_id, member_id: leaves.uid });
    net.down();
    await a.expects({ type: "ConnectionStateChanged", state: "RECONNECTING" });
    for (const text of ["one", "two"]) await b.call("send_channel_message", { channel_id, text });
    await b.call("add_or_update_channel_attributes", { channel_id, attributes: { topic: "news" }, notify: true });
    await leaves.call("leave_channel", { channel_id });
    await comes.call("join_channel", { channel_id });
    await b.call("send_channel_message", { channel_id, text: "three" });
    await t.sleep(2_000);
    net.up();
    await connected(t, a);
    const told = ["ChannelMessage", "AttributesUpdated", "MemberJoined", "MemberLeft"];
    const seen = () => told.flatMap((type) => a.all({ type, channel_id }))
      .map((event) => event.message?.text ?? event.member_id ?? event.attributes.attributes.topic.value).filter((what) => what !== b.uid);
    await a.expects({ type: "ChannelMessage", channel_id, message: { text: "three" } });
    await a.expects({ type: "MemberJoined", channel_id, member_id: comes.uid });
    await t.sleep(500);
    assert.deepEqual(seen(), ["one", "two", "three", "news", leaves.uid, comes.uid, leaves.uid]);
    b.never({ type: "MemberLeft", member_id: a.uid });
  },
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
  async "a connection of A that breaks three times, each time as soon as it is back, comes back"(t) {
    const net = await t.network(), a = await t.login("a", { via: net }), b = await t.login("b"), channel_id = t.channel();
    for (const one of [a, b]) await one.call("join_channel", { channel_id });
    for (const count of [2, 3, 4]) {
      net.cut();
      await connected(t, a, count);
    }
    assert.deepEqual(await b.call("send_message_to_peer", { peer_id: a.uid, text: "still there?" }), { has_peer_received: true });
    assert.deepEqual(await a.call("send_message_to_peer", { peer_id: b.uid, text: "still here" }), { has_peer_received: true });
    await b.call("send_channel_message", { channel_id, text: "hello" });
    await a.expects({ type: "ChannelMessage", channel_id, message: { text: "hello" } });
    b.never({ type: "MemberLeft", member_id: a.uid });
  },
  async "A whose token was renewed comes back after the first token's end"(t) {
    const net = await t.network(), uid = t.uid("user");
    const a = await t.login("a", { uid, token: await t.token(uid, { ttl: "3s" }), secure: true, via: net });
    await a.expects({ type: "TokenWillExpire" });
    await a.call("renew_token", { token: await t.token(uid) });
    await t.sleep(3_500);
    net.cut();
    await connected(t, a);
    assert.deepEqual(await a.call("query_peers_online_status", { peer_ids: [uid] }), { [uid]: true });
    a.never({ type: "TokenDidExpire" });
  },
};

// These take their time, and run beside all others.
export const longBreaks = {
  async "messages stored while A was away for over 30 s come when it is back by itself, once and in order"(t) {
    const net = await t.network(), a = await t.login("a", { via: net }), b = await t.login("b");
    await b.call("subscribe_peers_online_status", { peer_ids: [a.uid] });
    net.down();
    await b.expects({ type: "PeersOnlineStatusChanged", peers: { [a.uid]: "OFFLINE" } }, 45_000);
    for (const text of numbered(5)) await b.call("send_message_to_peer", { peer_id: a.uid, text, offline: true });
    net.up();
    await b.expects({ type: "PeersOnlineStatusChanged", peers: { [a.uid]: "ONLINE" } }, 25_000);
    await t.until(() => texts(a).length >= 5, 15_000);
    await t.sleep(500);
    assert.deepEqual(texts(a), numbered(5));
  },
  async "a server that stood still for 35 s throws nobody out when it goes on"(t) {
    const server = await t.serve(), via = server, channel_id = t.channel();
    const a = await t.login("a", { via }), b = await t.login("b", { via });
    for (const one of [a, b]) await one.call("join_channel", { channel_id });
    await a.call("subscribe_peers_online_status", { peer_ids: [b.uid] });
    await b.call("subscribe_peers_online_status", { peer_ids: [a.uid] });
    await t.sleep(1_000);
    server.freeze();
    await t.sleep(35_000);
    server.thaw();
    await t.until(async () => {
      const { has_peer_received } = await a.call("send_message_to_peer", { peer_id: b.uid, text: "awake?" }).catch(() => ({}));
      return has_peer_received;
    }, 30_000);
    await t.until(() => b.call("send_channel_message", { channel_id, text: "awake" }).then(() => true, () => false), 20_000);
    await a.expects({ type: "ChannelMessage", channel_id, member_id: b.uid, message: { text: "awake" } }, 20_000);
    for (const one of [a, b]) {
      one.never({ type: "MemberLeft" });
      for (const uid of [a.uid, b.uid]) one.never({ type: "PeersOnlineStatusChanged", peers: { [uid]: "OFFLINE" } });
      one.never({ type: "Gap", reason: "LEFT_CHANNEL" });
    }
  },
  async "a server that is killed and started again still tells A of the users whom it watches, and B stays in A's channel"(t) {
    const first = await t.serve({ store: true }), channel_id = t.channel();
    const a = await t.login("a", { via: first }), b = await t.login("b", { via: first }), watched = await t.login("b", { via: first });
    for (const one of [a, b]) await one.call("join_channel", { channel_id });
    await a.call("subscribe_peers_online_status", { peer_ids: [watched.uid] });
    await a.expects({ type: "PeersOnlineStatusChanged", peers: { [watched.uid]: "ONLINE" } });
    await first.stop("SIGKILL");
    for (const one of [a, b, watched]) await one.expects({ type: "ConnectionStateChanged", state: "RECONNECTING" }, 10_000);
    await t.serve({ again: first });
    for (const one of [a, b, watched]) await connected(t, one, 2, 30_000);
    await t.until(async () => (await b.call("members", { channel_id })).length === 2, 10_000);
    await t.sleep(500);
    await b.call("send_channel_message", { channel_id, text: "all here?" });
    await a.expects({ type: "ChannelMessage", channel_id, message: { text: "all here?" } });
    await watched.call("logout");
    await t.until(() => a.all({ type: "PeersOnlineStatusChanged" }).at(-1)?.peers[watched.uid] === "OFFLINE", 10_000);
    assert.deepEqual(await a.call("query_peers_by_subscription_option"), [watched.uid]);
  },
};

// A process of the Rust client that stands still.
export const rustBreaks = {
  async "Rust that stood still for 5 s goes on with the link that it has, and has missed nothing"(t) {
    const rust = await t.login("rust"), js = await t.login("js");
    await t.sleep(500);
    rust.freeze();
    const outcomes = Promise.all(numbered(3).map((text) => js.call("send_message_to_peer", { peer_id: rust.uid, text })));
    const asked = rust.call("query_peers_online_status", { peer_ids: [js.uid] });
    await t.sleep(5_000);
    rust.thaw();
    assert.ok((await outcomes).every((one) => one.has_peer_received));
    assert.deepEqual(await asked, { [js.uid]: true });
    await t.sleep(500);
    assert.deepEqual(texts(rust), numbered(3));
    rust.never({ type: "ConnectionStateChanged", state: "RECONNECTING" });
  },
};
