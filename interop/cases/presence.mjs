// Who is online, asked and subscribed to.
import assert from "node:assert/strict";

export const presence = {
  async "A asks who is online"(t) {
    const [a, b] = await t.pair(), absent = t.uid("absent");
    assert.deepEqual(await a.call("query_peers_online_status", { peer_ids: [b.uid, absent] }), { [b.uid]: true, [absent]: false });
  },
  async "A subscribes to B: the present state, then every change, until it unsubscribes"(t) {
    const a = await t.login("a"), uid = t.uid("b");
    await a.call("subscribe_peers_online_status", { peer_ids: [uid] });
    await a.expects({ type: "PeersOnlineStatusChanged", peers: { [uid]: "OFFLINE" } });
    const b = await t.login("b", { uid });
    await a.expects({ type: "PeersOnlineStatusChanged", peers: { [uid]: "ONLINE" } });
    assert.deepEqual(await a.call("query_peers_by_subscription_option"), [uid]);
    await b.call("logout");
    await a.expects({ type: "PeersOnlineStatusChanged", peers: { [uid]: "OFFLINE" } });
    await a.call("unsubscribe_peers_online_status", { peer_ids: [uid] });
    await t.sleep(200);
    const seen = a.all({ type: "PeersOnlineStatusChanged" }).length;
    await t.login("b", { uid });
    await t.sleep(400);
    assert.equal(a.all({ type: "PeersOnlineStatusChanged" }).length, seen);
  },
  async "a change of B while A's connection is cut is told when A is back"(t) {
    const net = await t.network();
    const b = await t.login("b"), a = await t.login("a", { via: net });
    await a.call("subscribe_peers_online_status", { peer_ids: [b.uid] });
    await a.expects({ type: "PeersOnlineStatusChanged", peers: { [b.uid]: "ONLINE" } });
    net.cut();
    await b.call("logout");
    await a.expects({ type: "PeersOnlineStatusChanged", peers: { [b.uid]: "OFFLINE" } }, 15_000);
  },
};
