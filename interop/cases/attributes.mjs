// Attributes of users and of channels.
import assert from "node:assert/strict";

export const attributes = {
  async "A's own attributes, as B reads them"(t) {
    const [a, b] = await t.pair();
    const read = () => b.call("get_user_attributes", { user_id: a.uid });
    await a.call("set_local_user_attributes", { attributes: { name: "Ann", mood: "good" } });
    await a.call("add_or_update_local_user_attributes", { attributes: { mood: "better", 城市: "北京" } });
    assert.deepEqual(await read(), { name: "Ann", mood: "better", 城市: "北京" });
    assert.deepEqual(await b.call("get_user_attributes_by_keys", { user_id: a.uid, keys: ["城市", "none"] }), { 城市: "北京" });
    await a.call("delete_local_user_attributes_by_keys", { keys: ["mood", "none"] });
    assert.deepEqual(await read(), { name: "Ann", 城市: "北京" });
    await a.call("set_local_user_attributes", { attributes: { only: "this" } });
    assert.deepEqual(await read(), { only: "this" });
    await a.call("clear_local_user_attributes");
    assert.deepEqual(await read(), {});
  },
  async "A writes a channel's attributes: who and when, and B, a member, is told where A asks for it"(t) {
    const [a, b] = await t.pair(), channel_id = t.channel();
    await b.call("join_channel", { channel_id });
    const read = () => b.call("get_channel_attributes", { channel_id });
    const values = ({ attributes }) => Object.fromEntries(Object.entries(attributes).map(([key, { value }]) => [key, value]));

    await a.call("set_channel_attributes", { channel_id, attributes: { topic: "news", level: "1" } });
    await a.call("add_or_update_channel_attributes", { channel_id, attributes: { level: "2" }, notify: true });
    const told = await b.expects({ type: "AttributesUpdated", channel_id });
    assert.deepEqual(values(told.attributes), { topic: "news", level: "2" });
    assert.equal(b.all({ type: "AttributesUpdated" }).length, 1, "told of the first write, which did not ask for it");
    const all = await read();
    assert.deepEqual(values(all), { topic: "news", level: "2" });
    assert.equal(all.attributes.level.last_update_user_id, a.uid);
    assert.ok(Math.abs(all.attributes.level.last_update_ts - Date.now()) < 60_000);
    assert.deepEqual(values(await b.call("get_channel_attributes_by_keys", { channel_id, keys: ["topic", "none"] })), { topic: "news" });

    await a.call("delete_channel_attributes_by_keys", { channel_id, keys: ["topic"], notify: true });
    assert.deepEqual(values((await b.expects({ type: "AttributesUpdated", channel_id })).attributes), { level: "2" });
    await b.call("set_channel_attributes", { channel_id, attributes: { new: "set" } });
    assert.deepEqual(values(await a.call("get_channel_attributes", { channel_id })), { new: "set" });
    await a.call("clear_channel_attributes", { channel_id, notify: true });
    assert.deepEqual(values((await b.expects({ type: "AttributesUpdated", channel_id })).attributes), {});
    assert.deepEqual(values(await read()), {});
  },
};
