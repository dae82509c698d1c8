// What applications on the vendor's SDK do, and must not be punished for.
import assert from "node:assert/strict";

// What `slice` makes of a text that ends in an emoji, and what is to become of it.
const HALF = "a👋".slice(0, 2), WHOLE = "a\ufffd";

export const sdkHabits = {
  async "half an emoji arrives as U+FFFD, in every text that the SDK sends"(t) {
    const js = await t.login("js"), other = await t.login("js"), rust = await t.login("rust"), later = t.uid("later"), channel_id = t.channel();
    for (const one of [js, other, rust]) await one.call("join_channel", { channel_id });
    assert.deepEqual(await js.call("send_message_to_peer", { peer_id: rust.uid, text: HALF }), { has_peer_received: true });
    assert.deepEqual(await js.call("send_message_to_peer", { peer_id: other.uid, text: HALF }), { has_peer_received: true });
    await js.call("send_channel_message", { channel_id, text: HALF });
    for (const one of [rust, other]) {
      await one.expects({ type: "MessageFromPeer", peer_id: js.uid, message: { text: WHOLE } });
      await one.expects({ type: "ChannelMessage", channel_id, message: { text: WHOLE } });
    }
    await js.call("send_message_to_peer", { peer_id: later, text: HALF, offline: true });
    const woken = await t.login("rust", { uid: later });
    await woken.expects({ type: "MessageFromPeer", message: { text: WHOLE } });

    await js.call("set_local_user_attributes", { attributes: { name: HALF } });
    assert.deepEqual(await rust.call("get_user_attributes", { user_id: js.uid }), { name: WHOLE });
    await js.call("add_or_update_channel_attributes", { channel_id, attributes: { topic: HALF }, notify: true });
    const { attributes: written } = await rust.expects({ type: "AttributesUpdated", channel_id });
    assert.equal(written.attributes.topic.value, WHOLE);

    const { call_id } = await js.call("send_invitation", { callee_id: rust.uid, content: HALF });
    const { invitation } = await rust.expects({ type: "RemoteInvitationReceived" });
    assert.equal(invitation.content, WHOLE);
    await rust.call("refuse_invitation", invitation);
    await js.expects({ type: "LocalInvitationRefused", invitation: { call_id } });
    const asked = await rust.call("send_invitation", { callee_id: js.uid, content: "?" });
    const { invitation: remote } = await js.expects({ type: "RemoteInvitationReceived" });
    await js.call("accept_invitation", { call_id: remote.call_id, response: HALF });
    await rust.expects({ type: "LocalInvitationAccepted", invitation: { call_id: asked.call_id }, response: WHOLE });
  },
  async "a page that logs in and out three times within a second is logged in"(t) {
    const js = await t.login("js"), rust = await t.login("rust");
    for (let i = 0; i < 2; i++) {
      await js.call("logout");
      await js.call("login", { uid: js.uid });
    }
    assert.deepEqual(await rust.call("send_message_to_peer", { peer_id: js.uid, text: "there?" }), { has_peer_received: true });
  },
  async "a question about nobody is answered with nobody"(t) {
    const js = await t.login("js");
    assert.deepEqual(await js.call("query_peers_online_status", { peer_ids: [] }), {});
  },
  async "keys that cannot be are deleted as unknown ones are, and a question about a user that cannot be has an answer"(t) {
    const js = await t.login("js"), rust = await t.login("rust"), channel_id = t.channel(), keys = ["an impossible key"];
    await js.call("set_local_user_attributes", { attributes: { name: "Ann" } });
    await js.call("delete_local_user_attributes_by_keys", { keys });
    assert.deepEqual(await rust.call("get_user_attributes", { user_id: js.uid }), { name: "Ann" });
    await js.call("delete_channel_attributes_by_keys", { channel_id, keys });
    await assert.rejects(js.call("delete_local_user_attributes_by_keys", { keys: [] }));
    assert.deepEqual(await js.call("get_user_attributes", { user_id: "u".repeat(2000) }), {});
  },
  async "a login after a logout that the server did not hear begins with nothing"(t) {
    const net = await t.network(), js = await t.login("js", { via: net }), rust = await t.login("rust"), channel_id = t.channel();
    for (const one of [js, rust]) await one.call("join_channel", { channel_id });
    await js.call("set_local_user_attributes", { attributes: { name: "Ann" } });
    await js.call("subscribe_peers_online_status", { peer_ids: [rust.uid] });
    await js.expects({ type: "PeersOnlineStatusChanged", peers: { [rust.uid]: "ONLINE" } });
    net.silence();
    await js.call("logout");
    net.cut();
    net.speak();
    await js.call("login", { uid: js.uid });
    await rust.expects({ type: "MemberLeft", channel_id, member_id: js.uid });
    assert.deepEqual(await rust.call("get_user_attributes", { user_id: js.uid }), {});
    await t.until(async () => (await js.call("query_peers_by_subscription_option")).length === 0);
  },
  async "the SDK that comes back by itself after a login elsewhere hears of that once, and its next login is the newer one"(t) {
    const net = await t.network(), js = await t.login("js", { via: net });
    net.down();
    await js.expects({ type: "ConnectionStateChanged", state: "RECONNECTING" });
    const other = await t.login("js", { uid: js.uid });
    net.up();
    await js.expects({ type: "ConnectionStateChanged", state: "DISCONNECTED", reason: "REMOTE_LOGIN" }, 15_000);
    assert.deepEqual(await js.call("login", { uid: js.uid }), { uid: js.uid });
    await other.expects({ type: "ConnectionStateChanged", state: "DISCONNECTED", reason: "REMOTE_LOGIN" });
    await t.sleep(3_000);
    assert.equal(js.all({ type: "ConnectionStateChanged", reason: "REMOTE_LOGIN" }).length, 1);
    assert.deepEqual(await js.call("send_message_to_peer", { peer_id: js.uid, text: "still in" }), { has_peer_received: true });
  },
  async "a login after a logout that the server did not hear is newer than a login elsewhere meanwhile, and ends well"(t) {
    const net = await t.network(), js = await t.login("js", { via: net }), channel_id = t.channel();
    net.silence();
    await js.call("logout");
    net.cut();
    const other = await t.login("js", { uid: js.uid });
    net.speak();
    assert.deepEqual(await js.call("login", { uid: js.uid }), { uid: js.uid });
    await js.call("set_local_user_attributes", { attributes: { name: "Ann" } });
    await js.call("join_channel", { channel_id });
    await other.expects({ type: "ConnectionStateChanged", state: "DISCONNECTED", reason: "REMOTE_LOGIN" });
    await t.sleep(3_000);
    js.never({ type: "ConnectionStateChanged", reason: "REMOTE_LOGIN" });
    assert.deepEqual(await js.call("send_message_to_peer", { peer_id: js.uid, text: "still in" }), { has_peer_received: true });
  },
  async "the SDK reaches a server at an IPv6 address, by its literal"(t) {
    const via = await t.serve({ listen: "[::1]:0" });
    const js = await t.login("js", { via }), rust = await t.login("rust", { via });
    assert.deepEqual(await js.call("send_message_to_peer", { peer_id: rust.uid, text: "six" }), { has_peer_received: true });
  },
};
