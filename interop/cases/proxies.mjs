// What only a deployment with a reverse proxy in front meets: its reloads, a server that is gone behind it, one address for all.
import assert from "node:assert/strict";
import { connected } from "./breaks.mjs";

export const behindProxy = (proxy) => ({
  async "no message is lost or repeated by a reload of the proxy"(t) {
    const rust = await t.login("rust"), js = await t.login("js");
    const all = Array.from({ length: 30 }, (_, i) => `number ${i}`);
    for (const [i, text] of all.entries()) {
      if (i === 10) {
        await proxy.reload();
        if (proxy.reloadBreaks) for (const one of [rust, js]) await connected(t, one);
      }
      assert.deepEqual(await js.call("send_message_to_peer", { peer_id: rust.uid, text }), { has_peer_received: true });
      assert.deepEqual(await rust.call("send_message_to_peer", { peer_id: js.uid, text }), { has_peer_received: true });
      await t.sleep(50);
    }
    for (const one of [rust, js]) {
      assert.deepEqual(one.all({ type: "MessageFromPeer" }).map(({ message }) => message.text), all);
      if (!proxy.reloadBreaks) one.never({ type: "ConnectionStateChanged", state: "RECONNECTING" });
    }
  },
  async "everybody is back after the server behind the proxy was killed"(t) {
    const rust = await t.login("rust"), js = await t.login("js");
    await proxy.crash(2_000);
    for (const one of [rust, js]) await connected(t, one, 2, 30_000);
    assert.deepEqual(await js.call("send_message_to_peer", { peer_id: rust.uid, text: "back" }), { has_peer_received: true });
    assert.deepEqual(await rust.call("send_message_to_peer", { peer_id: js.uid, text: "me too" }), { has_peer_received: true });
  },
  async "one who tries out tokens is locked out, and nobody else is"(t) {
    const via = await t.network({ from: "127.0.0.2" });
    const tries = async (code) => {
      const uid = t.uid("thief"), thief = await t.open("js", { uid, secure: true, via });
      await thief.refused(code, "login", { uid, token: "tried out" });
    };
    for (let i = 0; i < 12; i++) await Promise.all(Array.from({ length: 10 }, () => tries(4)));
    await tries(8);
    for (const kind of ["js", "rust"]) await t.login(kind, { secure: true, token: true });
  },
});

// nginx speaks HTTP/1.0 to the server unless it is told otherwise: no WebSocket can be opened through it.
export const withoutUpgrade = {
  async "a proxy that speaks HTTP/1.0 to the server is no WebSocket, and the SDK does not hammer at it"(t) {
    const net = await t.network(), js = await t.open("js", { uid: t.uid("user"), via: net });
    const rust = await t.open("rust", { uid: t.uid("user"), via: net });
    await assert.rejects(rust.call("login", { uid: rust.uid }), ({ message }) => /HTTP\/1\.1/.test(message));
    const before = net.opened;
    js.call("login", { uid: js.uid }).catch(() => {});
    await t.sleep(6_000);
    assert.ok(net.opened - before < 20, `the SDK opened ${net.opened - before} connections within 6 s`);
  },
};
