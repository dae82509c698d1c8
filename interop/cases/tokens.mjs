// A project with a certificate; the tokens are made by `rtm token`.
import assert from "node:assert/strict";

export const tokens = {
  async "a good token of either version lets A in; none, a forged one and another user's are refused with code 4"(t) {
    const uid = t.uid("user"), good = await t.token(uid);
    for (const token of [undefined, "nonsense", `${good.slice(0, -6)}AAAAA=`, await t.token(t.uid("other"))]) {
      const a = await t.open("a", { uid, secure: true });
      await a.refused(4, "login", { uid, token });
    }
    for (const version of ["006", "007"]) {
      const token = await t.token(uid, { version });
      const a = await t.login("a", { uid, token, secure: true });
      await a.call("logout");
    }
  },
  async "a token that runs out is announced to A, then ends its session"(t) {
    const uid = t.uid("user"), other = t.uid("user");
    const b = await t.login("b", { uid: other, token: await t.token(other), secure: true });
    await b.call("subscribe_peers_online_status", { peer_ids: [uid] });
    await b.expects({ type: "PeersOnlineStatusChanged", peers: { [uid]: "OFFLINE" } });
    const a = await t.login("a", { uid, token: await t.token(uid, { ttl: "4s" }), secure: true });
    await b.expects({ type: "PeersOnlineStatusChanged", peers: { [uid]: "ONLINE" } });
    await a.expects({ type: "TokenWillExpire" });
    a.never({ type: "TokenDidExpire" });
    await a.expects({ type: "TokenDidExpire" });
    await b.expects({ type: "PeersOnlineStatusChanged", peers: { [uid]: "OFFLINE" } });
  },
  async "a renewed token keeps A's session alive past the first one's end"(t) {
    const uid = t.uid("user"), a = await t.login("a", { uid, token: await t.token(uid, { ttl: "6s" }), secure: true });
    await a.expects({ type: "TokenWillExpire" });
    await a.call("renew_token", { token: await t.token(uid) });
    await t.sleep(6_000);
    a.never({ type: "TokenDidExpire" });
    assert.deepEqual(await a.call("query_peers_online_status", { peer_ids: [uid] }), { [uid]: true });
  },
  async "users of two projects do not see each other"(t) {
    const uid = t.uid("twin"), a = await t.login("a", { uid, token: await t.token(uid), secure: true });
    const b = await t.login("b", { uid }), c = await t.login("b");
    await c.call("send_message_to_peer", { peer_id: uid, text: "to the open one" });
    await b.expects({ type: "MessageFromPeer", message: { text: "to the open one" } });
    await t.sleep(200);
    a.never({ type: "MessageFromPeer" });
    a.never({ reason: "REMOTE_LOGIN" });
  },
};
