// Messages from one user to another, live and stored.
import assert from "node:assert/strict";

export const messages = {
  async "a message from A reaches B once, with sender and server time, and A learns that it did"(t) {
    const [a, b] = await t.pair();
    const text = "你好, \"peer\" \\ \u0001 \u2028 👋";
    assert.deepEqual(await a.call("send_message_to_peer", { peer_id: b.uid, text }), { has_peer_received: true });
    const { message, properties } = await b.expects({ type: "MessageFromPeer", peer_id: a.uid });
    assert.equal(message.text, text);
    assert.equal(properties.is_offline_message, false);
    assert.ok(Math.abs(properties.server_received_ts - Date.now()) < 60_000);
    await t.sleep(200);
    assert.equal(b.all({ type: "MessageFromPeer" }).length, 1);
  },
  async "the longest message goes through whole"(t) {
    const [a, b] = await t.pair();
    const text = "x".repeat(32_768);
    assert.deepEqual(await a.call("send_message_to_peer", { peer_id: b.uid, text }), { has_peer_received: true });
    assert.equal((await b.expects({ type: "MessageFromPeer" })).message.text, text);
  },
  async "150 messages from A, sent at once, keep their order"(t) {
    const [a, b] = await t.pair();
    const texts = Array.from({ length: 150 }, (_, i) => `number ${i}`);
    const outcomes = await Promise.all(texts.map((text) => a.call("send_message_to_peer", { peer_id: b.uid, text })));
    assert.ok(outcomes.every((one) => one.has_peer_received));
    await t.until(async () => b.all({ type: "MessageFromPeer" }).length >= texts.length);
    assert.deepEqual(b.all({ type: "MessageFromPeer" }).map(({ message }) => message.text), texts);
  },
  async "both write to each other at once"(t) {
    const [a, b] = await t.pair();
    const send = (from, to) => Promise.all(Array.from({ length: 20 }, (_, i) =>
      from.call("send_message_to_peer", { peer_id: to.uid, text: `${from.uid} ${i}` })));
    await Promise.all([send(a, b), send(b, a)]);
    for (const [one, other] of [[a, b], [b, a]]) {
      await t.until(async () => one.all({ type: "MessageFromPeer", peer_id: other.uid }).length === 20);
    }
  },
  async "a message from A to an absent user is not received"(t) {
    const a = await t.login("a");
    assert.deepEqual(await a.call("send_message_to_peer", { peer_id: t.uid("absent"), text: "anyone?" }), { has_peer_received: false });
  },
  async "messages that A leaves for B wait for its login, in order, and come only once"(t) {
    const a = await t.login("a"), uid = t.uid("later");
    for (const text of ["one", "two", "three"]) {
      const outcome = await a.call("send_message_to_peer", { peer_id: uid, text, offline: true });
      assert.deepEqual(outcome, { has_peer_received: false });
    }
    await a.call("send_message_to_peer", { peer_id: uid, text: "not kept" });
    const b = await t.login("b", { uid });
    await b.expects({ type: "MessageFromPeer", message: { text: "three" } });
    assert.deepEqual(
      b.all({ type: "MessageFromPeer" }).map(({ message, peer_id, properties }) => [message.text, peer_id, properties.is_offline_message]),
      [["one", a.uid, true], ["two", a.uid, true], ["three", a.uid, true]]);
    await b.call("logout");
    const again = await t.login("b", { uid });
    await t.sleep(400);
    again.never({ type: "MessageFromPeer" });
  },
};

// Only the native wire carries bytes, tells outcomes and pages through a history.
export const nativeMessages = {
  async "bytes for a user of the SDK are refused with code 8, and it sees nothing"(t) {
    const rust = await t.login("rust"), js = await t.login("js");
    await rust.refused(8, "send_message_to_peer", { peer_id: js.uid, bytes: [0, 1, 255] });
    await t.sleep(200);
    js.never({ type: "MessageFromPeer" });
  },
  async "bytes to a channel reach its Rust members and not those of the SDK"(t) {
    const rust = await t.login("rust"), other = await t.login("rust"), js = await t.login("js"), channel_id = t.channel();
    for (const one of [rust, other, js]) await one.call("join_channel", { channel_id });
    await rust.call("send_channel_message", { channel_id, bytes: [0, 1, 255] });
    await other.expects({ type: "ChannelMessage", message: { binary: "AAH/" } });
    await rust.call("send_channel_message", { channel_id, text: "and a text" });
    await js.expects({ type: "ChannelMessage", message: { text: "and a text" } });
    assert.equal(js.all({ type: "ChannelMessage" }).length, 1);
  },
  async "the outcome of a send says delivered, stored or not received"(t) {
    const rust = await t.login("rust"), js = await t.login("js"), absent = t.uid("absent");
    const outcome = (args) => rust.call("send_outcome", { text: "hi", ...args });
    assert.equal(await outcome({ peer_id: js.uid }), "DELIVERED");
    assert.equal(await outcome({ peer_id: absent, offline: true }), "STORED");
    assert.equal(await outcome({ peer_id: absent }), "NOT_RECEIVED");
  },
  async "what the SDK and Rust sent for history is read back in order, page by page"(t) {
    const rust = await t.login("rust"), js = await t.login("js"), channel_id = t.channel();
    const texts = ["first", "second", "third"];
    for (const [i, text] of texts.entries()) {
      const [from, to] = i % 2 ? [rust, js] : [js, rust];
      await from.call("send_message_to_peer", { peer_id: to.uid, text, history: true });
    }
    await js.call("send_message_to_peer", { peer_id: rust.uid, text: "not for history" });
    const history = (args) => rust.call("query_history", args);
    const page = await history({ peer_id: js.uid, limit: 2 });
    assert.deepEqual(page.messages.map(({ from, message }) => [from, message.text]), [[js.uid, "first"], [rust.uid, "second"]]);
    const rest = await history({ peer_id: js.uid, limit: 2, after: page.next });
    assert.deepEqual(rest.messages.map(({ message }) => message.text), ["third"]);
    assert.equal(rest.next, null);

    for (const one of [rust, js]) await one.call("join_channel", { channel_id });
    await js.call("send_channel_message", { channel_id, text: "kept", history: true });
    await js.call("send_channel_message", { channel_id, text: "not kept" });
    const room = await history({ channel_id, limit: 10 });
    assert.deepEqual(room.messages.map(({ from, message }) => [from, message.text]), [[js.uid, "kept"]]);
  },
  async "attributes of a user who is not there are refused with code 6"(t) {
    const rust = await t.login("rust");
    await rust.refused(6, "get_user_attributes", { user_id: t.uid("absent") });
  },
  async "a channel attribute is written only at the revision that was read"(t) {
    const rust = await t.login("rust"), js = await t.login("js"), channel_id = t.channel();
    await js.call("set_channel_attributes", { channel_id, attributes: { score: "1" } });
    const { revision } = await rust.call("get_channel_attributes", { channel_id });
    await js.call("add_or_update_channel_attributes", { channel_id, attributes: { score: "2" } });
    const write = (expected_revision, score) =>
      rust.call("set_channel_attributes", { channel_id, attributes: { score }, expected_revision });
    await assert.rejects(write(revision, "3"), ({ kind }) => kind === "RevisionConflict");
    await write((await rust.call("get_channel_attributes", { channel_id })).revision, "4");
    assert.equal((await js.call("get_channel_attributes", { channel_id })).attributes.score.value, "4");
  },
};
