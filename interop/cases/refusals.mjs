// The same misuse gives the same number in the SDK and in the Rust client.

const many = (n, name) => Array.from({ length: n }, (_, i) => `${name}${i}`);

export const refusals = {
  async "misused calls are refused with the vendor's numbers on side A"(t) {
    const a = await t.login("a"), b = await t.login("b"), channel_id = t.channel();
    await a.refused(7, "send_message_to_peer", { peer_id: b.uid, text: "" });
    await a.refused(7, "send_message_to_peer", { peer_id: b.uid, text: "x".repeat(32_769) });
    await a.refused(6, "send_message_to_peer", { peer_id: "with 'apostrophe'", text: "hi" });
    await a.refused(6, "subscribe_peers_online_status", { peer_ids: many(513, "peer") });
    await a.refused(3, "add_or_update_local_user_attributes", { attributes: { key: "" } });
    await a.refused(3, "add_or_update_channel_attributes", { channel_id, attributes: {} });
    await a.refused(5, "send_channel_message", { channel_id, text: "not in it" });
    await a.refused(3, "leave_channel", { channel_id });
    await a.call("join_channel", { channel_id });
    await a.refused(6, "join_channel", { channel_id });
    await a.refused(4, "send_channel_message", { channel_id, text: "" });
  },
  async "what only the server counts is refused with the vendor's numbers on side A"(t) {
    const a = await t.login("a"), value = "v".repeat(8_192);
    await a.refused(4, "set_local_user_attributes", { attributes: Object.fromEntries(many(33, "key").map((key) => [key, "v"])) });
    await a.refused(4, "add_or_update_local_user_attributes", { attributes: { one: value, two: value } });
    await a.refused(5, "channel_member_count", { channel_ids: many(33, "room") });
    for (const channel_id of Array.from({ length: 20 }, () => t.channel())) await a.call("join_channel", { channel_id });
    await a.refused(5, "join_channel", { channel_id: t.channel() });
  },
  async "calls before login are refused with the vendor's numbers on side A"(t) {
    const a = await t.open("a", { uid: t.uid("nobody") }), channel_id = t.channel();
    await a.refused(102, "send_message_to_peer", { peer_id: "bob", text: "hi" });
    await a.refused(102, "query_peers_online_status", { peer_ids: ["bob"] });
    await a.refused(102, "subscribe_peers_online_status", { peer_ids: ["bob"] });
    await a.refused(102, "query_peers_by_subscription_option");
    await a.refused(102, "set_local_user_attributes", { attributes: { key: "value" } });
    await a.refused(102, "get_channel_attributes", { channel_id });
    await a.refused(102, "join_channel", { channel_id });
    await a.refused(102, "channel_member_count", { channel_ids: [channel_id] });
    await a.refused(6, "members", { channel_id });
    await a.refused(102, "renew_token", { token: "any" });
  },
};
