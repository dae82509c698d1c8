// The vendor's example program in a real browser shows all six events, made by Rust users.
import assert from "node:assert/strict";

export const page = {
  async "the six events happen in the page"(t) {
    const uid = t.uid("page"), rust = await t.login("rust", { uid: t.uid("rust"), secure: true, token: true });
    const view = await t.browser.context.newPage();
    const query = new URLSearchParams({ server: `${t.host}:${t.port}`, app: t.secureAppId, uid, token: await t.token(uid, { ttl: "12s" }) });
    try {
      await view.goto(`${t.pages.url}/?${query}`);
      const shows = (event, text) => view.locator(`li[data-event=${event}]`, { hasText: text }).first().waitFor({ timeout: 20_000 });
      await shows("ConnectionStateChanged", "CONNECTED, LOGIN_SUCCESS");

      await view.locator("#subscribe [name=peer]").fill(rust.uid);
      await view.locator("#subscribe button").click();
      await shows("PeersOnlineStatusChanged", `${rust.uid} ONLINE`);

      await rust.call("send_message_to_peer", { peer_id: uid, text: "hello page 你好" });
      await shows("MessageFromPeer", `${rust.uid}: hello page 你好`);

      await view.locator("#send [name=peer]").fill(rust.uid);
      await view.locator("#send [name=text]").fill("hello Rust");
      await view.locator("#send button").click();
      await rust.expects({ type: "MessageFromPeer", peer_id: uid, message: { text: "hello Rust" } });
      await shows("sendMessageToPeer", "received");

      const { call_id } = await rust.call("send_invitation", { callee_id: uid, content: "a call?" });
      await shows("RemoteInvitationReceived", `${rust.uid} calls: a call?`);
      await view.locator("li[data-event=RemoteInvitationReceived] button", { hasText: "Accept" }).click();
      await rust.expects({ type: "LocalInvitationAccepted", invitation: { call_id }, response: "accept from the page" });
      await shows("RemoteInvitationReceived", "accepted");

      await shows("TokenWillExpired", "renewToken");
      await shows("TokenDidExpired", "log in again");
      if (t.screenshot) await view.screenshot({ path: t.screenshot, fullPage: true });
      const names = await view.locator("li").evaluateAll((rows) => rows.map((row) => row.dataset.event));
      assert.deepEqual(new Set(names), new Set(["login", "sendMessageToPeer", "ConnectionStateChanged", "MessageFromPeer",
        "RemoteInvitationReceived", "PeersOnlineStatusChanged", "TokenWillExpired", "TokenDidExpired"]));
    } finally {
      await view.close();
    }
  },
};
