// Login, logout, the same user twice, a network that fails.
import assert from "node:assert/strict";

export const session = {
  async "login and logout are told in order on side A"(t) {
    const a = await t.login("a");
    await a.call("logout");
    await a.expects({ type: "ConnectionStateChanged", state: "DISCONNECTED" });
    assert.deepEqual(a.all({ type: "ConnectionStateChanged" }).map(({ state, reason }) => [state, reason]),
      [["CONNECTING", "LOGIN"], ["CONNECTED", "LOGIN_SUCCESS"], ["DISCONNECTED", "LOGOUT"]]);
  },
  async "an App ID that the server does not know is refused with code 3 on side A"(t) {
    const uid = t.uid("stranger");
    const a = await t.open("a", { uid, appId: "f".repeat(32) });
    await a.refused(3, "login", { uid });
  },
  async "B logs in with A's user id: A is told of the remote login, and messages go to B"(t) {
    const a = await t.login("a");
    const b = await t.login("b", { uid: a.uid });
    await a.expects({ type: "ConnectionStateChanged", reason: "REMOTE_LOGIN", state: a.isRust ? "ABORTED" : "DISCONNECTED" });
    const other = await t.login("a");
    assert.deepEqual(await other.call("send_message_to_peer", { peer_id: b.uid, text: "to the newer" }), { has_peer_received: true });
    await b.expects({ type: "MessageFromPeer", message: { text: "to the newer" } });
    a.never({ type: "MessageFromPeer" });
  },
  async "A's connection is cut: it comes back, is still in its channel, and messages from B reach it"(t) {
    const net = await t.network();
    const a = await t.login("a", { via: net }), b = await t.login("b"), channel_id = t.channel();
    await a.call("join_channel", { channel_id });
    await b.call("join_channel", { channel_id });
    await a.expects({ type: "MemberJoined", member_id: b.uid });
    await a.expects({ type: "ConnectionStateChanged", state: "CONNECTED" });
    net.cut();
    await a.expects({ type: "ConnectionStateChanged", state: "RECONNECTING" });
    await a.expects({ type: "ConnectionStateChanged", state: "CONNECTED" }, 15_000);
    assert.deepEqual(await b.call("send_message_to_peer", { peer_id: a.uid, text: "are you back?" }), { has_peer_received: true });
    await a.expects({ type: "MessageFromPeer", peer_id: b.uid, message: { text: "are you back?" } });
    await t.until(async () => (await b.call("members", { channel_id })).includes(a.uid));
    await t.sleep(400); // the SDK joins its channels again only after it said CONNECTED
    await b.call("send_channel_message", { channel_id, text: "welcome back" });
    await a.expects({ type: "ChannelMessage", channel_id, member_id: b.uid, message: { text: "welcome back" } });
    b.never({ type: "MemberLeft", member_id: a.uid });
  },
};
