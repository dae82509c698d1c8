// Channels: members, messages, counts.
import assert from "node:assert/strict";

export const channels = {
  async "B's coming and going is told to A, with the count, and A is not told of itself"(t) {
    const [a, b] = await t.pair(), channel_id = t.channel();
    await a.call("join_channel", { channel_id });
    await a.expects({ type: "MemberCountUpdated", channel_id, member_count: 1 });
    await b.call("join_channel", { channel_id });
    await a.expects({ type: "MemberJoined", channel_id, member_id: b.uid });
    await a.expects({ type: "MemberCountUpdated", channel_id, member_count: 2 });
    await b.expects({ type: "MemberCountUpdated", channel_id, member_count: 2 });
    assert.deepEqual((await a.call("members", { channel_id })).sort(), [a.uid, b.uid].sort());
    await b.call("leave_channel", { channel_id });
    await a.expects({ type: "MemberLeft", channel_id, member_id: b.uid });
    await a.expects({ type: "MemberCountUpdated", channel_id, member_count: 1 });
    a.never({ member_id: a.uid });
  },
  async "B that logs out leaves A's channel"(t) {
    const [a, b] = await t.pair(), channel_id = t.channel();
    await a.call("join_channel", { channel_id });
    await b.call("join_channel", { channel_id });
    await b.call("logout");
    await a.expects({ type: "MemberLeft", channel_id, member_id: b.uid });
  },
  async "A's message reaches every other member and not A"(t) {
    const [a, b] = await t.pair(), c = await t.login("b"), channel_id = t.channel();
    for (const one of [a, b, c]) await one.call("join_channel", { channel_id });
    await a.call("send_channel_message", { channel_id, text: "hello room 大家好" });
    for (const one of [b, c]) {
      const { properties } = await one.expects({ type: "ChannelMessage", channel_id, member_id: a.uid, message: { text: "hello room 大家好" } });
      assert.equal(properties.is_offline_message, false);
      assert.ok(Math.abs(properties.server_received_ts - Date.now()) < 60_000);
    }
    await t.sleep(200);
    a.never({ type: "ChannelMessage" });
  },
  async "two channels of A and B do not mix, and each keeps its order"(t) {
    const [a, b] = await t.pair(), one = t.channel(), two = t.channel();
    for (const user of [a, b]) for (const channel_id of [one, two]) await user.call("join_channel", { channel_id });
    await Promise.all(Array.from({ length: 40 }, (_, i) =>
      a.call("send_channel_message", { channel_id: i % 2 ? two : one, text: String(i) })));
    await t.until(async () => b.all({ type: "ChannelMessage" }).length === 40);
    for (const [channel_id, parity] of [[one, 0], [two, 1]]) {
      assert.deepEqual(b.all({ type: "ChannelMessage", channel_id }).map(({ message }) => message.text),
        Array.from({ length: 20 }, (_, i) => String(2 * i + parity)));
    }
  },
  async "A counts the members of channels that it is not in"(t) {
    const [a, b] = await t.pair(), one = t.channel(), none = t.channel();
    await b.call("join_channel", { channel_id: one });
    assert.deepEqual(await a.call("channel_member_count", { channel_ids: [one, none] }), { [one]: 1, [none]: 0 });
  },
};

export const typedChannels = {
  async "a value of a Rust type reaches the SDK as JSON, and the SDK's JSON is a value to Rust"(t) {
    const rust = await t.login("rust"), other = await t.login("rust"), js = await t.login("js"), channel_id = t.channel();
    for (const one of [rust, other, js]) await one.call("join_channel", { channel_id });
    const value = { move: "e4", clock: [1, 2.5], comment: "好" };
    await rust.call("send_channel_value", { channel_id, value });
    const { message: { text } } = await js.expects({ type: "ChannelMessage", member_id: rust.uid });
    assert.deepEqual(JSON.parse(text), value);
    assert.deepEqual((await other.expects({ type: "ChannelMessage", member_id: rust.uid })).value, { ok: value });
    await js.call("send_channel_message", { channel_id, text: JSON.stringify(value) });
    assert.deepEqual((await rust.expects({ type: "ChannelMessage", member_id: js.uid })).value, { ok: value });
    await js.call("send_channel_message", { channel_id, text: "no JSON" });
    const { value: { error } } = await rust.expects({ type: "ChannelMessage", message: { text: "no JSON" } });
    assert.ok(error.includes(channel_id) && error.includes(js.uid), error);
  },
};
